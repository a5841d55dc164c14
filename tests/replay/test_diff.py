from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given, strategies as st

from eventsource.envelope import Recorded
from eventsource.events import Event, MessageAdopt, Origin
from eventsource.log import MemoryLog
from eventsource.messages import UserMessage
from eventsource.models.scripted import ScriptedModel, scripted
from eventsource.models.scripted.script import call, stop
from eventsource.session import SessionHandle
from projections.context import CONTEXT, Entry, history as entries
from projections.projection import project
from refold import Agent, Session as OpenedSession, diff, open_log, tool
from replay.diff import Pair, SessionDiff, diff as compare
from replay.diff_text import fingerprint
from tests.strategies import histories


@tool(effect="pure")
def weather(city: str) -> str:
    """Say what the weather is."""
    return f"{city}: rain"


def agent(*answers: object, system: str = "Be brief.") -> Agent[None]:
    return Agent(ScriptedModel(answers), system=system, tools=[weather])  # type: ignore[arg-type]  # answers of any form


ASKS = [call("weather", {"city": "Oslo"}), stop("tool_use")]


async def stored(log: MemoryLog, history: tuple[Recorded, ...]) -> SessionHandle:
    info = await log.create()
    events: list[tuple[int, Event]] = [(recorded.at_us, recorded.event) for recorded in history]
    if events:
        await log.append(info.id, events)
    return SessionHandle(log, info.id, clock=lambda: 0)


def memory() -> MemoryLog:
    numbers = iter(range(1000))
    return MemoryLog(clock=lambda: 0, new_id=lambda: f"s{next(numbers)}")


@pytest.mark.slow
@given(histories())
async def test_a_session_does_not_differ_from_itself_nor_from_a_copy(history: tuple[Recorded, ...]) -> None:
    log = memory()
    session, copy = await stored(log, history), await stored(log, history)
    assert not await compare(session, session)
    found = await compare(session, copy)
    assert not found
    assert {pair.kind for pair in found.pairs} <= {"same"}


@pytest.mark.slow
@given(histories(), histories())
async def test_the_other_way_round_left_and_right_change_places(
    one: tuple[Recorded, ...], other: tuple[Recorded, ...]
) -> None:
    log = memory()
    a, b = await stored(log, one), await stored(log, other)
    there, back = await compare(a, b), await compare(b, a)
    assert (there.left, there.right) == (back.right, back.left)
    assert bool(there) == bool(back)
    kept = [pair.left.seq for pair in there.pairs if pair.left is not None]
    assert kept == sorted(kept)
    assert len(kept) == there.left.messages
    assert sum(pair.right is not None for pair in there.pairs) == there.right.messages


@pytest.mark.slow
@given(histories(), st.integers(0, 60))
async def test_a_fork_shares_what_came_before_it_and_lacks_the_rest(history: tuple[Recorded, ...], at: int) -> None:
    log = memory()
    parent = await stored(log, history)
    at = min(at, len(history))
    found = await compare(parent, await parent.fork(at=at))
    assert found.shared_seq == at
    assert [pair.left.seq for pair in found.pairs if pair.left is not None and pair.kind == "left"] == sorted(
        entry.seq for entry in messages_of(history) if entry.seq > at
    )
    assert all(pair.kind in ("left", "changed") for pair in found.pairs)


def messages_of(history: tuple[Recorded, ...]) -> list[Entry]:
    return [entry for entry in entries(project(CONTEXT, history)) if entry.message is not None]


async def branches() -> tuple[OpenedSession, OpenedSession, SessionDiff]:
    async with open_log() as log:
        s = await log.session("oslo")
        await agent(ASKS, "Take a coat.").run("Do I need a coat?", session=s)
        t = await s.fork(before=(await s.messages())[3], title="facts")
        await agent("It rains.", system="Facts only.").resume(t)
        return s, t, await diff(s, t)


async def test_branches_share_what_came_before_and_differ_in_what_was_said_after() -> None:
    s, _, found = await branches()
    assert found.pairs[0].left is not None
    assert found.shared_seq < found.pairs[0].left.seq
    [pair] = found.changes
    assert (pair.kind, pair.lines) == ("changed", ("@@ -1 +1 @@", "-Take a coat.", "+It rains."))
    assert [(one.field, one.lines) for one in found.config] == [
        ("system_prompt", ("@@ -1 +1 @@", "-Be brief.", "+Facts only."))
    ]
    assert (found.left.model_calls, found.right.model_calls, found.left.tool_calls) == (1, 1, 0)  # the tool's is shared
    assert s.id == found.left.session


async def test_unrelated_runs_are_aligned_by_what_was_said() -> None:
    async with open_log() as log:
        a, b = await log.session("a"), await log.session("b")
        await agent(ASKS, "Take a coat.").run("Do I need a coat?", session=a)
        await agent("Where?").run("Hello", session=b)
        other = [call("weather", {"city": "Bergen"}), stop("tool_use")]
        await agent(other, "Take a coat.").run("Do I need a coat?", session=b)
        found = await diff(a, b)
    assert found.shared_seq == 0
    assert [pair.kind for pair in found.pairs] == ["right", "right", "same", "changed", "changed", "same"]
    made, result = found.pairs[3:5]
    assert [(one.left and one.left.arguments, one.right and one.right.arguments) for one in made.calls] == [
        ('{"city":"Oslo"}', '{"city":"Bergen"}')
    ]
    assert result.lines[1:] == ("-Oslo: rain", "+Bergen: rain")


