"""What the page reads over HTTP is what the views say, and costs what they cost."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from itertools import count, pairwise
from typing import Any, TypeVar

import msgspec
import pytest
from starlette.datastructures import Headers
from starlette.responses import StreamingResponse

from eventsource.background import running
from eventsource.codec import encode
from eventsource.events import AbortRequest, Event, Label, MessageAdopt, ModelRequest, TaskEnd, TaskStart
from eventsource.messages import UserMessage
from eventsource.models.scripted import fail
from eventsource.models.scripted.model import ScriptedModel
from eventsource.request import request_sha256
from refold import Agent, Log, Session
from refold.http.api.page.parameters import PartialQuery
from refold.http.api.page.reading import read_rows
from refold.http.api.page.requests import check_request
from refold.http.api.routes import Call, Nothing
from refold.http.api.served import Served
from refold.views.index import SessionIndex
from refold.views.jump import jump_to
from refold.views.requests import part_window, request_head
from refold.views.rows import row_columns
from refold.views.series import call_series
from refold.views.transcript import transcript_window
from tests.refold.http.pages import TOKEN, Page, served_page
from tests.refold.views.sessions import ASKS, ORIGIN, CountingLog, adopted, agent, eventful

T = TypeVar("T", bound=msgspec.Struct)


def plain(value: msgspec.Struct) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


@pytest.fixture
async def served() -> AsyncIterator[tuple[Page, Session, CountingLog]]:
    store = CountingLog()
    session = await eventful(store)
    async with served_page(Log(store, clock=lambda: 7)) as page:
        yield page, session, store


async def test_each_view_is_answered_as_it_is(served: tuple[Page, Session, CountingLog]) -> None:
    page, session, store = served
    index, path = SessionIndex(store), f"/sessions/{session.id}"
    head = await index.at(session.id)
    assert await page.get(f"{path}/rows") == plain(row_columns(head.whole.columns))
    assert await page.get(f"{path}/series") == plain(call_series(head.whole.columns, 0, 100)) | {
        "first_token_us": [0, 0, 0, 0, 0, -1, 0]  # the clock stands still, and one call failed
    }
    for seq in (1, 14, 36, 53, 78):
        at = await index.at(session.id, seq)
        [event] = await store.read(session.id, after=seq - 1, upto=seq)
        found = await page.get(f"{path}/at/{seq}")
        assert {**found, "streaming": []} == plain(jump_to(at, event))
        assert await page.get(f"{path}/requests/{seq}") == plain(request_head(at))
        assert await page.get(f"{path}/requests/{seq}/parts", limit=3) == plain(part_window(at, 0, 3))
        shown = await page.get(f"{path}/transcript", around=seq, before=5, after=5, at=seq)
        assert shown == plain(transcript_window(at, seq, 5, 5))


async def test_every_request_checks_out_and_its_parts_are_found_by_their_hashes(
    served: tuple[Page, Session, CountingLog],
) -> None:
    page, session, _ = served
    seqs = [one.seq for one in await session.events() if isinstance(one.event, ModelRequest)]
    for seq in seqs:
        path = f"/sessions/{session.id}/requests/{seq}"
        check = await page.get(f"{path}/check")
        assert (check["digest"], check["body"], check["request_seq"]) == ("equal", "unchecked", seq)
        head, window = await page.get(path), await page.get(f"{path}/parts", limit=500)
        contents = await page.get(f"{path}/contents", limit=500)
        assert [one["sha256"] for one in contents["parts"]] == [one["sha256"] for one in window["parts"]]
        for part in (*head["parts"], *window["parts"]):
            answer = await page.client.get(
                f"/api/parts/{part['sha256']}", params={"session": session.id, "seq": seq, "name": part["name"]}
            )
            assert answer.status_code == 200, answer.text
            assert hashlib.sha256(answer.content).hexdigest() == part["sha256"]
            assert "immutable" in answer.headers["cache-control"]
    await page.get(f"/parts/{'0' * 64}", 404, session=session.id, seq=seqs[0])


async def test_the_head_says_what_stands_above_the_page(served: tuple[Page, Session, CountingLog]) -> None:
    page, session, _ = served
    await session.label("here", 30)
    fork = await session.fork(at=40)
    head, info = await page.get(f"/sessions/{session.id}"), await session.info()
    assert (head["info"]["id"], head["info"]["head"], head["indexed_to"]) == (session.id, info.head, info.head)
    assert head["labels"] == [[30, "here"]]
    assert (head["forks"], head["family"]) == ([40], 3)  # with the session that summed up
    assert head["lineage"] == [[session.id, info.head]]
    assert head["cursor"]["digest"] == info.digest
    assert head["used"]["input_tokens"] == info.input_tokens
    assert sum(one["used"]["input_tokens"] for one in head["models"]) == info.input_tokens
    assert (await page.get(f"/sessions/{fork.id}"))["lineage"] == [[fork.id, 41], [session.id, 40]]


async def test_an_event_is_read_whole_and_in_pages(served: tuple[Page, Session, CountingLog]) -> None:
    page, session, _ = served
    history = await session.events()
    assert await page.get(f"/sessions/{session.id}/events/12") == json.loads(encode(history[11].event))
    found = await page.get(f"/sessions/{session.id}/events", after=10, limit=5)
    assert [one["seq"] for one in found["events"]] == [11, 12, 13, 14, 15]
    await page.get(f"/sessions/{session.id}/events/0", 404)
    await page.get(f"/sessions/{session.id}/events/{len(history) + 1}", 404)


async def test_a_request_is_compared_with_another_of_any_session(served: tuple[Page, Session, CountingLog]) -> None:
    page, session, _ = served
    fork = await session.fork(at=30)
    path = f"/sessions/{session.id}/requests/84/changes"
    default = await page.get(path)
    assert (default["request_seq"], default["against_seq"]) == (84, 76)
    early = await page.get(path, against=20)
    assert early["against_seq"] == 19  # the request that seq 20 is about
    other = await page.get(path, against=f"{fork.id}:20")
    assert other["against_session"] == fork.id
    assert [one["kind"] for one in other["changes"]] == [one["kind"] for one in early["changes"]]
    await page.get(path, 422, against="soon")
    await page.get(path, 404, against="nobody:3")


async def test_messages_of_two_branches_are_compared_in_their_order_and_not_by_their_seqs() -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session = await log.session("main")
    await agent("One.").run("First?", session=session)
    left, right, later = [await session.fork(title=title) for title in ("left", "right", "later")]
    await agent(ASKS, "Rain.").run("Left?", session=left)
    for _ in range(6):
        await later.label("six events more", 1)  # so that its seqs are those of other messages
    for branch in (right, later):
        await agent("Sun.").run("Right?", session=branch)
    names = [{one.seq: one.message.role for one in await each.messages()} for each in (left, later)]
    assert any(role != names[1].get(seq, role) for seq, role in names[0].items())
    async with served_page(log) as page:
        path = f"/sessions/{left.id}/requests/{(await left.info()).head}/changes"
        for branch in (right, later):
            found = (await page.get(path, against=f"{branch.id}:{(await branch.info()).head}"))["changes"]
            assert [(one["kind"], one["part"]["role"]) for one in found] == [
                ("changed", "user"),
                ("changed", "assistant"),
                ("added", "tool_result"),
                ("added", "assistant"),
            ]
            assert (found[0]["before"]["text"], found[0]["part"]["text"]) == ("Right?", "Left?")


async def test_two_branches_are_compared_by_pages(served: tuple[Page, Session, CountingLog]) -> None:
    page, session, _ = served
    fork = await session.fork(at=30)
    await agent("Another.").run("And now?", session=fork)
    head = await page.get("/diff", left=session.id, right=fork.id)
    assert (head["shared_seq"], head["differs"]) == (30, True)
    assert head["left"]["usage"] is not None
    assert head["own_messages"] == [head["left"]["messages"], head["right"]["messages"]]
    pairs: list[dict[str, Any]] = []
    after: dict[str, Any] = {}
    while True:
        found = await page.get("/diff/pairs", left=session.id, right=fork.id, limit=2, **after)
        pairs += found["pairs"]
        if found["next"] is None:
            break
        after = {"after_left": found["next"][0], "after_right": found["next"][1]}
    left = sum(one["count"] for one in pairs if one["left"] is not None and one["left"]["seq"] > 30)
    assert left == head["left"]["messages"]
    assert any(one["kind"] == "changed" and one["pieces"] for one in pairs)


async def test_a_family_and_a_search_are_answered(served: tuple[Page, Session, CountingLog]) -> None:
    page, session, _ = served
    fork = await session.fork(at=40, title="fork")
    family = await page.get(f"/sessions/{fork.id}/family")
    assert [one["info"]["id"] for one in family["members"]] == [session.id, "s2", fork.id]
    hits = await page.get("/search", q="coat", limit=2)
    assert len(hits["hits"]) == 2
    assert hits["next"]
    rest = await page.get("/search", q="coat", after=hits["next"])
    assert {one["seq"] for one in hits["hits"]}.isdisjoint(one["seq"] for one in rest["hits"])
    own = len(hits["hits"]) + len(rest["hits"])
    assert hits["counts"] == [{"session": session.id, "hits": own, "more": False}]
    assert rest["counts"] == []
    inside = await page.get("/search", q="coat", session=fork.id, limit=1)
    history = await page.get("/search", q="coat", session=fork.id)
    assert inside["counts"] == [{"session": fork.id, "hits": len(history["hits"]), "more": False}]
    first = hits["hits"][0]
    [start, stop] = first["marks"][0]
    assert first["excerpt"][start:stop].lower() == "coat"


async def test_a_text_is_found_in_the_table_however_often_it_stands_there() -> None:
    """One in few sessions is looked up; of one in many it is asked by pages, or all are looked up."""
    store = CountingLog()
    for number in range(400):
        parts = {"half": number % 2, "fourth": number % 4 == 1, "third": number % 3 == 0, "none of it": number == 3}
        words = f"all {' '.join(part for part, is_said in parts.items() if is_said)} {number}"
        await store.create(f"s{number}")
        event = MessageAdopt(message=UserMessage(content=words), origin=ORIGIN)
        await store.append(f"s{number}", [(number, event)])
    async with served_page(Log(store, clock=lambda: 7)) as page:

        async def found(text: str) -> list[str]:
            seen: list[str] = []
            after: dict[str, Any] = {}
            while True:
                answer = await page.get("/sessions", filter=text, limit=150, sort="events", **after)
                seen += [one["info"]["id"] for one in answer["sessions"]]
                if not answer["next"]:
                    return seen
                after = {"after": answer["next"]}

        latest = [f"s{number}" for number in reversed(range(400))]
        assert await found("all") == latest
        assert await found("half") == latest[::2]
        assert await found("third all") == latest[::3]
        assert await found("fourth") == latest[2::4]
        few = await page.get("/sessions", filter="fourth", limit=150)
        assert few["looked_at"] == 151 + 62  # of those behind the first page the rows are read that hold it
        assert await found('"none of it"') == ["s3"]
        assert await found("half third") == latest[::6]
        assert await found("nothing half") == []


async def test_hits_in_a_session_are_counted_up_to_a_thousand() -> None:
    store = CountingLog()
    await adopted(store, 1_100)
    async with served_page(Log(store, clock=lambda: 7)) as page:
        found = await page.get("/search", q="question", limit=1)
        assert found["counts"] == [{"session": "long", "hits": 1_000, "more": True}]


async def test_the_table_is_filtered_sorted_and_paged() -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    for number in range(5):
        session = await log.session(f"session {number}")
        for _ in range(number + 1):
            await agent("Fine.").run(f"Question {number}?", session=session)
    fork = await (await log.session("session 1")).fork(title="fork of one")
    async with served_page(log) as page:
        whole = await page.get("/sessions")
        assert len(whole["sessions"]) == 6
        assert {one["info"]["title"]: one["forks"] for one in whole["sessions"]}["session 1"] == 1
        by_turns = await page.get("/sessions", sort="turns", limit=2)
        assert [one["info"]["turns"] for one in by_turns["sessions"]] == [5, 4]
        next_page = await page.get("/sessions", sort="turns", limit=2, after=by_turns["next"])
        assert [one["info"]["turns"] for one in next_page["sessions"]] == [3, 2]
        few = await page.get("/sessions", filter="turns>2")
        assert sorted(one["info"]["turns"] for one in few["sessions"]) == [3, 4, 5]
        words = await page.get("/sessions", filter='"Question 3"')
        assert [one["info"]["title"] for one in words["sessions"]] == ["session 3"]
        assert [one["info"]["id"] for one in (await page.get("/sessions", filter="title:fork"))["sessions"]] == [
            fork.id
        ]
        assert (await page.get("/sessions", filter="status:failed"))["sessions"] == []
        seen: list[str] = []
        after: dict[str, Any] = {}
        while True:
            found = await page.get("/sessions", limit=2, **after)
            seen += [one["info"]["id"] for one in found["sessions"]]
            if not found["next"]:
                break
            after = {"after": found["next"]}
        assert sorted(seen) == sorted(one["info"]["id"] for one in whole["sessions"])
        refused = await page.get("/sessions", 422, filter="colour:red")
        assert "there is no field 'colour'" in refused["detail"]
        await adopted(store, 1, "imported")
        branch = await store.fork("imported", 2, at_us=1, title="called")
        for text, names in (("tool:Bash", {"imported", branch.id}), ("tool:bash title:called", {branch.id})):
            assert {one["info"]["id"] for one in (await page.get("/sessions", filter=text))["sessions"]} == names
        assert len((await page.get("/sessions", filter="tool:weather"))["sessions"]) == 0
        await store.create("taken", source="claude-code:12")
        for text, many in (("source:claude-code", 1), ("source:any", 1), ("source:claude", 0), ("source:codex", 0)):
            assert len((await page.get("/sessions", filter=text))["sessions"]) == many, text


async def test_what_was_cancelled_is_found_without_reading_every_idle_session() -> None:
    """Of idle sessions those are read whose last run did not end well, and with them what is to be cancelled."""
    store = CountingLog()
    begun = TaskStart(task="t", retries=0)
    asked = AbortRequest(reason="aborted", cause="cancel", error="no more")
    tasks: dict[int, tuple[Event, ...]] = {
        2: (begun, asked),
        5: (begun, asked, TaskEnd(cancelled=True, error="no more")),
        6: (begun, TaskEnd(result=msgspec.Raw(b"1"))),
    }
    for number in range(8):
        name = f"s{number}"
        await store.create(name)
        events = tasks.get(number, (Label(target_seq=0, text="idle"),))
        await store.append(name, [(10 * number, event) for event in events])
    async with served_page(Log(store, clock=lambda: 7)) as page:
        found = await page.get("/sessions", filter="status:cancelled", sort="updated")
        assert [(one["info"]["id"], one["reason"]) for one in found["sessions"]] == [
            ("s5", "no more"),
            ("s2", "no more"),
        ]
        assert found["looked_at"] == 2
        first = await page.get("/sessions", filter="status:cancelled", limit=1)
        assert [one["info"]["id"] for one in first["sessions"]] == ["s5"]
        second = await page.get("/sessions", filter="status:cancelled", limit=1, after=first["next"])
        assert [one["info"]["id"] for one in second["sessions"]] == ["s2"]


async def test_a_page_of_a_long_session_reads_the_log_once_and_then_a_few_facts() -> None:
    store = CountingLog()
    name = await adopted(store, 500)
    async with served_page(Log(store, clock=lambda: 7)) as page:
        await page.get(f"/sessions/{name}/rows")
        assert store.read_events == 2_000
        for seq in (3, 777, 1_999):
            before = store.read_events
            found = await page.client.get(f"/api/sessions/{name}/at/{seq}")
            assert store.read_events - before <= 51
            assert len(found.content) < 8_000
            before = store.read_events
            await page.get(f"/sessions/{name}/requests/{seq}")
            await page.get(f"/sessions/{name}/requests/{seq}/parts", limit=50)
            await page.get(f"/sessions/{name}/transcript", around=seq)
            assert store.read_events - before <= 150
        rows = await page.client.get(f"/api/sessions/{name}/rows")
        assert len(rows.content) < 40 * 2_000


async def test_what_takes_long_lets_others_have_their_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows of a session are written, and a request is put together, in slices; it is hashed beside the loop."""
    monkeypatch.setattr("refold.views.rows.PIECE_ROWS", 100)
    monkeypatch.setattr("refold.views.requests.SLICE_PARTS", 50)
    store = CountingLog()
    name = await adopted(store, 100)
    served = Served(Log(store, clock=lambda: 7), TOKEN)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def asked(query: T, **path: str) -> Call[T, Nothing]:
        return Call(served, {"session": name, **path}, query, Nothing(), Headers())

    async with running(others()):
        answer = await read_rows(asked(PartialQuery()))
        assert isinstance(answer, StreamingResponse)
        pieces, at = list[bytes](), list[int]()
        async for piece in answer.body_iterator:
            assert isinstance(piece, bytes)
            pieces.append(piece)
            at.append(turns)
        assert len(pieces) == 2 + 9 * (2 + 4)
        assert all(before < after for before, after in pairwise(at))
        columns = row_columns((await served.index.whole(name))[1].columns)
        assert msgspec.json.decode(b"".join(pieces)) == plain(columns)
        before = turns
        found = await check_request(asked(Nothing(), seq="400"))
        assert turns - before >= 400 / 50
        session = await Log(store, clock=lambda: 7).find(name)
        assert found.request_sha256 == request_sha256(await session.request(at=399))
    await served.stop()


