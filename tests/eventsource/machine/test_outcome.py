"""How a run ended and why, as a fold of its events, in words."""

from __future__ import annotations

from typing import Literal

import pytest

from eventsource.events import AbortRequest, AgentEnd, AgentStart, EndReason, Event, Label, MessageEnd
from eventsource.machine.outcome import Ending, RunOutcome, aborted_words, end_status, ending, outcome
from eventsource.messages import AssistantMessage, StopReason, TextContent, ThinkingContent

FAILED = MessageEnd(message=AssistantMessage(stop_reason="error", error="503: overloaded"))


def after(*events: Event) -> Ending:
    last = Ending()
    for event in events:
        last = ending(last, event)
    return last


def answered(
    message: AssistantMessage, reason: Literal["stop", "error", "limit"] = "stop", error: str = ""
) -> RunOutcome:
    return outcome(after(AgentStart(), MessageEnd(message=message), AgentEnd(reason=reason, error=error)))


def refused(text: str = "", *, raw: str = "", error: str = "", signature: str = "refusal") -> str:
    content = (TextContent(text="Well. "), TextContent(text=text, signature=signature))
    message = AssistantMessage(content=content, stop_reason="refusal", raw_stop_reason=raw, error=error)
    found = answered(message)
    assert found.status == "refused"
    return found.reason


def test_an_end_is_a_fold_of_its_own_run_only() -> None:
    assert after(AgentStart(), FAILED, AgentEnd(reason="error", error="no"), AgentStart()) == Ending()
    asked = (AgentStart(), AbortRequest(by="Ada"), AbortRequest(by="Bob"), AgentEnd(reason="aborted"))
    assert outcome(after(*asked, AbortRequest(by="Eve"))).reason == "aborted by Ada"
    assert after(AgentStart(), AgentEnd(), AbortRequest(by="Eve")).abort is None
    assert outcome(after(AgentStart(), FAILED, AgentEnd(reason="limit", error="time"))).reason == "time"


def test_nothing_but_a_runs_answers_aborts_and_end_says_how_it_ended() -> None:
    assert after(AgentStart()).stop == "stop"
    last = after(AgentStart(), FAILED)
    assert (last.stop, last.said, last.reason) == ("error", "503: overloaded", None)
    cut = MessageEnd(message=AssistantMessage(stop_reason="stop"), interrupted="dropped")
    for event in (cut, MessageEnd(), Label(text="x"), AgentEnd()):
        assert (ending(last, event).stop, ending(last, event).said) == ("error", "503: overloaded")
    assert ending(last, Label(text="x")) is last


@pytest.mark.parametrize(
    ("last", "status", "reason"),
    [
        (Ending(), "done", ""),
        (Ending(reason="stop"), "done", ""),
        (Ending(reason="stop", stop="refusal", said="no"), "refused", "no"),
        (
            Ending(reason="stop", stop="length"),
            "limit",
            "the answer was cut at the limit of output tokens (max_tokens)",
        ),
        (Ending(reason="stop", abort=AbortRequest(reason="stop", cause="hook")), "done", "a hook asked it to end"),
        (Ending(reason="aborted", abort=AbortRequest(), error="x"), "aborted", "aborted by a person or the program"),
        (Ending(reason="aborted", said="cut"), "aborted", "cut"),
        (Ending(reason="error", error="no", said="503"), "error", "no"),
        (Ending(reason="error", said="503"), "error", "503"),
        (Ending(reason="error"), "error", "it ended with error and nobody said why"),
        (Ending(reason="limit", error="the turn limit of 1 was reached"), "limit", "the turn limit of 1 was reached"),
    ],
)
def test_how_a_run_ended_and_why(last: Ending, status: str, reason: str) -> None:
    assert outcome(last) == RunOutcome(status, reason)  # type: ignore[arg-type]  # the table's statuses are some


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("400 content_filter: no", "refused"),
        ("content_policy_violation: no", "refused"),
        ("400 invalid_prompt", "refused"),
        ("400 ResponsibleAIPolicyViolation: no", "refused"),
        ("400 content_filters: no", "error"),
        ("it says: content_filter", "error"),
        ("4000 content_filter: no", "error"),
    ],
)
def test_an_error_of_a_provider_that_refused_the_prompt_is_a_refusal(error: str, status: str) -> None:
    assert outcome(Ending(reason="error", said=error)) == RunOutcome(status, error)  # type: ignore[arg-type]  # as above
    assert outcome(Ending(reason="limit", said=error)).status == "limit"


@pytest.mark.parametrize(
    ("abort", "words"),
    [
        (AbortRequest(), "aborted by a person or the program"),
        (AbortRequest(cause="cancel"), "aborted by a cancellation"),
        (AbortRequest(cause="budget"), "aborted by a budget"),
        (AbortRequest(by="Ada", error="too late"), "aborted by Ada: too late"),
    ],
)
def test_an_abort_says_who_asked_and_why(abort: AbortRequest, words: str) -> None:
    assert aborted_words(abort) == words


def test_a_refusal_says_what_the_model_the_filter_or_the_provider_said() -> None:
    assert refused("I cannot help.") == "the model refused: I cannot help."
    assert refused("x" * 301) == f"the model refused: {'x' * 300}"
    assert refused("I cannot help.", raw="SAFETY") == "the model refused: I cannot help."
    blocked = "the prompt was blocked: PROHIBITED_CONTENT"
    assert refused(raw="PROHIBITED_CONTENT", error=blocked) == blocked
    unsure = "the provider refused the request, or filtered the answer"
    assert refused("I cannot help.", signature="") == unsure
    thought = AssistantMessage(content=(ThinkingContent(thinking="No.", signature="refusal"),), stop_reason="refusal")
    assert answered(thought).reason == unsure, "what a model thinks is nothing it says"
    assert refused(raw="end_turn") == f"{unsure}: end_turn"
    assert refused(raw="end_turn", error="no") == f"{unsure}: no"
    filters = [
        "filter",
        "safety",
        "prohibited",
        "recitation",
        "blocklist",
        "SPII",
        "sensitive",
        "guardrail",
        "language",
    ]
    for word in filters:
        assert refused(raw=f"x_{word}") == f"the provider's filter ended the answer: x_{word}"
    assert refused(raw="SAFETY", error="dangerous") == "the provider's filter ended the answer: dangerous"


@pytest.mark.parametrize("stop", ["stop", "length", "error", "aborted"])
def test_the_error_of_any_other_answer_stands_as_it_is(stop: StopReason) -> None:
    message = AssistantMessage(stop_reason=stop, error="no", raw_stop_reason="SAFETY")
    assert after(AgentStart(), MessageEnd(message=message)).said == "no"


@pytest.mark.parametrize(
    ("stop", "reason", "status"),
    [
        ("stop", "stop", "done"),
        ("refusal", "stop", "refused"),
        ("length", "stop", "limit"),
        ("error", "error", "error"),
        ("stop", "limit", "limit"),
        ("stop", "aborted", "aborted"),
    ],
)
def test_how_a_run_ended_is_known_without_its_words(stop: StopReason, reason: EndReason, status: str) -> None:
    assert end_status(stop, reason) == status
    assert Ending(stop=stop, reason=reason) == Ending(stop=stop, said="", abort=None, reason=reason, error="")
