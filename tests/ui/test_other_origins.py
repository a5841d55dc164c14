"""A page of another origin, in the same browser, reads nothing from the server, changes nothing, and embeds nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Response

from refold import open_log
from refold.http import Exchange, serving
from tests.ui.looking import PATIENCE_S, TOKEN, looking
from tests.ui.test_opening import fill

HELPERS = """
const text = (answer) => answer.text();
const done = (made) => new Promise((resolve, reject) => Object.assign(made, {onload: resolve, onerror: reject}));
const load = (name, attributes) => {
  const made = Object.assign(document.createElement(name), attributes), loaded = done(made);
  document.body.append(made);
  return loaded;
};
const submit = (url) => {
  const made = Object.assign(document.createElement("form"), {method: "post", action: url, target: "target"});
  document.body.append(made);
  const answered = done(document.querySelector("iframe"));
  made.submit();
  return answered;
};
const severed = (made) => new Promise((resolve) => setInterval(() => made.closed && resolve(""), 20));
const named = {authorization: `Bearer ${token}`, "x-refold": "1", "content-type": "application/json"};
const body = JSON.stringify({text: "taken over"});
const nothing = () => "";
"""
ATTACKS = {
    "a fetch": "await fetch(api, {headers: named}).then(text)",
    "a fetch without CORS": "await fetch(api, {mode: 'no-cors'}).then(text)",
    "a write": "await fetch(write, {method: 'POST', headers: named, body}).then(text)",
    "a write without CORS": "await fetch(write, {method: 'POST', mode: 'no-cors', body}).then(text)",
    "a form": "await load('iframe', {name: 'target'}).then(() => submit(write)).then(nothing)",
    "an event source": "await done(new EventSource(live))",
    "an image": "await load('img', {src: icon})",
    "a script": "await load('script', {src: script})",
    "a style": "await load('link', {rel: 'stylesheet', href: style})",
    "a frame": "await load('iframe', {src: page}).then(nothing)",
    "a frame of an answer": "await load('iframe', {src: api}).then(nothing)",
    "a window": "await severed(open(page))",
}
"""What another page tries. It gets nothing: what it awaits raises, or is empty."""


@asynccontextmanager
async def another_origin() -> AsyncIterator[str]:
    """Serve an empty page at an address of its own."""

    async def answering(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.answer(200, [(b"content-type", b"text/html")], b"<!doctype html><body></body>")

    async with serving(answering) as running:
        yield running.url


@pytest.mark.parametrize("name", ATTACKS)
async def test_another_origin_gets_nothing_and_changes_nothing(name: str, browser: Browser, tmp_path: Path) -> None:
    await fill(tmp_path / "runs.db")
    async with open_log(tmp_path / "runs.db") as log, another_origin() as elsewhere, looking(browser, log) as watched:
        session = await log.session("coats")
        head = (await session.info()).head
        await watched.open(f"/s/{session.id}")
        await watched.sees("Do I need a coat?")
        assets = [one.url for one in watched.asked if "/assets/" in one.url]
        names = {
            "token": TOKEN,
            "page": f"{watched.url}/",
            "api": f"{watched.url}/api/sessions",
            "live": f"{watched.url}/api/live",
            "write": f"{watched.url}/api/sessions/{session.id}/labels",
            "icon": next(url for url in assets if url.endswith(".svg")),
            "script": next(url for url in assets if url.endswith(".js")),
            "style": next(url for url in assets if url.endswith(".css")),
        }
        other = await watched.page.context.new_page()
        await other.goto(elsewhere)
        answers: list[Response] = []
        other.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - it must be a function
        declared = "".join(f"const {key} = {json.dumps(value)};" for key, value in names.items())
        attack = f"try {{ return {ATTACKS[name]}; }} catch {{ return ''; }}"
        async with asyncio.timeout(PATIENCE_S):
            assert await other.evaluate(f"async () => {{ {declared} {HELPERS} {attack} }}") == ""
        assert (await session.info()).head == head
        framed = [await one.content() for one in other.frames if one.url.startswith(watched.url)]
        assert all('"status":4' in one for one in framed)
        given = [one for one in answers if one.url.startswith(watched.url) and one.ok]
        assert all(one.request.is_navigation_request() for one in given)