async def test_many_who_ask_at_once_have_the_log_read_once() -> None:
    store = CountingLog()
    name = await adopted(store, 200)
    async with served_page(Log(store, clock=lambda: 7)) as page:
        await asyncio.gather(*(page.get(f"/sessions/{name}/rows") for _ in range(8)))
        assert store.read_events == 800


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/sessions/nobody", 404),
        ("/sessions/nobody/rows", 404),
        ("/sessions/main/at/1000", 404),
        ("/sessions/main/at/x", 422),
        ("/sessions/main/at/-1", 422),
        ("/sessions/main/at/99999999999", 422),
        ("/sessions/main/previews?limit=0", 422),
        ("/sessions/main/previews?limit=501", 422),
        ("/sessions/main/previews?from=-1", 422),
        ("/sessions/main/transcript?around=x", 422),
        ("/sessions/main/requests/20/body", 404),
        ("/sessions/main/spans?px=0", 422),
        ("/diff?left=main", 422),
        ("/sessions?sort=colour", 422),
        ("/search?q=", 422),
        ("/search?q=x&after=x", 422),
    ],
)
async def test_what_cannot_be_asked_says_why(served: tuple[Page, Session, CountingLog], path: str, status: int) -> None:
    page, _, _ = served
    found = await page.get(path, status)
    assert found["status"] == status
    assert found["detail"]


