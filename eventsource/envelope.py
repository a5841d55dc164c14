"""The envelope of an event, and what a store says of its sessions: rows, leases, cursors, findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from .events import Event


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event in its envelope: place in its session (1-based, dense) and time (UTC microseconds)."""

    seq: int
    at_us: int
    event: Event


Behind: TypeAlias = Callable[[Sequence[Recorded]], bool]
"""Says whether an append may follow what others appended after the head that it expected."""


class Cursor(msgspec.Struct, frozen=True):
    """A place a reader has reached: a seq and the digest of everything up to it (empty: not known)."""

    seq: int = 0
    digest: str = ""


class Lease(msgspec.Struct, frozen=True):
    """The right to run a session. Only a newer epoch takes it away; expiry alone does not."""

    session: str
    owner: str
    epoch: int
    expires_at_us: int


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A session's row: what it is, and the folds kept beside it (rebuilt by `rebuild`, always equal to the log).

    `fork_seq` is the last seq inherited from `parent` (0: none). `head` is the last event's seq.
    `digest` is the chain's link at the last fact. `status`: empty, idle, running (somebody holds it), interrupted
    (a run is unfinished and nobody holds it), queued (no run is, but messages are queued for the next), due (a task is
    unfinished, and a worker should look at it), waiting (an open wait), failed (the last run ended in error). `open` is
    true while a run is unfinished, or something is queued or waits. Tokens, cost, turns and errors (failed runs, steps,
    tries of a task, tools) are those of this lineage; `inherited_*` of them were the parent's. `cost_microusd` is
    absent when no price is known. `labels`: how many labels the session set on seqs itself.
    `task`: the last task's id. `due_at_us`: when a worker should look at it, if its task is open; this one is no fold.

    `started_by`: the session whose child it is. `source`: what it was imported from, each at most once in a log.
    `first_words`: of a person. `model`: the one in force, `models`: those that have answered, as provider/model.
    `last`: how the last run or task ended: done, asked (done because somebody asked it to end), error, aborted, limit,
    refused, cancelled. `agent`, `folder`, `branch`: the metadata of these names. `queue`: of the last task.
    `removals`: how often content of this lineage was dropped or erased. `number`: of all sessions ever made in this log
    the how manieth; one that is made again under the id of a deleted one has another.
    """

    id: str
    title: str = ""
    parent: str | None = None
    fork_seq: int = 0
    head: int = 0
    digest: str = ""
    created_at_us: int = 0
    updated_at_us: int = 0
    status: str = "empty"
    open: bool = False
    wake_at_us: int | None = None
    task: str = ""
    due_at_us: int | None = None
    messages: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    cost_microusd: int | None = None
    inherited_input_tokens: int = 0
    inherited_output_tokens: int = 0
    inherited_cost_microusd: int | None = None
    turns: int = 0
    errors: int = 0
    labels: int = 0
    started_by: str = ""
    source: str = ""
    first_words: str = ""
    model: str = ""
    models: tuple[str, ...] = ()
    last: str = ""
    agent: str = ""
    folder: str = ""
    branch: str = ""
    queue: str = ""
    archived_at_us: int | None = None
    removals: int = 0
    number: int = 0
    owner: str = ""
    epoch: int = 0
    expires_at_us: int = 0


SessionSort: TypeAlias = Literal["updated", "created", "cost", "turns", "events", "errors"]
"""By what sessions are listed: what is largest or latest comes first, and of equal ones what was updated last."""


class Figure(msgspec.Struct, frozen=True):
    """What is asked of a number in sessions' rows: that it is more (`>`), less (`<`) or as much (`=`).

    A cost that is not known counts as none.
    """

    name: Literal["updated_at_us", "created_at_us", "cost_microusd", "turns", "head", "errors"]
    sign: Literal["<", "=", ">"]
    value: int

    def fits(self, info: SessionInfo) -> bool:
        """Return whether a row is as asked."""
        found = int(getattr(info, self.name) or 0)
        return (
            found < self.value if self.sign == "<" else found > self.value if self.sign == ">" else found == self.value
        )


class QueueInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How the open tasks of a queue stand (the queue of those that name none is empty).

    `due`: how many sessions are for a worker to take up, `waited_us` for how long the first of them has been.
    `running`: how many somebody runs, those apart that their parent's process runs; `owners`: the opened logs that do.
    """

    queue: str
    due: int = 0
    waited_us: int = 0
    running: int = 0
    owners: tuple[str, ...] = ()


class FoundText(msgspec.Struct, frozen=True, kw_only=True):
    """A message in which a text stands, and the text around it on one line.

    `seq`: of the message; `text_seq`: of the event that holds its text, another one for what was queued and for a
    tool's result. `role`: user, assistant, tool_result, custom, or summary of a compaction; of an input
    that a program gave in another name than the user's that one, as `system`.
    """

    session: str
    seq: int
    role: str
    at_us: int
    excerpt: str
    text_seq: int


class FoundCount(msgspec.Struct, frozen=True):
    """In how many messages of a session a text stands."""

    session: str
    hits: int


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed on purpose from the events that a session recorded itself, and the digests that stand for it.

    `erased`: (seq, B in hex) of events whose shape is left. `dropped`: (first seq, times) of updates whose content is
    gone, side by side. `updates`: (seq, U in hex) of each fact before which some are. `base`, of a fork that began
    among such updates: the digest there and U so far, in hex (the digest alone if 0.1 erased them).
    """

    erased: tuple[tuple[int, str], ...] = ()
    dropped: tuple[tuple[int, tuple[int, ...]], ...] = ()
    updates: tuple[tuple[int, str], ...] = ()
    base: str = ""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """An event as another log held it; `event` is None for an update whose content is gone.

    `updates_sha256`: U in hex, of a fact before which updates are gone. `body_sha256`: B in hex, of an erased event.
    """

    at_us: int
    event: Event | None
    updates_sha256: str = ""
    body_sha256: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing `verify` found. `problem` is a defect; a `note` names what was dropped or erased on purpose."""

    session: str
    seq: int
    problem: str
    note: bool = False


class VerifiedSoFar(msgspec.Struct, frozen=True, kw_only=True):
    """How far `verify` has read: sessions, of how many; facts and updates; and how many defects it has found."""

    sessions: int
    sessions_in_all: int
    facts: int = 0
    updates: int = 0
    defects: int = 0


def so_far(sessions: int, sessions_in_all: int, facts: int, updates: int, findings: Sequence[Finding]) -> VerifiedSoFar:
    """Say how far `verify` has read."""
    defects = sum(not finding.note for finding in findings)
    return VerifiedSoFar(
        sessions=sessions, sessions_in_all=sessions_in_all, facts=facts, updates=updates, defects=defects
    )


TellVerified: TypeAlias = Callable[[VerifiedSoFar], None]
"""Hears how far `verify` has read."""


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` read and found; `ok` when no finding is a defect."""

    sessions: int
    facts: int
    updates: int
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """True when nothing but notes was found."""
        return all(finding.note for finding in self.findings)
