"""What is left of an erased event: its shape, and what the machine decided by."""

from __future__ import annotations

import pytest
from msgspec import Raw

from eventsource.events import Event, StepEnd, TokenCreate, WaitEnd, WaitStart
from eventsource.log.mask import mask

QUESTION = TokenCreate(key="k", default=Raw(b'{"approve":false}'))


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (
            WaitEnd(key="k", outcome="completed", value=Raw(b'{"approve":true,"reason":"secret"}'), decided_by="Ann"),
            WaitEnd(key="k", outcome="completed", value=Raw(b'{"approve":true}'), decided_by="[erased]"),
        ),
        (
            WaitEnd(key="k", outcome="completed", value=Raw(b'"rerun"')),
            WaitEnd(key="k", outcome="completed", value=Raw(b'"rerun"')),
        ),
        (
            WaitStart(key="k", reason="approval", arguments='{"secret":1}'),
            WaitStart(key="k", reason="approval", arguments="[erased]"),
        ),
        (
            TokenCreate(key="k", default=Raw(b'{"approve":false}')),
            TokenCreate(key="k", default=Raw(b'{"approve":false}')),
        ),
    ],
    ids=["approval", "rerun", "question", "default"],
)
def test_what_was_decided_stays_and_what_was_said_goes(event: Event, left: Event) -> None:
    assert mask(event) == left


@pytest.mark.parametrize(
    "event",
    [WaitEnd(key="k", outcome="completed", value=Raw(b'"secret"')), StepEnd(key="k", result=Raw(b'{"a":"secret"}'))],
    ids=["token", "step"],
)
def test_values_go(event: Event) -> None:
    assert "secret" not in repr(mask(event))