async def test_previews_spans_and_the_wire_body_are_answered() -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    name = await adopted(store, 3)
    async with served_page(log) as page:
        found = await page.get(f"/sessions/{name}/previews", **{"from": 4, "limit": 2})
        assert [one["preview"] for one in found["rows"]] == ["question 1", 'calls bash({"n": 1})']
        assert found["rows_in_all"] == 12
        spans = await page.get(f"/sessions/{name}/spans", px=10)
        assert spans["spans_in_all"] == sum(bar["spans"] for bar in spans["bars"])


async def test_when_answers_began_is_read_of_some_calls_at_a_time_and_of_each_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("refold.http.api.page.charts._MOST_READ", 2)
    store, ticks, told = CountingLog(), count(1), list[tuple[int, int]]()
    log = Log(store, clock=lambda: 1_000 * next(ticks))
    session = await log.session("main")
    for _ in range(3):
        await agent(ASKS, "Rain.").run("Well?", session=session)
    await agent([fail("overloaded")]).run("Still there?", session=session)
    async with served_page(log) as page:
        path = f"/sessions/{session.id}/spans"
        await page.get(f"/sessions/{session.id}")
        while not told or told[-1][0]:
            before = store.reads
            found = await page.get(path, px=10_000)
            began = [bar["first_token_us"] for bar in found["bars"] if bar["kind"] == "model"]
            told.append((found["first_tokens_left"], sum(one is not None for one in began)))
            assert store.reads - before <= 2
        assert told == [(4, 2), (2, 4), (0, 6)]
        assert len(began) == 7
        before = store.reads
        assert (await page.get(path, px=10_000))["first_tokens_left"] == 0
        assert store.reads == before


