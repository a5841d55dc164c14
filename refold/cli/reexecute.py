"""The command `reexecute`: run today's agent against a recording."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click
import msgspec

from eventsource.envelope import Recorded
from eventsource.log.load import read_all
from replay.formats.refold.file import read_export

from ..log import Log
from ..reexecution import Reexecution
from .arguments.agent_options import AGENT_HELP
from .arguments.agents import open_agent
from .command import command
from .exit_codes import NO
from .terminal.formatting import count
from .terminal.next_steps import print_next
from .terminal.screen import Screen


@command(
    "reexecute",
    ("refold reexecute ID --agent my_agents:weather", "does today's agent still ask the same?"),
    ("refold reexecute oslo.jsonl --agent my_agents:weather", "of a session that `refold export` wrote"),
    ("refold reexecute ID --agent my_agents:weather --tools live", "pure tools really run, and are compared"),
    ("refold reexecute ID --agent my_agents:weather --mode live --keep", "go on where it differs, in a new session"),
)
@click.argument("session", metavar="SESSION|FILE")
@click.option("--agent", "agent_name", required=True, metavar="MODULE:NAME", help=AGENT_HELP)
@click.option(
    "--mode",
    type=click.Choice(["strict", "live"]),
    default="strict",
    show_default=True,
    help="At the first difference: end, or go on with the agent's own model and tools.",
)
@click.option(
    "--tools",
    type=click.Choice(["recorded", "live"]),
    default="recorded",
    show_default=True,
    help="Results of tools come from the recording, or pure tools really run and are compared.",
)
@click.option("--keep", is_flag=True, help="Keep what was done, as a new session of the log.")
async def reexecute(
    screen: Screen,
    log: Log,
    session: str,
    agent_name: str,
    mode: Literal["strict", "live"],
    tools: Literal["recorded", "live"],
    keep: bool,
) -> int | None:
    """Run today's agent against a recorded session: its prompt, tools and hooks must ask what was asked then.

    Recorded answers and results are found by what is asked; no model is called and no tool runs, unless told. The
    first difference is shown, and the exit code is 1.
    """
    history = await _recording(log, session)
    async with open_agent(agent_name) as (agent, deps):
        with screen.busy(f"re-executing {count(len(history), 'event')}"):
            again = await agent.reexecute(history, mode=mode, tools=tools, log=log if keep else None, deps=deps)
    _print_result(screen, again, kept=again.run.session.id if keep else None)
    return None if again.ok else NO


async def _recording(log: Log, name: str) -> Sequence[Recorded]:
    """Read a session of the log, or a file that holds one."""
    file = Path(name)
    if await asyncio.to_thread(file.is_file):
        return read_export(await asyncio.to_thread(file.read_bytes), path=name).history
    found = await log.find(name)
    return [recorded async for recorded in read_all(log.store, found.id)]


def _print_result(screen: Screen, again: Reexecution[object], *, kept: str | None) -> None:
    mismatch = again.mismatch
    if screen.as_json:
        fields = {"id": kept, "requests": again.requests, "calls": again.calls, "status": again.run.status}
        screen.json({**fields, "mismatch": None if mismatch is None else msgspec.to_builtins(mismatch)})
        return
    same = f"{count(again.requests, 'model call')} and {count(again.calls, 'tool call')} as recorded"
    screen.line(same, (", no difference", "green") if mismatch is None else ("", ""))
    if mismatch is not None:
        screen.line(("first difference: ", "bold red"), mismatch.problem)
        for line in mismatch.lines:
            screen.line(("  " + line, {"-": "red", "+": "green"}.get(line[:1], "")))
    if kept is not None:
        screen.note(("Kept as ", "dim"), kept)
        print_next(screen, screen.command("show", kept))
