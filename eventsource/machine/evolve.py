"""The fold: what each event makes of the state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ..envelope import Recorded
from ..errors import IllegalEventError
from ..events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ChildEnd,
    ChildStart,
    Compaction,
    ConfigChange,
    ContextEdit,
    Custom,
    Erase,
    Event,
    EventBase,
    Fork,
    Label,
    LoopContext,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    MetadataSet,
    ModelRequest,
    Place,
    QueueClear,
    QueuePush,
    Resume,
    Retry,
    StepEnd,
    StepStart,
    StreamUpdate,
    TaskEnd,
    TaskStart,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    TurnEnd,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from ..messages import AssistantMessage, CustomMessage, ToolCall
from .approvals import REASON, denial, read_decision
from .guards import DELTAS, OPENS, find_call, kind_of, why_illegal
from .outcome import ending
from .state import (
    INBOX,
    INPUTS,
    ROWS,
    Batch,
    CallState,
    Config,
    FailedAttempt,
    OpenMessage,
    OpenRun,
    Phase,
    Push,
    State,
    TaskPolicy,
    TokenState,
    Tried,
    Wait,
)

_UPDATES = (MessageUpdate, ToolExecutionUpdate)


def evolve(state: State, recorded: Recorded) -> State:
    """Fold one event into the state.

    Raises: IllegalEventError when the table or a guard refuses it.
    """
    event = recorded.event
    if type(event) is MessageUpdate and continues(state, event):
        return state
    kind = kind_of(state, event)
    problem = why_illegal(state, event, kind)
    if problem is not None:
        raise IllegalEventError("", recorded.seq, state.phase.value, kind.value, problem)
    phase = state.phase if kind in INPUTS else ROWS[state.phase][kind]
    step = _STEPS[type(event)]
    following: State = step(state, recorded.at_us if type(event) in _TIMED else recorded.seq, event)
    if following.stuck and kind not in INPUTS and type(event) not in _UPDATES:  # readers leave updates out
        following = replace(following, stuck="")
    return following if following.phase is phase else replace(following, phase=phase)


def continues(state: State, update: MessageUpdate) -> bool:
    """Return whether an update is a delta of a block that is open: it is legal then, and changes nothing."""
    if state.stream is None:
        return False
    blocks, index = state.stream.blocks, update.content_index
    return 0 <= index < len(blocks) and blocks[index] == DELTAS.get(update.kind)


def fold(history: Iterable[Recorded], state: State | None = None) -> State:
    """Fold events, from a state or from the beginning."""
    state = State() if state is None else state
    for recorded in history:
        state = evolve(state, recorded)
    return state


def _run(state: State) -> OpenRun:
    return state.run if state.run is not None else OpenRun()


def _same(state: State, seq: int, event: Event) -> State:
    return state


def _agent_start(state: State, seq: int, event: AgentStart) -> State:
    run = OpenRun(start_seq=seq, follows=event.reason == "follow_up")
    state = replace(state, run=run, wanted=False, ending=ending(state.ending, event))
    if state.closing and state.cancelled is not None:  # it only delivers what it was asked with
        return replace(state, run=replace(run, aborted=state.cancelled), ending=ending(state.ending, state.cancelled))
    return state


def _turn_start(state: State, seq: int, event: TurnStart) -> State:
    run = _run(state)
    asked_first = state.queued("steering") or state.queued("output")
    follows = run.follows if run.turns == 0 else not run.due and not asked_first
    run = replace(
        run,
        turns=run.turns + 1,
        asked=False,
        follows=follows,
        delivered=0,
        attempt=0,
        failures=0,
    )
    return replace(state, run=run)


def _message_start(state: State, seq: int, event: MessageStart) -> State:
    match event.role:
        case "input":
            push = next(push for push in state.queue if push.seq == event.push_seq)
            return replace(state, queue=tuple(p for p in state.queue if p.seq != push.seq), delivering=push)
        case "assistant":
            return state if state.stream is not None else replace(state, stream=OpenMessage(seq))
        case "tool_result":
            return replace(state, result_of=event.call.content_index if event.call is not None else -1)


def _update(state: State, seq: int, event: MessageUpdate) -> State:
    stream = state.stream
    if stream is None:
        return state
    opened = OPENS.get(event.kind)
    if opened is not None:
        return replace(state, stream=OpenMessage(stream.start_seq, (*stream.blocks, opened)))
    index = event.content_index
    return replace(
        state, stream=OpenMessage(stream.start_seq, (*stream.blocks[:index], "", *stream.blocks[index + 1 :]))
    )


def _message_end(state: State, seq: int, event: MessageEnd) -> State:
    if state.phase is Phase.INPUT:
        push = state.delivering
        run = _run(state)
        counted = run.delivered + (push is not None and push.queue != "prompt")
        role = push.role if push is not None else ""
        return replace(state, delivering=None, last_role=role, run=replace(run, delivered=counted))
    if state.phase is Phase.RESULT:
        index = state.result_of
        return replace(_with_call(state, index, delivered=True), result_of=-1, last_role="tool_result")
    assert event.message is not None  # the guard has seen to it
    state = replace(state, stream=None, ending=ending(state.ending, event))
    return _assistant_end(state, seq, event.message, interrupted=event.interrupted is not None)


def _assistant_end(state: State, seq: int, message: AssistantMessage, *, interrupted: bool) -> State:
    state = _spend(state, message.usage.total_tokens if message.usage is not None else 0)
    run = _run(state)
    if interrupted:
        return state
    if message.stop_reason in ("error", "aborted"):
        reason = message.stop_reason if run.aborted is None else run.aborted.reason
        failed = replace(run, failed=reason, error=message.error, failures=run.failures + 1)
        return replace(state, run=failed)
    run = replace(run, due=message.stop_reason == "pause")
    batch = _batch(state.in_force, seq, message) if message.tool_calls else None
    return replace(state, run=run, batch=batch, last_role="assistant")


def _batch(config: Config, seq: int, message: AssistantMessage) -> Batch:
    calls = []
    sequential = config.policies.tools == "sequential"
    for index, block in enumerate(message.content):
        if isinstance(block, ToolCall):
            spec = config.tool(block.name)
            sequential = sequential or (spec is not None and spec.mode == "sequential")
            effect, approval = (spec.effect, spec.approval) if spec is not None else (None, None)
            calls.append(CallState(content_index=index, name=block.name, effect=effect, approval=approval))
    cut = message.stop_reason == "length" and config.policies.length_calls == "fail"
    return Batch(message_seq=seq, calls=tuple(calls), sequential=sequential, policies=config.policies, cut=cut)


def _with_call(state: State, content_index: int, **changes: object) -> State:
    batch = state.batch
    if batch is None:
        return state
    calls = tuple(replace(call, **changes) if call.content_index == content_index else call for call in batch.calls)
    return replace(state, batch=replace(batch, calls=calls))


def _tool_start(state: State, seq: int, event: ToolExecutionStart) -> State:
    call = find_call(state, event.message_seq, event.content_index)
    first = call.start_seq if call is not None and call.started else seq
    return _with_call(
        state,
        event.content_index,
        started=True,
        start_seq=first,
        attempt=event.attempt,
        refused=event.refused,
        answer=None,
        lost=False,
    )


def _tool_end(state: State, seq: int, event: ToolExecutionEnd) -> State:
    terminate = event.result is not None and event.result.terminate
    place = Place(message_seq=event.message_seq, content_index=event.content_index)
    waits = tuple(wait for wait in state.waits if wait.call != place)
    return _with_call(replace(state, waits=waits), event.content_index, ended=True, waiting="", terminate=terminate)


def _turn_end(state: State, seq: int, event: TurnEnd) -> State:
    run = _run(state)
    batch = state.batch
    due = run.due or (batch is not None and not all(call.terminate for call in batch.calls))
    return replace(state, batch=None, run=replace(run, due=due))


def _agent_end(state: State, seq: int, event: AgentEnd) -> State:
    queue = tuple(push for push in state.queue if push.queue != "output")
    return replace(state, run=None, queue=queue, ending=ending(state.ending, event))


def _queue_push(state: State, seq: int, event: QueuePush) -> State:
    message = event.message
    role = message.kind if isinstance(message, CustomMessage) else str(message.__struct_config__.tag)
    run = state.run
    if event.queue == "output" and run is not None:
        run = replace(run, rejected=run.rejected + 1)
    return replace(state, run=run, queue=(*state.queue, Push(seq, event.queue, role)))


def _queue_clear(state: State, seq: int, event: QueueClear) -> State:
    return replace(state, queue=tuple(push for push in state.queue if push.queue != event.queue))


def _abort(state: State, seq: int, event: AbortRequest) -> State:
    if event.cause == "cancel" and state.task and state.cancelled is None:
        state = replace(state, cancelled=event)
    if state.run is None or state.run.aborted is not None:
        return state
    return replace(state, run=replace(state.run, aborted=event), ending=ending(state.ending, event))


def _config(state: State, seq: int, event: ConfigChange) -> State:
    changed = {
        name: value
        for name in ("model", "system_prompt", "tools", "policies")
        if (value := getattr(event, name)) is not None
    }
    if event.options:
        changed["options"] = event.options
    return replace(state, config=replace(state.config, **changed))


def _model_request(state: State, seq: int, event: ModelRequest) -> State:
    run = replace(_run(state), attempt=event.attempt, requested=True, not_before_us=0)
    return replace(state, run=run, in_force=state.config)


def _retry(state: State, seq: int, event: Retry) -> State:
    if state.phase is Phase.IDLE:
        return replace(state, failed=None, retry_at_us=event.not_before_us)
    state = _spend(state, event.usage.total_tokens if event.usage is not None else 0)
    return replace(state, run=replace(_run(state), not_before_us=event.not_before_us))


def _resume(state: State, seq: int, event: Resume) -> State:
    if event.why == "turn":
        return state if state.run is None else replace(state, run=replace(state.run, asked=True))
    if event.why == "stuck":
        return replace(state, stuck=event.problem) if state.task else state
    state = replace(state, stuck="") if state.stuck else state
    wanted = state.wanted or (event.why == "continue" and state.phase is Phase.IDLE)
    if not event.push_seq or state.taken is None:
        return replace(state, wanted=wanted)
    prompt = Push(event.push_seq, "prompt", state.taken.role)
    return replace(state, wanted=wanted, taken=None, queue=(prompt, *state.queue))


def _fork(state: State, seq: int, event: Fork) -> State:
    batch = state.batch
    if batch is not None:
        calls = tuple(
            replace(call, waiting="", answer=None, approved=(), lost=bool(call.child), child="") for call in batch.calls
        )
        batch = replace(batch, calls=calls)
    queue = tuple(push for push in state.queue if push.seq in event.keeps)
    waits = tuple(wait for wait in state.waits if wait.step)
    return replace(
        state,
        queue=queue,
        tokens=(),
        waits=waits,
        children=(),
        called=(),
        cancelled=None,
        stuck="",
        batch=batch,
        repeated_tools=event.repeated_tools,
    )


def _adopt(state: State, seq: int, event: MessageAdopt) -> State:
    message = event.message
    if isinstance(message, AssistantMessage) and message.stop_reason in ("error", "aborted"):
        return state
    role = message.kind if isinstance(message, CustomMessage) else str(message.__struct_config__.tag)
    return replace(state, last_role=role)


def _token(state: State, seq: int, event: TokenCreate) -> State:
    token = TokenState(event.key, event.deadline_us, None, event.default, event.value_schema, event.tags, seq)
    return replace(state, tokens=(*state.tokens, token))


def _erase(state: State, seq: int, event: Erase) -> State:
    """Forget a token's schema with the event that held it; nothing else of the state is content."""
    tokens = tuple(
        replace(token, value_schema=UNSET, untyped=True)
        if token.seq == event.target_seq and not isinstance(token.value_schema, UnsetType)
        else token
        for token in state.tokens
    )
    return state if tokens == state.tokens else replace(state, tokens=tokens)