async def test_without_the_token_nothing_is_told(served: tuple[Page, Session, CountingLog]) -> None:
    page, session, _ = served
    for path in ("/api/sessions", f"/api/sessions/{session.id}/rows", f"/api/sessions/{session.id}/at/3"):
        assert (await page.client.get(path, headers={"authorization": "Bearer wrong"})).status_code == 401


async def test_the_words_of_a_call_and_of_an_answer_are_found_in_what_was_sent(
    served: tuple[Page, Session, CountingLog],
) -> None:
    page, session, _ = served
    of_call = await page.get(f"/sessions/{session.id}/sources/14")
    assert (of_call["message_seq"], of_call["request_seq"]) == (12, 7)
    of_answer = await page.get(f"/sessions/{session.id}/sources/24")
    assert (of_answer["message_seq"], of_answer["request_seq"], of_answer["terms"]) == (24, 19, [])
    await page.get(f"/sessions/{session.id}/sources/1", 404)


class GatedLog(CountingLog):
    """A log of which nothing behind a seq is read until it may be."""

    def __init__(self, seq: int) -> None:
        super().__init__()
        self.seq, self.may_go_on = seq, asyncio.Event()

    async def read(self, session: str, *, after: int = 0, **asked: Any) -> Any:
        if after >= self.seq:
            await self.may_go_on.wait()
        return await super().read(session, after=after, **asked)


