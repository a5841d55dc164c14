"""Errors of any shape are told in the provider's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from eventsource.models.transport.failures import Failure, body_failure, read_failure


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            "overloaded_error: Overloaded",
        ),
        (
            {"error": {"message": "No", "type": "invalid_request_error", "code": "model_not_found"}},
            "model_not_found: No",
        ),
        ({"error": {"code": 429, "message": "Slow", "status": "RESOURCE_EXHAUSTED"}}, "429 RESOURCE_EXHAUSTED: Slow"),
        ([{"error": {"code": 400, "message": "Bad", "status": "INVALID_ARGUMENT"}}], "400 INVALID_ARGUMENT: Bad"),
        ({"error": "model 'x' not found"}, "model 'x' not found"),
        ({"error": "forbidden", "message": "Sign in first"}, "Sign in first"),
        ({"object": "error", "message": "Unknown model", "code": 404}, "404: Unknown model"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body"], "msg": "missing"}]}, '[{"loc": ["body"], "msg": "missing"}]'),
        ({"errors": [{"message": "first"}, {"message": "second"}]}, "first"),
        ({"response": {"error": {"code": "server_error", "message": "Oops"}}}, "server_error: Oops"),
        (
            {"error": {"code": 502, "message": "Provider returned error", "metadata": {"raw": "upstream says no"}}},
            "502: Provider returned error: upstream says no",
        ),
        ({"error": {"odd": 1}}, '{"odd": 1}'),
        (None, "null"),
    ],
)
def test_the_words_are_found(value: object, text: str) -> None:
    assert read_failure(value).text == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "503"),
        (b"upstream connect error", "503: upstream connect error"),
        (b"<html><style>p{}</style><h1>503</h1>\n<p>Service   down</p></html>", "503: 503 Service down"),
        (b"\xff\xfe", "503: \ufffd\ufffd"),
    ],
)
def test_a_body_that_is_no_json_is_told_as_text(body: bytes, text: str) -> None:
    assert body_failure(503, body).text == text


def test_a_long_page_is_cut() -> None:
    assert len(body_failure(500, b"x" * 100_000).text) < 2_100


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        (Failure(message="", status=429), True),
        (Failure(message="", status=429, kind="insufficient_quota"), False),
        (Failure(message="", kind="overloaded_error"), True),
        (Failure(message="", kind="rate_limit_exceeded"), True),
        (Failure(message="", kind="UNAVAILABLE"), True),
        (Failure(message="", kind="invalid_request_error"), False),
        (Failure(message="prompt is too long", status=500), False),
    ],
)
def test_what_may_pass_is_retried(failure: Failure, again: bool) -> None:
    assert failure.retryable is again


def test_too_many_tokens_a_minute_is_no_overflow() -> None:
    limit = Failure(message="Rate limit reached: too many tokens per minute", status=429)
    assert (limit.overflow, limit.retryable) == (False, True)


NAMES = st.sampled_from(["error", "errors", "message", "code", "status", "type", "details", "response"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda kids: st.lists(kids, max_size=3) | st.dictionaries(NAMES, kids),
)


@pytest.mark.slow
@given(JSON)
def test_any_json_is_told_without_an_exception(value: Any) -> None:
    assert body_failure(500, json.dumps(value).encode()).text.startswith(("500", "context overflow: 500"))