def _wait_start(state: State, seq: int, event: WaitStart) -> State:
    token = state.token(event.key)
    deadline = event.deadline_us if token is None else token.deadline_us
    wait = Wait(event.key, deadline, event.call, event.reason, event.arguments, event.step)
    if token is not None and token.end is not None:
        return _answered(state, wait, token.end)
    taken = None if event.reason == INBOX else state.taken
    state = replace(state, waits=(*state.waits, wait), taken=taken)
    if event.step:
        state = _with_step(state, event.step, failed=None, waiting=event.key)
    return state if event.call is None else _with_call(state, event.call.content_index, waiting=event.key)


def _wait_end(state: State, seq: int, event: WaitEnd) -> State:
    tokens = tuple(replace(token, end=event) if token.key == event.key else token for token in state.tokens)
    if event.push_seq:
        taken = next(push for push in state.queue if push.seq == event.push_seq)
        state = replace(state, taken=taken, queue=tuple(push for push in state.queue if push is not taken))
    ended = next((wait for wait in state.waits if wait.key == event.key), None)
    waits = tuple(wait for wait in state.waits if wait.key != event.key)
    state = replace(state, tokens=tokens, waits=waits)
    if ended is not None and ended.step:
        state = _with_step(state, ended.step, waiting="", over=event.outcome == "cancelled")
    return state if ended is None else _answered(state, ended, event)


