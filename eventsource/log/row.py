"""The folds kept in a session's row: one pure function, used by every append and by `rebuild`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from ..events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ChildEnd,
    Compaction,
    ConfigChange,
    ContextEdit,
    Custom,
    Erase,
    Event,
    Fork,
    Label,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MetadataSet,
    ModelRef,
    QueueClear,
    QueuePush,
    Resume,
    Retry,
    StepEnd,
    StreamUpdate,
    TaskEnd,
    TaskStart,
    TokenCreate,
    ToolExecutionEnd,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from ..first_words import first_words, has_words
from ..machine.outcome import end_status
from ..messages import AssistantMessage, Message, StopReason, ToolResultMessage, Usage, UserMessage
from ..values import MARKER

_RETRY = "retry"
_ATTEMPT = -2
"""In the place of a wait's call: it is for the next attempt of a step or task, which a fork makes too."""
_NAMED = -3
"""In the place of a wait's call: somebody named the wait as the task's next attempt is named; 0.1 wrote -1."""
WAKING = (QueuePush, AbortRequest, WaitEnd, ChildEnd, Resume)
"""Events from outside that a task's worker must hear of."""


UNDER_WAY = ("running", "due", "interrupted", "queued")
"""What an unfinished session that waits for nothing may be shown as; its row says running."""


def shown_status(status: str, head: int, *, held: bool, is_due: bool, is_run: bool) -> str:
    """Return a session's status: only what somebody holds is running; a task that nobody holds is due for a worker.

    Args:
        is_run: a run is unfinished; without one, and without a task, messages are queued for the next.
    """
    if status == "empty" and head:
        return "idle"
    if status == "stuck" and held:
        return "running"
    if status == "running" and not held:
        return "due" if is_due else "interrupted" if is_run else "queued"
    return status


