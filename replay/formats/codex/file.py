"""Session files of Codex: how they are told from others, and the one session that each holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ..fields import fields_of
from ..format import Format, Head, Home, SourceSession, lines_of
from .dialect import FORMAT, CodexDialect, is_codex, is_record


def _fits(head: Head) -> bool:
    return any(is_codex(fields) for fields in head.records[:20])


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    yield SourceSession(dialect=CodexDialect, records=lines_of(path, is_record, growing=growing))


def _folder(head: Head) -> str:
    payloads = (fields_of(fields.get("payload")) for fields in head.records)
    return next((str(payload["cwd"]) for payload in payloads if isinstance(payload.get("cwd"), str)), "")


def _home(environment: Mapping[str, str]) -> Home:
    return Home(Path(environment.get("CODEX_HOME") or "~/.codex").expanduser() / "sessions", "**/rollout-*.jsonl")


CODEX = Format(
    name=FORMAT,
    what="session files of Codex (rollout-*.jsonl)",
    fits=_fits,
    sessions=_sessions,
    owner=lambda _: None,
    beside=lambda _: (),
    folder=_folder,
    home=_home,
)