def _answered(state: State, wait: Wait, end: WaitEnd) -> State:
    place = wait.call
    call = find_call(state, place.message_seq, place.content_index) if place is not None else None
    if call is None:
        return state
    waiting = "" if call.waiting == end.key else call.waiting
    state = _with_call(state, call.content_index, waiting=waiting, answer=end)
    return state if wait.reason != REASON else _decided(state, call, wait, end)


def _decided(state: State, call: CallState, wait: Wait, end: WaitEnd) -> State:
    """Keep what was decided on a call: an approval is for its arguments, a denial for the call."""
    decision = read_decision(end)
    if not decision.approve:
        return _with_call(state, call.content_index, denied=denial(decision) if call.denied is None else call.denied)
    arguments = wait.arguments if decision.arguments is None else decision.arguments
    return _with_call(state, call.content_index, approved=(*call.approved, arguments))


def _child_start(state: State, seq: int, event: ChildStart) -> State:
    state = replace(state, children=(*state.children, event.key))
    if event.call is None:
        return state
    state = replace(state, called=(*state.called, event.key))
    return _with_call(state, event.call.content_index, child=event.key)


def _child_end(state: State, seq: int, event: ChildEnd) -> State:
    children, called = (tuple(key for key in keys if key != event.key) for keys in (state.children, state.called))
    state = _spend(replace(state, children=children, called=called), event.tokens)
    if state.batch is None:
        return state
    calls = tuple(replace(call, child="") if call.child == event.key else call for call in state.batch.calls)
    return replace(state, batch=replace(state.batch, calls=calls))


