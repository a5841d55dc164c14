"""The machine's rules for tasks: the inbox, attempts, cancellation, deadlines, budgets."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

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
    MessageEnd,
    MessageStart,
    ModelRef,
    ModelRequest,
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
from eventsource.evolve import fold
from eventsource.messages import AssistantMessage, TextContent, Usage, UserMessage
from eventsource.ports import Recorded
from eventsource.state import INBOX, Phase, State
from eventsource.steps import Record, Stop, Suspend, can_continue, expired, next_step

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
