"""What a person is asked about a call, and how the answer is read."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from eventsource.errors import InvalidTextError
from eventsource.events import Place, TokenCreate, WaitEnd, WaitStart
from eventsource.machine.approvals import (
    Approval,
    Decision,
    agreed,
    approval_key,
    denial,
    is_question,
    question,
    read_decision,
    verdict,
)

PLACE = Place(message_seq=8, content_index=1)
KEY = f"approval:8:1:{hashlib.sha256(b'{}').hexdigest()[:12]}"


def ended(value: str, outcome: Any = "completed") -> WaitEnd:
    return WaitEnd(key="q", outcome=outcome, value=msgspec.Raw(value.encode()))


def test_a_question_is_named_by_its_call_and_the_arguments() -> None:
    assert approval_key(PLACE, "{}") == KEY
    assert approval_key(PLACE, '{"n":1}') != KEY


def test_a_question_without_a_time_waits_for_ever_and_has_no_default() -> None:
    token, wait = question(Approval(rule="always"), PLACE, "{}", 5, changed=False)
    assert token == TokenCreate(key=KEY, tags=("approval",))
    assert wait == WaitStart(key=KEY, reason="approval", call=PLACE)


@pytest.mark.parametrize(("default", "value"), [("approve", b'{"approve":true}'), ("deny", b'{"approve":false}')])
def test_a_question_with_a_time_says_when_it_is_over_and_what_counts_then(default: Any, value: bytes) -> None:
    token, _ = question(Approval(rule="always", timeout_us=7, default=default), PLACE, "{}", 5, changed=False)
    assert token == TokenCreate(key=KEY, tags=("approval",), deadline_us=12, default=msgspec.Raw(value))


def test_arguments_that_the_model_did_not_write_stand_in_the_question() -> None:
    _, wait = question(Approval(), PLACE, '{"n":1}', 5, changed=True)
    assert wait.arguments == '{"n":1}'


def test_a_token_is_a_question_by_its_tag_and_its_key() -> None:
    assert is_question(TokenCreate(key="approval:x", tags=("approval",)))
    assert not is_question(TokenCreate(key="approval:x"))
    assert not is_question(TokenCreate(key="approval:x", tags=("approval", "mine")))
    assert not is_question(TokenCreate(key="x", tags=("approval",)))
    assert not is_question(TokenCreate(key="approvals:x", tags=("approval",)))


def test_a_rule_in_the_log_is_its_word_or_that_it_depends_on_the_arguments() -> None:
    assert [Approval(rule=rule).kind for rule in ("always", "never", bool)] == ["always", "never", "by_arguments"]
    assert (Approval().kind, Approval().default) == ("never", "deny")


def test_a_decision_is_written_without_what_was_not_said() -> None:
    assert bytes(verdict(approve=True)) == b'{"approve":true}'
    assert bytes(verdict(approve=False, reason="no", arguments={})) == b'{"approve":false,"reason":"no","arguments":{}}'


def test_arguments_of_a_decision_are_an_object_of_json_values_or_an_error_names_what_is_wrong() -> None:
    with pytest.raises(InvalidTextError, match=r"arguments.*expected an object, found \[1\]"):
        verdict(approve=True, arguments=[1])  # type: ignore[arg-type]  # it is not one
    with pytest.raises(InvalidTextError, match="argument 'n'"):
        verdict(approve=True, arguments={"n": object()})
    with pytest.raises(InvalidTextError, match=r"^decision: "):
        verdict(approve=True, reason=object())  # type: ignore[arg-type]  # it is no text


@pytest.mark.parametrize(
    ("end", "decision"),
    [
        (ended('{"approve":true}'), Decision(True)),
        (ended('{"approve":true,"reason":"fine","arguments":{"n":1}}'), Decision(True, "fine", '{"n":1}')),
        (ended('{"approve":false,"reason":"no"}'), Decision(False, "no")),
        (ended('{"approve":false,"reason":null}'), Decision(False)),
        (ended('{"approve":1}'), Decision(False)),
        (ended("{}"), Decision(False)),
        (ended("true"), Decision(False)),
        (ended('"rerun"'), Decision(True)),
        (ended('"again"'), Decision(False)),
        (ended('{"approve":true}', "timed_out"), Decision(True, "nobody decided in time")),
        (ended('{"approve":false,"reason":"x"}', "timed_out"), Decision(False, "nobody decided in time")),
        (WaitEnd(key="q", outcome="timed_out"), Decision(False, "nobody decided in time")),
        (ended('{"approve":true}', "cancelled"), Decision(False, "the question was withdrawn")),
    ],
)
def test_whatever_is_no_approval_denies(end: WaitEnd, decision: Decision) -> None:
    assert read_decision(end) == decision
    assert agreed(end) is decision.approve


def test_the_model_is_told_why_it_was_denied() -> None:
    assert denial(Decision(False)) == "This call was denied"
    assert denial(Decision(False, "too much")) == "This call was denied: too much"
