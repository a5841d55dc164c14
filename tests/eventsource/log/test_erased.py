"""What is left of an erased event: its shape, and what the machine decided by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from itertools import product
from types import UnionType
from typing import Literal, Union, get_args, get_origin

import msgspec
import pytest
from msgspec import Raw

from eventsource.codec import encode
from eventsource.events import (
    EVENT_TYPES,
    UPDATE_TYPES,
    ConfigChange,
    Event,
    EventBase,
    MessageEnd,
    StepEnd,
    TokenCreate,
    ToolSpec,
    WaitEnd,
    WaitStart,
)
from eventsource.log.allowed_gaps import shape_problem
from eventsource.log.erased import tombstone, tombstone_of_0_1
from eventsource.machine.approvals import REASON as APPROVAL
from eventsource.machine.state import CHILD, INBOX, RETRY
from eventsource.messages import AssistantMessage, Usage

QUESTION = TokenCreate(key="k", default=Raw(b'{"approve":false}'))


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (
            WaitEnd(key="k", outcome="completed", value=Raw(b'{"approve":true,"reason":"secret"}'), decided_by="Ann"),
            WaitEnd(
                key="k", outcome="completed", value=Raw(b'{"approve":true,"reason":"[erased]"}'), decided_by="[erased]"
            ),
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
    assert tombstone(event) == left


@pytest.mark.parametrize(
    "event",
    [WaitEnd(key="k", outcome="completed", value=Raw(b'"secret"')), StepEnd(key="k", result=Raw(b'{"a":"secret"}'))],
    ids=["token", "step"],
)
def test_values_go(event: Event) -> None:
    assert "secret" not in repr(tombstone(event))


STAYS = frozenset(
    [
        *(
            "AssistantMessage.api",
            "AssistantMessage.model",
            "AssistantMessage.provider",
            "AssistantMessage.response_id",
        ),
        *("AssistantMessage.raw_stop_reason", "ChildEnd.key", "ChildStart.child", "ChildStart.key", "Compaction.child"),
        *("Custom.kind", "CustomMessage.kind", "Erase.shape_sha256", "ImageContent.media_type", "LoopContext.key"),
        *("MessageStart.api", "MessageStart.model", "MessageStart.provider", "MetadataSet.name", "ModelRef.api"),
        *("ModelRef.base_url", "ModelRef.model", "ModelRef.provider", "ModelRequest.body_codec"),
        *("ModelRequest.body_sha256", "ModelRequest.request_sha256", "Origin.entry", "Origin.session", "Origin.source"),
        "MessageAdopt.child",
        *("ProviderContent.api", "QueuePush.key", "Resume.runner", "StepEnd.key", "StepStart.input_sha256"),
        *(
            "StepStart.key",
            "TaskStart.parent",
            "TaskStart.queue",
            "TaskStart.tags",
            "TaskStart.task",
            "TokenCreate.key",
        ),
        *(
            "TokenCreate.tags",
            "ToolCall.id",
            "ToolCall.name",
            "ToolExecutionStart.name",
            "ToolResultMessage.tool_call_id",
        ),
        *("ToolResultMessage.tool_name", "ToolSpec.name", "ToolSpec.version", "Usage.prices", "WaitEnd.key"),
        "WaitStart.key",
        "WaitStart.step",
    ]
)
"""Ids, places, names of types and of what is called, digests, the stop reason: all words that erasing leaves."""


def filled(hint: object, place: str) -> Iterator[object]:
    """Make values of a type whose every text says which field it stands in; one for each member of a union."""
    kind, args = get_origin(hint), get_args(hint)
    if kind is Literal:
        yield args[0]
    elif kind in (Union, UnionType):
        members = [one for one in args if one not in (type(None), msgspec.UnsetType)]
        yield from (value for one in members for value in filled(one, place))
    elif kind is tuple:
        yield tuple(filled(args[0], place))
    elif hint is Raw:
        yield Raw(b'{"secret %b":["secret %b"]}' % (place.encode(), place.encode()))
    elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        fields = msgspec.structs.fields(hint)
        made = [tuple(filled(field.type, f"{hint.__name__}.{field.name}")) for field in fields]
        for values in product(*made):
            yield hint(**{field.name: value for field, value in zip(fields, values, strict=True)})
    else:
        yield {str: f"secret {place}", int: 1, bool: True}[hint]  # type: ignore[index]  # a field of another type fails here


def words(event: object) -> set[str]:
    return set(re.findall(r"secret (\w+\.\w+)", msgspec.json.encode(event).decode()))


@pytest.mark.parametrize(
    "kind", [one for one in EVENT_TYPES if one not in UPDATE_TYPES], ids=lambda kind: kind.__name__
)
def test_no_word_of_any_event_is_left_but_what_names_something(kind: type[EventBase]) -> None:
    for event in filled(kind, ""):
        assert words(tombstone(event)) == words(event) & STAYS  # type: ignore[arg-type]  # of the union, made by its type
        assert tombstone(tombstone(event)) == tombstone(event)  # type: ignore[arg-type]


def test_each_name_that_stays_is_a_field_of_an_event() -> None:
    assert {word for kind in EVENT_TYPES for event in filled(kind, "") for word in words(event)} >= STAYS


@pytest.mark.parametrize("reason", ["", APPROVAL, CHILD, INBOX, RETRY, "in_doubt", "repeat", "sleep"])
def test_a_wait_that_the_machine_goes_by_keeps_its_reason(reason: str) -> None:
    assert tombstone(WaitStart(key="k", reason=reason)) == WaitStart(key="k", reason=reason)


KEPT_BY_0_1: list[Event] = [
    MessageEnd(message=AssistantMessage(error="secret", usage=Usage(input_tokens=3, raw=Raw(b'{"who":"secret"}')))),
    ConfigChange(tools=(ToolSpec(name="pay", description="secret", schema=Raw(b'{"description":"secret"}')),)),
    TokenCreate(key="k", value_schema=Raw(b'{"title":"secret"}'), default=Raw(b'"secret"')),
    WaitStart(key="k", reason="secret", arguments="{}"),
]


@pytest.mark.parametrize("event", KEPT_BY_0_1, ids=lambda event: type(event).__name__)
def test_what_the_mask_of_0_1_left_is_still_an_erased_event(event: Event) -> None:
    left = encode(tombstone_of_0_1(event))
    assert b"secret" in left
    assert shape_problem(tombstone_of_0_1(event), left, "") == ""
    assert shape_problem(tombstone_of_0_1(event), left, sha256(left).hexdigest()) == ""
    assert shape_problem(event, encode(event), "") != ""
    assert b"secret" not in encode(tombstone(tombstone_of_0_1(event)))
