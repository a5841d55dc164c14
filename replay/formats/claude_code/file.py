"""Session files of Claude Code: how they are told from others, and the sessions that one and its neighbours hold.

A sub-agent's session is a child: in a file of its own beside the session's, or in the same one (until version 2.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from ..fields import is_file_name, text_of
from ..format import Format, Head, Home, SourceSession, lines_of, unreadable
from ..jsonl import Findings
from .dialect import FORMAT, ClaudeCodeDialect, is_claude_code, is_record
from .family import files_before, fork_of
from .side_chains import side_chains_of
from .write import TO_CLAUDE_CODE

_AGENT = "agent-"  # how the files of sub-agents are called


def _fits(head: Head) -> bool:
    return any(is_claude_code(fields) for fields in head.records[:20])


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    read = lines_of(path, is_record, growing=growing)
    chains = side_chains_of(path, read)
    if chains is not None:
        yield SourceSession(dialect=ClaudeCodeDialect, records=chains.main, fork=fork_of(path, chains.main))
        for root, call in chains.roots.items():
            dialect = partial(ClaudeCodeDialect, within=True)
            yield SourceSession(dialect=dialect, records=chains.of(root), name=root, links=(call,))
    else:
        yield SourceSession(dialect=ClaudeCodeDialect, records=read, fork=fork_of(path, read))
    for agent in _agents(path):
        yield SourceSession(
            dialect=ClaudeCodeDialect,
            records=lines_of(agent, is_record, growing=growing),
            path=agent,
            name=agent.stem.removeprefix(_AGENT),
            links=(agent.stem.removeprefix(_AGENT),),
        )


def _agents(path: Path) -> list[Path]:
    """Find the files of a session's sub-agents: in its folder, or (until 2.0) beside it."""
    if path.stem.startswith(_AGENT):
        return []
    try:
        within = _within(path)
        beside = sorted(one for one in path.parent.glob(f"{_AGENT}*.jsonl") if _session_of(one) == path.stem)
    except OSError as error:
        raise unreadable(path, error) from error
    return [*within, *beside]


def _within(path: Path) -> list[Path]:
    """Find the files of sub-agents in a session's own folder."""
    return sorted((path.with_suffix("") / "subagents").glob(f"{_AGENT}*.jsonl"))


def _owner(path: Path) -> Path | None:
    """Return the file of the session that began a sub-agent, if it is there."""
    if not path.stem.startswith(_AGENT):
        return None
    if path.parent.name == "subagents":
        main = path.parent.parent.with_suffix(".jsonl")
    elif is_file_name(session := _session_of(path)):
        main = path.with_name(f"{session}.jsonl")
    else:
        return None
    return main if main.is_file() else None


def _session_of(path: Path) -> str:
    """Return which session a sub-agent's file names in its first record."""
    first = next(lines_of(path, is_record)(Findings()), None)
    return text_of(first.fields.get("sessionId")) if first is not None else ""


def _folder(head: Head) -> str:
    return next((str(fields["cwd"]) for fields in head.records if isinstance(fields.get("cwd"), str)), "")


def _home(environment: Mapping[str, str]) -> Home:
    kept = environment.get("CLAUDE_CONFIG_DIR") or "~/.claude"
    return Home(Path(kept).expanduser() / "projects", "*/*.jsonl")


CLAUDE_CODE = Format(
    name=FORMAT,
    what="session files of Claude Code (.jsonl, versions 1 and 2)",
    fits=_fits,
    sessions=_sessions,
    owner=_owner,
    beside=_within,
    before=files_before,
    folder=_folder,
    home=_home,
    to_agent=TO_CLAUDE_CODE,
)
