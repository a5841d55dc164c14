"""The closed union of everything that can happen in a session: it is the schema of the log."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias, get_args

import msgspec

from .messages import AssistantMessage, Json, Message, Usage
from .values import (
    ApprovalKind as ApprovalKind,
    EffectKind as EffectKind,
    EndReason as EndReason,
    Inserted as Inserted,
    ModelRef as ModelRef,
    Origin as Origin,
    Part as Part,
    Place as Place,
    Policies as Policies,
    QueueMode as QueueMode,
    QueueName as QueueName,
    Refusal as Refusal,
    SeqRange as SeqRange,
    ToolMode as ToolMode,
    ToolResult as ToolResult,
    ToolSpec as ToolSpec,
)

UpdateKind: TypeAlias = Literal[
    "text_start",
    "text_delta",
    "text_end",
    "thinking_start",
    "thinking_delta",
    "thinking_end",
    "tool_call_start",
    "tool_call_delta",
    "tool_call_end",
    "provider_block",
]


class EventBase(
    msgspec.Struct,
    frozen=True,
    gc=False,  # events hold no cycles, and a long history must not be walked through again and again
    tag_field="type",
    omit_defaults=True,
    repr_omit_defaults=True,
    forbid_unknown_fields=True,
):
    """Something that happened. Session, seq and time belong to the envelope, not here."""


class AgentStart(EventBase, frozen=True, kw_only=True, tag="agent_start"):
    """A run began."""

    type: ClassVar[Literal["agent_start"]] = "agent_start"
    reason: Literal["prompt", "continue", "follow_up"] = "prompt"


class TurnStart(EventBase, frozen=True, kw_only=True, tag="turn_start"):
    """A turn began: one model call and its tool calls."""

    type: ClassVar[Literal["turn_start"]] = "turn_start"


class MessageStart(EventBase, frozen=True, kw_only=True, tag="message_start"):
    """A message began.

    input: `push_seq` is the seq of the `queue_push` it delivers. tool_result: `call` is its call's place.
    assistant: `streamed` is false if it came whole; api, provider and model where they differ from the config;
    `usage` is what the provider said of it at its beginning, and counts only if the answer never comes to its end.
    """

    type: ClassVar[Literal["message_start"]] = "message_start"
    role: Literal["input", "assistant", "tool_result"]
    push_seq: int = 0
    call: Place | None = None
    streamed: bool = True
    api: str = ""
    provider: str = ""
    model: str = ""
    usage: Usage | None = None


class MessageUpdate(EventBase, frozen=True, kw_only=True, tag="message_update"):
    """One delta of the assistant message that is being streamed.

    `delta`: text of a *_delta. `id`, `name`: of a tool_call_start. `signature`: of a *_end, if the block has one.
    `arguments`: of a tool_call_end, only if they differ from the joined deltas. `redacted`: of a thinking_start.
    `api`, `block`: of a provider_block, which opens and closes its block at once.
    """

    type: ClassVar[Literal["message_update"]] = "message_update"
    kind: UpdateKind
    content_index: int
    delta: str = ""
    id: str = ""
    name: str = ""
    arguments: str | None = None
    signature: str = ""
    redacted: bool = False
    api: str = ""
    block: Json = msgspec.UNSET


class MessageEnd(EventBase, frozen=True, kw_only=True, tag="message_end"):
    """A message ended; its seq is the message's name.

    `message`: the whole assistant message; absent for inputs and tool results, which stand elsewhere in the log.
    `interrupted`: a later process closed it; its text is dropped from the context or kept.
    """

    type: ClassVar[Literal["message_end"]] = "message_end"
    message: AssistantMessage | None = None
    interrupted: Literal["dropped", "kept"] | None = None


class ToolExecutionStart(EventBase, frozen=True, kw_only=True, tag="tool_execution_start"):
    """A tool call was begun, or refused.

    `arguments`: JSON text, only if preparation changed what the model wrote.
    `refused`: why it does not run; `reason` is the text for it where the refusal alone does not say it.
    `no_approval_needed`: the tool's approval is by arguments, and for these it takes none.
    """

    type: ClassVar[Literal["tool_execution_start"]] = "tool_execution_start"
    message_seq: int
    content_index: int
    name: str
    attempt: int = 1
    arguments: str | None = None
    refused: Refusal | None = None
    reason: str = ""
    no_approval_needed: bool = False

    @property
    def runs(self) -> bool:
        """False when the call was skipped, unknown, invalid, blocked, cut, aborted or adopted."""
        return self.refused is None


class ToolExecutionUpdate(EventBase, frozen=True, kw_only=True, tag="tool_execution_update"):
    """A running tool reported a partial result."""

    type: ClassVar[Literal["tool_execution_update"]] = "tool_execution_update"
    message_seq: int
    content_index: int
    partial: ToolResult


class ToolExecutionEnd(EventBase, frozen=True, kw_only=True, tag="tool_execution_end"):
    """A tool call ended, well or badly; its result is now a fact.

    `result` is absent when the call was refused: then its start says everything (`refusal_result`).
    `decided`: by executing it, by the machine, or adopted from `origin`.
    """

    type: ClassVar[Literal["tool_execution_end"]] = "tool_execution_end"
    message_seq: int
    content_index: int
    result: ToolResult | None = None
    is_error: bool = False
    decided: Literal["executed", "machine", "adopted"] = "executed"
    origin: Origin | None = None


class TurnEnd(EventBase, frozen=True, kw_only=True, tag="turn_end"):
    """A turn ended."""

    type: ClassVar[Literal["turn_end"]] = "turn_end"


class AgentEnd(EventBase, frozen=True, kw_only=True, tag="agent_end"):
    """A run ended."""

    type: ClassVar[Literal["agent_end"]] = "agent_end"
    reason: EndReason = "stop"
    error: str = ""


class QueuePush(EventBase, frozen=True, kw_only=True, tag="queue_push"):
    """A message waits to be delivered. A prompt is a push too, so a run is durable before it begins.

    In the queue `output` it says what did not fit in the run's last answer, and asks for it again.
    """

    type: ClassVar[Literal["queue_push"]] = "queue_push"
    queue: QueueName
    message: Message
    key: str = ""


class QueueClear(EventBase, frozen=True, kw_only=True, tag="queue_clear"):
    """Messages that waited in a queue will not be delivered."""

    type: ClassVar[Literal["queue_clear"]] = "queue_clear"
    queue: QueueName


class AbortRequest(EventBase, frozen=True, kw_only=True, tag="abort_request"):
    """Something asked the run to end: a person, a hook, a callback that raised, a budget; `cancel`: its whole task.

    `output`: an answer does not fit the output type. `by`: who or what asked, where more is known than the cause.
    """

    type: ClassVar[Literal["abort_request"]] = "abort_request"
    reason: EndReason = "aborted"
    cause: Literal["person", "hook", "callback", "budget", "cancel", "output"] = "person"
    error: str = ""
    by: str = ""


class ConfigChange(EventBase, frozen=True, kw_only=True, tag="config_change"):
    """The configuration changed; absent fields stay. `options` is a JSON object of model options."""

    type: ClassVar[Literal["config_change"]] = "config_change"
    model: ModelRef | None = None
    system_prompt: str | None = None
    tools: tuple[ToolSpec, ...] | None = None
    options: Json = msgspec.UNSET
    policies: Policies | None = None


class ModelRequest(EventBase, frozen=True, kw_only=True, tag="model_request"):
    """A model is about to be called.

    `request_sha256`: digest of the neutral request. `body_sha256`: of the wire body that codec `body_codec` made.
    `selection`: what was sent, when a hook changed it; absent: the context as it is.
    """

    type: ClassVar[Literal["model_request"]] = "model_request"
    attempt: int
    request_sha256: str
    body_sha256: str = ""
    body_codec: str = ""
    selection: tuple[SeqRange | Inserted, ...] | None = None


class Retry(EventBase, frozen=True, kw_only=True, tag="retry"):
    """A model call, or a task that failed, will be tried again, not before a time (UTC microseconds; 0: at once).

    `usage`: what the provider said that the call has used.
    """

    type: ClassVar[Literal["retry"]] = "retry"
    cause: str
    not_before_us: int = 0
    usage: Usage | None = None


class Resume(EventBase, frozen=True, kw_only=True, tag="resume"):
    """A runner took it up again; `continue` when idle asks for a run, of the message of the inbox that is named.

    `turn` asks the run under way for one more turn where it would end; without a run it means nothing. `stuck`: its
    task could not be gone on with; `problem` says why.
    """

    type: ClassVar[Literal["resume"]] = "resume"
    why: Literal["continue", "crash", "wait", "takeover", "turn", "stuck"]
    runner: str = ""
    push_seq: int = 0
    problem: str = ""


RepeatedTools: TypeAlias = Literal["live", "recorded", "ask"]
"""What a fork does with a `once` call that its parent made after the fork point: make it, adopt its result, or ask."""


class Fork(EventBase, frozen=True, kw_only=True, tag="fork"):
    """This session began as a branch of another; which one, and where, is in the session's row.

    `keeps`: seqs of the pushes that stay queued, since the turn under way was begun to deliver them; all others are the
    parent's. Release 0.1 kept none. `repeated_tools`: what becomes of calls that are made again here, where the run
    does not say; None: nobody said.
    """

    type: ClassVar[Literal["fork"]] = "fork"
    keeps: tuple[int, ...] = ()
    repeated_tools: RepeatedTools | None = None


class MessageAdopt(EventBase, frozen=True, kw_only=True, tag="message_adopt"):
    """A message from elsewhere joined the history.

    `sent_at_us` is its own time; `call` names an adopted result's call, `child` the session that made the result.
    """

    type: ClassVar[Literal["message_adopt"]] = "message_adopt"
    message: Message
    origin: Origin
    sent_at_us: int = 0
    call: Place | None = None
    child: str = ""


class Compaction(EventBase, frozen=True, kw_only=True, tag="compaction"):
    """A summary stands, for the model, in place of every message before `first_kept_seq` (0: of all so far).

    `silent`: the model does not read it, since the messages that follow say what stands in place of those before.
    """

    type: ClassVar[Literal["compaction"]] = "compaction"
    summary: str
    first_kept_seq: int = 0
    tokens_before: int = 0
    child: str = ""
    details: Json = msgspec.UNSET
    silent: bool = False


class ContextEdit(EventBase, frozen=True, kw_only=True, tag="context_edit"):
    """A message was hidden from the model, or replaced for it.

    `says_hidden`: of a tool's result that is taken away, the model reads that it is hidden. Release 0.1 let it read as
    if the call had never been answered.
    """

    type: ClassVar[Literal["context_edit"]] = "context_edit"
    message_seq: int
    replacement: Message | None = None
    says_hidden: bool = False


class TokenCreate(EventBase, frozen=True, kw_only=True, tag="token_create"):
    """Something outside may complete this token, once.

    `value_schema` is a JSON Schema; `default` is used at the deadline.
    """

    type: ClassVar[Literal["token_create"]] = "token_create"
    key: str
    tags: tuple[str, ...] = ()
    value_schema: Json = msgspec.UNSET
    deadline_us: int | None = None
    default: Json = msgspec.UNSET


class WaitStart(EventBase, frozen=True, kw_only=True, tag="wait_start"):
    """The run (or the call, which would run with `arguments` if not the model's) waits for a token or its deadline.

    `step`: the step that failed and is tried again then.
    """

    type: ClassVar[Literal["wait_start"]] = "wait_start"
    key: str
    reason: str = ""
    deadline_us: int | None = None
    call: Place | None = None
    arguments: str | None = None
    step: str = ""


class WaitEnd(EventBase, frozen=True, kw_only=True, tag="wait_end"):
    """A token or wait came to its end: the first of completion (by a message of the inbox), deadline, cancellation."""

    type: ClassVar[Literal["wait_end"]] = "wait_end"
    key: str
    outcome: Literal["completed", "timed_out", "cancelled"]
    value: Json = msgspec.UNSET
    decided_by: str = ""
    push_seq: int = 0


class StepStart(EventBase, frozen=True, kw_only=True, tag="step_start"):
    """A task's step began; the digest of its input guards against another input under the same key.

    `retries`: how often it is tried again when it fails (absent: the log does not say), `backoff_us` how long after the
    first failure. `asks`: it asks a model.
    """

    type: ClassVar[Literal["step_start"]] = "step_start"
    key: str
    input_sha256: str = ""
    attempt: int = 1
    retries: int | None = None
    backoff_us: int = 0
    asks: bool = False


class StepEnd(EventBase, frozen=True, kw_only=True, tag="step_end"):
    """A task's step ended with a result, or with an error; then `jitter_ppm` is what chance adds to its backoff.

    `model`, `usage`: the model that it asked, and what that used.
    """

    type: ClassVar[Literal["step_end"]] = "step_end"
    key: str
    result: Json = msgspec.UNSET
    error: str = ""
    jitter_ppm: int = 0
    model: ModelRef | None = None
    usage: Usage | None = None


class LoopContext(EventBase, frozen=True, kw_only=True, tag="loop_context"):
    """A loop's context changed; `patch` is a JSON patch (RFC 6902)."""

    type: ClassVar[Literal["loop_context"]] = "loop_context"
    iteration: int
    patch: msgspec.Raw
    key: str = ""


class TaskStart(EventBase, frozen=True, kw_only=True, tag="task_start"):
    """A task's function began; `parent` is the session that waits for it. A further attempt has no payload or tags.

    `retries`: how often it is tried again when it fails (absent: the log does not say), `backoff_us` how long after the
    first failure. `token_limit`: how many tokens it may use, its children's included. `rules`: with 1 or more, a
    cancelled task begins nothing more, and ends behind its runs, waits and children. `queue`: of the workers it is for.
    """

    type: ClassVar[Literal["task_start"]] = "task_start"
    task: str
    payload: Json = msgspec.UNSET
    attempt: int = 1
    parent: str = ""
    tags: tuple[str, ...] = ()
    retries: int | None = None
    backoff_us: int = 0
    token_limit: int | None = None
    rules: int = 0
    queue: str = ""


class TaskEnd(EventBase, frozen=True, kw_only=True, tag="task_end"):
    """A task's function ended with a result, an error or a cancellation; or an attempt failed and another follows.

    `final`: no further attempt is made. `jitter_ppm`: what chance adds to the backoff. `retry_at_us`: when the next one
    is made (release 0.1; the machine says it in a `retry` now).
    """

    type: ClassVar[Literal["task_end"]] = "task_end"
    result: Json = msgspec.UNSET
    error: str = ""
    cancelled: bool = False
    retry_at_us: int | None = None
    final: bool = False
    jitter_ppm: int = 0


class ChildStart(EventBase, frozen=True, kw_only=True, tag="child_start"):
    """A child session was started, for a key or for a tool call."""

    type: ClassVar[Literal["child_start"]] = "child_start"
    key: str
    child: str
    call: Place | None = None


class ChildEnd(EventBase, frozen=True, kw_only=True, tag="child_end"):
    """A child session came to its end, having used so many tokens."""

    type: ClassVar[Literal["child_end"]] = "child_end"
    key: str
    result: Json = msgspec.UNSET
    is_error: bool = False
    tokens: int = 0


class MetadataSet(EventBase, frozen=True, kw_only=True, tag="metadata_set"):
    """A named value of the run changed; absent means removed."""

    type: ClassVar[Literal["metadata_set"]] = "metadata_set"
    name: str
    value: Json = msgspec.UNSET


class StreamUpdate(EventBase, frozen=True, kw_only=True, tag="stream_update"):
    """A named stream of the run got one more item."""

    type: ClassVar[Literal["stream_update"]] = "stream_update"
    name: str
    item: msgspec.Raw


class Label(EventBase, frozen=True, kw_only=True, tag="label"):
    """A bookmark at a seq (empty text removes it), or, without a seq, the session's title."""

    type: ClassVar[Literal["label"]] = "label"
    text: str
    target_seq: int = 0


class Custom(EventBase, frozen=True, kw_only=True, tag="custom"):
    """An application's own fact."""

    type: ClassVar[Literal["custom"]] = "custom"
    kind: str
    data: Json = msgspec.UNSET


class Erase(EventBase, frozen=True, kw_only=True, tag="erase"):
    """The content of the event at `target_seq` was removed; its shape stays.

    `shape_sha256`: of the bytes that were left, in hex (empty: made before this was kept).
    """

    type: ClassVar[Literal["erase"]] = "erase"
    target_seq: int
    reason: str = ""
    shape_sha256: str = ""


# fmt: off
Event: TypeAlias = (
    AgentStart | TurnStart | MessageStart | MessageUpdate | MessageEnd | ToolExecutionStart | ToolExecutionUpdate
    | ToolExecutionEnd | TurnEnd | AgentEnd | QueuePush | QueueClear | AbortRequest | ConfigChange | ModelRequest
    | Retry | Resume | Fork | MessageAdopt | Compaction | ContextEdit | TokenCreate | WaitStart | WaitEnd
    | StepStart | StepEnd | LoopContext | TaskStart | TaskEnd | ChildStart | ChildEnd | MetadataSet | StreamUpdate
    | Label | Custom | Erase
)
# fmt: on

Update: TypeAlias = MessageUpdate | ToolExecutionUpdate | StreamUpdate

EVENT_TYPES: tuple[type[EventBase], ...] = get_args(Event)
UPDATE_TYPES: tuple[type[EventBase], ...] = get_args(Update)
