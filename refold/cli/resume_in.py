"""The command `resume-in`: give a session to an agent, which goes on with it."""

from __future__ import annotations

import os
import shlex

import click
import msgspec

from ..log import Log
from .command import command
from .programs.handing_over import AGENTS, give, tell
from .programs.process import check_program, run_program
from .terminal.screen import Screen


@command(
    "resume-in",
    ("refold resume-in claude-code ID", "write it where Claude Code looks, and print the command that goes on"),
    ("refold resume-in codex ID --run", "and go on there at once"),
    ("refold resume-in claude-code ID --run -- -p 'Go on'", "what follows `--` goes to the agent's command"),
    ("refold resume-in codex $(refold fork ID --at 42)", "a fork of it: see also `refold fork --edit`"),
)
@click.argument("agent", type=click.Choice([*AGENTS]))
@click.argument("session")
@click.argument("arguments", nargs=-1, metavar="[-- ARGUMENT...]")
@click.option("--run", is_flag=True, help="Run the agent's command instead of printing it.")
@click.option(
    "--folder",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, resolve_path=True),
    help="Where the agent works, if not in the session's own folder.",
)
async def resume_in(
    screen: Screen, log: Log, agent: str, session: str, arguments: tuple[str, ...], run: bool, folder: str | None
) -> int | None:
    """Go on with a session in the agent that it came from, or in another one.

    It is written as the model reads it now: a fork up to where it begins, edited messages as they read, hidden ones
    not at all. It is a new session there, and no file that exists is touched. A prompt that waits goes into the
    command.
    """
    if screen.as_json and run:
        raise click.UsageError("--json and --run exclude each other: what is printed is the agent's then")
    given = await give(log, agent, session, folder)
    line = [*given.command, *arguments]
    if screen.as_json:
        screen.json({**msgspec.to_builtins(given), "command": line})
        return None
    tell(screen, given)
    if run:
        check_program(line[0])
        return await run_program(line, environment=os.environ, folder=given.folder)
    screen.line(f"cd {shlex.quote(given.folder)} && {shlex.join(line)}")
    return None