def _task_start(state: State, seq: int, event: TaskStart) -> State:
    spent = state.spent_tokens if event.attempt > 1 else 0
    policy = None
    if event.retries is not None:
        policy = TaskPolicy(retries=event.retries, backoff_us=event.backoff_us, token_limit=event.token_limit)
    return replace(
        state,
        task=event.task,
        attempt=event.attempt,
        retry_at_us=None,
        spent_tokens=spent,
        policy=policy,
        rules=event.rules,
    )


def _task_end(state: State, at_us: int, event: TaskEnd) -> State:
    policy = state.policy
    fails = bool(event.error) and not event.cancelled and not event.final
    again = event.retry_at_us is not None or (fails and policy is not None and state.attempt <= policy.retries)
    if again:
        waits = tuple(wait for wait in state.waits if not wait.step)
        failed = FailedAttempt(at_us, event.jitter_ppm) if event.retry_at_us is None else None
        return replace(state, steps=(), tried=(), waits=waits, failed=failed, retry_at_us=event.retry_at_us)
    return replace(
        state,
        task="",
        attempt=0,
        steps=(),
        tried=(),
        policy=None,
        failed=None,
        retry_at_us=None,
        cancelled=None,
        taken=None,
        tokens=(),
        waits=(),
        rules=0,
    )


