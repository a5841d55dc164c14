"""The digest of a request: it must hold for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from eventsource.events import ModelRef
from eventsource.messages import Message, UserMessage
from eventsource.request import PartHashes, Request, request_sha256
from refold.testing.candidates import ADOPTED, TOOLS
from refold.testing.event_strategies import of_type

MODEL = ModelRef(api="scripted", provider="scripted", model="scripted")
REQUEST = Request(
    model=MODEL, system_prompt="Be brief. 🧥", tools=TOOLS, options=msgspec.Raw(b'{"temperature":0}'), messages=ADOPTED
)


def test_the_digest_is_what_it_was_in_every_release() -> None:
    assert request_sha256(REQUEST) == "010b0f8c4adf15a245dadf677c793b1c27169f4ad6c80a64016668b2e349260e"
    assert request_sha256(Request(model=MODEL)) == "c928a9306bb7f09ab8752920ce56254109174e3328a39a59f73993c77b746506"


def test_anybody_can_work_the_digest_out() -> None:
    tools = b",".join(b'["%s","",{"type":"object"}]' % tool.name.encode() for tool in TOOLS)
    parts = [
        b'{"api":"scripted","provider":"scripted","model":"scripted"}',
        '"Be brief. 🧥"'.encode(),
        b"[" + tools + b"]",
        b'{"temperature":0}',
        b'{"role":"user","content":"Do I need a coat?"}',
    ]
    whole = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    assert request_sha256(replace(REQUEST, messages=ADOPTED[:1])) == whole


CHANGES: dict[str, Callable[[Request], Request]] = {
    "model": lambda r: replace(r, model=replace(MODEL, model="another")),
    "system prompt": lambda r: replace(r, system_prompt=""),
    "order of tools": lambda r: replace(r, tools=r.tools[::-1]),
    "a tool's schema": lambda r: replace(r, tools=(replace(r.tools[0], schema=msgspec.Raw(b"{}")), *r.tools[1:])),
    "a tool's description": lambda r: replace(r, tools=(replace(r.tools[0], description="Reads."), *r.tools[1:])),
    "options": lambda r: replace(r, options=msgspec.Raw(b'{"temperature":1}')),
    "order of messages": lambda r: replace(r, messages=r.messages[::-1]),
    "a message": lambda r: replace(r, messages=(UserMessage(content="Do I need a boat?"), *r.messages[1:])),
    "a message less": lambda r: replace(r, messages=r.messages[:-1]),
    "a message twice": lambda r: replace(r, messages=(*r.messages, r.messages[-1])),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_a_model_is_told_counts(change: Callable[[Request], Request]) -> None:
    assert request_sha256(change(REQUEST)) != request_sha256(REQUEST)


def test_what_a_model_is_not_told_does_not_count() -> None:
    tools = tuple(replace(tool, effect="once", mode="sequential", version="2") for tool in TOOLS)
    assert request_sha256(replace(REQUEST, tools=tools)) == request_sha256(REQUEST)


MESSAGES: st.SearchStrategy[list[Message]] = st.lists(
    st.one_of(st.sampled_from(ADOPTED), of_type(UserMessage)), max_size=6
)


@given(st.lists(st.tuples(MESSAGES, st.sampled_from(["", "Be brief."]), st.booleans()), max_size=6))
def test_remembering_changes_no_digest(asked: list[tuple[list[Message], str, bool]]) -> None:
    hashes, before = PartHashes(), tuple[Message, ...]()
    for messages, system_prompt, goes_on in asked:
        before = (*before, *messages) if goes_on else tuple(messages)
        request = Request(model=MODEL, system_prompt=system_prompt, messages=before)
        assert request_sha256(request, hashes) == request_sha256(request)
        assert request_sha256(request, hashes) == request_sha256(request)


def test_equal_messages_at_different_places_are_hashed_alike() -> None:
    hashes = PartHashes()
    assert hashes.of(UserMessage(content="x")) == hashes.of(UserMessage(content="x")) != hashes.of(ADOPTED[0])
