"""The command `chat`: talk with a model, steer it, fork on the way."""

from __future__ import annotations

import sys

import click

from eventsource.machine.state import Config
from eventsource.messages import UserMessage
from projections import text_of

from ..log import Log
from ..session import Session
from .arguments.agent_options import agent_options
from .arguments.agents import named_model, open_named_agent, recorded_agent
from .arguments.sessions import SESSION_HELP, find_or_create_session, recorded_config
from .arguments.tools import open_tools, selected_tools, tool_options
from .command import command
from .terminal.screen import Screen


@command(
    "chat",
    ("refold chat -m anthropic:claude-sonnet-4-5", "in a new session"),
    ("refold chat -c sky -m openai:gpt-5 --tools", "in the session of that name, new or not; with file tools"),
    ("refold chat -c sky", "the model that the log names answers"),
    ("refold chat --agent my_agents:weather", "with your own agent"),
    creates=True,
)
@agent_options
@tool_options
@click.option("-c", "--session", metavar="NAME", help=SESSION_HELP)
async def chat(
    screen: Screen, log: Log, model_name: str | None, agent_name: str | None, system: str | None, session: str | None
) -> None:
    """Talk with a model. What you type while it works is steering: it is heard before the next model call.

    Ctrl-C stops an answer and keeps the session; Ctrl-D leaves. /help lists what else there is.
    """
    from .conversation.conversation import Conversation  # prompt_toolkit is slow to load
    from .conversation.slash_commands import COMMANDS
    from .conversation.terminal import Terminal

    selection = selected_tools()
    if screen.as_json:
        raise click.UsageError("chat is for people; `refold run --json` prints JSON")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("chat needs a terminal; use `refold run`")
    async with open_named_agent(agent_name, model_name, system) as (agent, deps):
        model = named_model(model_name) if model_name is not None and agent is None else None
        if agent is None and model is None and session is None:
            raise click.UsageError("say who answers: -m vendor:model, -m scripted, or --agent module:name")
        known = agent is None and model is None
        config = await recorded_config(log, session, exists=known) if agent is None else Config()
        async with open_tools(selection, session or "", config) as tools:
            if agent is None:
                agent = recorded_agent(session or "", config, model, system, tools=tools)
            target = await find_or_create_session(screen, log, session) if session is not None else None
            typed = await _typed(target)
            terminal = Terminal([f"/{name}" for name in COMMANDS], typed)
            above = Screen(screen.log, as_json=False, terminal=terminal.above)
            await Conversation(above, log, terminal, agent, target, deps).run()


async def _typed(session: Session | None) -> list[str]:
    """List what people said in a session, for the arrow keys."""
    entries = await session.history() if session is not None else ()
    return [text_of(entry.message) for entry in entries if isinstance(entry.message, UserMessage)]