def _spend(state: State, tokens: int) -> State:
    """Count tokens against the run under way and the task that is open."""
    if not tokens:
        return state
    run = replace(state.run, tokens=state.run.tokens + tokens) if state.run is not None else None
    return replace(state, run=run, spent_tokens=state.spent_tokens + tokens if state.task else 0)


def _step_start(state: State, seq: int, event: StepStart) -> State:
    if event.key not in state.steps:
        state = replace(state, steps=(*state.steps, event.key))
    if event.retries is None:
        return state
    policy: dict[str, object] = {"retries": event.retries, "backoff_us": event.backoff_us}
    if state.step(event.key) is not None:
        return _with_step(state, event.key, **policy)
    tried = Tried(key=event.key, retries=event.retries, backoff_us=event.backoff_us)
    return replace(state, tried=(*state.tried, tried))


def _step_end(state: State, at_us: int, event: StepEnd) -> State:
    state = _spend(state, event.usage.total_tokens if event.usage is not None else 0)
    state = replace(state, steps=tuple(key for key in state.steps if key != event.key))
    tried = state.step(event.key)
    if tried is None:
        return state
    if not event.error:
        return replace(state, tried=tuple(one for one in state.tried if one is not tried))
    failures = tried.failures + 1
    over = failures > tried.retries
    failed = None if over else FailedAttempt(at_us, event.jitter_ppm)
    return _with_step(state, event.key, failures=failures, over=over, failed=failed)


def _with_step(state: State, key: str, **changes: object) -> State:
    return replace(state, tried=tuple(replace(one, **changes) if one.key == key else one for one in state.tried))


_TIMED = frozenset({StepEnd, TaskEnd})
"""Events whose step is given their time, not their seq."""

# Each event type with its step; a signature cannot say that the event has the type it is filed under.
_STEPS: Mapping[type[EventBase], Callable[[State, int, Any], State]] = {
    AgentStart: _agent_start,
    TurnStart: _turn_start,
    MessageStart: _message_start,
    MessageUpdate: _update,
    MessageEnd: _message_end,
    ToolExecutionStart: _tool_start,
    ToolExecutionUpdate: _same,
    ToolExecutionEnd: _tool_end,
    TurnEnd: _turn_end,
    AgentEnd: _agent_end,
    QueuePush: _queue_push,
    QueueClear: _queue_clear,
    AbortRequest: _abort,
    ConfigChange: _config,
    ModelRequest: _model_request,
    Retry: _retry,
    Resume: _resume,
    Fork: _fork,
    MessageAdopt: _adopt,
    Compaction: _same,
    ContextEdit: _same,
    TokenCreate: _token,
    WaitStart: _wait_start,
    WaitEnd: _wait_end,
    StepStart: _step_start,
    StepEnd: _step_end,
    LoopContext: _same,
    TaskStart: _task_start,
    TaskEnd: _task_end,
    ChildStart: _child_start,
    ChildEnd: _child_end,
    MetadataSet: _same,
    StreamUpdate: _same,
    Label: _same,
    Custom: _same,
    Erase: _erase,
}
