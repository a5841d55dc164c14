"""The state of a session, and the table that says which event may follow in which phase.

A run goes round like this: IDLE, an `agent_start`; OPEN, inputs are delivered; REQUESTED, a model is asked; STREAMING,
it answers; TOOLS and RESULT, its calls run and their results become messages; SETTLED, the turn ends; BETWEEN, another
turn or the end. FAILED and ENDING are the way out after an error or an abort. `docs/states.md` draws the table.

A kind is an event's type, refined by the role of a message's start and by what a `message_end` closes. What a table
cannot see (places of calls, queued pushes, open blocks) `guards.py` checks. `evolve.py` folds, `steps.py` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from ..events import (
    AbortRequest,
    ApprovalKind,
    EffectKind,
    EndReason,
    ModelRef,
    Place,
    Policies,
    QueueName,
    Refusal,
    RepeatedTools,
    ToolSpec,
    WaitEnd,
)
from ..messages import Json
from .outcome import Ending


class Phase(Enum):
    """Where a session stands."""

    __hash__ = object.__hash__  # a member is itself and no other; Enum hashes its name, in Python, at each look-up

    IDLE = "IDLE"
    STARTED = "STARTED"
    OPEN = "OPEN"
    INPUT = "INPUT"
    REQUESTED = "REQUESTED"
    STREAMING = "STREAMING"
    TOOLS = "TOOLS"
    RESULT = "RESULT"
    SETTLED = "SETTLED"
    FAILED = "FAILED"
    BETWEEN = "BETWEEN"
    ENDING = "ENDING"


class Kind(Enum):
    """An event's type as the table sees it."""

    __hash__ = object.__hash__  # as above

    AGENT_START = "agent_start"
    TURN_START = "turn_start"
    INPUT_START = "message_start:input"
    ASSISTANT_START = "message_start:assistant"
    RESULT_START = "message_start:tool_result"
    UPDATE = "message_update"
    INPUT_END = "message_end:input"
    END_CALLS = "message_end:calls"
    END_FINAL = "message_end:final"
    END_FAILED = "message_end:failed"
    END_INTERRUPTED = "message_end:interrupted"
    RESULT_MORE = "message_end:more"
    RESULT_LAST = "message_end:last"
    END_STRAY = "message_end"
    TOOL_START = "tool_execution_start"
    TOOL_UPDATE = "tool_execution_update"
    TOOL_END = "tool_execution_end"
    TURN_END = "turn_end"
    AGENT_END = "agent_end"
    MODEL_REQUEST = "model_request"
    RETRY = "retry"
    MESSAGE_ADOPT = "message_adopt"
    WAIT_START = "wait_start"
    CHILD_START = "child_start"
    STEP_START = "step_start"
    STEP_END = "step_end"
    LOOP_CONTEXT = "loop_context"
    TASK_START = "task_start"
    TASK_END = "task_end"
    QUEUE_PUSH = "queue_push"
    QUEUE_CLEAR = "queue_clear"
    ABORT_REQUEST = "abort_request"
    CONFIG_CHANGE = "config_change"
    RESUME = "resume"
    FORK = "fork"
    COMPACTION = "compaction"
    CONTEXT_EDIT = "context_edit"
    TOKEN_CREATE = "token_create"
    WAIT_END = "wait_end"
    CHILD_END = "child_end"
    METADATA_SET = "metadata_set"
    STREAM_UPDATE = "stream_update"
    LABEL = "label"
    CUSTOM = "custom"
    ERASE = "erase"


_P, _K = Phase, Kind

ROWS: Mapping[Phase, Mapping[Kind, Phase]] = {
    _P.IDLE: {
        _K.AGENT_START: _P.STARTED,
        _K.MESSAGE_ADOPT: _P.IDLE,
        _K.TASK_START: _P.IDLE,
        _K.TASK_END: _P.IDLE,
        _K.RETRY: _P.IDLE,
        _K.STEP_START: _P.IDLE,
        _K.STEP_END: _P.IDLE,
        _K.LOOP_CONTEXT: _P.IDLE,
        _K.CHILD_START: _P.IDLE,
        _K.WAIT_START: _P.IDLE,
    },
    _P.STARTED: {_K.TURN_START: _P.OPEN},
    _P.OPEN: {
        _K.INPUT_START: _P.INPUT,
        _K.MODEL_REQUEST: _P.REQUESTED,
        _K.ASSISTANT_START: _P.STREAMING,
        _K.CHILD_START: _P.OPEN,
    },
    _P.INPUT: {_K.INPUT_END: _P.OPEN},
    _P.REQUESTED: {_K.MODEL_REQUEST: _P.REQUESTED, _K.RETRY: _P.OPEN, _K.ASSISTANT_START: _P.STREAMING},
    _P.STREAMING: {
        _K.ASSISTANT_START: _P.STREAMING,
        _K.UPDATE: _P.STREAMING,
        _K.END_CALLS: _P.TOOLS,
        _K.END_FINAL: _P.SETTLED,
        _K.END_FAILED: _P.FAILED,
        _K.END_INTERRUPTED: _P.OPEN,
    },
    _P.TOOLS: {
        _K.TOOL_START: _P.TOOLS,
        _K.TOOL_UPDATE: _P.TOOLS,
        _K.TOOL_END: _P.TOOLS,
        _K.WAIT_START: _P.TOOLS,
        _K.CHILD_START: _P.TOOLS,
        _K.RESULT_START: _P.RESULT,
    },
    _P.RESULT: {_K.RESULT_MORE: _P.TOOLS, _K.RESULT_LAST: _P.SETTLED},
    _P.SETTLED: {_K.TURN_END: _P.BETWEEN},
    _P.FAILED: {_K.RETRY: _P.OPEN, _K.TURN_END: _P.ENDING},
    _P.BETWEEN: {_K.TURN_START: _P.OPEN, _K.AGENT_END: _P.IDLE},
    _P.ENDING: {_K.AGENT_END: _P.IDLE},
}
"""Which kinds a phase allows, and the phase that follows."""

