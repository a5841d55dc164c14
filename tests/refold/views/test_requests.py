"""What a model was sent, by windows, and what was left out of it."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given, strategies as st

from eventsource.codec import to_json
from eventsource.envelope import Recorded
from eventsource.events import ConfigChange, ModelRequest, ToolSpec
from eventsource.messages import UserMessage
from projections.compaction import message_tokens
from refold import Log
from refold.session import Session
from refold.testing import histories
from refold.views.changes import request_changes
from refold.views.index import SessionIndex
from refold.views.requests import SHOWN_CHARACTERS, PartLine, part_contents, part_window, request_head

from .sessions import CountingLog, adopted, agent, eventful, store


@given(histories(), st.lists(st.integers(0, 200), min_size=1, max_size=6))
async def test_parts_at_any_seq_are_those_that_why_tells(history: tuple[Recorded, ...], picks: list[int]) -> None:
    log = CountingLog()
    await store(log, history)
    index, session = SessionIndex(log, apart=3), await Log(log, clock=lambda: 7).find("s")
    for pick in picks if history else ():
        seq = pick % len(history) + 1
        found, at = await session.why(seq), await index.at("s", seq)
        head, messages = request_head(at), [part for part in found.parts if part.what == "message"]
        assert (head.request_seq, head.before_seq) == (found.request_seq, found.before_seq)
        assert (head.recorded_sha256, head.messages) == (found.recorded_sha256, len(messages))
        assert [(part.what, part.source, part.seq) for part in head.parts] == [
            (part.what, part.source, part.seq) for part in found.parts if part.what != "message"
        ]
        window = part_window(at, 0, 500)
        assert [(one.source, one.seq, one.name, one.role, one.detail) for one in window.parts] == [
            (part.source, part.seq, part.name, part.role, part.detail) for part in messages
        ]
        for one, message, part in zip(window.parts, found.request.messages, messages, strict=True):
            body = msgspec.json.encode(message)
            assert (one.sha256, one.size_bytes) == (hashlib.sha256(body).hexdigest(), len(body))
            assert one.tokens == message_tokens(message)
            assert one.text == part.text or one.text.endswith("…")
        hooked = [gone.name for gone in window.left_out if gone.reason == "hook"]
        assert hooked == sorted(part.name for part in found.left_out if part.name)


@given(histories(), st.integers(0, 200), st.integers(1, 4))
async def test_windows_side_by_side_are_the_whole(history: tuple[Recorded, ...], pick: int, limit: int) -> None:
    log = CountingLog()
    await store(log, history)
    at = await SessionIndex(log).at("s", pick % (len(history) + 1))
    whole = part_window(at, 0, 500)
    parts: list[PartLine] = []
    left_out: list[tuple[int, str, int]] = []
    for start in range(0, max(whole.messages, 1), limit):
        window = part_window(at, start, limit)
        parts += window.parts
        left_out += [(gone.name, gone.reason, gone.before) for gone in window.left_out]
        if window.more_left_out:
            return  # a window lists so many of them
    assert tuple(parts) == whole.parts
    assert left_out == [(gone.name, gone.reason, gone.before) for gone in whole.left_out]


@given(histories(), st.integers(0, 200))
async def test_every_message_of_the_history_is_sent_or_told_to_be_left_out(
    history: tuple[Recorded, ...], pick: int
) -> None:
    log = CountingLog()
    await store(log, history)
    at = await SessionIndex(log).at("s", pick % (len(history) + 1))
    asked, _ = at.seen.trace.about()
    window = part_window(at, 0, 500)
    entries = [entry for entry in asked.view.entries if not entry.edits and entry.message is not None]
    summary = asked.view.entries[asked.view.summary].seq if asked.view.summary >= 0 else 0
    told = {part.name for part in window.parts} | {gone.name for gone in window.left_out}
    assert {entry.seq for entry in entries} - {summary} <= told
    assert not {part.name for part in window.parts} & {gone.name for gone in window.left_out}


async def test_what_a_compaction_and_an_edit_took_out_names_them() -> None:
    log = CountingLog()
    session = await eventful(log)
    at = await SessionIndex(log).at(session.id)
    window = part_window(at, 0, 100)
    compacted = [gone.name for gone in window.left_out if gone.reason == "compaction"]
    assert compacted == [6, 12, 16]
    assert {gone.before for gone in window.left_out if gone.reason == "compaction"} == {0}
    assert [(gone.name, gone.reason) for gone in window.left_out if gone.reason == "failed"] == [(78, "failed")]
    assert [(part.source, part.seq) for part in window.parts[:2]] == [("compaction", 70), ("edit", 53)]


async def test_a_message_that_a_hook_left_out_says_so() -> None:
    log = CountingLog()
    session = await eventful(log)
    at = await SessionIndex(log).at(session.id, 36)
    head, window = request_head(at), part_window(at, 0, 100)
    assert head.selected
    assert [(gone.name, gone.reason, gone.seq) for gone in window.left_out] == [
        (6, "hook", head.request_seq),
        (12, "hook", head.request_seq),
        (16, "hook", head.request_seq),  # its call was left out
    ]
    assert [part.source for part in window.parts] == ["answer", "prompt", "hook"]


async def test_the_head_says_which_tools_the_answer_called() -> None:
    log = CountingLog()
    session = await eventful(log)
    index = SessionIndex(log)
    asks, says = request_head(await index.at(session.id, 10)), request_head(await index.at(session.id, 22))
    assert [(tool.name, tool.called) for tool in asks.tools] == [("weather", True)]
    assert [(tool.name, tool.called) for tool in says.tools] == [("weather", False)]


async def test_tools_in_a_providers_own_words_are_listed_behind_the_others() -> None:
    log = CountingLog()
    own = {"extra_body": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}}
    look = ToolSpec(name="look", schema=to_json({"type": "object"}))
    await log.create("s")
    await log.append("s", [(1, ConfigChange(tools=(look,), options=to_json(own)))])
    head = request_head(await SessionIndex(log).at("s", None))
    assert [tool.name for tool in head.tools] == ["look", "web_search"]


async def test_a_window_of_a_long_context_looks_at_the_window() -> None:
    log = CountingLog()
    await adopted(log, 400)
    index = SessionIndex(log)
    at = await index.at("long", 1_600)
    assert [part.name for part in part_window(at, 1_000, 3).parts] == [1_001, 1_002, 1_003]
    before = at.whole.hashes
    assert len(before._known) == 3
    assert [one.place for one in part_contents(at, 10, 2)] == [10, 11]


async def test_long_content_is_cut_and_says_so() -> None:
    log = CountingLog()
    opened = Log(log, clock=lambda: 7)
    session = await opened.session("big")
    await agent("Fine.").run("x" * 200_000, session=session)
    at = await SessionIndex(log).at(session.id)
    [content, _] = part_contents(at, 0, 10)
    assert content.content.is_cut
    assert content.content.size_bytes > 200_000
    assert len(content.content.value) < 66_000
    line = part_window(at, 0, 1).parts[0]
    assert len(line.text) == SHOWN_CHARACTERS
    assert line.text.endswith("…")


@pytest.fixture
async def edited() -> tuple[CountingLog, Session]:
    log = CountingLog()
    session = await Log(log, clock=lambda: 7).session("main")
    await agent("It is a fine and sunny day.").run("How is it?", session=session)
    await agent("Yes.", system="Be nice.").run("Really?", session=session)
    return log, session


async def test_changes_are_those_that_why_tells_with_words_inside(edited: tuple[CountingLog, Session]) -> None:
    log, session = edited
    index = SessionIndex(log)
    await session.replace(12, "It is a fine and rainy day.")
    await agent("Oh.", system="Be nice.").run("And?", session=session)
    requests = [one.seq for one in await session.events() if isinstance(one.event, ModelRequest)]
    for seq in requests:
        found, why = request_changes(await index.at(session.id, seq), None, 0, 100), await session.why(seq)
        assert [one.part.seq for one in found.changes] == [one.part.seq for one in why.changes]
        assert (found.request_seq, found.against_seq) == (seq, why.before_seq)
    last = request_changes(await index.at(session.id, requests[-1]), None, 0, 100)
    [changed] = [one for one in last.changes if one.kind == "changed"]
    assert [(piece.kind, piece.text) for piece in changed.pieces if piece.kind != "same"] == [
        ("removed", " sunny"),
        ("added", " rainy"),
    ]
    assert (last.added, last.removed, last.changed) == (2, 0, 1)


async def test_a_request_is_compared_with_that_of_any_seq(edited: tuple[CountingLog, Session]) -> None:
    log, session = edited
    index = SessionIndex(log)
    end, begin = await index.at(session.id), await index.at(session.id, 6)
    found = request_changes(end, begin, 0, 2)
    assert (found.added, found.removed, found.changed, found.more) == (3, 0, 1, 2)
    back = request_changes(begin, end, 0, 10)
    assert (back.added, back.removed, back.changed, back.more) == (0, 3, 1, 0)


async def test_what_is_cut_short_is_said_to_be_truncated(edited: tuple[CountingLog, Session]) -> None:
    log, session = edited
    index = SessionIndex(log)
    before = await index.at(session.id)
    await session.replace(12, "It is a fine")
    [change] = request_changes(await index.at(session.id), before, 0, 10).changes
    assert (change.kind, change.characters) == ("truncated", len("It is a fine") - len("It is a fine and sunny day."))
    assert before.view.entries[1].message != UserMessage(content="It is a fine")