async def test_a_session_that_is_being_indexed_is_answered_as_far_as_it_has_come() -> None:
    store = GatedLog(2_000)
    await adopted(store, 1_000)
    async with served_page(Log(store, clock=lambda: 7)) as page:
        with pytest.MonkeyPatch.context() as patch:
            for asks in (SessionIndex.whole, SessionIndex.at):  # which wait in vain, until the store may go on
                patch.setitem(asks.__kwdefaults__ or {}, "patience_s", 0.1)
            while (head := await page.get("/sessions/long", partial=True))["indexed_to"] < store.seq:
                assert head["info"]["head"] == 4_000
            rows = await page.get("/sessions/long/rows", partial=True)
            assert rows["indexed_to"] == head["indexed_to"] == sum(rows["seq"]) + rows["last_seq"][-1]
            window = await page.get("/sessions/long/previews", **{"from": 10, "limit": 2})
            assert (window["rows_in_all"], len(window["rows"])) == (len(rows["seq"]), 2)
            assert (await page.get(f"/sessions/long/at/{head['indexed_to']}"))["seq"] == head["indexed_to"]
        store.may_go_on.set()
        assert (await page.get("/sessions/long/rows"))["indexed_to"] == 4_000
        whole = await page.get("/sessions/long", partial=True)
        assert (whole["indexed_to"], whole["rows"]) == (4_000, len((await page.get("/sessions/long/rows"))["seq"]))


async def test_a_text_is_read_in_slices_of_whole_characters() -> None:
    said = "a🧥é" * 100
    log = Log(CountingLog(), clock=lambda: 7)
    session = await log.session("main")
    await Agent(ScriptedModel([said])).run("Well?", session=session)
    name = (await session.messages())[-1].seq
    async with served_page(log) as page:
        path, read, end = f"/sessions/{session.id}/messages/{name}/text", "", 0
        while end < len(said):
            found = await page.get(path, **{"from": end, "limit": 7})
            assert found["characters"] == len(said)
            read, end = read + found["text"], found["end"]
        assert read == said
        assert await page.get(path, **{"from": 900}) == {"text": "", "end": 300, "characters": 300}
        await page.get(f"/sessions/{session.id}/messages/{name + 1}/text", 404)
        await page.get(path, 422, limit=0)