class Folds(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a list of sessions shows of each, and what is needed to keep it right.

    `task`: the last task's id, `working` while it is open, `left` how often it may be tried again,
    `cancelled` once it is to end, `stuck` while nobody could go on with it. `queued`: (seq,
    queue) of pushes not yet delivered. `waits`: (key, deadline, content index of the call it holds; -1: none, -2: it is
    for the next attempt of a step or of the task, -3: none, and it only has that one's name) of the open ones.
    `tokens`: (key, deadline) of the open ones.
    `ended`: keys of tokens that have ended; nobody waits for them any more.

    For the list alone: `first_seq`, the message that holds the first words of a person; `model`, the one in force, and
    `models`, those that have answered (provider/model); `labels`, bookmarks that the session set itself; what of the
    tokens and of the cost it inherited; `last`, how the last run or task ended (`end_status`, or `cancelled`, or
    `asked`: done because somebody asked it to end), and until then `stop`, why the last answer stopped, and `asked`;
    `agent`, `folder` and `branch` (of Git), the named values of these names; `queue`, the task's.

    Nothing here changes when a message is erased.
    """

    title: str = ""
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
    first_seq: int = 0
    model: str = ""
    models: tuple[str, ...] = ()
    last: str = ""
    stop: StopReason = "stop"
    asked: bool = False
    agent: str = ""
    folder: str = ""
    branch: str = ""
    queue: str = ""
    run: bool = False
    task: str = ""
    working: bool = False
    left: int = 0
    cancelled: bool = False
    stuck: bool = False
    failed: bool = False
    queued: tuple[tuple[int, str], ...] = ()
    waits: tuple[tuple[str, int | None, int], ...] = ()
    tokens: tuple[tuple[str, int | None], ...] = ()
    ended: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """True while a run or task is unfinished, or a message or an open wait is due."""
        return bool(self.unfinished or self.waits or self.has_messages)

    @property
    def has_messages(self) -> bool:
        """True while a message for a model is queued."""
        return any(queue != "inbox" for _, queue in self.queued)

    @property
    def unfinished(self) -> bool:
        """True while a run or task is, whatever is queued."""
        return self.run or self.working

    @property
    def status(self) -> str:
        """idle, running, waiting, stuck, cancelled or failed (empty is for the store to say: nothing was appended)."""
        if self.cancelled or self.stuck:
            return "cancelled" if self.cancelled else "stuck"
        if self.waits:
            return "waiting"
        if self.open:
            return "running"
        return "failed" if self.failed else "idle"

    @property
    def wake_at_us(self) -> int | None:
        """The first deadline of an open wait, its token's where it has none itself."""
        tokens = dict(self.tokens)
        due = [tokens.get(key) if deadline is None else deadline for key, deadline, _ in self.waits]
        return min((deadline for deadline in due if deadline is not None), default=None)


_FROM_OUTSIDE = (
    QueuePush, QueueClear, AbortRequest, ConfigChange, Resume, Compaction, ContextEdit, TokenCreate, WaitEnd, ChildEnd,
    MetadataSet, StreamUpdate, Label, Custom, Erase,
)  # fmt: skip
"""What comes while a task is stuck and goes on with nothing; whatever else is recorded says that somebody goes on."""


def step(folds: Folds, seq: int, event: Event) -> Folds:
    """Fold one fact; most change nothing.

    A fork keeps counts, the open run and the time of a task's next attempt, and begins without a title.
    """
    change = _CHANGES.get(type(event))
    if folds.stuck and not isinstance(event, _FROM_OUTSIDE):
        folds = msgspec.structs.replace(folds, stuck=False)
    return folds if change is None else change(folds, seq, event)


def _message(folds: Folds, message: Message) -> Folds:
    messages = folds.messages + 1
    if not isinstance(message, AssistantMessage):
        return msgspec.structs.replace(folds, messages=messages)
    provider, _, model = folds.model.partition("/")
    models = _with_model(folds.models, f"{message.provider or provider}/{message.model or model}")
    return msgspec.structs.replace(_used(folds, message.usage), messages=messages, models=models)


def _with_model(models: tuple[str, ...], name: str) -> tuple[str, ...]:
    return models if name in models or name == "/" else (*models, name)


def as_0_1(folds: Folds) -> Folds:
    """Write folds as 0.1 did, which did not tell a wait that somebody named `retry` from the task's next attempt."""
    waits = tuple((key, deadline, -1 if held == _NAMED else held) for key, deadline, held in folds.waits)
    return msgspec.structs.replace(folds, waits=waits)


def used_by(folds: Folds) -> Usage:
    """Return what a history used, by its folds."""
    return Usage(
        input_tokens=folds.input_tokens,
        output_tokens=folds.output_tokens,
        cache_read_tokens=folds.cache_read_tokens,
        cache_write_tokens=folds.cache_write_tokens,
        cache_write_1h_tokens=folds.cache_write_1h_tokens,
        reasoning_tokens=folds.reasoning_tokens,
        cost_microusd=folds.cost_microusd,
    )


def words_of(event: Event) -> str:
    """Return the first words of a person in the event that brought them."""
    if isinstance(event, QueuePush | MessageAdopt) and isinstance(event.message, UserMessage):
        return first_words(event.message)
    return ""


_FORMAT_1 = (
    "title", "messages", "input_tokens", "output_tokens", "run", "task", "working", "left", "cancelled", "stuck",
    "failed", "queued", "waits", "tokens", "ended",
)  # fmt: skip


def as_format_1(folds: Folds) -> Folds:
    """Keep of folds what a log of format 1 holds for certain; 0.1 forgot the rest of a session that was not open."""
    queued = tuple(pair for pair in folds.queued if pair[1] != "inbox")
    kept = Folds(**{name: getattr(folds, name) for name in _FORMAT_1})
    return msgspec.structs.replace(kept, left=folds.left if folds.working else 0, queued=queued)


def _is_attempt(wait: tuple[str, int | None, int]) -> bool:
    """Return whether a wait is for the next attempt, of an earlier release too."""
    return wait[2] == _ATTEMPT or (wait[0] == _RETRY and wait[2] == -1)


def _without(waits: tuple[tuple[str, int | None, int], ...], key: str) -> tuple[tuple[str, int | None, int], ...]:
    """Leave out the wait of a key; the task's next attempt has none."""
    return tuple(wait for wait in waits if wait[0] != key or (key == _RETRY and _is_attempt(wait)))


def _without_attempts(folds: Folds) -> tuple[tuple[str, int | None, int], ...]:
    return tuple(wait for wait in folds.waits if not _is_attempt(wait))


def _structure(folds: Folds, seq: int, event: Event) -> Folds:
    replace = msgspec.structs.replace
    match event:
        case AgentStart():
            return replace(folds, run=True, failed=False, stop="stop", asked=False)
        case AgentEnd(reason=reason):
            queued = tuple(pair for pair in folds.queued if pair[1] != "output")
            status, failed = end_status(folds.stop, reason), reason == "error"
            last = "asked" if folds.asked and status == "done" else status
            ended = replace(folds, run=False, failed=failed, queued=queued, last=last)
            return replace(ended, stop="stop", asked=False, errors=folds.errors + failed)
        case TaskStart(task=task, retries=retries, attempt=attempt, queue=queue):
            waits, left = _without_attempts(folds), (retries or 0) - attempt + 1
            return replace(folds, task=task, working=True, left=max(left, 0), failed=False, waits=waits, queue=queue)
        case TaskEnd(retry_at_us=int() as retry_at_us):
            return replace(folds, waits=(*_without_attempts(folds), (_RETRY, retry_at_us, -1)), errors=folds.errors + 1)
        case TaskEnd(error=str() as error, final=False, cancelled=False) if error and folds.left:
            return replace(folds, waits=_without_attempts(folds), errors=folds.errors + 1)
        case Retry(not_before_us=at_us) if folds.working and not folds.run:
            return replace(folds, waits=(*folds.waits, (_RETRY, at_us, _ATTEMPT)))
        case TaskEnd(error=error, cancelled=cancelled):
            failed = bool(error) and not cancelled
            how = "cancelled" if cancelled else "error" if failed else "done"
            left_over = replace(folds, working=False, cancelled=False, waits=(), tokens=(), ended=())
            return replace(left_over, failed=failed, last=how, errors=folds.errors + failed)
        case Fork(keeps=keeps):
            queued = tuple(pair for pair in folds.queued if pair[0] in keeps)
            waits = tuple(filter(_is_attempt, folds.waits))
            left_over = replace(folds, title="", queued=queued, waits=waits, tokens=(), ended=(), cancelled=False)
            return _inherited(left_over)
        case AbortRequest(cause=cause):
            asked, cancelled = folds.asked or folds.run, folds.cancelled or (cause == "cancel" and folds.working)
            same = (asked, cancelled) == (folds.asked, folds.cancelled)
            return folds if same else replace(folds, asked=asked, cancelled=cancelled)
        case Resume(why=why, problem=problem) if why != "turn" and (folds.stuck or why == "stuck"):
            return replace(folds, stuck=why == "stuck" and folds.working and bool(problem))
        case Label(text=text, target_seq=0):
            return replace(folds, title=text)
        case Label():
            return replace(folds, labels=folds.labels + 1)
        case _:
            return folds


def _retry(folds: Folds, seq: int, event: Event) -> Folds:
    folds = _used(folds, event.usage if isinstance(event, Retry) else None)
    return _structure(folds, seq, event)


def _inherited(folds: Folds) -> Folds:
    """Note what of a fork's figures was its parent's; bookmarks it has none of its own."""
    return msgspec.structs.replace(
        folds,
        labels=0,
        inherited_input_tokens=folds.input_tokens,
        inherited_output_tokens=folds.output_tokens,
        inherited_cost_microusd=folds.cost_microusd,
    )


def _used(folds: Folds, usage: Usage | None) -> Folds:
    if usage is None:
        return folds
    known = [cost for cost in (folds.cost_microusd, usage.cost_microusd) if cost is not None]
    return msgspec.structs.replace(
        folds,
        input_tokens=folds.input_tokens + usage.input_tokens,
        output_tokens=folds.output_tokens + usage.output_tokens,
        cache_read_tokens=folds.cache_read_tokens + usage.cache_read_tokens,
        cache_write_tokens=folds.cache_write_tokens + usage.cache_write_tokens,
        cache_write_1h_tokens=folds.cache_write_1h_tokens + usage.cache_write_1h_tokens,
        reasoning_tokens=folds.reasoning_tokens + usage.reasoning_tokens,
        cost_microusd=sum(known) if known else None,
    )


def _content(folds: Folds, seq: int, event: Event) -> Folds:
    replace = msgspec.structs.replace
    match event:
        case MessageEnd(message=AssistantMessage() as message, interrupted=None):
            return replace(_message(folds, message), stop=message.stop_reason)
        case MessageEnd(message=message):
            return replace(folds, messages=folds.messages + 1) if message is None else _message(folds, message)
        case MessageAdopt(message=message):
            return _message(_failed(_first(folds, seq, message), message), message)
        case StepEnd(usage=usage, error=error, model=model):
            models = folds.models if model is None else _with_model(folds.models, _name(model))
            return replace(_used(folds, usage), errors=folds.errors + bool(error), models=models)
        case QueuePush(queue=queue, message=message):
            return replace(_first(folds, seq, message), queued=(*folds.queued, (seq, queue)))
        case QueueClear(queue=queue):
            return replace(folds, queued=tuple(pair for pair in folds.queued if pair[1] != queue))
        case MessageStart(role="input", push_seq=push):
            return replace(folds, queued=tuple(pair for pair in folds.queued if pair[0] != push))
        case _:
            return folds


def _first(folds: Folds, seq: int, message: Message) -> Folds:
    """Note where the first words of a person are."""
    if folds.first_seq or not isinstance(message, UserMessage) or not has_words(message):
        return folds
    return msgspec.structs.replace(folds, first_seq=seq)


def _failed(folds: Folds, message: Message) -> Folds:
    """Count an adopted message: an answer is a turn, and a failed answer or result an error."""
    match message:
        case AssistantMessage(stop_reason=reason):
            return msgspec.structs.replace(folds, turns=folds.turns + 1, errors=folds.errors + (reason == "error"))
        case ToolResultMessage(is_error=True):
            return msgspec.structs.replace(folds, errors=folds.errors + 1)
        case _:
            return folds


def _shown(folds: Folds, seq: int, event: Event) -> Folds:
    """Fold what is kept for the list alone."""
    replace = msgspec.structs.replace
    match event:
        case TurnStart():
            return replace(folds, turns=folds.turns + 1)
        case ConfigChange(model=ModelRef() as model):
            return replace(folds, model=_name(model))
        case MetadataSet(name="agent" | "folder" | "branch" as name, value=value):
            return replace(folds, **{name: _text(value)})
        case _:
            return folds


def _name(model: ModelRef) -> str:
    return f"{model.provider}/{model.model}"


def _text(value: object) -> str:
    """Read a JSON value as text; whatever else it is is none."""
    try:
        text = msgspec.json.decode(value, type=str) if isinstance(value, msgspec.Raw) else ""
    except msgspec.DecodeError:
        return ""
    return "" if text == MARKER else text


def _waiting(folds: Folds, seq: int, event: Event) -> Folds:
    replace = msgspec.structs.replace
    match event:
        case TokenCreate(key=key, deadline_us=deadline):
            return replace(folds, tokens=(*(token for token in folds.tokens if token[0] != key), (key, deadline)))
        case WaitStart(key=key) if key in folds.ended:
            return folds
        case WaitStart(key=key, deadline_us=deadline, call=call, step=step):
            free = _NAMED if key == _RETRY else -1
            held = _ATTEMPT if step else call.content_index if call is not None else free
            return replace(folds, waits=(*_without(folds.waits, key), (key, deadline, held)))
        case ToolExecutionEnd(content_index=index, is_error=is_error):
            if not folds.waits and not is_error:
                return folds
            waits = tuple(wait for wait in folds.waits if wait[2] != index)
            return replace(folds, waits=waits, errors=folds.errors + is_error)
        case WaitEnd(key=key, push_seq=push):
            queued = tuple(pair for pair in folds.queued if pair[0] != push)
            waits = _without(folds.waits, key)
            tokens = tuple(token for token in folds.tokens if token[0] != key)
            ended = (*folds.ended, key) if tokens != folds.tokens else folds.ended
            return replace(folds, waits=waits, tokens=tokens, ended=ended, queued=queued)
        case _:
            return folds


_CHANGES: Mapping[type, Callable[[Folds, int, Event], Folds]] = {
    **dict.fromkeys((AbortRequest, AgentStart, AgentEnd, TaskStart, TaskEnd, Resume, Fork, Label), _structure),
    Retry: _retry,
    **dict.fromkeys((MessageEnd, MessageAdopt, StepEnd, QueuePush, QueueClear, MessageStart), _content),
    **dict.fromkeys((TokenCreate, WaitStart, WaitEnd, ToolExecutionEnd), _waiting),
    **dict.fromkeys((TurnStart, ConfigChange, MetadataSet), _shown),
}
