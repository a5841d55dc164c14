"""What a session does next: the one decision function, asked after every outcome."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from ..envelope import Recorded
from ..events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    EndReason,
    Event,
    MessageEnd,
    MessageStart,
    Place,
    QueuePush,
    Refusal,
    Retry,
    TaskEnd,
    ToolExecutionEnd,
    ToolExecutionStart,
    TurnEnd,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from ..messages import UserMessage
from .backoff import retry_at_us
from .call_rules import may_run_again, refusal
from .evolve import evolve
from .refusals import ABORTED, LOST_CHILD, UNKNOWN_OUTCOME
from .state import CHILD, INBOX, RETRY, Batch, CallState, OpenRun, Phase, Push, State, Wait

Poll: TypeAlias = Literal["steering", "follow_up", "stop"]


class CallRun(msgspec.Struct, frozen=True):
    """A tool call to run (or, in a parallel batch, to refuse on the way), with the answer of the wait that held it.

    `reason`: the words of a refusal that needs some.
    """

    place: Place
    name: str
    attempt: int
    refused: Refusal | None = None
    answer: WaitEnd | None = None
    reason: str = ""


class Record(msgspec.Struct, frozen=True):
    """Append these events (1..n, in order); after the first of them the machine says the rest again."""

    events: tuple[Event, ...]
    polls: tuple[Poll, ...] = ()


class CallModel(msgspec.Struct, frozen=True):
    """Append a `model_request` and call the model, not before a time (UTC microseconds; 0: at once)."""

    attempt: int
    not_before_us: int = 0
    polls: tuple[Poll, ...] = ()


class RunTools(msgspec.Struct, frozen=True):
    """Run these calls, in parallel or the only one; each gets its start and its end in the log."""

    calls: tuple[CallRun, ...]
    parallel: bool
    polls: tuple[Poll, ...] = ()


class CloseMessage(msgspec.Struct, frozen=True):
    """End the assistant message that is open or due, from what was streamed of it."""

    how: Literal["interrupted", "aborted"]
    polls: tuple[Poll, ...] = ()


class Suspend(msgspec.Struct, frozen=True):
    """Nothing can be done until one of these waits ends."""

    waits: tuple[Wait, ...]
    polls: tuple[Poll, ...] = ()


class Stop(msgspec.Struct, frozen=True):
    """Nothing is left to do; how the last run ended, None if there was none."""

    reason: EndReason | None = None
    polls: tuple[Poll, ...] = ()


Step: TypeAlias = Record | CallModel | RunTools | CloseMessage | Suspend | Stop


def next_step(state: State) -> Step:
    """Return the step that a session in this state takes next, given that nothing is under way.

    Pure: the same state gives the same step, for ever. `polls` names the callbacks to ask before the step is performed,
    in order; the first that answers becomes an event and the machine is asked again.
    """
    step = first_step(state)
    if not isinstance(step, Record):
        return step
    events = list(step.events)
    fresh = step.events
    while True:
        for event in fresh:
            state = evolve(state, Recorded(0, 0, event))
        following = first_step(state)
        if not isinstance(following, Record) or following.polls or state.phase is Phase.IDLE:
            return Record(tuple(events), step.polls)
        fresh = following.events
        events.extend(fresh)


def turn_messages(state: State) -> tuple[int, ...]:
    """Name the queued messages that the turn that has begun, or was asked for, delivers before its model is asked.

    They are what that turn is about, so a fork keeps them.
    Returns: the seqs of their pushes, in the order of delivery; none once the turn's model was asked.
    """
    begun = state.phase in (Phase.STARTED, Phase.OPEN, Phase.INPUT) and not _running(state).attempt
    found = [push.seq for push in state.queued("output")]
    while begun or state.wanted:
        step = first_step(state)
        if not isinstance(step, Record):
            break
        for event in step.events:
            if isinstance(event, MessageStart) and event.push_seq not in found:
                found.append(event.push_seq)
            state = evolve(state, Recorded(0, 0, event))
        begun = state.phase in (Phase.STARTED, Phase.OPEN, Phase.INPUT)
    return tuple(found)


def reject_answer(state: State, problem: str) -> QueuePush | AbortRequest:
    """Return what follows an answer that does not fit the output type: it is asked again, or the run ends in error."""
    asked = _running(state).rejected
    if asked >= state.config.policies.output_retries:
        times = f", though it was asked for {asked} more time{'' if asked == 1 else 's'}" if asked else ""
        error = f"the answer does not fit the output type{times}: {problem}"
        return AbortRequest(reason="error", cause="output", error=error)
    words = f"Your answer does not fit what was asked for: {problem}\nAnswer again, with the whole answer and no more."
    return QueuePush(queue="output", message=UserMessage(content=words))


def can_continue(state: State) -> bool:
    """Return whether an idle session has something to answer without a new prompt: its last message is not the model's.

    A message that failed or was aborted does not count, so a run that ended so can be tried again.
    """
    idle = state.phase is Phase.IDLE and not state.waits and not state.task
    idle = idle and len(state.queue) == len(state.queued("inbox"))
    return idle and state.last_role in ("user", "tool_result")


def resume_reason(state: State) -> Literal["wait", "crash"]:
    """Return why a run that is under way is taken up again: it waited and may go on, or its process broke off."""
    if state.waits:
        return "wait"
    calls = [call for call in state.batch.calls if not call.ended] if state.batch is not None else []
    if any(call.started and call.answer is None for call in calls):
        return "crash"
    decided = any(call.answer is not None or call.denied is not None for call in calls)
    return "wait" if decided else "crash"


def first_step(state: State) -> Step:
    """Return what a session does next, of a `Record` only the events that come first; for the rest, ask again."""
    match state.phase:
        case Phase.IDLE:
            return _idle(state)
        case Phase.STARTED:
            return Record((TurnStart(),))
        case Phase.OPEN:
            return _open(state, _running(state))
        case Phase.INPUT | Phase.RESULT:
            return Record((MessageEnd(),))
        case Phase.REQUESTED:
            run = _running(state)
            return CloseMessage("aborted") if run.aborted is not None else CallModel(run.attempt + 1)
        case Phase.STREAMING:
            return CloseMessage("interrupted" if state.aborted is None else "aborted")
        case Phase.TOOLS:
            return _tools(state)
        case Phase.SETTLED:
            return _settled(state)
        case Phase.FAILED:
            run = _running(state)
            again = run.aborted is None and run.failed == "error" and run.failures <= state.config.policies.retries
            return Record((Retry(cause="error"),)) if again else Record((TurnEnd(),))
        case Phase.BETWEEN:
            return _between(state, _running(state))
        case Phase.ENDING:
            run = _running(state)
            return Record((AgentEnd(reason=run.failed or "error", error=run.error),))


def _running(state: State) -> OpenRun:
    return state.run if state.run is not None else OpenRun()


def _idle(state: State) -> Step:
    waits = state.waits
    if retries := next_attempts(state):
        return Record(retries)
    if state.closing:
        return _close(state, waits)
    if state.cancelled is not None:
        return Record((_cancel(waits[0].key) if waits else TaskEnd(cancelled=True, error=state.cancelled.error),))
    if state.wanted:
        return Record((AgentStart(reason="prompt" if state.queued("prompt") else "continue"),))
    inbox = next((wait for wait in waits if wait.reason == INBOX), None)
    if inbox is not None and (messages := state.queued("inbox")):
        end = WaitEnd(key=inbox.key, outcome="completed", push_seq=messages[0].seq, decided_by="machine")
        return Record((end,))
    if state.retry_at_us is not None:
        return Suspend((Wait(RETRY, state.retry_at_us, None, RETRY),))
    if waits:
        return Suspend(waits)
    if len(state.queue) > len(state.queued("inbox")) and not state.task:
        return Record((AgentStart(reason="prompt" if state.queued("prompt") else "follow_up"),))
    return Stop(state.ended)


def _close(state: State, waits: tuple[Wait, ...]) -> Step:
    """End a cancelled task: behind the run that was asked for, which only delivers its messages, waits and children."""
    if state.wanted:
        return Record((AgentStart(reason="prompt" if state.queued("prompt") else "continue"),))
    if waits:
        return Record((_cancel(waits[0].key),))
    if children := children_to_end(state):
        return Suspend(tuple(Wait(f"{CHILD}:{key}", None, None, CHILD) for key in children))
    return Record((TaskEnd(cancelled=True, error=state.cancelled.error if state.cancelled is not None else ""),))


def children_to_end(state: State) -> tuple[str, ...]:
    """Name the open children that nobody waits for any more: of a cancelled task all, else those of calls that ended.

    They are sessions of their own, so whoever drives this one cancels them, sees them end, and appends a `child_end`
    for each. None while a run is under way: its calls may still wait for theirs.
    """
    if state.phase is not Phase.IDLE:
        return ()
    return state.children if state.cancelled is not None else state.called


def next_attempts(state: State) -> tuple[Event, ...]:
    """Decide when what has failed is tried again: the task, or steps of it, by the policy on record.

    They are decided before anything else, so what came of a step and when it is tried again stand together. None once
    the task was cancelled.
    """
    found: list[Event] = []
    if state.closing:
        return ()
    if state.failed is not None and state.policy is not None:
        failed, first_us = state.failed, state.policy.backoff_us
        at_us = retry_at_us(failed.at_us, first_us, failures=state.attempt, jitter_ppm=failed.jitter_ppm)
        found.append(Retry(cause="task", not_before_us=at_us))
    taken = {wait.key for wait in state.waits} | {token.key for token in state.tokens}
    for tried in state.tried:
        if tried.failed is None:
            continue
        key = f"{RETRY}:{tried.key}"
        while key in taken:  # people name their tokens and sleeps as they like
            key += "'"
        failed = tried.failed
        at_us = retry_at_us(failed.at_us, tried.backoff_us, failures=tried.failures, jitter_ppm=failed.jitter_ppm)
        found.append(WaitStart(key=key, reason=RETRY, deadline_us=at_us, step=tried.key))
        taken.add(key)
    return tuple(found)


def expired(state: State, now_us: int) -> tuple[WaitEnd, ...]:
    """End the open waits whose deadline has passed, those for a token with the token's default."""
    defaults = {token.key: token.default for token in state.tokens}
    return tuple(
        WaitEnd(key=wait.key, outcome="timed_out", value=defaults.get(wait.key, msgspec.UNSET))
        for wait in state.waits
        if wait.deadline_us is not None and wait.deadline_us <= now_us
    )


