"""Every way in which a run ends, said the same wherever people look: the run, `show`, `ls`, the page, the exit code."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel

from eventsource.envelope import Recorded
from eventsource.errors import OutputError
from eventsource.events import AgentEnd, AgentStart, QueuePush, Resume, TaskStart
from eventsource.log import open_store
from eventsource.messages import AssistantMessage, TextContent, UserMessage
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import Answer, call, fail, say, stop
from eventsource.runner.hooks import Hooks
from refold import Agent, Policies, open_log, tool
from refold.run import Run
from refold.status import find_status, find_statuses
from tests.refold.shell import Shell
from tests.strategies import histories


class Report(BaseModel):
    """What an agent is asked for."""

    title: str


@tool(effect="pure")
def look() -> str:
    """Look."""
    return "seen"


def broken(*shown: object) -> NoReturn:
    raise ValueError("the policy service is down")


def refusal(*, raw: str = "", error: str = "", text: str = "", signature: str = "") -> AssistantMessage:
    content = (TextContent(text=text, signature=signature),) if text else ()
    return AssistantMessage(content=content, stop_reason="refusal", raw_stop_reason=raw, error=error)


FITS = '{"title": "x"}'
LOOKS: Sequence[Answer] = ([call("look", {})], "seen")
ENDS: dict[str, tuple[Callable[[], Agent[object]], str, str, int]] = {
    "provider": (lambda: agent(["Well, ", fail("503: overloaded")]), "error", "503: overloaded", 1),
    "hook": (
        lambda: agent(*LOOKS, hooks=Hooks(after_tool_call=broken)),
        "error",
        "the policy service is down",
        1,
    ),
    "callback": (lambda: agent(FITS, hooks=Hooks(get_follow_up_messages=broken)), "error", "the policy service", 1),
    "turns": (lambda: agent(*LOOKS, policies=Policies(turn_limit=1)), "limit", "the turn limit of 1 was reached", 7),
    "length": (lambda: agent([say("And so"), stop("length")]), "limit", "cut at the limit of output tokens", 7),
    "anthropic refusal": (lambda: agent(refusal()), "refused", "the provider refused the request", 6),
    "refusal in words": (
        lambda: agent(refusal(text="I cannot help.", signature="refusal")),
        "refused",
        "the model refused: I cannot help.",
        6,
    ),
    "content filter": (
        lambda: agent(refusal(raw="content_filter")),
        "refused",
        "the provider's filter ended the answer: content_filter",
        6,
    ),
    "safety": (lambda: agent(refusal(raw="SAFETY", error="SAFETY: dangerous")), "refused", "SAFETY: dangerous", 6),
    "blocked prompt": (
        lambda: agent(refusal(raw="PROHIBITED_CONTENT", error="the prompt was blocked: PROHIBITED_CONTENT")),
        "refused",
        "the prompt was blocked: PROHIBITED_CONTENT",
        6,
    ),
    "filtered by HTTP": (
        lambda: agent([fail("400 content_filter: The response was filtered")]),
        "refused",
        "400 content_filter: The response was filtered",
        6,
    ),
}


def agent(*answers: Answer, hooks: Hooks | None = None, policies: Policies | None = None) -> Agent[object]:
    made = Agent(
        scripted(*answers),
        tools=[look],
        output=Report,
        hooks=hooks or Hooks(),
        policies=policies or Policies(),
    )
    return made  # type: ignore[return-value]  # what its output is does not matter here


def listed(shell: Shell, *words: str) -> list[dict[str, object]]:
    rows = shell.json("ls", *words)
    assert isinstance(rows, list)
    return rows


async def ended(path: Path, made: Agent[object]) -> tuple[Run[object], str]:
    """Run an agent, and give the page of its session."""
    async with open_log(path) as log:
        session = await log.session("it")
        run = await made.run("Go.", session=session)
        return run, await session.html()


@pytest.mark.parametrize("name", ENDS)
def test_why_a_run_ended_is_said_wherever_people_look(shell: Shell, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, status, words, code = ENDS[name]
    run, page = asyncio.run(ended(shell.folder / "refold.db", make()))
    assert (run.status, words in run.error) == (status, True), run.error
    with pytest.raises(OutputError) as raised:
        _ = run.output
    assert words in str(raised.value)
    shown = "failed" if status == "error" else status
    assert f"{shown}: {run.error}" in shell.good("show", "it")
    [row] = listed(shell)
    assert (row["status"], row["reason"]) == (shown, run.error)
    assert listed(shell, "--status", shown) == [row]
    assert listed(shell, "--status", "idle") == []
    assert words.replace("'", "&#x27;") in page
    module = ModuleType(f"ends_{name.replace(' ', '_')}")
    module.agent = make()  # type: ignore[attr-defined]  # what a module holds is nobody's type
    monkeypatch.setitem(sys.modules, module.__name__, module)
    told = shell("run", "Go.", "--agent", f"{module.__name__}:agent", "--json")
    assert (told.exit_code, json.loads(told.stdout)["error"]) == (code, run.error)
    assert words in told.stderr


def test_an_answer_that_is_done_has_no_words(shell: Shell) -> None:
    run, page = asyncio.run(ended(shell.folder / "refold.db", agent(FITS)))
    assert (run.status, run.error, run.output) == ("done", "", Report(title="x"))
    assert listed(shell)[0]["reason"] == ""
    assert "ended as" not in page


async def test_an_abort_says_who_asked(tmp_path: Path) -> None:
    async with open_log(tmp_path / "x.db") as log:
        session = await log.session("it")

        @tool
        async def stops() -> str:
            """Stop."""
            await session.abort(error="too late")
            return "x"

        run = await Agent(scripted([call("stops", {})], "x"), tools=[stops]).run("Go.", session=session)
        assert (run.status, run.error) == ("aborted", "aborted by a person or the program: too late")
        found = await find_status(log.store, await session.info())
        assert (found.status, found.reason) == ("aborted", run.error)


async def test_the_last_run_is_found_however_much_was_recorded_behind_it(tmp_path: Path) -> None:
    async with open_log(tmp_path / "x.db") as log:
        session = await log.session("it")
        await agent(refusal(raw="SAFETY", error="SAFETY")).run("Go.", session=session)
        for number in range(100):
            await session.label(f"mark {number}", 1)
        assert (await find_status(log.store, await session.info())).status == "refused"


async def test_a_run_that_nobody_holds_is_interrupted_in_show_and_ls(tmp_path: Path) -> None:
    path = tmp_path / "refold.db"
    shell = Shell(tmp_path)
    async with open_log(path) as log:
        session = (await log.session("it")).id
        lease = await log.store.claim(session, ttl_us=600_000_000)
        push = QueuePush(queue="prompt", message=UserMessage(content="Go."))
        await log.store.append(session, [(1, push), (1, AgentStart())])
        assert "running" in await asyncio.to_thread(shell.good, "show", "it")
        await log.store.release(lease)
    shows = [await asyncio.to_thread(shell, *words) for words in (("show", "it"), ("ls", "--status", "interrupted"))]
    for shown in shows:
        assert "interrupted" in shown.stdout
        assert "running" not in shown.stdout
    assert "continue" in shows[0].stderr


def test_a_session_that_ended_badly_is_not_done_for_having_nothing_to_continue(shell: Shell) -> None:
    asyncio.run(ended(shell.folder / "refold.db", agent(refusal(raw="SAFETY", error="SAFETY"))))
    told = shell("continue", "it", "-m", "scripted", "--no-tools", "--json")
    assert (told.exit_code, json.loads(told.stdout)["status"]) == (6, "refused")
    assert "SAFETY" in told.stderr


@settings(max_examples=40, deadline=None)
@given(st.lists(histories(), max_size=6))
def test_many_sessions_stand_as_each_of_them_does(told: list[tuple[Recorded, ...]]) -> None:
    async def compare(path: Path | None) -> None:
        async with open_store(path) as store:
            for history in told:
                session = (await store.create()).id
                await store.append(session, [(one.at_us, one.event) for one in history])
                await store.fork(session, (await store.info(session)).head, at_us=1)
            rows = await store.sessions()
            assert await find_statuses(store, rows) == [await find_status(store, info) for info in rows]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(compare(Path(folder) / "log.db"))
    asyncio.run(compare(None))


async def test_how_sessions_stand_is_read_of_all_together(tmp_path: Path) -> None:
    async with open_log(tmp_path / "x.db") as log:
        session = await log.session("it")
        await agent(refusal(raw="SAFETY", error="SAFETY")).run("Go.", session=session)
        head = (await session.info()).head
        for number in range(30):
            await session.fork(title=f"refused {number}")
            await session.fork(at=head - 1, title=f"interrupted {number}")
            queued = await log.session(f"queued {number}")
            await queued.follow_up("Go on.")
            failed = await log.session(f"failed {number}")
            await log.store.append(failed.id, [(1, AgentStart()), (2, AgentEnd(reason="error", error="no credit"))])
            stuck = await log.session(f"stuck {number}")
            await log.store.append(stuck.id, [(1, TaskStart(task="t")), (2, Resume(why="stuck", problem="other code"))])
        rows = await log.list(limit=1000)
        statements = list[str]()
        await log.store._read_with(lambda connection: connection.set_trace_callback(statements.append))  # type: ignore[attr-defined]
        found = await find_statuses(log.store, rows)
    told = Counter((one.status, one.reason) for one in found)
    assert set(told.values()) == {30, 31}
    assert len(told) == 5
    assert ("stuck", "other code") in told
    assert len(statements) < 2 * len(rows) + 10
