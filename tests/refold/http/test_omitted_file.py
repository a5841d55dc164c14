"""What was to be left out of a file is nowhere in it, and the file says so."""

from __future__ import annotations

import re
from itertools import chain, combinations
from pathlib import Path

import httpx
import msgspec
import pytest

from refold import Log
from refold.http import serving_log
from refold.http.page_file.file import session_file
from replay.omitting import MARKS, OMITTED, Omitted
from tests.refold.http.pages import TOKEN
from tests.refold.http.secretive import TEXTS, WORDS, secretive
from tests.refold.http.test_page_file import built
from tests.refold.http.unpacking import unpacked
from tests.refold.views.sessions import CountingLog

CHOICES = tuple(chain.from_iterable(combinations(OMITTED, many) for many in range(1, len(OMITTED) + 1)))


def all_of(page: bytes) -> str:
    """A file with what is packed in it, in one text: as it is written there, and without the marks of JSON in JSON."""
    whole = msgspec.json.encode(unpacked(page)).decode()
    return page.decode() + whole + whole.replace("\\", "")


def plain(page: bytes) -> str:
    """What who runs no scripts reads."""
    (found,) = re.findall(rb"<noscript>(.*?)</noscript>", page, re.DOTALL)
    return str(found.decode())


async def test_all_of_it_is_there_when_nothing_is_left_out(tmp_path: Path) -> None:
    store = CountingLog()
    session = await secretive(store)
    page = await session_file(Log(store), session.id, page=built(tmp_path))
    found = all_of(page)
    kept = [text for kind in OMITTED for text in TEXTS[kind] if text != "qzwxchildthought"]
    assert [text for text in (*kept, *WORDS) if text not in found] == []
    assert unpacked(page)["omitted"] == []
    assert "Left out of this" not in plain(page)


@pytest.mark.parametrize("omit", CHOICES, ids="-".join)
async def test_what_is_left_out_is_nowhere_in_the_file(omit: tuple[Omitted, ...], tmp_path: Path) -> None:
    store = CountingLog()
    session = await secretive(store)
    page = await session_file(Log(store, clock=lambda: 7), session.id, omit=omit, page=built(tmp_path))
    found = all_of(page)
    assert [text for kind in omit for text in TEXTS[kind] if text in found] == []
    assert [text for text in WORDS if text not in found] == []
    kept = [TEXTS[kind][0] for kind in OMITTED if kind not in omit]
    if "results" in omit:  # with its images
        kept = [one for one in kept if one != TEXTS["images"][0]]
    assert [text for text in kept if text not in found] == []
    whole, read = unpacked(page), plain(page)
    for kind in omit:
        assert MARKS[kind] in read
    assert whole["omitted"]
    assert f"Left out of this: {', '.join(whole['omitted'])}." in read
    for request in whole["requests"]:
        assert request["check"]["digest"] == "unchecked"
        assert request["check"]["recorded_sha256"] == ""
    asked = [one["event"] for one in whole["facts"] if one["event"]["type"] == "model_request"]
    assert {one["request_sha256"] for one in asked} == {""}


async def test_what_was_left_out_is_counted_and_marked_where_it_stood(tmp_path: Path) -> None:
    store = CountingLog()
    session = await secretive(store)
    whole = unpacked(await session_file(Log(store, clock=lambda: 7), session.id, omit=OMITTED, page=built(tmp_path)))
    assert whole["omitted"][:3] == ["5 tool results", "1 image", "4 pieces of thinking"]
    calls = {call["name"]: call for message in whole["messages"] for call in message["calls"]}
    assert {name: (call["result"]["text"], call["is_error"]) for name, call in calls.items()} == {
        "read": (MARKS["results"], True),
        "boom": (MARKS["results"], True),
        "helper": (MARKS["results"], False),
    }
    thoughts = [one["thinking"]["text"].splitlines() for one in whole["messages"] if one["thinking"]]
    assert {line for lines in thoughts for line in lines} == {MARKS["thinking"]}
    assert any(MARKS["images"] in one["text"]["text"] for one in whole["messages"])
    assert any(MARKS["images"] in one["preview"] for one in whole["previews"])


async def test_the_server_writes_such_a_file_too() -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session = await secretive(store)
    async with serving_log(log, token=TOKEN) as running:
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=running.url, headers=headers, trust_env=False, timeout=60) as client:
            path = f"/api/sessions/{session.id}/file"
            refused = await client.get(path, params={"omit": "results,secrets"})
            assert refused.status_code == 422
            assert "omit: expected results, images, thinking, found 'secrets'" in refused.json()["detail"]