def _cancel(key: str) -> WaitEnd:
    return WaitEnd(key=key, outcome="cancelled", decided_by="machine")


def deliverable(state: State) -> Push | None:
    """Find the queued message that this turn delivers next."""
    run = _running(state)
    policies = state.config.policies
    prompts = () if run.requested else state.queued("prompt")
    if again := prompts or state.queued("output"):
        return again[0]
    steering = state.queued("steering")
    if steering and (policies.steering_queue == "all" or not run.delivered or run.aborted is not None):
        return steering[0]
    follow_ups = state.queued("follow_up")
    if follow_ups and run.follows and run.aborted is None:
        return follow_ups[0] if policies.follow_up_queue == "all" or not run.delivered else None
    return None


def _open(state: State, run: OpenRun) -> Step:
    push = deliverable(state)
    if push is not None:
        return Record((MessageStart(role="input", push_seq=push.seq),))
    if run.aborted is not None:
        return CloseMessage("aborted")
    if state.used_up:
        return Record((AbortRequest(reason="limit", cause="budget", error=state.used_up),))
    first = not run.requested and not run.delivered
    return CallModel(run.attempt + 1, run.not_before_us, ("steering",) if first else ())


def _tools(state: State) -> Step:
    batch = state.batch
    if batch is None:  # no legal log leads here
        return Stop(state.ended)
    ended = next((call for call in batch.calls if call.ended and not call.delivered), None)
    if ended is not None and (batch.sequential or all(call.ended for call in batch.calls)):
        return Record((MessageStart(role="tool_result", call=batch.place(ended)),))
    left = [call for call in batch.calls if not call.ended]
    held = next((call for call in left if call.waiting), None)
    if held is not None and state.aborted is not None:
        return Record((_cancel(held.waiting),))
    if batch.sequential:
        return _call(state, batch, left[0])
    for call in left:
        if call.started:
            step = _call(state, batch, call)
            if isinstance(step, Record):
                return step
    ready = [call for call in left if not call.waiting]
    if not ready:
        return Suspend(state.waits)
    runs = tuple(_run_of(state, batch, call) for call in ready)
    if any(run.refused is None for run in runs):
        return RunTools(runs, parallel=True)
    return _call(state, batch, ready[0])


