"""What the table cannot see: the named conditions an event must meet besides its phase."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ..events import (
    EVENT_TYPES,
    ChildEnd,
    ChildStart,
    Event,
    EventBase,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    Place,
    QueuePush,
    Resume,
    Retry,
    StepEnd,
    StepStart,
    TaskEnd,
    TaskStart,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    WaitEnd,
    WaitStart,
)
from .approvals import REASON, agreed
from .call_rules import why_not_started
from .state import INPUTS, ROWS, CallState, Kind, Phase, State, Wait

OPENS: Mapping[str, str] = {
    "text_start": "text",
    "thinking_start": "thinking",
    "tool_call_start": "tool_call",
    "provider_block": "",
}
"""Updates that open a block, and the block's type; an opaque block is closed as it opens."""
DELTAS: Mapping[str, str] = {"text_delta": "text", "thinking_delta": "thinking", "tool_call_delta": "tool_call"}
ENDS: Mapping[str, str] = {"text_end": "text", "thinking_end": "thinking", "tool_call_end": "tool_call"}
_CANCELLED = "the task was cancelled, it begins nothing more"


def kind_of(state: State, event: Event) -> Kind:
    """Return which kind of the table an event is in this state."""
    if isinstance(event, MessageStart):
        return _STARTS[event.role]
    if isinstance(event, MessageEnd):
        return _end_kind(state, event)
    return _KINDS[type(event)]


def legal(state: State, event: Event) -> str | None:
    """Return why an event cannot follow in this state; None when it can."""
    return why_illegal(state, event, kind_of(state, event))


def why_illegal(state: State, event: Event, kind: Kind) -> str | None:
    """Return why an event of a known kind is not legal; None when it is."""
    if kind not in INPUTS and kind not in ROWS[state.phase]:
        return f"the phase does not allow {kind.value}"
    guard = _GUARDS.get(kind)
    return guard(state, event) if guard is not None else None


def find_call(state: State, message_seq: int, content_index: int) -> CallState | None:
    """Find a call of the open batch by its place."""
    batch = state.batch
    if batch is None or batch.message_seq != message_seq:
        return None
    return next((call for call in batch.calls if call.content_index == content_index), None)


def _end_kind(state: State, event: MessageEnd) -> Kind:
    match state.phase:
        case Phase.INPUT:
            return Kind.INPUT_END
        case Phase.RESULT:
            batch = state.batch
            more = batch is not None and any(
                not c.delivered and c.content_index != state.result_of for c in batch.calls
            )
            return Kind.RESULT_MORE if more else Kind.RESULT_LAST
        case Phase.STREAMING:
            message = event.message
            if event.interrupted is not None:
                return Kind.END_INTERRUPTED
            if message is None:
                return Kind.END_FINAL
            if message.stop_reason in ("error", "aborted"):
                return Kind.END_FAILED
            return Kind.END_CALLS if message.tool_calls else Kind.END_FINAL
        case _:
            return Kind.END_STRAY


def _agent_start(state: State, event: Event) -> str | None:
    if state.closing and not state.wanted:
        return _CANCELLED
    queued = state.wanted or any(push.queue != "inbox" for push in state.queue)
    return None if queued else "nothing is queued and no continuation was asked for"


def _queue_push(state: State, event: QueuePush) -> str | None:
    if event.queue != "output":
        return None
    if state.phase is not Phase.SETTLED or state.batch is not None or state.queued("output"):
        return "no answer has just ended that could be asked for again"
    retries = state.config.policies.output_retries
    again = state.run is not None and state.run.rejected < retries
    return None if again else f"an answer is asked for again at most {retries} times"


def _input_start(state: State, event: MessageStart) -> str | None:
    if all(push.seq != event.push_seq for push in state.queue):
        return f"no message pushed at seq {event.push_seq} is queued"
    return None


def _assistant_start(state: State, event: MessageStart) -> str | None:
    if state.phase is not Phase.OPEN:
        return None
    if state.aborted is None:
        return "no model was asked and the run was not aborted"
    return "a message that no model was asked for cannot stream" if event.streamed else None


def _result_start(state: State, event: MessageStart) -> str | None:
    place = event.call
    call = find_call(state, place.message_seq, place.content_index) if place is not None else None
    if call is None:
        return "its call is not in the batch"
    if call.delivered:
        return "its call already has a result message"
    return None if call.ended else "its call has not ended"


