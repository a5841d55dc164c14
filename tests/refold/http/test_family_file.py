"""A file with several sessions: which ones, what each says, and what is said of those that are not there."""

from __future__ import annotations

from itertools import chain, combinations, count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventsource.log.memory import MemoryLog
from eventsource.models.scripted.script import Answer
from refold import Agent, Log, Session
from refold.http.page_file import chosen as choosing, comparisons
from refold.http.page_file.chosen import chosen
from refold.http.page_file.file import session_file
from refold.testing import ScriptedModel, call, scripted, stop
from replay.omitting import OMITTED, Omitted
from tests.refold.http.pages import served_page
from tests.refold.http.secretive import TEXTS, read, secretive
from tests.refold.http.test_omitted_file import all_of
from tests.refold.http.test_page_file import built, written
from tests.refold.http.unpacking import unpacked
from tests.refold.views.sessions import CountingLog, adopted

CHOICES = tuple(chain.from_iterable(combinations(OMITTED, many) for many in range(1, len(OMITTED) + 1)))


async def family(store: CountingLog) -> tuple[Session, Session, Session]:
    """A session that started an agent and was compacted, a fork of it that started another, and a fork of that."""
    session = await secretive(store, "first")
    fork = await session.fork(title="second")
    helper: Agent[None] = Agent(scripted("Rain."), name="late", system="Help.", tools=[read])
    asks: Answer = [call("late", {"prompt": "Sky?"}), stop("tool_use")]
    await Agent(ScriptedModel([asks, "A coat."]), system="Be kind.", tools=[helper.as_tool()]).run("So?", session=fork)
    last = await fork.fork(title="third")
    await Agent(scripted("Boots."), system="Be kind.").run("What else?", session=last)
    return session, fork, last


async def names(store: CountingLog, ids: tuple[str, ...]) -> list[str]:
    return [(await store.info(one)).title.partition(" for ")[0] for one in ids]


async def test_a_file_has_the_agents_that_were_started_in_its_session() -> None:
    store = CountingLog()
    session, fork, last = await family(store)
    found = await chosen(store, session.id)
    assert await names(store, found.inside) == ["first", "agent:helper"]
    assert found.without == ("3 other sessions of its family", "1 session in which summaries were written")
    found = await chosen(store, last.id)
    assert await names(store, found.inside) == ["third", "agent:helper", "agent:late"]
    assert (await chosen(store, fork.id)).inside[0] == fork.id


async def test_agents_that_an_ancestor_started_after_the_fork_are_not_of_its_history() -> None:
    store = MemoryLog(clock=count(1).__next__, new_id=map("s{}".format, count(1)).__next__)
    session = await Log(store).session("first")
    fork = await session.fork(at=0)
    helper: Agent[None] = Agent(scripted("Rain."), name="late", system="Help.")
    asks: Answer = [call("late", {"prompt": "Sky?"}), stop("tool_use")]
    await Agent(ScriptedModel([asks, "A coat."]), tools=[helper.as_tool()]).run("So?", session=session)
    assert (await chosen(store, fork.id)).inside == (fork.id,)
    assert len((await chosen(store, session.id)).inside) == 2


async def test_with_its_family_a_file_has_the_whole_tree_branches_first() -> None:
    store = CountingLog()
    _, fork, _ = await family(store)
    found = await chosen(store, fork.id, family=True)
    there = await names(store, found.inside)
    assert (there[:3], sorted(there[3:])) == (["second", "first", "third"], ["agent:helper", "agent:late", "summary"])
    assert found.without == ()


async def test_who_would_tell_what_is_left_out_is_not_in_the_file() -> None:
    store = CountingLog()
    session, _, _ = await family(store)
    found = await chosen(store, session.id, family=True, omit=["images"])
    assert await names(store, found.inside) == ["first", "second", "third", "agent:helper", "agent:late"]
    assert found.without == ("1 session in which summaries were written",)
    found = await chosen(store, session.id, family=True, omit=["results"])
    assert await names(store, found.inside) == ["first", "second", "third"]
    assert found.without == (
        "2 sessions of agents, whose answers are results of tools",
        "1 session in which summaries were written",
    )
    helper = next(one for one in (await chosen(store, session.id)).inside if one != session.id)
    assert (await chosen(store, helper, family=True, omit=["results"])).inside == (helper,)


