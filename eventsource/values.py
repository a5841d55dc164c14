"""Values inside events: names of places, the configuration's parts, what a tool call came to."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from .messages import Json, Message, UserContent
from .user_code.mistaken_calls import CheckedStructMeta

EffectKind: TypeAlias = Literal["pure", "idempotent", "once"]
ApprovalKind: TypeAlias = Literal["never", "always", "by_arguments"]
ToolMode: TypeAlias = Literal["parallel", "sequential"]
QueueName: TypeAlias = Literal["prompt", "steering", "follow_up", "inbox", "output"]
QueueMode: TypeAlias = Literal["one-at-a-time", "all"]
EndReason: TypeAlias = Literal["stop", "error", "aborted", "limit"]
Refusal: TypeAlias = Literal["skipped", "unknown", "invalid", "blocked", "length", "aborted", "adopted"]

MARKER = "[erased]"
"""Stands where content was erased."""
WAIT_REASONS = frozenset(("", "approval", "child", "in_doubt", "inbox", "repeat", "retry", "sleep"))
"""Reasons of waits that this program itself gives, and goes by; any other is a tool's or an application's words."""


class Part(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, repr_omit_defaults=True, forbid_unknown_fields=True
):
    """A value inside an event."""


class Place(Part, frozen=True, kw_only=True):
    """Where a tool call stands: its assistant message (the seq of that `message_end`) and its content index."""

    message_seq: int
    content_index: int


class Origin(Part, frozen=True, kw_only=True):
    """Where something adopted came from: a program or format, its session, and the entry there."""

    source: str
    session: str = ""
    entry: str = ""


class ModelRef(Part, frozen=True, kw_only=True):
    """Which model is called: wire protocol, vendor, name, and a base URL where it is not the vendor's own."""

    api: str
    provider: str
    model: str
    base_url: str = ""


class ToolSpec(Part, frozen=True, kw_only=True):
    """A tool as the model and the machine know it; `schema` is the JSON Schema of its arguments.

    `timeout_us`: how long a call may take; 0: any time. `approval`: whether somebody must agree before a call runs;
    None: the log does not say (release 0.1 did not), and the machine holds its calls to no rule.
    """

    name: str
    schema: msgspec.Raw
    description: str = ""
    effect: EffectKind = "once"
    mode: ToolMode = "parallel"
    version: str = ""
    timeout_us: int = 0
    approval: ApprovalKind | None = None


class Policies(Part, frozen=True, kw_only=True, metaclass=CheckedStructMeta):
    """How a run behaves, as data. Limits of 0 mean none.

    tools: a batch's calls at once or one by one (one sequential tool makes its batch sequential).
    steering: `interrupt` skips the remaining calls of a sequential batch, `after_batch` waits for its end.
    length_calls: calls of a message cut at the token limit fail or run.
    coerce: arguments may be converted to the declared types.
    in_doubt: a `once` call that started and has no end is settled as unknown, or a person is asked.
    partial: the text of an interrupted message is dropped from the context or kept.
    retries: how often a failed assistant message is tried again within its turn.
    unknown_tools: calls of tools that the configuration lacks are refused, or run (a foreign loop declares none).
    output_retries: how often a run asks again for an answer that does not fit the output type, before it ends in error.
    turn_limit: turns of one run; None: whoever runs the session writes the default, and where nobody wrote one (logs of
        releases without it) there is none. token_limit: input, output and cached tokens of one run.
    """

    tools: ToolMode = "parallel"
    steering: Literal["interrupt", "after_batch"] = "interrupt"
    steering_queue: QueueMode = "one-at-a-time"
    follow_up_queue: QueueMode = "one-at-a-time"
    length_calls: Literal["fail", "run"] = "fail"
    coerce: bool = False
    in_doubt: Literal["unknown", "ask"] = "unknown"
    partial: Literal["dropped", "kept"] = "dropped"
    unknown_tools: Literal["refuse", "run"] = "refuse"
    retries: int = 0
    output_retries: int = 2
    turn_limit: int | None = None
    token_limit: int = 0


class ToolResult(Part, frozen=True, kw_only=True):
    """What a tool call came to. `terminate` in every result of a batch ends the run without another model call."""

    content: tuple[UserContent, ...] = ()
    details: Json = msgspec.UNSET
    terminate: bool = False


class SeqRange(Part, frozen=True, kw_only=True, tag_field="type", tag="range"):
    """The context's messages whose names lie between two seqs, both included, in their order."""

    first: int
    last: int


class Inserted(Part, frozen=True, kw_only=True, tag_field="type", tag="inserted"):
    """A message that stands in one request only."""

    message: Message