def _call(state: State, batch: Batch, call: CallState) -> Step:
    if call.waiting:
        return Suspend(state.waits)
    place = batch.place(call)
    if call.started and not may_run_again(state, call):
        return Record((_settle(state, batch, call),))
    run = _run_of(state, batch, call)
    polls = _batch_polls(state, batch, call)
    if run.refused is None:
        return RunTools((run,), parallel=False, polls=polls)
    start = ToolExecutionStart(
        message_seq=place.message_seq,
        content_index=place.content_index,
        name=call.name,
        attempt=run.attempt,
        refused=run.refused,
        reason=run.reason,
    )
    return Record((start,), polls)


def _run_of(state: State, batch: Batch, call: CallState) -> CallRun:
    refused = refusal(state, batch, call)
    reason = call.denied or "" if refused == "blocked" else ""
    return CallRun(batch.place(call), call.name, call.attempt + 1, refused, call.answer, reason)


def _batch_polls(state: State, batch: Batch, call: CallState) -> tuple[Poll, ...]:
    asks = batch.sequential and batch.policies.steering == "interrupt" and any(c.delivered for c in batch.calls)
    return ("steering",) if asks and not call.started and not state.queued("steering") and state.aborted is None else ()


def _settle(state: State, batch: Batch, call: CallState) -> Event:
    """End a call that was refused, or that started in a process which is gone."""
    place = batch.place(call)
    if call.refused is not None and call.refused != "adopted":
        return refused_end(place)
    asks = batch.policies.in_doubt == "ask" and call.answer is None and not call.lost and call.refused is None
    if asks and state.aborted is None:
        key = f"in_doubt:{place.message_seq}:{place.content_index}:{call.attempt}"
        return WaitStart(key=key, reason="in_doubt", call=place)
    result = LOST_CHILD if call.lost else ABORTED if state.aborted is not None else UNKNOWN_OUTCOME
    return replace(refused_end(place), result=result)