def _update(state: State, event: MessageUpdate) -> str | None:
    blocks = state.stream.blocks if state.stream is not None else ()
    index = event.content_index
    if event.kind in OPENS:
        return None if index == len(blocks) else f"block {index} cannot open, {len(blocks)} blocks are there"
    wanted = DELTAS.get(event.kind) or ENDS[event.kind]
    if not 0 <= index < len(blocks):
        return f"block {index} was never opened"
    if blocks[index] == wanted:
        return None
    return f"block {index} is a {blocks[index]} block" if blocks[index] else f"block {index} has ended"


def _message_end(state: State, event: MessageEnd) -> str | None:
    if state.phase is Phase.STREAMING:
        return None if event.message is not None else "an assistant message must be given whole"
    return "the message stands elsewhere in the log" if event.message is not None else None


def _tool_start(state: State, event: ToolExecutionStart) -> str | None:
    call = find_call(state, event.message_seq, event.content_index)
    if call is None:
        return f"no call at {event.message_seq}:{event.content_index} is in the batch"
    if call.ended:
        return "the call has ended"
    if call.waiting:
        return f"the call waits for {call.waiting}"
    if call.refused is not None:
        return "the call was refused"
    if event.attempt != call.attempt + 1:
        return f"this would be attempt {call.attempt + 1}, not {event.attempt}"
    if event.name != call.name:
        return f"the call is of tool {call.name}, not {event.name}"
    return why_not_started(state, state.batch, call, event) if state.batch is not None else None


def _tool_running(state: State, event: ToolExecutionUpdate | ToolExecutionEnd) -> str | None:
    call = find_call(state, event.message_seq, event.content_index)
    if call is None:
        return f"no call at {event.message_seq}:{event.content_index} is in the batch"
    if not call.started:
        return "the call was not started"
    if call.ended:
        return "the call has ended"
    settled = call.refused is not None and call.refused != "adopted"
    if isinstance(event, ToolExecutionUpdate):
        return "a refused call reports nothing" if settled else None
    if settled != (event.result is None):
        return "a refused call stores no result" if settled else "the result is missing"
    return None


def _model_request(state: State, event: ModelRequest) -> str | None:
    if state.aborted is not None:
        return "the run was aborted, no model may be asked"
    if state.used_up:
        return state.used_up
    attempt = state.run.attempt + 1 if state.run is not None else 1
    return None if event.attempt == attempt else f"this would be attempt {attempt}, not {event.attempt}"


def _token_create(state: State, event: TokenCreate) -> str | None:
    return f"token {event.key} exists" if any(token.key == event.key for token in state.tokens) else None


def _wait_start(state: State, event: WaitStart) -> str | None:
    if any(wait.key == event.key for wait in state.waits):
        return f"wait {event.key} is open"
    if state.closing and event.call is None:
        return _CANCELLED
    if event.step:
        tried = state.step(event.step)
        return None if tried is not None and tried.failed is not None else f"step {event.step} is not to be tried again"
    return _held_call(state, event.call)


def _held_call(state: State, place: Place | None) -> str | None:
    if state.phase is not Phase.TOOLS:
        return None if place is None else "no batch of calls is open"
    if place is None:
        return "a wait or child within a batch belongs to a call"
    call = find_call(state, place.message_seq, place.content_index)
    return None if call is not None and not call.ended else "its call is not open"


def _wait_end(state: State, event: WaitEnd) -> str | None:
    if event.push_seq and all(push.seq != event.push_seq for push in state.queued("inbox")):
        return f"no message pushed at seq {event.push_seq} is in the inbox"
    wait = next((wait for wait in state.waits if wait.key == event.key), None)
    if wait is not None:
        return _timed_out(state, wait, event) if event.outcome == "timed_out" else None
    if any(token.key == event.key and token.end is None for token in state.tokens):
        return None
    return f"no wait or token {event.key} is open"


def _timed_out(state: State, wait: Wait, event: WaitEnd) -> str | None:
    """Check that nobody's silence decides but at a deadline, and as the question said."""
    place, token = wait.call, state.token(wait.key)
    call = find_call(state, place.message_seq, place.content_index) if place is not None else None
    if call is None or call.approval is None or wait.reason != REASON:
        return None
    if wait.deadline_us is None:
        return "the question has no deadline"
    default = msgspec.structs.replace(event, value=token.default if token is not None else msgspec.UNSET)
    return None if agreed(event) == agreed(default) else "at its deadline the question's default counts"


def _child_start(state: State, event: ChildStart) -> str | None:
    if state.closing:
        return _CANCELLED
    return f"child {event.key} is running" if event.key in state.children else _held_call(state, event.call)


