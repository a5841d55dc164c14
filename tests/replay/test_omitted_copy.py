"""A copy of sessions without what is left out: it folds as they do, and counts what is gone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eventsource.codec import encode
from eventsource.envelope import Recorded
from eventsource.errors import UnknownSessionError
from eventsource.events import UPDATE_TYPES, MessageAdopt, MessageUpdate, Origin, Place
from eventsource.log.load import load_state, read_all
from eventsource.log.protocol import EventLog
from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    Message,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from refold import Agent, Log
from refold.testing import scripted
from replay.omitted_copy import OmittedCopy
from tests.refold.views.sessions import CountingLog

SECRET = "qzwx-secret"
PICTURE = ImageContent(data="cXp3eA==", media_type="image/png")


async def told(log: EventLog, said: Sequence[Message]) -> str:
    info = await log.create()
    for number, message in enumerate(said, 1):
        call = Place(message_seq=number - 1, content_index=1) if isinstance(message, ToolResultMessage) else None
        await log.append(info.id, [(number, MessageAdopt(message=message, origin=Origin(source="x"), call=call))])
    return info.id


def exchange() -> list[Message]:
    asks = AssistantMessage(content=(ThinkingContent(thinking=SECRET), ToolCall(id="c", name="look")))
    result = ToolResultMessage(tool_call_id="c", tool_name="look", content=(TextContent(text=SECRET), PICTURE))
    return [UserMessage(content="Look!"), asks, result, AssistantMessage(content=(TextContent(text="Seen."),))]


async def events_of(log: EventLog, session: str) -> list[Recorded]:
    return [one async for one in read_all(log, session)]


async def test_a_copy_has_the_same_events_at_the_same_seqs_without_what_is_left_out(log: EventLog) -> None:
    session = await told(log, exchange())
    copy = OmittedCopy(log, ["results", "thinking"])
    await copy.add(session)
    found, original = await events_of(copy.store, session), await events_of(log, session)
    assert [(one.seq, one.at_us, type(one.event)) for one in found] == [
        (one.seq, one.at_us, type(one.event)) for one in original
    ]
    assert SECRET.encode() not in b"".join(encode(one.event) for one in found)
    assert await copy.left_out([session]) == ("1 tool result", "1 piece of thinking")
    there, here = await log.info(session), await copy.store.info(session)
    assert (here.head, here.messages, here.title, here.first_words, here.created_at_us) == (
        there.head,
        there.messages,
        there.title,
        there.first_words,
        there.created_at_us,
    )


async def test_what_forks_share_is_counted_once_and_what_lies_behind_a_fork_is_not(log: EventLog) -> None:
    session = await told(log, [*exchange(), *exchange()])
    one = (await log.fork(session, 4, at_us=9)).id
    other = (await log.fork(one, 3, at_us=9)).id
    copy = OmittedCopy(log, ["results"])
    await copy.add(one)
    await copy.add(other)
    assert await copy.left_out([one]) == ("1 tool result",)
    assert await copy.left_out([one, other]) == ("1 tool result",)
    assert await copy.left_out([session]) == ("2 tool results",)
    assert (await copy.store.info(other)).parent == one


async def test_pieces_of_answers_are_there_and_empty_and_dropped_ones_are_still_dropped() -> None:
    store = CountingLog()
    log = Log(store)
    session = await log.session("s")
    await Agent(scripted("A long answer that comes in several pieces.")).run("Well?", session=session)
    fork = await session.fork(at=next(one.seq for one in await events_of(store, session.id) if is_piece(one)) + 1)
    dropped = await log.session("d")
    await Agent(scripted("Another answer that comes in several pieces.")).run("Well?", session=dropped)
    await store.drop_updates(dropped.id)
    copy = OmittedCopy(store, ["thinking"])
    for name in (session.id, fork.id, dropped.id):
        await copy.add(name)
        found = await events_of(copy.store, name)
        pieces = [one for one in found if is_piece(one)]
        assert [one.seq for one in pieces] == [one.seq for one in await events_of(store, name) if is_piece(one)]
        assert {one.event.delta for one in pieces if isinstance(one.event, MessageUpdate)} <= {""}
        assert (await copy.store.info(name)).head == (await store.info(name)).head
        assert (await load_state(copy.store, name))[1].phase is (await load_state(store, name))[1].phase
    assert await copy.store.dropped(dropped.id) == await store.dropped(dropped.id) != ()


def is_piece(recorded: Recorded) -> bool:
    return isinstance(recorded.event, UPDATE_TYPES)


async def test_a_session_that_nobody_knows_is_not_copied(log: EventLog) -> None:
    with pytest.raises(UnknownSessionError):
        await OmittedCopy(log, ["results"]).add("nobody")
