"""Session files of pi: how they are told from others, and the one session that each holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ..format import Format, Head, Home, SourceSession, head_of, lines_of
from .dialect import FORMAT, PiDialect, is_pi, is_record
from .family import files_before, fork_of
from .write import TO_PI, agent_folder


def _fits(head: Head) -> bool:
    return any(is_pi(fields) for fields in head.records[:20])


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    named = any("parentId" in fields for fields in head_of(path).records)
    own = lines_of(path, is_record, growing=growing)
    manner = "named" if named else ""
    yield SourceSession(dialect=lambda _: PiDialect(named=named), records=own, fork=fork_of(path, own), manner=manner)


def _folder(head: Head) -> str:
    return next((str(fields["cwd"]) for fields in head.records[:1] if isinstance(fields.get("cwd"), str)), "")


def _home(environment: Mapping[str, str]) -> Home:
    kept = environment.get("PI_CODING_AGENT_SESSION_DIR")
    return Home(Path(kept).expanduser() if kept else agent_folder(environment) / "sessions", "**/*.jsonl")


PI = Format(
    name=FORMAT,
    what="session files of pi (.jsonl, version 1 to 3)",
    fits=_fits,
    sessions=_sessions,
    owner=lambda _: None,
    beside=lambda _: (),
    before=files_before,
    folder=_folder,
    home=_home,
    to_agent=TO_PI,
)
