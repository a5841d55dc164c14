"""Session files of Claude Code: how they are told from others, and the sessions that one and its neighbours hold.

A sub-agent's session is a child: in a file of its own beside the session's, or in the same one (until version 2.0).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from ..fields import fields_of, list_of, text_of
from ..format import Format, Head, Home, SourceSession, lines_of, unreadable
from ..jsonl import Findings, Line
from ..scan import Scan
from .dialect import FORMAT, ClaudeCodeDialect, is_claude_code, is_record
from .family import files_before, fork_of
from .write import TO_CLAUDE_CODE

_AGENT = "agent-"  # how the files of sub-agents are called
_SIDE_CHAIN = re.compile(rb'"isSidechain"\s*:\s*true')
_AGENT_TOOLS = frozenset(("Task", "Agent"))
Records = Callable[[Findings], Iterator[Line]]


def _fits(head: Head) -> bool:
    return any(is_claude_code(fields) for fields in head.records[:20])


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    read = lines_of(path, is_record, growing=growing)
    chains = _SideChains(read) if _tells_of_side_chains(path) else None
    if chains is not None and chains.roots:
        yield SourceSession(dialect=ClaudeCodeDialect, records=chains.main)
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


_SIDE_CHAINS = Scan(lambda line: True if _SIDE_CHAIN.search(line) else None)


def _tells_of_side_chains(path: Path) -> bool:
    """Return whether a file may hold conversations of sub-agents; reading its records for that takes long."""
    try:
        return bool(_SIDE_CHAINS.of(path))
    except OSError as error:
        raise unreadable(path, error) from error


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
    within = path.parent.name == "subagents"
    main = path.parent.parent.with_suffix(".jsonl") if within else path.with_name(f"{_session_of(path)}.jsonl")
    return main if main.is_file() else None


def _session_of(path: Path) -> str:
    """Return which session a sub-agent's file names in its first record."""
    first = next(lines_of(path, is_record)(Findings()), None)
    return text_of(first.fields.get("sessionId")) if first is not None else ""


class _SideChains:
    """The conversations of sub-agents in a session's own file: which record belongs to which.

    `roots`: the first record of each, and the call whose prompt it begins with (empty: none was found).
    """

    def __init__(self, read: Records) -> None:
        self._read = read
        self._root_of: dict[str, str] = {}
        self.roots: dict[str, str] = {}
        prompts: dict[str, str] = {}
        main = False
        for line in read(Findings()):
            fields = line.fields
            if fields.get("isSidechain") is True:
                self._add(fields, prompts)
            elif fields.get("type") in ("user", "assistant"):
                main = True
                prompts |= _prompts(fields)
        if not main:  # a file of a sub-agent alone
            self.roots, self._root_of = {}, {}

    def _add(self, fields: dict[str, object] | object, prompts: dict[str, str]) -> None:
        record = fields_of(fields)
        name, parent = text_of(record.get("uuid")), text_of(record.get("parentUuid"))
        root = self._root_of.get(parent, "")
        if not root and name and record.get("type") in ("user", "assistant"):
            root = name
            said = fields_of(record.get("message")).get("content")
            texts = [said] if isinstance(said, str) else [text_of(fields_of(one).get("text")) for one in list_of(said)]
            self.roots[root] = next((prompts[text] for text in texts if text in prompts), "")
        if root:
            self._root_of[name] = root

    def _of(self, line: Line) -> str:
        return self._root_of.get(text_of(line.fields.get("uuid")), "")

    def main(self, findings: Findings) -> Iterator[Line]:
        """Read the records of the session itself."""
        return (line for line in self._read(findings) if not self._of(line))

    def of(self, root: str) -> Records:
        """Make a reader of the records of one sub-agent."""
        return lambda findings: (line for line in self._read(findings) if self._of(line) == root)


def _prompts(fields: dict[str, object] | object) -> dict[str, str]:
    """Find what sub-agents are told, in the calls of a record, and by which call."""
    found: dict[str, str] = {}
    for block in map(fields_of, list_of(fields_of(fields_of(fields).get("message")).get("content"))):
        prompt = fields_of(block.get("input")).get("prompt")
        if text_of(block.get("name")) in _AGENT_TOOLS and isinstance(prompt, str):
            found[prompt] = text_of(block.get("id"))
    return found


def _folder(head: Head) -> str:
    return next((str(fields["cwd"]) for fields in head.records if isinstance(fields.get("cwd"), str)), "")


def _home(environment: Mapping[str, str]) -> Home:
    kept = environment.get("CLAUDE_CONFIG_DIR") or "~/.claude"
    return Home(Path(kept).expanduser() / "projects", "*/*.jsonl")


CLAUDE_CODE = Format(
    name=FORMAT,
    what="session files of Claude Code (.jsonl, version 2)",
    fits=_fits,
    sessions=_sessions,
    owner=_owner,
    beside=_within,
    before=files_before,
    folder=_folder,
    home=_home,
    to_agent=TO_CLAUDE_CODE,
)
