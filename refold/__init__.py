"""Refold: an agent runtime whose only memory is its event log.

Every event, message and error is here, with what makes and runs agents. A name is loaded when it is first asked for.
"""

from typing import TYPE_CHECKING

from eventsource.lazy_names import load_when_asked

if TYPE_CHECKING:
    from eventsource.envelope import Recorded
    from eventsource.errors import (
        ArgumentError,
        CompactionError,
        ConflictError,
        ContinueRefusedError,
        CorruptLogError,
        DurationError,
        EventTooLargeError,
        FencedError,
        HasForksError,
        IllegalEventError,
        InvalidTextError,
        LeaseHeldError,
        MissingModelError,
        MissingToolError,
        NoEventLoopError,
        OutcomeUnknownError,
        OutputError,
        RecorderError,
        RefoldError,
        ScriptFileError,
        SessionExistsError,
        SessionOpenError,
        StoreError,
        TailLostError,
        TokenValueError,
        ToolArgumentsError,
        ToolDefinitionError,
        ToolFailure,
        TranscriptError,
        UnknownLabelError,
        UnknownSeqError,
        UnknownSessionError,
        UnreadMessageError,
        WaitOverError,
    )
    from eventsource.events import (
        AbortRequest,
        AgentEnd,
        AgentStart,
        ChildEnd,
        ChildStart,
        Compaction,
        ConfigChange,
        ContextEdit,
        Custom,
        Erase,
        Event,
        Fork,
        Label,
        LoopContext,
        MessageAdopt,
        MessageEnd,
        MessageStart,
        MessageUpdate,
        MetadataSet,
        ModelRequest,
        QueueClear,
        QueuePush,
        Resume,
        Retry,
        StepEnd,
        StepStart,
        StreamUpdate,
        TaskEnd,
        TaskStart,
        TokenCreate,
        ToolExecutionEnd,
        ToolExecutionStart,
        ToolExecutionUpdate,
        TurnEnd,
        TurnStart,
        WaitEnd,
        WaitStart,
    )
    from eventsource.messages import (
        AssistantMessage,
        CustomMessage,
        ImageContent,
        Message,
        ProviderContent,
        TextContent,
        ThinkingContent,
        ToolCall,
        ToolResultMessage,
        Usage,
        UserMessage,
    )
    from eventsource.models.catalog import UnknownModelError, model
    from eventsource.models.options import ModelOptionsError
    from eventsource.models.protocol import Model
    from eventsource.request import Request
    from eventsource.runner.hooks import (
        Hooks,
        NextTurn,
        ToolOutcomeShown,
        ToolRequest,
        ToolRevision,
        ToolVerdict,
        TurnEnded,
    )
    from eventsource.tools.context import ToolContext
    from eventsource.tools.options import ApprovalOptions, ToolOptions
    from eventsource.tools.results import Image, ToolOutcome, tool_result
    from eventsource.tools.tool import Tool, json_tool, tool
    from eventsource.values import Inserted, ModelRef, Origin, Part, Place, Policies, SeqRange, ToolResult, ToolSpec

    from .agent import Agent
    from .compaction import CompactionPolicy, Summary
    from .functional import AgentContext, AgentLoopConfig, agent_loop, agent_loop_continue
    from .log import Log, open_log
    from .mcp import McpServerError, mcp_tools
    from .run import Run
    from .session import Session, diff
    from .stream import AgentStream
    from .tasks.context import TaskContext
    from .tasks.task import task
    from .toolset import file_tools, shell_tool
    from .waits import Waiting

