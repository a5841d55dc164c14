"""A session as a file says of each fact what a server answers; it asks nobody, and nothing breaks out of it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from eventsource.errors import StoreError
from refold import Log
from refold.http.api.served import Served
from refold.http.page_file import archive as archives
from refold.http.page_file.archive import archive
from refold.http.page_file.chosen import chosen
from refold.http.page_file.file import session_file
from tests.refold.http.pages import served_page
from tests.refold.http.unpacking import content_of, unpacked, unpacked_archive
from tests.refold.views.sessions import CountingLog, adopted, agent, eventful

INDEX = """<!doctype html>
<html><head><link rel="icon" href="/assets/icon-1.svg" />
<script type="module" crossorigin src="/assets/index-1.js"></script>
<link rel="stylesheet" crossorigin href="/assets/style-1.css"></head>
<body><div id="page"></div><noscript>Needs scripts.</noscript></body></html>
"""
SCRIPT = 'const close = "</script>"; run(close);'


async def written(log: Log, session: str, *, family: bool = False) -> Any:
    """Write a session into a file, and read it as one object: what is of all sessions, and that of this one."""
    served = Served(log, token="")
    try:
        found = await chosen(log.store, session, family=family)
        return unpacked_archive(*await archive(served, found, version="0"))
    finally:
        await served.stop()


def lines(whole: Any, number: int) -> list[Any]:
    """Put the lines of a request together, as the page does."""
    found: dict[int, Any] = {}
    for request, (keep, numbers) in zip(whole["requests"][: number + 1], whole["sent"], strict=False):
        own = {keep + n: whole["lines"][line]["line"] for n, line in enumerate(numbers)}
        kept = {place: line for place, line in found.items() if request["first"] <= place < keep}
        found = {**kept, **own}
    return [found[place] for place in sorted(found)]


async def test_of_each_fact_it_says_what_the_server_answers() -> None:
    store = CountingLog()
    session = await eventful(store)
    log = Log(store, clock=lambda: 7)
    whole = await written(log, session.id)
    path = f"/sessions/{session.id}"
    async with served_page(log) as page:
        assert whole["head"] == await page.get(path)
        assert whole["rows"] == await page.get(f"{path}/rows")
        assert whole["family"] == await page.get(f"{path}/family")
        assert whole["previews"] == (await page.get(f"{path}/previews", limit=500))["rows"]
        assert whole["messages"] == (await page.get(f"{path}/transcript", before=500))["messages"]
        assert whole["series"] == await page.get(f"{path}/series", limit=500)
        facts = (await page.get(f"{path}/events", updates="none"))["events"]
        assert whole["facts"] == facts
        assert len(whole["jumps"]) == len(facts) > 60
        for fact, jump in zip(facts, whole["jumps"], strict=True):
            jump["event"]["value"] = fact["event"]
            assert jump == await page.get(f"{path}/at/{fact['seq']}")
            number = whole["asked"][whole["seqs"].index(fact["seq"])]
            request = whole["requests"][number]
            head = await page.get(f"{path}/requests/{fact['seq']}")
            config = [whole["lines"][line]["line"] for line in request["config"]]
            tools = whole["tools"][request["tools"]]
            assert {**request["head"], "parts": config, "tools": tools, "seq": fact["seq"]} == head
            parts = await page.get(f"{path}/requests/{fact['seq']}/parts", limit=500)
            assert (lines(whole, number), whole["left_out"][request["left_out"]]) == (parts["parts"], parts["left_out"])
            assert request["changes"] == await page.get(f"{path}/requests/{fact['seq']}/changes", limit=200)
            check = await page.get(f"{path}/requests/{fact['seq']}/check")
            assert request["check"] == {**check, "body": "unchecked"}
            for one in (*parts["parts"], *head["parts"]):
                query = {"session": session.id, "seq": fact["seq"], "name": one["name"]}
                assert content_of(whole, one["sha256"]) == await page.get(f"/parts/{one['sha256']}", **query)
        assert whole["message_seqs"] == [one["seq"] for one in whole["messages"]]
        for row, said in zip(whole["source_rows"], whole["sources"], strict=True):
            seq = whole["previews"][row]["last_seq"]
            assert said == await page.get(f"{path}/sources/{seq}")
        assert whole["sources"]


async def test_a_request_stands_there_once_however_many_facts_are_about_it() -> None:
    store = CountingLog()
    log = Log(store)
    name = await adopted(store, 50)
    whole = await written(log, name)
    assert len(whole["facts"]) == 200
    assert len(whole["requests"]) >= 50
    assert len(whole["lines"]) <= 250
    assert sum(len(lines) for _, lines in whole["sent"]) < 500
    assert whole["without"] == ["wire bodies", "comparisons of requests with any but the one before"]


async def test_what_is_too_much_for_a_file_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_LINES", 20)
    monkeypatch.setattr(archives, "MOST_SEARCHED", 100)
    store = CountingLog()
    log = Log(store)
    name = await adopted(store, 50)
    session = await log.find(name)
    await session.fork(at=20)
    await agent("A long answer that comes in several pieces.").run("Well?", session=session)
    whole = await written(log, name)
    assert whole["sources"] == []
    last = whole["requests"][-1]
    assert (last["first"], len(lines(whole, len(whole["requests"]) - 1))) == (last["head"]["messages"] - 20, 20)
    checks = [one["check"] for one in whole["requests"]]
    assert checks[0]["request_sha256"]
    assert all(one["request_sha256"] for one in checks if one["recorded_sha256"])
    assert whole["without"] == [
        "pieces of streamed messages",
        "all but the last 20 messages of each request",
        "digests of requests of more than 20 messages that have none on record",
        "where answers have their words from, of more than 100 messages",
        "wire bodies",
        "comparisons of requests with any but the one before",
        "1 other session of its family",
    ]


def built(folder: Path) -> Path:
    """A page as a build leaves it."""
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX)
    for name, text in {"icon-1.svg": "<svg/>", "index-1.js": SCRIPT, "style-1.css": "p {}"}.items():
        (folder / "assets" / name).write_text(text)
    return folder


async def test_the_file_has_all_it_needs_and_lets_nothing_else_run(tmp_path: Path) -> None:
    store = CountingLog()
    log = Log(store)
    session = await log.session("</noscript><script>alert(1)</script>")
    await agent("</script><script>alert(2)</script>").run("<!-- <script> -->", session=session)
    page = (await session_file(log, session.id, page=built(tmp_path))).decode()
    assert "/assets/" not in page
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["data:image/svg+xml;base64,PHN2Zy8+"]
    whole = unpacked(page.encode())
    assert whole["sessions"][0]["head"]["info"]["id"] == session.id
    scripts = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    assert scripts == [SCRIPT.replace("</script", "\\x3c/script")]
    assert page.count("<script") == 2 + SCRIPT.count("<script")
    (policy,) = re.findall(r'http-equiv="content-security-policy" content="([^"]*)"', page)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (scripts[0], "p {}")]
    assert f"script-src 'sha256-{hashes[0]}';" in policy
    assert f"style-src 'sha256-{hashes[1]}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "connect-src" not in policy
    (plain,) = re.findall(r"<noscript>(.*?)</noscript>", page, re.DOTALL)
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in plain
    assert "Needs scripts." not in page


async def test_the_same_session_is_the_same_file(tmp_path: Path) -> None:
    log = Log(CountingLog())
    session = await log.session("coats")
    await agent("Take a coat.").run("Do I need one?", session=session)
    page = built(tmp_path)
    assert await session_file(log, session.id, page=page) == await session_file(log, session.id, page=page)


async def test_without_a_built_page_it_says_how_to_build_one(tmp_path: Path) -> None:
    log = Log(CountingLog())
    session = await log.session("coats")
    with pytest.raises(StoreError, match="make ui"):
        await session_file(log, session.id, page=tmp_path)