async def test_a_tree_that_is_too_long_is_cut_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    store = CountingLog()
    session, _, _ = await family(store)
    monkeypatch.setattr(choosing, "MOST_SESSIONS", 3)
    found = await chosen(store, session.id, family=True)
    assert await names(store, found.inside) == ["first", "second", "third"]
    assert found.without == ("3 sessions of its family, with which the file would be too long",)
    monkeypatch.setattr(choosing, "MOST_EVENTS", (await store.info(found.inside[1])).head)
    assert await names(store, (await chosen(store, session.id, family=True)).inside) == ["first", "second"]


async def test_each_session_and_each_comparison_says_what_the_server_says() -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session, fork, last = await family(store)
    whole = await written(log, fork.id, family=True)
    facts: dict[str, list[Any]] = {}
    async with served_page(log) as page:
        assert whole["family"] == await page.get(f"/sessions/{fork.id}/family")
        for one in sorted(whole["sessions"], key=lambda one: one["head"]["info"]["number"]):
            name = one["head"]["info"]["id"]
            path = f"/sessions/{name}"
            above, upto = one["inherited"] or ("", 0)
            shared = [{**fact, "session": name} for fact in facts.get(above, []) if fact["seq"] <= upto]
            facts[name] = [*shared, *one["facts"]]
            assert facts[name] == (await page.get(f"{path}/events", updates="none"))["events"]
            assert one["head"] == await page.get(path)
            assert one["rows"] == await page.get(f"{path}/rows")
            assert one["messages"] == (await page.get(f"{path}/transcript", before=500))["messages"]
            assert len(one["jumps"]) == len(facts[name])
            for request in one["requests"]:
                head = await page.get(f"{path}/requests/{request['head']['seq']}")
                config = [whole["lines"][line]["line"] for line in request["config"]]
                assert {**request["head"], "parts": config, "tools": whole["tools"][request["tools"]]} == head
        sides = [tuple(one["head"][side]["session"] for side in ("left", "right")) for one in whole["comparisons"]]
        assert sides == [tuple(one) for one in whole["compared"]]
        compared = dict(zip(sides, whole["comparisons"], strict=True))
        branches = (session.id, fork.id, last.id)
        assert sorted(compared) == sorted((left, right) for left in branches for right in branches if left != right)
        for (left, right), one in compared.items():
            assert one["head"] == await page.get("/diff", left=left, right=right)
            pairs = await page.get("/diff/pairs", left=left, right=right, limit=500)
            assert (one["pairs"], pairs["next"]) == (pairs["pairs"], None)


async def test_comparisons_that_are_too_many_or_too_long_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    store = CountingLog()
    log = Log(store)
    session, _, _ = await family(store)
    monkeypatch.setattr(comparisons, "MOST_COMPARED", 2)
    whole = await written(log, session.id, family=True)
    assert "comparisons of 1 of its branches with any but the first" in whole["without"]
    assert len(whole["comparisons"]) == 4
    monkeypatch.setattr(comparisons, "MOST_PAIRS", 0)
    whole = await written(log, session.id, family=True)
    assert (whole["comparisons"], len(whole["without"])) == ([], 5)
    assert "4 comparisons of branches with more than 0 messages" in whole["without"]


@pytest.mark.parametrize("omit", CHOICES, ids="-".join)
async def test_what_is_left_out_is_in_no_session_of_the_file(omit: tuple[Omitted, ...], tmp_path: Path) -> None:
    store = CountingLog()
    session, _, last = await family(store)
    for one in (session, last):
        page = await session_file(
            Log(store, clock=lambda: 7), one.id, family=True, omit=omit, page=built(tmp_path / one.id)
        )
        found = all_of(page)
        assert [text for kind in omit for text in TEXTS[kind] if text in found] == []
        assert "qzwxanswer" in found
        titles = [each["head"]["info"]["title"] for each in unpacked(page)["sessions"]]
        assert ("agent:helper" in titles) is ("results" not in omit)


async def test_texts_of_long_sessions_are_whole() -> None:
    store = CountingLog()
    name = await adopted(store, 100)
    session = await Log(store).find(name)
    long = "qzwx " * 10_000
    await Agent(scripted(long)).run(long, session=session)
    whole = await written(Log(store), name)
    assert len(whole["messages"]) > 250
    assert [one["text"]["text"] for one in whole["messages"][-2:]] == [long, long]
    assert msgspec.json.encode(whole["messages"]).count(b'"result_seq":0') == 0
