"""Refold: an agent runtime whose only memory is its event log."""

from eventsource.errors import RefoldError
from eventsource.events import Policies
from eventsource.runner.hooks import Hooks
from eventsource.tools.context import ToolContext
from eventsource.tools.results import Image, ToolOutcome, tool_result
from eventsource.tools.tool import Tool, json_tool, tool

from .agent import Agent
from .compaction import CompactionPolicy, Summary
from .comparing import diff
from .functional import AgentContext, AgentLoopConfig, agent_loop, agent_loop_continue
from .log import Log, open_log
from .run import Run
from .session import Session
from .tasks.task import TaskContext, task

__all__ = [
    "Agent",
    "AgentContext",
    "AgentLoopConfig",
    "CompactionPolicy",
    "Hooks",
    "Image",
    "Log",
    "Policies",
    "RefoldError",
    "Run",
    "Session",
    "Summary",
    "TaskContext",
    "Tool",
    "ToolContext",
    "ToolOutcome",
    "agent_loop",
    "agent_loop_continue",
    "diff",
    "json_tool",
    "open_log",
    "task",
    "tool",
    "tool_result",
]
