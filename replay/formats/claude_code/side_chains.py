"""The conversations of sub-agents that stand in a session's own file (until version 2.0)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..fields import fields_of, list_of, text_of
from ..format import Records, lines_of, unreadable
from ..jsonl import Findings, Line
from ..scan import Scan
from .dialect import is_record

_SIDE_CHAIN = re.compile(rb'"isSidechain"\s*:\s*true')
_SIDE_CHAINS = Scan(lambda line: True if _SIDE_CHAIN.search(line) else None)
_AGENT_TOOLS = frozenset(("Task", "Agent"))


def side_chains_of(path: Path, read: Records) -> SideChains | None:
    """Find the conversations of sub-agents in a session's file; None: there are none.

    Raises: TranscriptError when it cannot be read.
    """
    try:
        told = bool(_SIDE_CHAINS.of(path))  # reading its records for that takes long
    except OSError as error:
        raise unreadable(path, error) from error
    chains = SideChains(read) if told else None
    return chains if chains is not None and chains.roots else None


def main_of(path: Path) -> Records:
    """Make a reader of what a file tells of its session alone. Raises: TranscriptError when it cannot be read."""
    read = lines_of(path, is_record)
    chains = side_chains_of(path, read)
    return read if chains is None else chains.main


class SideChains:
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