def refused_end(place: Place) -> ToolExecutionEnd:
    """Make the end of a call that was refused: its start says the rest."""
    return ToolExecutionEnd(
        message_seq=place.message_seq, content_index=place.content_index, is_error=True, decided="machine"
    )


def _settled(state: State) -> Step:
    if state.aborted is not None or _running(state).asked or state.queued("output"):
        return Record((TurnEnd(),))
    batch = state.batch
    asks = batch is not None and batch.sequential and batch.policies.steering == "interrupt"
    polls: tuple[Poll, ...] = ("steering", "stop") if asks and not state.queued("steering") else ("stop",)
    return Record((TurnEnd(),), polls)


def _between(state: State, run: OpenRun) -> Step:
    policies = state.config.policies
    aborted = run.aborted
    if aborted is not None and (aborted.reason != "aborted" or not run.due):
        return Record((AgentEnd(reason=aborted.reason, error=aborted.error),))
    steering, follow_ups = state.queued("steering"), state.queued("follow_up")
    if aborted is not None:
        return Record((TurnStart(),))
    again = state.queued("output")
    goes_on = run.due or run.asked or steering or follow_ups or again
    if goes_on and 0 < (policies.turn_limit or 0) <= run.turns:
        return Record((AgentEnd(reason="limit", error=f"the turn limit of {policies.turn_limit} was reached"),))
    if goes_on and 0 < policies.token_limit <= run.tokens:
        return Record((AgentEnd(reason="limit", error=f"the token limit of {policies.token_limit} was reached"),))
    if goes_on and state.used_up:
        return Record((AgentEnd(reason="limit", error=state.used_up),))
    once = policies.steering == "interrupt"
    if run.due:
        return Record((TurnStart(),), () if steering else ("steering",) if once else ("steering", "steering"))
    if steering or follow_ups or again:
        return Record((TurnStart(),))
    if run.asked:
        return Record((TurnStart(),), ("steering", "follow_up") if once else ("steering", "follow_up", "steering"))
    return Record((AgentEnd(),), ("steering", "follow_up"))