INPUTS: frozenset[Kind] = frozenset(
    {
        _K.QUEUE_PUSH,
        _K.QUEUE_CLEAR,
        _K.ABORT_REQUEST,
        _K.CONFIG_CHANGE,
        _K.RESUME,
        _K.FORK,
        _K.COMPACTION,
        _K.CONTEXT_EDIT,
        _K.TOKEN_CREATE,
        _K.WAIT_END,
        _K.CHILD_END,
        _K.METADATA_SET,
        _K.STREAM_UPDATE,
        _K.LABEL,
        _K.CUSTOM,
        _K.ERASE,
    }
)
"""Kinds that come from outside: legal in every phase, and the phase stays."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration as the log says it."""

    model: ModelRef | None = None
    system_prompt: str = ""
    tools: tuple[ToolSpec, ...] = ()
    options: Json = msgspec.UNSET
    policies: Policies = Policies()

    def tool(self, name: str) -> ToolSpec | None:
        """Find a tool by name."""
        return next((tool for tool in self.tools if tool.name == name), None)


class Push(msgspec.Struct, frozen=True):
    """A message that waits to be delivered: the seq of its `queue_push`, its queue and its role."""

    seq: int
    queue: QueueName
    role: str


class OpenMessage(msgspec.Struct, frozen=True):
    """The assistant message that is open: the seq of its start, and the type of each block, empty once it has ended."""

    start_seq: int
    blocks: tuple[str, ...] = ()


