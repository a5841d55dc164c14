"""Forty requests that mean no good, of the resources and of what the page asks: refused, and nothing is appended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest

from refold.http import serving_log
from refold.log import open_log

from .serving import TOKEN

BEARER = f"authorization: Bearer {TOKEN}"
BODY = json.dumps({"text": "taken over"})
LABELS = "/v1/sessions/a/labels"


def request(
    target: str = LABELS,
    *headers: str,
    method: str = "POST",
    host: str | None = "127.0.0.1",
    bearer: str | None = BEARER,
    body: str = BODY,
    length: int | str | None = None,
    content: str | None = "content-type: application/json",
) -> bytes:
    """Write a request; every part of it can be another one."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"host: {host}"] if host is not None else []
    lines += [one for one in (bearer, content) if one is not None]
    lines += [f"content-length: {len(body.encode()) if length is None else length}"] if length != "" else []
    return "\r\n".join([*lines, *headers, "", body]).encode("utf-8", "surrogateescape")


HOSTILE: Mapping[str, tuple[bytes, set[int]]] = {
    "no token": (request(bearer=None), {401}),
    "another token": (request(bearer="authorization: Bearer guessed-0123456789"), {401}),
    "an empty token": (request(bearer="authorization: Bearer"), {401}),
    "half of the token": (request(bearer=f"authorization: Bearer {TOKEN[:-1]}"), {401}),
    "the token and more": (request(bearer=f"authorization: Bearer {TOKEN}x"), {401}),
    "the token as a password": (request(bearer="authorization: Basic dG9rZW46dG9rZW4="), {401}),
    "the token in the query": (request(f"{LABELS}?token={TOKEN}", bearer=None), {401}),
    "the token in a cookie": (request(LABELS, f"cookie: token={TOKEN}", bearer=None), {401}),
    "two tokens": (request(LABELS, "authorization: Bearer other"), {400, 401}),
    "a foreign host": (request(host="evil.example"), {403}),
    "a rebound name": (request(host="127.0.0.1.evil.example:80"), {403}),
    "a host that looks like ours": (request(host="localhost.evil.example"), {403}),
    "no host": (request(host=None), {400, 403}),
    "two hosts": (request(LABELS, "host: evil.example"), {400}),
    "a host with a user": (request(host="127.0.0.1@evil.example"), {403}),
    "a foreign origin": (request(LABELS, "origin: https://evil.example"), {403}),
    "an opaque origin": (request(LABELS, "origin: null"), {403}),
    "another port's origin": (request(LABELS, "origin: http://127.0.0.1:1"), {403}),
    "a file's origin": (request(LABELS, "origin: file://"), {403}),
    "an extension's origin": (request(LABELS, "origin: chrome-extension://abc"), {403}),
    "a cross-site fetch": (request(LABELS, "sec-fetch-site: cross-site"), {403}),
    "a same-site fetch": (request(LABELS, "sec-fetch-site: same-site"), {403}),
    "a cross-site form": (request(LABELS, "sec-fetch-site: cross-site", "sec-fetch-mode: navigate"), {403}),
    "a preflight": (request(LABELS, "access-control-request-method: POST", method="OPTIONS", body=""), {405}),
    "a form": (request(content="content-type: application/x-www-form-urlencoded", body="text=x"), {415}),
    "a plain text": (request(content="content-type: text/plain"), {415}),
    "no type": (request(content=None), {415}),
    "another method's header": (request(LABELS, "x-http-method-override: DELETE"), {400}),
    "the same by another name": (request(LABELS, "x-method-override: POST", method="GET", body=""), {400}),
    "dots": (request("/v1/sessions/../../etc/passwd", method="GET", body=""), {400}),
    "dots in disguise": (request("/v1/%2e%2e/%2e%2e/etc/passwd", method="GET", body=""), {400}),
    "a whole address": (request("http://evil.example/v1/sessions", method="GET", body=""), {400}),
    "two slashes": (request("//evil.example/v1/sessions", method="GET", body=""), {400}),
    "a tunnel": (request("evil.example:443", method="CONNECT", body=""), {400}),
    "two lengths": (request(LABELS, "content-length: 5"), {400}),
    "a length and chunks": (request(LABELS, "transfer-encoding: chunked"), {400}),
    "a length that is none": (request(length="+21"), {400}),
    "a giant length": (request(length=10**15), {400, 413}),
    "a body over the limit": (request(body="x" * 1_000_001), {413}),
    "a giant header": (request(LABELS, "x-more: " + "a" * 40_000), {400, 431}),
    "a header in two lines": (request(LABELS, "x-more: a\r\n b: c\r\nevil: 1\nhost: b"), {400}),
    "deep nesting": (request(body="[" * 100_000), {422}),
}


def as_the_page_asks(sent: bytes, *, mark: bytes = b"x-refold: 1\r\n") -> bytes:
    """Ask the same of what is there for the page, with the header that it sends."""
    return sent.replace(b"/v1/", b"/api/").replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\n" + mark, 1)


ASKED: Mapping[str, tuple[bytes, set[int]]] = {
    **HOSTILE,
    **{f"{name}, as the page asks": (as_the_page_asks(sent), expected) for name, (sent, expected) in HOSTILE.items()},
    "a write of the page without its mark": (as_the_page_asks(request(), mark=b""), {403}),
    "a write of the page with another mark": (as_the_page_asks(request(), mark=b"x-refold: yes\r\n"), {403}),
    "a write of the page by a form": (
        as_the_page_asks(request(content="content-type: application/x-www-form-urlencoded", body="text=x")),
        {415},
    ),
}


@pytest.mark.parametrize("name", ASKED)
async def test_a_request_that_means_no_good_is_refused_and_nothing_is_appended(name: str) -> None:
    sent, expected = ASKED[name]
    async with open_log() as log, serving_log(log, token=TOKEN, tell=pytest.fail) as running:
        session = await log.session("a")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rpartition(":")[2]))
        writer.write(sent)
        answer = await reader.read(65_536)
        writer.close()
        assert int(answer.split(b" ", 2)[1]) in expected, answer
        assert b"Traceback" not in answer
        assert (await session.info()).head == 0


async def test_what_comes_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refold.http.server.HEAD_S", 0.2)
    async with open_log() as log, serving_log(log, token=TOKEN, tell=pytest.fail) as running:
        session = await log.session("a")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rpartition(":")[2]))
        writer.write(request(length=1000))
        answer = await reader.read(65_536)
        writer.close()
        assert b" 408 " in answer
        assert (await session.info()).head == 0


async def test_the_same_request_without_harm_is_taken() -> None:
    async with open_log() as log, serving_log(log, token=TOKEN) as running:
        session = await log.session("a")
        port = int(running.url.rpartition(":")[2])
        for more in ((), (f"origin: {running.url}",), ("sec-fetch-site: same-origin",)):
            sent = request(LABELS, *more, host=f"127.0.0.1:{port}", body=json.dumps({"text": "a"}))
            for asked in (sent, as_the_page_asks(sent)):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(asked)
                assert b" 200 " in await reader.readline()
                writer.close()
        assert (await session.info()).head == 6
