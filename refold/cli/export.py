"""The command `export`: write a session to a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import click

from eventsource.log.protocol import EventLog
from replay.formats.claude_code.write import claude_code_parts
from replay.formats.codex.write import codex_parts
from replay.formats.gemini.write import gemini_parts
from replay.formats.inspect.write import inspect_parts
from replay.formats.openhands.write import openhands_parts
from replay.formats.pi.write import pi_parts
from replay.formats.pydantic_ai.write import pydantic_ai_parts
from replay.formats.refold.write import export_parts
from replay.formats.requests import anthropic_parts, openai_chat_parts
from replay.formats.to_agent import started_below
from replay.lineage import lineage
from replay.markdown import session_markdown
from replay.omitted_copy import OmittedCopy
from replay.omitting import OMITTED, Omitted

from ..log import Log
from .arguments.files import check_target, writing
from .command import command
from .programs.handing_over import AGENTS, give, tell
from .terminal.formatting import count, size
from .terminal.screen import Screen

UPTO: Mapping[str, Callable[[EventLog, str, int | None], AsyncIterator[bytes]]] = {
    "refold": lambda log, session, upto: export_parts(log, session, upto=upto),
    "openai-chat": openai_chat_parts,
    "anthropic": anthropic_parts,
    "pydantic-ai": pydantic_ai_parts,
}
"""What writes a session up to a seq, by the name of the format: such a file holds one branch."""


async def _markdown(log: EventLog, session: str, omit: Sequence[Omitted] = ()) -> AsyncIterator[bytes]:
    if omit:
        copy = OmittedCopy(log, omit)
        await copy.add(session)
        text = await session_markdown(copy.store, session, left_out=await copy.left_out([session]))
    else:
        text = await session_markdown(log, session)
    yield text.encode()


async def _html(
    log: EventLog, session: str, omit: Sequence[Omitted] = (), *, family: bool = False
) -> AsyncIterator[bytes]:
    from ..http.page_file.file import session_file

    yield await session_file(Log(log), session, family=family, omit=omit)


LESS: Mapping[str, Callable[[EventLog, str, Sequence[Omitted]], AsyncIterator[bytes]]] = {
    "markdown": _markdown,
    "html": _html,
}
"""What writes a session without some of what it holds, by the name of the format: people read these files."""

WRITERS: Mapping[str, Callable[[EventLog, str], AsyncIterator[bytes]]] = {
    "refold": export_parts,
    "openai-chat": openai_chat_parts,
    "anthropic": anthropic_parts,
    "pydantic-ai": pydantic_ai_parts,
    "claude-code": claude_code_parts,
    "codex": codex_parts,
    "inspect": inspect_parts,
    "openhands": openhands_parts,
    "gemini": gemini_parts,
    "pi": pi_parts,
    "markdown": _markdown,
    "html": _html,
}
"""What writes a session, by the name of the format."""


@command(
    "export",
    ("refold export ID > oslo.refold.jsonl", "the session and what it inherits: an import hashes the same"),
    ("refold export ID --at 42 -o oslo.jsonl", "up to a seq, to a file that must not exist yet"),
    (
        "refold export ID --format claude-code -o oslo.jsonl",
        "as a session file of Claude Code (or `codex`, `gemini`, `pi`), with all branches",
    ),
    (
        "refold export ID --format openai-chat",
        "what a model would be sent, as a request to an API (or `anthropic`), or for a library (`pydantic-ai`)",
    ),
    ("refold export ID --format markdown -o oslo.md", "as a document to read"),
    (
        "refold export ID --format html --family -o oslo.html",
        "as the page of `refold ui`, in one file that works offline, here with all branches",
    ),
    (
        "refold export ID --format html --omit results --omit images -o oslo.html",
        "without what tools answered and without images (or `thinking`): the file says where and how much",
    ),
    ("refold export ID --format codex --to-agent", "one branch, as the model reads it, where Codex looks for sessions"),
)
@click.argument("session")
@click.option("-o", "--output", metavar="FILE", help="Write a file instead of stdout; with --json, stdout says what.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option("--format", "form", type=click.Choice([*WRITERS]), default="refold", show_default=True)
@click.option(
    "--at", "at", type=click.IntRange(min=0), metavar="N", help="Only up to this seq (of formats that hold one branch)."
)
@click.option(
    "--omit",
    "omit",
    type=click.Choice(OMITTED),
    multiple=True,
    help="Leave this out of a file that people read (markdown, html); may be repeated.",
)
@click.option("--family", is_flag=True, help="With html: its branches too, and the other sessions of its tree.")
@click.option("--to-agent", is_flag=True, help="Put it where that agent looks for its sessions, as a new one.")
async def export(
    screen: Screen,
    log: Log,
    session: str,
    output: str | None,
    force: bool,
    form: str,
    at: int | None,
    omit: tuple[Omitted, ...],
    family: bool,
    to_agent: bool,
) -> None:
    """Write a session to a file. What was read from another agent's file is written to one as it was read."""
    if to_agent:
        await _give(screen, log, session, form, alone=output is None and at is None and not (force or omit or family))
        return
    if screen.as_json and output is None:
        raise click.UsageError("--json needs -o FILE: the export itself is not one JSON document")
    if at is not None and form not in UPTO:
        raise click.UsageError(f"--at goes with {', '.join(UPTO)}: a file of {form} holds all branches")
    if omit and form not in LESS:
        raise click.UsageError(
            f"--omit goes with {', '.join(LESS)}, which people read: a program that reads a file of {form} would take "
            "what stands in the place of what is left out for what was said"
        )
    if family and form != "html":
        raise click.UsageError(f"--family goes with --format html: what a file of {form} holds is not a choice")
    if output is not None:
        check_target(output)
    found = await log.find(session)
    below = await _below(log.store, found.id, form, omit, family=family)
    parts = _html(log.store, found.id, omit, family=True) if family else _parts(log.store, found.id, form, at, omit)
    if output is None:
        async for part in parts:
            screen.raw_json(part, end="")
        _tell_of_below(screen, below, found.id)
        return
    written = lines = 0
    with screen.busy("exporting"), writing(output, replace=force) as file:
        async for part in parts:
            file.write(part)
            written, lines = written + len(part), lines + part.count(b"\n")
    if screen.as_json:
        screen.json({"id": found.id, "path": output, "size_bytes": written, "lines": lines, "left_out": below})
    else:
        screen.note((f"{output}: {count(lines, 'line')}, {size(written)}", "dim"))
        _tell_of_below(screen, below, found.id)