class CallState(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call of the batch under way.

    `effect` is empty for a tool that the configuration lacks; `start_seq` is the first start's. `waiting` is the key of
    the wait that holds the call back, `answer` how that wait ended. `lost`: its child session runs on in the parent of
    a fork. `approval`: the rule of its tool. `approved`: the arguments (None: the model's) that somebody agreed to,
    `denied` what the model reads when somebody did not, which is final.
    """

    content_index: int
    name: str
    effect: EffectKind | None
    started: bool = False
    start_seq: int = 0
    ended: bool = False
    delivered: bool = False
    attempt: int = 0
    refused: Refusal | None = None
    terminate: bool = False
    waiting: str = ""
    answer: WaitEnd | None = None
    child: str = ""
    lost: bool = False
    approval: ApprovalKind | None = None
    approved: tuple[str | None, ...] = ()
    denied: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """The tool calls of one assistant message, with the policies they began under."""

    message_seq: int
    calls: tuple[CallState, ...]
    sequential: bool
    policies: Policies
    cut: bool = False

    def place(self, call: CallState) -> Place:
        """Name a call."""
        return Place(message_seq=self.message_seq, content_index=call.content_index)


class OpenRun(msgspec.Struct, frozen=True, kw_only=True):
    """The run under way.

    `start_seq`: of its `agent_start`. `due`: the last turn's results want another model call. `asked`: one more turn
    was asked for behind this one. `follows`: this turn delivers follow-ups. `rejected`: answers that did not fit the
    output type. `delivered`: steering and follow-ups delivered in this turn. `attempt`: model calls of this turn.
    `failed`, `error`: of the answer that failed last.
    """

    start_seq: int = 0
    turns: int = 0
    tokens: int = 0
    requested: bool = False
    due: bool = False
    asked: bool = False
    follows: bool = False
    rejected: int = 0
    delivered: int = 0
    attempt: int = 0
    failures: int = 0
    not_before_us: int = 0
    aborted: AbortRequest | None = None
    failed: EndReason | None = None
    error: str = ""


class TokenState(msgspec.Struct, frozen=True):
    """A token, what counts at its deadline, and how it ended if it has. `untyped`: its schema was erased."""

    key: str
    deadline_us: int | None
    end: WaitEnd | None = None
    default: Json = msgspec.UNSET
    value_schema: Json = msgspec.UNSET
    tags: tuple[str, ...] = ()
    seq: int = 0
    untyped: bool = False


INBOX = "inbox"
"""The reason of a wait that ends with the next message of the inbox."""
CHILD = "child"
"""The reason of a wait for a child session, and the beginning of its key."""
RETRY = "retry"
"""The reason of a wait for the next attempt of a step, or of a task."""


class Wait(msgspec.Struct, frozen=True):
    """An open wait: for a token, a time, a message of the inbox, a child, a person's decision (`reason` says which).

    `step`: the step that is tried again when it ends.
    """

    key: str
    deadline_us: int | None
    call: Place | None
    reason: str = ""
    arguments: str | None = None
    step: str = ""


class FailedAttempt(msgspec.Struct, frozen=True):
    """An attempt that failed and after which another is made: when it failed, and what chance adds to the wait."""

    at_us: int
    jitter_ppm: int


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A step that says on record how often it is tried: from its first start until it succeeds.

    `repeated_tools`: what the fork that a session began as says of calls made again.
    `failed`: its last attempt, as long as the machine has not said when the next one is made. `waiting`: the key of the
    wait for that. `over`: it has failed for good.
    """

    key: str
    retries: int
    backoff_us: int
    failures: int = 0
    failed: FailedAttempt | None = None
    waiting: str = ""
    over: bool = False


class TaskPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is on record of how the open task is run: how often and when it is tried again, how much it may use."""

    retries: int
    backoff_us: int
    token_limit: int | None = None


def passed_by(used: int, limit: int) -> str:
    """Write by how much a limit of tokens was passed, for the end of a sentence; empty when it was not."""
    return f", {used - limit:,} over it: calls under way are not stopped" if used > limit else ""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The fold of every event so far: all that the machine needs to say what comes next.

    `in_force` is the configuration of the last model request. `wanted`: a run without a new prompt was asked for.
    `last_role`: of the last message that a model would see or that was delivered. `ending`: what the run under way, or
    else the last one, came to.
    `task`: the one that is open, `attempt` its attempt, `retry_at_us` when the next one is made if this one failed,
    `cancelled` what cancelled it, `spent_tokens` what its runs and children used, `taken` the message of the inbox that
    its code was handed last. `stuck`: why nobody could go on with it. `policy`: what the log says of how it is run.
    `failed`: its last attempt, as long as the machine has not said when the next one is made. `tried`: its steps that
    are under way or have failed. `rules`: those that it began with. `called`: the open children that calls began.
    """

    phase: Phase = Phase.IDLE
    config: Config = Config()
    in_force: Config = Config()
    queue: tuple[Push, ...] = ()
    run: OpenRun | None = None
    stream: OpenMessage | None = None
    batch: Batch | None = None
    delivering: Push | None = None
    result_of: int = -1
    wanted: bool = False
    last_role: str = ""
    ending: Ending = Ending()
    tokens: tuple[TokenState, ...] = ()
    waits: tuple[Wait, ...] = ()
    children: tuple[str, ...] = ()
    task: str = ""
    attempt: int = 0
    retry_at_us: int | None = None
    cancelled: AbortRequest | None = None
    spent_tokens: int = 0
    taken: Push | None = None
    stuck: str = ""
    steps: tuple[str, ...] = ()
    policy: TaskPolicy | None = None
    failed: FailedAttempt | None = None
    tried: tuple[Tried, ...] = ()
    rules: int = 0
    called: tuple[str, ...] = ()
    repeated_tools: RepeatedTools | None = None

    @property
    def closing(self) -> bool:
        """True when the open task was cancelled and must begin nothing more; logs of release 0.1 have no such rule."""
        return self.cancelled is not None and self.rules > 0

    @property
    def ended(self) -> EndReason | None:
        """How the last run ended; None while one is under way, or if there was none."""
        return self.ending.reason

    @property
    def aborted(self) -> AbortRequest | None:
        """What asked the run to end, if anything did."""
        return self.run.aborted if self.run is not None else None

    @property
    def used_up(self) -> str:
        """Return words when the open task has used all the tokens it may, by its own log; empty when it has not."""
        limit = self.policy.token_limit if self.policy is not None else None
        if limit is None or self.spent_tokens < limit:
            return ""
        words = f"the token budget of task {self.task} is used up: {self.spent_tokens:,} of {limit:,} tokens"
        return words + passed_by(self.spent_tokens, limit) if self.rules else words

    def token(self, key: str) -> TokenState | None:
        """Find a token by its key."""
        return next((token for token in self.tokens if token.key == key), None)

    def step(self, key: str) -> Tried | None:
        """Find what is known of the attempts of a step that has not succeeded."""
        return next((tried for tried in self.tried if tried.key == key), None)

    def queued(self, queue: QueueName) -> tuple[Push, ...]:
        """The messages that wait in a queue, in order."""
        return tuple(push for push in self.queue if push.queue == queue)
