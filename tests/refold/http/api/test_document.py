"""The document of the interface: it is committed, it is true, and whatever it allows is answered as it says."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from eventsource.models.scripted import call, scripted
from refold import Agent, open_log, tool
from refold.http import serving_log
from refold.http.api.openapi import document
from refold.http.api.page import PAGE
from refold.http.api.v1 import ROUTES

from .serving import HEADERS, TOKEN

ROOT = Path(__file__).parents[4]
COMMITTED = ROOT / "docs" / "openapi.json"
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


def test_the_committed_document_is_what_the_code_says() -> None:
    written = json.loads(COMMITTED.read_text())
    assert written == json.loads(json.dumps(document(ROUTES, version=version("refold")))), (
        "python -m tests.openapi > docs/openapi.json writes it"
    )


def test_every_route_says_what_it_does_and_names_its_types() -> None:
    for route in ROUTES:
        assert route.does.__doc__, route.path
        assert route.answers, route.path
    paths = document(ROUTES, version="0")["paths"]
    names = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(names) == len(set(names))


@tool(approval="always")
def deploy(target: str) -> str:
    """Deploy."""
    return target


class Server:
    """A served log in a thread of its own, with sessions of several kinds in it."""

    def __init__(self) -> None:
        self.url, self.told = "", list[str]()
        self._ready, self._done = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(60)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        agent: Agent[object] = Agent(scripted([call("deploy", {"target": "x"})], "Done.", by="request"), tools=[deploy])
        async with open_log() as log:
            for name in ("a", "b"):
                await agent.run("Go.", session=await log.session(name))
            await (await log.session("a")).fork(at=4, title="c")
            async with serving_log(log, token=TOKEN, choose=lambda *_: (agent, None), tell=self.told.append) as running:
                self.url = running.url
                self._ready.set()
                await self._done.wait()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running
    assert running.told == []


def _operations() -> list[Any]:
    schema = schemathesis.openapi.from_dict(document((*ROUTES, *PAGE), version="0"))
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


@pytest.mark.slow
@pytest.mark.parametrize("operation", _operations(), ids=lambda operation: operation.label)
@pytest.mark.filterwarnings("ignore")  # of the tester's own libraries
def test_whatever_the_document_allows_is_answered_as_it_says(operation: Any, server: Server) -> None:
    """Ask each operation what its schema allows, with names of sessions that are there among them; and what not."""
    if operation.path.endswith(("tree-events", "live", "store/verify")):
        pytest.skip("it answers with a stream that goes on, which other tests read")
    streams = "events" in operation.path

    @given(case=operation.as_strategy())
    @settings(
        max_examples=int(os.environ.get("REFOLD_REQUESTS", "25")),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
        database=None,
    )
    def ask(case: Any) -> None:
        if case.path_parameters.get("session") is not None and len(case.path_parameters["session"]) % 2:
            case.path_parameters["session"] = "abc"[len(case.path_parameters["session"]) % 3]
        if case.path_parameters.get("seq") is not None and len(case.path_parameters["seq"]) % 2:
            case.path_parameters["seq"] = str(len(case.path_parameters["seq"]))
        case.headers = {**(case.headers or {}), **HEADERS}
        if streams:
            case.headers.pop("Accept", None)
        if "wait" in (case.query or {}):
            return
        case.call_and_validate(base_url=server.url, checks=CHECKS, timeout=60)

    ask()
