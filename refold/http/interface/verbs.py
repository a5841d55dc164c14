"""What is said to a session, or done to it: the bodies of its verbs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from eventsource.events import EndReason, RepeatedTools

from .values import Anything, Seq, Text

MOST_EDITS = 500
"""Messages that one verb changes at the most."""


class MessageBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message, and where it waits: for the next model call, for the end of the run, for a task's code, or for a run.

    A `prompt` is what the next run is begun with, whoever begins it.

    `message`: a text, or a message as JSON; in the inbox any JSON. `key`: as the header Idempotency-Key.
    """

    queue: Literal["steering", "follow_up", "prompt", "inbox"]
    message: Anything
    key: Text | None = None


class AbortBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the run under way is to end, and who says so."""

    error: Text = ""
    by: Text = ""
    reason: EndReason = "aborted"


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the task is to end."""

    reason: Text = ""


class LabelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bookmark at a seq (an empty text removes it); without a seq, the session's title."""

    text: Text
    seq: Seq | None = None


class DecisionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a wait ends: a call is approved or not, with other arguments if given; a token gets its value.

    `wait`: its key, or `session:key` (also a child's). `outcome`: `cancelled` lets the run go on without an answer.
    """

    wait: Text
    value: Anything | msgspec.UnsetType = msgspec.UNSET
    approve: bool | None = None
    reason: Text = ""
    arguments: dict[str, msgspec.Raw] | None = None
    outcome: Literal["completed", "cancelled"] = "completed"
    decided_by: Text = ""


class ForkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a fork begins: at a seq or bookmark (else the head), or before a message, named by its seq.

    `edit`: with `before`, what is said in that message's place; it is queued in the fork, and a run delivers it.
    `name`: the fork's id; one is made without it. `keeps`: with a seq, which pushes stay queued in the fork.
    `tools`: what becomes of calls with an effect that this session made behind that place, when the fork makes them
    again (same name, same arguments): made (`live`), answered with what is on record (`recorded`), or asked about.
    """

    at: Seq | Text | None = None
    before: Seq | None = None
    edit: Anything | msgspec.UnsetType = msgspec.UNSET
    title: Text = ""
    name: Text | None = None
    keeps: tuple[Seq, ...] | None = None
    tools: RepeatedTools | None = None


class NamedMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message of the context, by its name."""

    message: Seq


class ReplacedMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message of the context, by its name, and what the model reads in its place: a text, or a message."""

    message: Seq
    new: Anything


class AdoptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """Messages of another session, by their names; or those whose names lie between two, by steps.

    `between`: the first, the one behind the last, and the step, as a range of Python's.
    """

    source: Text
    messages: Annotated[tuple[Seq, ...], msgspec.Meta(max_length=MOST_EDITS)] = ()
    between: tuple[Seq, Seq, Annotated[int, msgspec.Meta(ge=1)]] | None = None


class Adopted(msgspec.Struct, frozen=True):
    """The seqs of what was adopted, and the seq of the last event now."""

    session: str
    head: int
    seqs: tuple[int, ...]