def _child_end(state: State, event: ChildEnd) -> str | None:
    return None if event.key in state.children else f"no child {event.key} is running"


def _task_start(state: State, event: TaskStart) -> str | None:
    if state.closing:
        return _CANCELLED
    if not state.task:
        return None if event.attempt == 1 else "the first attempt has the number 1"
    if state.retry_at_us is None:
        return f"task {state.task} is open"
    following = state.attempt + 1
    return None if event.attempt == following else f"this would be attempt {following}, not {event.attempt}"


def _retry(state: State, event: Retry) -> str | None:
    undecided = state.phase is not Phase.IDLE or state.failed is not None
    return None if undecided else "no attempt of a task has failed"


def _begun(state: State, event: Event) -> str | None:
    """Check what a task's code begins, or decides for good."""
    return _CANCELLED if state.closing else _in_task(state, event)


def _in_task(state: State, event: Event) -> str | None:
    if state.retry_at_us is not None or state.failed is not None:
        return "the task's attempt has failed"
    return None if state.task else "no task is open"


def _task_end(state: State, event: TaskEnd) -> str | None:
    if state.closing and event.cancelled:
        return _left_open(state)
    return None if state.cancelled is not None else _in_task(state, event)


def _left_open(state: State) -> str | None:
    """Return what of a cancelled task must come to its end before itself."""
    if state.wanted:
        return "a run was asked for that has not begun"
    if wait := next((wait.key for wait in state.waits), None):
        return f"wait {wait} is open"
    return f"child {state.children[0]} is running" if state.children else None


def _resume(state: State, event: Resume) -> str | None:
    if not event.push_seq:
        return None
    if event.why != "continue" or state.phase is not Phase.IDLE:
        return "a message of the inbox is answered by a run that begins with it"
    taken = state.taken is not None and state.taken.seq == event.push_seq
    return None if taken else f"the message pushed at seq {event.push_seq} was not taken from the inbox"


def _step_start(state: State, event: StepStart) -> str | None:
    if state.closing:
        return _CANCELLED
    if event.asks and state.used_up:
        return state.used_up
    tried = state.step(event.key)
    if tried is None:
        return _in_task(state, event)
    if tried.over:
        return f"step {event.key} has failed for good"
    if tried.failed is not None or tried.waiting:
        return f"step {event.key} has failed and waits for its next attempt"
    return None


def _step_end(state: State, event: StepEnd) -> str | None:
    return None if event.key in state.steps else f"no step {event.key} is open"


# The table pairs each kind with the guard of its event type, which no signature can say.
_GUARDS: Mapping[Kind, Callable[[State, Any], str | None]] = {
    Kind.AGENT_START: _agent_start,
    Kind.QUEUE_PUSH: _queue_push,
    Kind.INPUT_START: _input_start,
    Kind.ASSISTANT_START: _assistant_start,
    Kind.RESULT_START: _result_start,
    Kind.UPDATE: _update,
    Kind.INPUT_END: _message_end,
    Kind.END_CALLS: _message_end,
    Kind.END_FINAL: _message_end,
    Kind.END_FAILED: _message_end,
    Kind.END_INTERRUPTED: _message_end,
    Kind.RESULT_MORE: _message_end,
    Kind.RESULT_LAST: _message_end,
    Kind.TOOL_START: _tool_start,
    Kind.TOOL_UPDATE: _tool_running,
    Kind.TOOL_END: _tool_running,
    Kind.MODEL_REQUEST: _model_request,
    Kind.TOKEN_CREATE: _token_create,
    Kind.WAIT_START: _wait_start,
    Kind.WAIT_END: _wait_end,
    Kind.CHILD_START: _child_start,
    Kind.CHILD_END: _child_end,
    Kind.TASK_START: _task_start,
    Kind.TASK_END: _task_end,
    Kind.RETRY: _retry,
    Kind.RESUME: _resume,
    Kind.STEP_START: _step_start,
    Kind.STEP_END: _step_end,
    Kind.LOOP_CONTEXT: _begun,
}

_STARTS: Mapping[str, Kind] = {
    "input": Kind.INPUT_START,
    "assistant": Kind.ASSISTANT_START,
    "tool_result": Kind.RESULT_START,
}

_KINDS: Mapping[type[EventBase], Kind] = {
    event_type: Kind(event_type.__struct_config__.tag)
    for event_type in EVENT_TYPES
    if event_type not in (MessageStart, MessageEnd)
}
