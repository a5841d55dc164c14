"""The options that say which session files are meant: files, folders, or what an agent keeps on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from .options import since

F = TypeVar("F", bound=Callable[..., object])

KEEPERS = ("pi", "claude-code", "codex", "gemini", "opencode", "inspect", "openhands")
"""The agents that keep sessions on a machine, of `replay.formats.FORMATS`, which are not loaded for their names."""


def session_file_options(function: F) -> F:
    """Add the options that say which session files are meant."""
    for option in (
        click.option("--watch", is_flag=True, help="Go on, and add what is written to the files within a second."),
        click.option(
            "--since", metavar="WHEN", callback=since, help="Only files changed since then: `7d`, `12h`, `2026-11-20`."
        ),
        click.option("--all", "all_", is_flag=True, help="With --from: of every folder, not of this one alone."),
        click.option(
            "--from", "agent", type=click.Choice(KEEPERS), help="Sessions that an agent keeps on this machine."
        ),
        click.argument("files", nargs=-1, metavar="[FILE|FOLDER]...", type=click.Path()),
    ):
        function = option(function)
    return function


def check_session_files(files: tuple[str, ...], agent: str | None, *, all_: bool) -> None:
    """Hold the options to each other. Raises: UsageError."""
    if files and agent:
        raise click.UsageError("name files or folders, or an agent with --from")
    if all_ and not agent:
        raise click.UsageError("--all goes with --from: in a folder all files are read anyway")