async def test_arguments_are_compared_as_values_and_provider_ids_not_at_all() -> None:
    async with open_log() as log:
        a, b = await log.session("a"), await log.session("b")
        await agent([call("weather", '{"city":"Oslo"}', id="1"), stop("tool_use")], "Rain.").run("So?", session=a)
        await agent([call("weather", '{ "city": "Oslo" }', id="2"), stop("tool_use")], "Rain.").run("So?", session=b)
        assert not await diff(a, b)


async def test_a_message_that_one_branch_hides_from_the_model_is_a_difference() -> None:
    async with open_log() as log:
        s = await log.session("a")
        await agent("Hello.").run("Hi", session=s)
        t = await s.fork()
        assert not await diff(s, t)
        await t.hide((await t.messages())[0])
        [pair] = (await diff(s, t)).changes
    assert pair.lines[-1] == "+[hidden from the model]"


async def test_usage_cost_and_time_are_those_after_the_shared_part() -> None:
    now = iter(range(0, 10**9, 1000))
    async with open_log(clock=lambda: next(now)) as log:
        s = await log.session("a")
        await agent("One.").run("Hi", session=s)
        t = await s.fork()
        await Agent(scripted("Two.")).run("And?", session=t)
        found = await diff(s, t)
    assert (found.left.model_calls, found.right.model_calls) == (0, 1)
    assert found.left.model_us == 0
    assert found.right.model_us is not None
    assert found.right.model_us > 0


async def test_it_is_written_for_people_and_as_json() -> None:
    s, t, found = await branches()
    text = found.pretty()
    assert f"left   {s.id}  oslo" in text
    assert "    -Take a coat.\n    +It rains." in text
    assert "~ system prompt" in text
    assert "\x1b" not in text
    data = json.loads(found.json())
    assert data["right"]["session"] == t.id
    assert [pair["kind"] for pair in data["pairs"]] == ["changed"]


async def test_without_a_difference_it_says_so() -> None:
    async with open_log() as log:
        s = await log.session("a")
        assert "no difference" in (await diff(s, s)).pretty()


async def forked_far(log: MemoryLog, common: int, own: int) -> tuple[SessionHandle, SessionHandle]:
    """Make two branches that say so many messages each behind those they share, every third one otherwise."""
    session = await stored(log, ())
    adopted = [(0, adopt(f"shared {n}")) for n in range(common)]
    await log.append(session.id, adopted)
    fork = await session.fork()
    for one, words in ((session, "left"), (fork, "right")):
        said = [adopt(f"message {n}" if n % 3 else f"{words} {n}") for n in range(own)]
        await log.append(one.id, [(0, event) for event in said])
    return session, fork


def adopt(text: str) -> MessageAdopt:
    return MessageAdopt(message=UserMessage(content=text), origin=Origin(source="test"))


async def test_pages_of_a_comparison_are_the_comparison() -> None:
    left, right = await forked_far(memory(), 10, 45)
    whole = await compare(left, right)
    pairs: list[Pair] = []
    left_out: list[tuple[int, int]] = []
    after = (0, 0)
    while True:
        page = await compare(left, right, limit=10, after=after)
        pairs += page.pairs
        left_out.append(page.left_out)
        assert page
        assert page.left.usage is None
        assert page.left.messages == whole.left.messages
        if page.next is None:
            break
        after = page.next
    assert tuple(pairs) == whole.pairs
    assert left_out == [(35, 35), (25, 25), (15, 15), (5, 5), (0, 0)]
    assert whole.next is None
    assert whole.same_messages == page.same_messages == 10


async def test_a_page_compares_no_more_messages_the_longer_the_branches_are(monkeypatch: pytest.MonkeyPatch) -> None:
    digested = 0

    def counted(*what: object) -> bytes:
        nonlocal digested
        digested += 1
        return fingerprint(*what)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(sys.modules["replay.diff"], "fingerprint", counted)  # the package has a function of that name
    for own in (60, 600):
        digested = 0
        left, right = await forked_far(memory(), 100, own)
        page = await compare(left, right, limit=10)
        assert page.next is not None
        assert digested == 40
    assert "messages on the left and 590 on the right come behind" in page.pretty()


async def test_a_page_without_a_difference_knows_of_one_behind_it() -> None:
    log = memory()
    session = await stored(log, ())
    fork = await session.fork()
    for one, last in ((session, "left"), (fork, "right")):
        await log.append(one.id, [(0, adopt(f"message {n}")) for n in range(30)] + [(0, adopt(last))])
    page = await compare(session, fork, limit=5)
    assert not page.changes
    assert page
    copy = await session.fork()
    assert not await compare(session, copy, limit=5)


async def test_a_page_of_long_messages_is_small_and_the_next_one_goes_on() -> None:
    log = memory()
    session = await stored(log, ())
    fork = await session.fork()
    for one in (session, fork):
        sizes = (100_000, *[9_000] * 20)
        await log.append(one.id, [(0, adopt(f"{n}{one.id}" * (size // 4))) for n, size in enumerate(sizes)])
    whole, pairs, after = await compare(session, fork), list[Pair](), (0, 0)
    found: list[tuple[int, bool]] = []
    while True:
        page = await compare(session, fork, limit=50, after=after)
        pairs += page.pairs
        found.append((len(page.pairs), len(page.json()) <= 64_000))
        if page.next is None:
            break
        after = page.next
    assert tuple(pairs) == whole.pairs
    assert found[0] == (1, False)  # one message alone is larger
    assert all(count < 10 and small for count, small in found[1:])
