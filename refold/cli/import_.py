"""The command `import`: read session files, of other agents too, into the log."""

from __future__ import annotations

import click

from replay.formats import FORMATS

from ..log import Log
from .arguments.session_files import check_session_files, session_file_options
from .command import command
from .programs.importing import Importing, SessionFiles, import_all, watch_files
from .terminal.screen import Screen

_NAMES = [one.name for one in FORMATS]


@command(
    "import",
    ("refold import oslo.refold.jsonl", "what `refold export` wrote"),
    ("refold import session.jsonl", "a session file of Claude Code, Codex, Gemini CLI, opencode or pi"),
    ("refold import ~/.claude/projects/my-project", "all session files in a folder"),
    ("refold import --from claude-code", "what Claude Code keeps of this folder; `--all`: of every folder"),
    ("refold import --from claude-code --all --since 7d --dry-run", "only say what would be imported"),
    ("refold import --from claude-code --watch", "follow the sessions that are under way"),
    ('refold import session.jsonl --title "Oslo"', "named, if the file has no name for it"),
    creates=True,
)
@session_file_options
@click.option("--format", "format_", type=click.Choice([*_NAMES, "refold"]), help="Which format the files have.")
@click.option("--title", default="", metavar="TEXT", help="What a session is called if its file does not say.")
@click.option("--again", is_flag=True, help="Make a copy of a session that was imported before.")
@click.option("--dry-run", "dry", is_flag=True, help="Write nothing; list what would be imported.")
async def import_(
    screen: Screen,
    log: Log,
    files: tuple[str, ...],
    agent: str | None,
    all_: bool,
    since: int,
    format_: str | None,
    title: str,
    again: bool,
    dry: bool,
    watch: bool,
) -> int:
    """Read session files into the log: messages with their own times, branches as forks; nothing is lost.

    Of a file that was imported before, what is new is added; entries that part from what is there become a fork.
    Damaged lines are recovered where possible and named, and so is what is kept and not understood. A file that cannot
    be read is skipped and named.
    """
    if not files and not agent:
        raise click.UsageError("name files or folders, or an agent with --from")
    check_session_files(files, agent, all_=all_)
    if watch and (dry or again):
        raise click.UsageError("--watch goes with neither --dry-run nor --again")
    work = Importing(
        screen,
        log,
        here=bool(agent) and not all_,
        title=title,
        format_=format_ or "",
        again=again,
        dry=dry,
        awaited=watch,
    )
    source = SessionFiles(files, agent, all_=all_, since_us=since, watched=watch)
    await import_all(screen, source, work, alone=not watch)
    if watch:
        screen.note(("following; Ctrl-C ends it", "dim"))
        await watch_files(screen, log, source, work)
    return work.code
