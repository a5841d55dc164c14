"""What an import did."""

from __future__ import annotations

import msgspec

from .jsonl import LineNote


class ImportedBranch(msgspec.Struct, frozen=True, kw_only=True):
    """One session that was written or added to; `messages` counts its new ones, `leaf` is its last new entry."""

    session: str
    leaf: str = ""
    parent: str | None = None
    fork_seq: int = 0
    messages: int = 0


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did; `recovered` and `lost` name the lines that were damaged, `kept` what was not understood.

    `source`: what the session is found by again: its format and its own name there. `entries`, `messages`: how many are
    new. `known`: the session was there from an earlier import; `branches` are then those that something was added to,
    and none if there was nothing new. `read`: how many of its records were read for it. `left`: records at the end
    that wait for what follows them. `silent`: nothing was said in it, and it was left out. `children`: what was done
    of the sub-agents' sessions. `others`: of the file's further sessions.
    """

    path: str
    format: str
    version: int
    session: str
    title: str
    branches: tuple[ImportedBranch, ...]
    entries: int
    messages: int
    source: str = ""
    known: bool = False
    read: int = 0
    left: int = 0
    silent: bool = False
    recovered: tuple[LineNote, ...] = ()
    lost: tuple[LineNote, ...] = ()
    kept: tuple[LineNote, ...] = ()
    children: tuple[ImportReport, ...] = ()
    others: tuple[ImportReport, ...] = ()