async def _below(log: EventLog, session: str, form: str, omit: Sequence[Omitted], *, family: bool) -> int:
    """Count the sessions that a session began, and that are not in the file."""
    below = await started_below(log, session)
    if form != "html" or not below:
        return below
    from ..http.page_file.chosen import chosen

    above = {name for name, _ in await lineage(log, session)}
    inside = [await log.info(one) for one in (await chosen(log, session, family=family, omit=omit)).inside]
    return below - sum(one.started_by in above for one in inside)


def _tell_of_below(screen: Screen, below: int, session: str) -> None:
    """Say how many sessions are not in the file, since a sub-agent's is one of its own."""
    if below:
        listed = screen.command("tree", session)
        them = "the session" if below == 1 else f"the {below} sessions"
        screen.note(("not in it: ", "yellow"), f"{them} of its sub-agents; {listed} lists them, to be exported too")


def _parts(log: EventLog, session: str, form: str, at: int | None, omit: Sequence[Omitted]) -> AsyncIterator[bytes]:
    """Choose what writes the session."""
    if omit:
        return LESS[form](log, session, omit)
    return UPTO[form](log, session, at) if at is not None else WRITERS[form](log, session)


async def _give(screen: Screen, log: Log, session: str, form: str, *, alone: bool) -> None:
    """Put a session where an agent looks for its own."""
    if form not in AGENTS:
        raise click.UsageError(f"--to-agent needs --format {', '.join(AGENTS)}: no agent looks for files of {form}")
    if not alone:
        raise click.UsageError(
            "--to-agent goes with none of -o, --force, --at, --omit and --family: it is a new file, of a whole session"
        )
    given = await give(log, form, session)
    if screen.as_json:
        screen.json(given)
        return
    tell(screen, given)
    screen.line(given.path)
