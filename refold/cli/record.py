"""The command `record`: run an agent with a proxy of its own, and record it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import click

from projections.usage import cost_text

from ..log import Log
from ..spending import spending
from .command import command
from .programs.pointing import pointed, print_unreached
from .programs.process import check_program, run_program
from .terminal.formatting import count
from .terminal.next_steps import print_next
from .terminal.screen import Screen


@command(
    "record",
    ('refold record -- claude -p "Look around"', "run it, and record what it says to its provider"),
    ("refold record -- codex", "any agent; what it prints, reads and ends with is its own"),
    ("refold record -- my-agent --base-url {url}/v1", "where an agent takes its base URL from a flag"),
    creates=True,
)
@click.argument("line", nargs=-1, required=True, metavar="-- COMMAND...")
async def record(screen: Screen, log: Log, line: tuple[str, ...]) -> int:
    """Run an agent with a proxy of its own, and record what it says to its provider: nothing is to be set up.

    The variables of base URLs lead to the proxy, and so do the settings of Claude Code, Codex and pi; requests go on to
    what these named before. {url} in the command is the proxy's address. The exit code is the agent's.
    """
    from ..http import ProxyRecorder, Upstreams, proxying, serving

    if screen.as_json:
        raise click.UsageError("--json does not go with it: what is printed is the command's")
    check_program(line[0])
    began_us = time.time_ns() // 1000
    lost: dict[str, None] = {}  # told at the end: the terminal is the agent's
    recorder = ProxyRecorder(log, lose=lost.setdefault)
    upstreams = Upstreams()
    async with proxying(recorder, upstreams) as answering, serving(answering, host="127.0.0.1", port=0) as running:
        with pointed(line, os.environ, running.url) as pointing:
            upstreams.lead(pointing.upstreams)
            code = await run_program(pointing.line, environment=pointing.environment)
    for what in lost:
        screen.note((what, "red"))
    await _tell(screen, log, recorder.sessions, began_us)
    if not recorder.recorded and not lost:
        print_unreached(screen, line[0])
    return code


async def _tell(screen: Screen, log: Log, sessions: Mapping[str, int], began_us: int) -> None:
    """Say what was recorded: each session, its calls, tokens and cost."""
    for session, calls in sessions.items():
        info = await log.store.info(session)
        spent = (await spending(log.store, session, since_us=began_us)).own
        cost = f", cost {cost_text(spent)}" if spent.calls else ""
        said = f"{count(calls, 'call')}, {count(spent.usage.total_tokens, 'token')}{cost}"
        screen.note((session, "bold"), f"  {info.title}".rstrip(), f"  {said}")
    if sessions:
        print_next(screen, screen.command("show", next(iter(sessions))))
