"""The machine's rules for tasks: the inbox, attempts, cancellation, deadlines, budgets."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from eventsource.envelope import Recorded
from eventsource.errors import IllegalEventError
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ChildEnd,
    ChildStart,
    Erase,
    Event,
    Fork,
    LoopContext,
    MessageEnd,
    MessageStart,
    ModelRef,
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
    TurnEnd,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from eventsource.machine.evolve import fold
from eventsource.machine.roles import Role, role_of
from eventsource.machine.state import INBOX, Phase, State
from eventsource.machine.steps import (
    CallModel,
    Record,
    Stop,
    Suspend,
    can_continue,
    children_to_end,
    expired,
    first_step,
    next_step,
)
from eventsource.messages import AssistantMessage, TextContent, Usage, UserMessage
from tests.candidates import calling
from tests.interpreter import resumed
from tests.stories import FIRST, REQUESTED, START, STREAMING as STREAMED, state_of

TASK = TaskStart(task="report")
SENT = QueuePush(queue="inbox", message=UserMessage(content="hello"))
LISTEN = WaitStart(key="inbox", reason=INBOX, deadline_us=50)


def after(*events: Event) -> State:
    return fold(Recorded(seq, seq, event) for seq, event in enumerate(events, 1))


def refusal(*events: Event) -> str:
    with pytest.raises(IllegalEventError) as caught:
        after(*events)
    return caught.value.reason


@pytest.mark.parametrize("history", [(TASK, SENT, LISTEN), (TASK, LISTEN, SENT)], ids=["early", "late"])
def test_a_message_ends_the_wait_for_it_whichever_comes_first(history: tuple[Event, ...]) -> None:
    seq = history.index(SENT) + 1
    end = WaitEnd(key="inbox", outcome="completed", push_seq=seq, decided_by="machine")
    assert next_step(after(*history)) == Record((end,))
    state = after(*history, end)
    assert (state.queue, state.waits) == ((), ())
    assert state.taken is not None
    assert state.taken.seq == seq


def test_of_several_messages_the_one_that_ends_the_wait_is_taken() -> None:
    state = after(TASK, SENT, SENT, LISTEN, WaitEnd(key="inbox", outcome="completed", push_seq=3))
    assert state.taken is not None
    assert (state.taken.seq, [push.seq for push in state.queue]) == (3, [2])


def test_a_message_ends_no_wait_for_anything_else() -> None:
    end = WaitEnd(key="inbox", outcome="completed", push_seq=4, decided_by="machine")
    assert next_step(after(TASK, WaitStart(key="nap"), LISTEN, SENT)) == Record((end,))


def test_a_message_nobody_waits_for_starts_no_run() -> None:
    for history in ((SENT,), (TASK, SENT), (TASK, TaskEnd(), SENT)):
        state = after(*history)
        assert next_step(state) == Stop(None)
        assert refusal(*history, AgentStart()) == "nothing is queued and no continuation was asked for"
        assert not can_continue(state)


def test_a_run_begins_with_the_message_that_was_taken() -> None:
    history = (TASK, SENT, LISTEN, WaitEnd(key="inbox", outcome="completed", push_seq=2))
    state = after(*history, StepStart(key="turn"), Resume(why="continue", push_seq=2))
    step = next_step(state)
    assert isinstance(step, Record)
    assert step.events[:3] == (
        AgentStart(reason="prompt"),
        TurnStart(),
        MessageStart(role="input", push_seq=2),
    )
    other = after(*history, Resume(why="continue"))
    assert (other.queue, other.taken) == ((), after(*history).taken), "another run does not begin with it"
    assert "was not taken" in refusal(*history, Resume(why="continue", push_seq=1))
    assert "was not taken" in refusal(*history, *[Resume(why="continue", push_seq=2)] * 2)
    assert "begins with it" in refusal(*history, Resume(why="crash", push_seq=2))
    running = (QueuePush(queue="prompt", message=UserMessage(content="x")), Resume(why="continue"), AgentStart())
    assert "begins with it" in refusal(*history, *running, Resume(why="continue", push_seq=2))
    assert "was not taken" in refusal(*history, WaitStart(key="next", reason=INBOX), Resume(why="continue", push_seq=2))


def test_only_a_message_of_the_inbox_can_be_taken() -> None:
    assert "in the inbox" in refusal(TASK, LISTEN, WaitEnd(key="inbox", outcome="completed", push_seq=1))


def test_a_cancelled_task_ends_its_waits_and_then_itself() -> None:
    history: list[Event] = [
        TASK,
        WaitStart(key="a"),
        WaitStart(key="b", deadline_us=3),
        AbortRequest(cause="cancel", error="enough"),
    ]
    decided: list[Event] = []
    while isinstance(step := next_step(after(*history, *decided)), Record):
        decided += step.events
    ends = [WaitEnd(key=key, outcome="cancelled", decided_by="machine") for key in "ab"]
    assert decided == [*ends, TaskEnd(cancelled=True, error="enough")]
    ended = after(*history, *decided)
    assert (ended.task, ended.cancelled, ended.waits) == ("", None, ())


def test_what_cancelled_a_task_first_is_what_its_end_says() -> None:
    first, second = AbortRequest(cause="cancel", error="enough"), AbortRequest(cause="cancel", error="too late")
    assert after(TASK, first, second).cancelled == first


RULED = TaskStart(task="report", retries=2, backoff_us=10, rules=1)
CANCEL = AbortRequest(cause="cancel", error="enough")


@pytest.mark.parametrize(
    "begun",
    [
        StepStart(key="s"),
        StepStart(key="s", retries=1),
        WaitStart(key="w"),
        ChildStart(key="c", child="c"),
        LoopContext(iteration=1, patch=msgspec.Raw(b"[]")),
        TaskStart(task="report", attempt=2, rules=1),
        AgentStart(),
    ],
    ids=lambda event: event.type,
)
def test_a_cancelled_task_begins_nothing_more_and_a_log_of_0_1_still_may(begun: Event) -> None:
    queued = QueuePush(queue="prompt", message=UserMessage(content="hello"))
    assert refusal(RULED, queued, CANCEL, begun) == "the task was cancelled, it begins nothing more"
    if not isinstance(begun, TaskStart):
        after(TASK, queued, CANCEL, begun)


def test_what_a_cancelled_task_has_under_way_still_ends_on_record() -> None:
    begun = (RULED, StepStart(key="s"), ChildStart(key="c", child="c"), WaitStart(key="w"), CANCEL)
    ends = (StepEnd(key="s"), ChildEnd(key="c", tokens=5), WaitEnd(key="w", outcome="completed"))
    assert after(*begun, *ends).spent_tokens == 5


def test_a_step_that_failed_as_its_task_was_cancelled_is_not_tried_again() -> None:
    state = after(RULED, StepStart(key="s", retries=3), CANCEL, StepEnd(key="s", error="no"))
    assert next_step(state) == Record((TaskEnd(cancelled=True, error="enough"),))
    failed = after(RULED, CANCEL, TaskEnd(error="no"))
    assert next_step(failed) == Record((TaskEnd(cancelled=True, error="enough"),))
    assert "begins nothing more" in refusal(
        RULED, StepStart(key="s", retries=3), StepEnd(key="s", error="no"), CANCEL, WaitStart(key="r", step="s")
    )


def test_a_cancelled_task_ends_behind_its_waits_and_children() -> None:
    history: list[Event] = [RULED, WaitStart(key="w"), ChildStart(key="a", child="a"), CANCEL]
    end = TaskEnd(cancelled=True, error="enough")
    assert refusal(*history, end) == "wait w is open"
    history.append(WaitEnd(key="w", outcome="cancelled", decided_by="machine"))
    assert refusal(*history, end) == "child a is running"
    step = next_step(after(*history))
    assert isinstance(step, Suspend)
    assert [(wait.key, wait.reason) for wait in step.waits] == [("child:a", "child")]
    assert children_to_end(after(*history)) == ("a",)
    history.append(ChildEnd(key="a", is_error=True))
    assert next_step(after(*history)) == Record((end,))
    assert role_of(after(*history), end) is Role.DECISION
    assert after(*history, end).task == ""


def test_a_task_that_came_to_its_result_as_it_was_cancelled_has_it() -> None:
    state = after(RULED, ChildStart(key="a", child="a"), CANCEL, TaskEnd(result=msgspec.Raw(b"1")))
    assert (state.task, state.cancelled) == ("", None)


def test_a_run_that_was_asked_for_before_the_cancellation_says_its_messages_and_asks_no_model() -> None:
    asked: list[Event] = [RULED, QueuePush(queue="prompt", message=UserMessage(content="hi")), Resume(why="continue")]
    assert refusal(*asked, CANCEL, TaskEnd(cancelled=True)) == "a run was asked for that has not begun"
    ended = resumed([Recorded(seq, seq, event) for seq, event in enumerate([*asked, CANCEL], 1)])
    events = [recorded.event for recorded in ended]
    assert not any(isinstance(event, ModelRequest) for event in events)
    assert MessageStart(role="input", push_seq=2) in events
    run_end = next(event for event in events if isinstance(event, AgentEnd))
    assert (run_end.reason, events[-1]) == ("aborted", TaskEnd(cancelled=True, error="enough"))
    assert fold(ended).ending.abort == CANCEL


def test_a_cancelled_task_says_why_the_run_begins_that_was_asked_for_and_then_cancels_its_waits() -> None:
    prompt = QueuePush(queue="prompt", message=UserMessage(content="hi"))
    asked: list[Event] = [RULED, Resume(why="continue"), CANCEL]
    assert first_step(state_of(asked)) == Record((AgentStart(reason="continue"),))
    assert first_step(state_of([RULED, prompt, *asked[1:]])) == Record((AgentStart(reason="prompt"),))
    waiting: list[Event] = [RULED, WaitStart(key="w"), CANCEL]
    assert first_step(state_of(waiting)) == Record((WaitEnd(key="w", outcome="cancelled", decided_by="machine"),))


def test_children_of_calls_that_ended_are_ended_and_others_go_on() -> None:
    run: list[Event] = [
        TASK,
        ChildStart(key="call:by name", child="x"),
        Resume(why="continue"),
        AgentStart(reason="continue"),
        TurnStart(),
        ModelRequest(attempt=1, request_sha256=""),
        MessageStart(role="assistant", streamed=False),
        MessageEnd(message=calling("read")),
    ]
    place = Place(message_seq=len(run), content_index=1)
    run.append(ChildStart(key="of the call", child="y", call=place))
    assert children_to_end(after(*run)) == (), "its call may still wait for it"
    ended = resumed([Recorded(seq, seq, event) for seq, event in enumerate([*run, AbortRequest()], 1)])
    cut = next(place for place, one in enumerate(ended, 1) if isinstance(one.event, AgentEnd))
    assert children_to_end(fold(ended[:cut])) == ("of the call",)
    assert not isinstance(next_step(fold(ended[:cut])), CallModel)


def test_an_abort_of_the_run_leaves_the_task_open() -> None:
    state = after(TASK, AbortRequest())
    assert state.cancelled is None
    assert after(AbortRequest(cause="cancel")).cancelled is None


def test_a_failed_attempt_waits_for_the_next_one() -> None:
    failed = (TASK, TaskEnd(error="no", retry_at_us=9))
    state = after(*failed)
    step = next_step(state)
    assert isinstance(step, Suspend)
    assert [(wait.reason, wait.deadline_us) for wait in step.waits] == [("retry", 9)]
    again = after(*failed, TaskStart(task="report", attempt=2))
    assert (again.attempt, again.retry_at_us) == (2, None)
    assert refusal(*failed, TASK) == "this would be attempt 2, not 1"
    assert refusal(TASK, TaskStart(task="report", attempt=2)) == "task report is open"
    assert refusal(TaskStart(task="report", attempt=2)) == "the first attempt has the number 1"
    assert refusal(*failed, StepStart(key="s")) == "the task's attempt has failed"
    cancelled = after(*failed, AbortRequest(cause="cancel"))
    assert next_step(cancelled) == Record((TaskEnd(cancelled=True),))


def test_what_a_task_left_open_ends_with_it() -> None:
    state = after(TASK, TokenCreate(key="t"), WaitStart(key="t"), TaskEnd())
    assert (state.tokens, state.waits) == ((), ())


def test_a_token_whose_event_was_erased_has_no_schema_any_more_and_no_other_changes() -> None:
    schema = msgspec.Raw(b'{"type":"string"}')
    tokens = [TokenCreate(key=key, value_schema=schema) for key in "ab"]
    state = after(*tokens, TokenCreate(key="c"), Erase(target_seq=1), Erase(target_seq=3))
    assert [(one.value_schema, one.untyped) for one in state.tokens] == [
        (msgspec.UNSET, True),
        (schema, False),
        (msgspec.UNSET, False),
    ]


def test_of_a_task_that_was_cancelled_nothing_is_left() -> None:
    start = replace(TASK, retries=2, backoff_us=5)
    cancel, end = AbortRequest(cause="cancel"), TaskEnd(cancelled=True)
    busy = (SENT, LISTEN, WaitEnd(key="inbox", outcome="completed", push_seq=2), StepStart(key="s", retries=1))
    assert after(start, *busy, TokenCreate(key="t"), WaitStart(key="t"), cancel, end) == State()
    assert after(start, TaskEnd(error="no"), cancel, end) == State()
    assert after(start, TaskEnd(error="no"), Retry(cause="task", not_before_us=9), cancel, end) == State()


def test_a_step_that_ends_leaves_the_others_open_and_uses_no_tokens_by_itself() -> None:
    state = after(TASK, StepStart(key="a"), StepStart(key="b"), StepEnd(key="a"))
    assert (state.steps, state.spent_tokens) == (("b",), 0)


def test_deadlines_end_waits_with_the_tokens_default() -> None:
    state = after(
        TASK,
        TokenCreate(key="t", deadline_us=5, default=msgspec.Raw(b"7")),
        WaitStart(key="t"),
        WaitStart(key="sleep", deadline_us=6),
        WaitStart(key="for ever"),
    )
    assert expired(state, 4) == ()
    assert expired(state, 5) == (WaitEnd(key="t", outcome="timed_out", value=msgspec.Raw(b"7")),)
    assert [end.key for end in expired(state, 6)] == ["t", "sleep"]


def test_runs_and_children_spend_what_the_task_has() -> None:
    answer = AssistantMessage(content=(TextContent(text="hi"),), usage=Usage(input_tokens=5, output_tokens=2))
    prompt = QueuePush(queue="prompt", message=UserMessage(content="x"))
    run = (
        prompt,
        Resume(why="continue"),
        AgentStart(),
        TurnStart(),
        MessageStart(role="input", push_seq=2),
        MessageEnd(),
        ModelRequest(attempt=1, request_sha256=""),
        MessageStart(role="assistant", streamed=False),
        MessageEnd(message=answer),
    )
    state = after(TASK, *run)
    assert state.run is not None
    assert (state.spent_tokens, state.run.tokens) == (7, 7)
    alone = after(prompt, prompt, *run[1:])
    assert alone.run is not None
    assert (alone.spent_tokens, alone.run.tokens) == (0, 7), "what no task uses is spent by none"
    idle = after(TASK, ChildStart(key="c", child="s"), ChildEnd(key="c", tokens=30))
    assert (idle.phase, idle.spent_tokens) == (Phase.IDLE, 30)
    again = after(TASK, ChildStart(key="c", child="s"), ChildEnd(key="c", tokens=30), TaskEnd(), TASK)
    assert again.spent_tokens == 0
    retried = (*(TASK, ChildStart(key="c", child="s"), ChildEnd(key="c", tokens=30)), TaskEnd(retry_at_us=9))
    assert after(*retried, replace(TASK, attempt=2)).spent_tokens == 30, "each attempt uses what the task may use"


def test_the_machine_says_when_a_step_is_tried_again_by_the_policy_on_record() -> None:
    start = StepStart(key="s", retries=2, backoff_us=100)
    failed = (TASK, start, StepEnd(key="s", error="no", jitter_ppm=50_000))
    wait = WaitStart(key="retry:s", reason="retry", deadline_us=3 + 105, step="s")
    assert next_step(after(*failed)) == Record((wait,))
    assert refusal(*failed, replace(start, attempt=2)) == "step s has failed and waits for its next attempt"
    assert refusal(TASK, wait) == "step s is not to be tried again"
    waiting = (*failed, wait)
    assert refusal(*waiting, wait) == "wait retry:s is open"
    assert refusal(*waiting, replace(wait, key="again")) == "step s is not to be tried again"
    assert refusal(*waiting, replace(start, attempt=2)) == "step s has failed and waits for its next attempt"
    step = next_step(after(*waiting))
    assert isinstance(step, Suspend)
    assert [(one.reason, one.step, one.deadline_us) for one in step.waits] == [("retry", "s", 108)]
    again = (*waiting, WaitEnd(key="retry:s", outcome="timed_out"), replace(start, attempt=2))
    second = next_step(after(*again, StepEnd(key="s", error="no")))
    assert second == Record((replace(wait, deadline_us=7 + 200),))
    assert after(*again, StepEnd(key="s")).tried == ()
    changed = (*waiting, again[-2], replace(start, attempt=2, retries=5, backoff_us=1_000))
    slower = next_step(after(*changed, StepEnd(key="s", error="no")))
    assert slower == Record((replace(wait, deadline_us=7 + 2_000),)), "the newest start says by which policy"
    last = (*waiting, again[-2], replace(start, attempt=2, retries=0), StepEnd(key="s", error="no"))
    assert next_step(after(*last)) == Stop(None), "and how often"


def test_a_step_without_a_retry_left_has_failed_for_good() -> None:
    start = StepStart(key="s", retries=0, backoff_us=100)
    failed = (TASK, start, StepEnd(key="s", error="no"))
    assert next_step(after(*failed)) == Stop(None)
    assert refusal(*failed, replace(start, attempt=2)) == "step s has failed for good"
    given_up = (
        TASK,
        replace(start, retries=1),
        StepEnd(key="s", error="no"),
        WaitStart(key="retry:s", reason="retry", deadline_us=9, step="s"),
        WaitEnd(key="retry:s", outcome="cancelled"),
    )
    assert refusal(*given_up, replace(start, attempt=2)) == "step s has failed for good"
    assert after(*failed, TaskEnd(error="no"), TASK, start).steps == ("s",)


def test_a_step_of_a_log_that_says_nothing_of_retries_may_be_tried_again() -> None:
    assert after(TASK, StepStart(key="s"), StepEnd(key="s", error="no"), StepStart(key="s", attempt=2)).tried == ()


def test_a_wait_for_an_attempt_gets_a_key_that_nobody_has_taken() -> None:
    failed = (TASK, WaitStart(key="retry:s"), StepStart(key="s", retries=1), StepEnd(key="s", error="no"))
    assert next_step(after(*failed)) == Record((WaitStart(key="retry:s'", reason="retry", deadline_us=4, step="s"),))


def test_two_steps_that_fail_together_wait_under_keys_of_their_own() -> None:
    starts = [StepStart(key=key, retries=1) for key in ("s", "s'")]
    ends = [StepEnd(key=key, error="no") for key in ("s", "s'")]
    step = next_step(after(TASK, WaitStart(key="retry:s"), *starts, *ends))
    assert isinstance(step, Record)
    keys = [(event.key, event.step) for event in step.events if isinstance(event, WaitStart)]
    assert keys == [("retry:s'", "s"), ("retry:s''", "s'")]


def test_the_machine_says_when_a_task_is_tried_again_by_the_policy_on_record() -> None:
    start = replace(TASK, retries=2, backoff_us=100)
    failed = (start, TaskEnd(error="no", jitter_ppm=10_000))
    decided = Retry(cause="task", not_before_us=2 + 101)
    assert next_step(after(*failed)) == Record((decided,))
    assert refusal(*failed, StepStart(key="s")) == "the task's attempt has failed"
    assert refusal(TASK, decided) == "no attempt of a task has failed"
    assert after(*failed, decided).retry_at_us == 103
    again = (*failed, decided, replace(start, attempt=2), TaskEnd(error="no"))
    assert next_step(after(*again)) == Record((Retry(cause="task", not_before_us=5 + 200),))
    last = (*again, Retry(cause="task"), replace(start, attempt=3), TaskEnd(error="no"))
    assert after(*last).task == ""
    assert after(start, TaskEnd(error="too long", final=True)).task == ""
    assert after(start, TaskEnd(error="enough", cancelled=True)).task == ""
    assert after(start, TaskEnd()).task == ""


def test_an_attempt_that_failed_leaves_no_step_waiting() -> None:
    state = after(
        replace(TASK, retries=1, backoff_us=9),
        StepStart(key="s", retries=1),
        StepEnd(key="s", error="no"),
        WaitStart(key="retry:s", reason="retry", deadline_us=4, step="s"),
        WaitStart(key="nap", reason="sleep", deadline_us=40),
        StepStart(key="open"),
        TaskEnd(error="no"),
    )
    assert (state.tried, state.steps, [wait.key for wait in state.waits]) == ((), (), ["nap"])


def test_a_cancelled_task_ends_the_wait_for_a_steps_next_attempt() -> None:
    failed = (TASK, StepStart(key="s", retries=1), StepEnd(key="s", error="no"))
    wait = WaitStart(key="retry:s", reason="retry", deadline_us=3, step="s")
    cancelled = AbortRequest(cause="cancel")
    assert next_step(after(*failed, cancelled)) == Record((wait,))
    end = WaitEnd(key="retry:s", outcome="cancelled", decided_by="machine")
    assert next_step(after(*failed, cancelled, wait)) == Record((end,))
    assert next_step(after(*failed, cancelled, wait, end)) == Record((TaskEnd(cancelled=True),))


def test_a_fork_keeps_the_wait_for_a_steps_next_attempt_and_no_other() -> None:
    state = after(
        TASK,
        StepStart(key="s", retries=1),
        StepEnd(key="s", error="no"),
        WaitStart(key="retry:s", reason="retry", deadline_us=3, step="s"),
        WaitStart(key="nap", deadline_us=9),
        Fork(),
    )
    assert [wait.key for wait in state.waits] == ["retry:s"]


def test_a_wait_of_no_step_ends_none() -> None:
    start = StepStart(key="", retries=1)
    history = (TASK, start, WaitStart(key="nap"), WaitEnd(key="nap", outcome="cancelled"))
    tried = after(*history).step("")
    assert tried is not None
    assert not tried.over


def test_a_wait_may_be_called_a_retry_and_belong_to_no_step() -> None:
    assert [wait.key for wait in after(WaitStart(key="later", reason="retry")).waits] == ["later"]


def test_why_nobody_could_go_on_with_a_task_stands_until_somebody_does() -> None:
    stuck = (TASK, Resume(why="stuck", problem="its code is gone"))
    assert after(*stuck).stuck == "its code is gone"
    assert after(*stuck, SENT).stuck == "its code is gone", "what comes from outside goes on with nothing"
    assert after(*stuck, StepStart(key="s")).stuck == ""
    assert after(*stuck, Resume(why="crash")).stuck == ""
    assert after(*stuck, Fork()).stuck == ""
    assert after(stuck[1]).stuck == "", "without a task nobody is stuck"


def test_a_fork_of_a_cancelled_task_goes_on() -> None:
    forked = after(TASK, TokenCreate(key="t"), ChildStart(key="c", child="s"), AbortRequest(cause="cancel"), Fork())
    assert (forked.task, forked.cancelled, forked.tokens, forked.children) == ("report", None, (), ())


def test_a_task_that_has_used_all_it_may_asks_no_model_and_says_so() -> None:
    start = replace(TASK, retries=0, token_limit=30)
    used_up = "the token budget of task report is used up: 30 of 30 tokens"
    spent = (start, ChildStart(key="c", child="s"), ChildEnd(key="c", tokens=30))
    prompt = QueuePush(queue="prompt", message=UserMessage(content="x"))
    assert refusal(*spent, StepStart(key="ask", asks=True)) == used_up
    assert after(*spent, StepStart(key="other")).steps == ("other",)
    asked = (prompt, Resume(why="continue"), AgentStart(), TurnStart(), MessageStart(role="input", push_seq=4))
    ready = (*spent, *asked, MessageEnd())
    assert next_step(after(*ready)) == Record((AbortRequest(reason="limit", cause="budget", error=used_up),))
    assert refusal(*ready, ModelRequest(attempt=1, request_sha256="")) == used_up


def test_a_run_that_would_go_on_ends_when_its_task_has_used_all_it_may() -> None:
    answer = AssistantMessage(stop_reason="pause", usage=Usage(input_tokens=30))
    history = (
        replace(TASK, retries=0, token_limit=30),
        QueuePush(queue="prompt", message=UserMessage(content="x")),
        Resume(why="continue"),
        AgentStart(),
        TurnStart(),
        MessageStart(role="input", push_seq=2),
        MessageEnd(),
        ModelRequest(attempt=1, request_sha256=""),
        MessageStart(role="assistant", streamed=False),
        MessageEnd(message=answer),
        TurnEnd(),
    )
    used_up = "the token budget of task report is used up: 30 of 30 tokens"
    assert next_step(after(*history)) == Record((AgentEnd(reason="limit", error=used_up),))


def test_what_a_step_used_of_a_model_is_spent() -> None:
    model = ModelRef(api="a", provider="p", model="m")
    ended = StepEnd(key="ask", model=model, usage=Usage(input_tokens=5, output_tokens=2))
    assert after(TASK, StepStart(key="ask", asks=True), ended).spent_tokens == 7


def test_a_failed_attempt_of_a_task_and_of_a_step_remembers_when() -> None:
    begun = [Recorded(1, 5, TaskStart(task="report", retries=1, backoff_us=10))]
    failed = fold([*begun, Recorded(2, 77, TaskEnd(error="broken"))]).failed
    assert failed is not None
    assert failed.at_us == 77
    step = [Recorded(2, 6, StepStart(key="s", retries=1, backoff_us=10)), Recorded(3, 88, StepEnd(key="s", error="x"))]
    tried = fold([*begun, *step]).step("s")
    assert tried is not None
    assert tried.failed is not None
    assert tried.failed.at_us == 88


def test_a_child_that_ended_is_no_child_any_more_and_a_fork_and_an_end_leave_none() -> None:
    called = [*STREAMED, MessageEnd(message=calling("read")), START, ChildStart(key="c", child="s2", call=FIRST)]
    state = state_of(called)
    assert (state.children, state.called) == (("c",), ("c",))
    for event in (ChildEnd(key="c"), Fork()):
        after = state_of([*called, event])
        assert (after.children, after.called) == ((), ())


def test_a_task_that_ended_leaves_no_rules_to_what_comes_next() -> None:
    assert state_of([TaskStart(task="report", rules=1), TaskEnd()]).rules == 0


def test_another_try_of_a_model_that_says_no_usage_spends_nothing() -> None:
    state = state_of([*REQUESTED, Retry(cause="busy")])
    assert state.run is not None
    assert (state.run.turns, state.run.tokens, state.spent_tokens) == (1, 0, 0)


def test_a_run_of_a_cancelled_task_of_0_1_begins_as_it_did() -> None:
    cancelled: list[Event] = [TASK, SENT, AbortRequest(cause="cancel"), Resume(why="continue"), AgentStart()]
    state = state_of(cancelled)
    assert state.run is not None
    assert state.run.aborted is None