__all__ = [
    "AbortRequest",
    "Agent",
    "AgentContext",
    "AgentEnd",
    "AgentLoopConfig",
    "AgentStart",
    "AgentStream",
    "ApprovalOptions",
    "ArgumentError",
    "AssistantMessage",
    "ChildEnd",
    "ChildStart",
    "Compaction",
    "CompactionError",
    "CompactionPolicy",
    "ConfigChange",
    "ConflictError",
    "ContextEdit",
    "ContinueRefusedError",
    "CorruptLogError",
    "Custom",
    "CustomMessage",
    "DurationError",
    "Erase",
    "Event",
    "EventTooLargeError",
    "FencedError",
    "Fork",
    "HasForksError",
    "Hooks",
    "IllegalEventError",
    "Image",
    "ImageContent",
    "Inserted",
    "InvalidTextError",
    "Label",
    "LeaseHeldError",
    "Log",
    "LoopContext",
    "McpServerError",
    "Message",
    "MessageAdopt",
    "MessageEnd",
    "MessageStart",
    "MessageUpdate",
    "MetadataSet",
    "MissingModelError",
    "MissingToolError",
    "Model",
    "ModelOptionsError",
    "ModelRef",
    "ModelRequest",
    "NextTurn",
    "NoEventLoopError",
    "Origin",
    "OutcomeUnknownError",
    "OutputError",
    "Part",
    "Place",
    "Policies",
    "ProviderContent",
    "QueueClear",
    "QueuePush",
    "Recorded",
    "RecorderError",
    "RefoldError",
    "Request",
    "Resume",
    "Retry",
    "Run",
    "ScriptFileError",
    "SeqRange",
    "Session",
    "SessionExistsError",
    "SessionOpenError",
    "StepEnd",
    "StepStart",
    "StoreError",
    "StreamUpdate",
    "Summary",
    "TailLostError",
    "TaskContext",
    "TaskEnd",
    "TaskStart",
    "TextContent",
    "ThinkingContent",
    "TokenCreate",
    "TokenValueError",
    "Tool",
    "ToolArgumentsError",
    "ToolCall",
    "ToolContext",
    "ToolDefinitionError",
    "ToolExecutionEnd",
    "ToolExecutionStart",
    "ToolExecutionUpdate",
    "ToolFailure",
    "ToolOptions",
    "ToolOutcome",
    "ToolOutcomeShown",
    "ToolRequest",
    "ToolResult",
    "ToolResultMessage",
    "ToolRevision",
    "ToolSpec",
    "ToolVerdict",
    "TranscriptError",
    "TurnEnd",
    "TurnEnded",
    "TurnStart",
    "UnknownLabelError",
    "UnknownModelError",
    "UnknownSeqError",
    "UnknownSessionError",
    "UnreadMessageError",
    "Usage",
    "UserMessage",
    "WaitEnd",
    "WaitOverError",
    "WaitStart",
    "Waiting",
    "agent_loop",
    "agent_loop_continue",
    "diff",
    "file_tools",
    "json_tool",
    "mcp_tools",
    "model",
    "open_log",
    "shell_tool",
    "task",
    "tool",
    "tool_result",
]

load_when_asked(
    __name__,
    {
        "eventsource.envelope": "Recorded",
        "eventsource.errors": (
            "ArgumentError CompactionError ConflictError ContinueRefusedError CorruptLogError DurationError "
            "EventTooLargeError FencedError HasForksError IllegalEventError InvalidTextError LeaseHeldError "
            "MissingModelError MissingToolError NoEventLoopError OutcomeUnknownError OutputError RecorderError "
            "RefoldError ScriptFileError SessionExistsError SessionOpenError StoreError TailLostError "
            "TokenValueError ToolArgumentsError ToolDefinitionError ToolFailure TranscriptError UnknownLabelError "
            "UnknownSeqError UnknownSessionError UnreadMessageError WaitOverError"
        ),
        "eventsource.events": (
            "AbortRequest AgentEnd AgentStart ChildEnd ChildStart Compaction ConfigChange ContextEdit Custom "
            "Erase Event Fork Label LoopContext MessageAdopt MessageEnd MessageStart MessageUpdate MetadataSet "
            "ModelRequest QueueClear QueuePush Resume Retry StepEnd StepStart StreamUpdate TaskEnd TaskStart "
            "TokenCreate ToolExecutionEnd ToolExecutionStart ToolExecutionUpdate TurnEnd TurnStart WaitEnd "
            "WaitStart"
        ),
        "eventsource.messages": (
            "AssistantMessage CustomMessage ImageContent Message ProviderContent TextContent ThinkingContent "
            "ToolCall ToolResultMessage Usage UserMessage"
        ),
        "eventsource.models.catalog": "UnknownModelError model",
        "eventsource.models.options": "ModelOptionsError",
        "eventsource.models.protocol": "Model",
        "eventsource.request": "Request",
        "eventsource.runner.hooks": "Hooks NextTurn ToolOutcomeShown ToolRequest ToolRevision ToolVerdict TurnEnded",
        "eventsource.tools.context": "ToolContext",
        "eventsource.tools.options": "ApprovalOptions ToolOptions",
        "eventsource.tools.results": "Image ToolOutcome tool_result",
        "eventsource.tools.tool": "Tool json_tool tool",
        "eventsource.values": "Inserted ModelRef Origin Part Place Policies SeqRange ToolResult ToolSpec",
        ".agent": "Agent",
        ".compaction": "CompactionPolicy Summary",
        ".functional": "AgentContext AgentLoopConfig agent_loop agent_loop_continue",
        ".log": "Log open_log",
        ".run": "Run",
        ".session": "Session diff",
        ".stream": "AgentStream",
        ".tasks.context": "TaskContext",
        ".tasks.task": "task",
        ".waits": "Waiting",
        ".mcp": "McpServerError mcp_tools",
        ".toolset": "file_tools shell_tool",
    },
)
