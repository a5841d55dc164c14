"""What was billed is on record however an answer ended, and each answer counts once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from eventsource.events import AgentStart, MessageEnd, MessageStart, MessageUpdate, ModelRequest, QueuePush, TurnStart
from eventsource.messages import Usage, UserMessage
from eventsource.models.protocol import StreamUsage
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import Answer, call, cut, stall, stop
from eventsource.request import request_sha256
from refold import Agent, Session, open_log
from refold.spending import SpendingEntry, all_spending, spending, summed
from tests.refold.shell import Shell

USED = Usage(input_tokens=1_000, output_tokens=1)
LATER = Usage(input_tokens=1_000, output_tokens=40)


def answers(count: int = 1) -> list[Answer]:
    return [["Yes.", stop(usage=Usage(input_tokens=100, output_tokens=10))] for _ in range(count)]


async def has_words(session: Session) -> bool:
    return any(isinstance(one.event, MessageUpdate) for one in await session.events())


@pytest.mark.parametrize("first", [[], ["half an "]], ids=["before a word", "after some"])
async def test_an_aborted_answer_keeps_the_tokens_that_were_billed(first: list[str]) -> None:
    said: Answer = [StreamUsage(usage=USED), *first, StreamUsage(usage=LATER), stall()]
    async with open_log() as log:
        session = await log.session("s")
        model = scripted(said)
        run = asyncio.create_task(Agent(model).run("hi", session=session))
        while not model.asked or (first and not await has_words(session)):
            await asyncio.sleep(0.001)
        await session.abort()
        ended = await run
        assert (ended.status, ended.usage.input_tokens, ended.usage.output_tokens) == ("aborted", 1_000, 40)
        assert (await session.info()).input_tokens == 1_000
        assert (await session.replay()).difference is None


async def test_an_answer_that_breaks_off_keeps_the_tokens_that_were_billed() -> None:
    async with open_log() as log:
        session = await log.session("s")
        run = await Agent(scripted([StreamUsage(usage=USED), "half an ", cut()])).run("hi", session=session)
        assert (run.status, run.usage) == ("error", USED)


async def test_an_answer_that_another_process_closes_keeps_what_its_start_says() -> None:
    async with open_log() as log:
        session = await log.session("s")
        await session.append([QueuePush(queue="prompt", message=UserMessage(content="hi")), AgentStart(), TurnStart()])
        await session.append([MessageStart(role="input", push_seq=1), MessageEnd()])
        digest = request_sha256(await session.request())
        await session.append([ModelRequest(attempt=1, request_sha256=digest)])
        await session.append([MessageStart(role="assistant", usage=USED)])
        run = await Agent(scripted(answers()[0])).resume(session)
        assert run.status == "done"
        closed = [one.event for one in await session.events() if isinstance(one.event, MessageEnd)][1]
        assert closed.message is not None
        assert (closed.interrupted, closed.message.usage) == ("dropped", USED)
        assert (await spending(log.store, session.id)).own.usage.input_tokens == 1_100
        assert (await session.replay()).difference is None


async def test_each_answer_counts_once_in_the_session_that_recorded_it() -> None:
    async with open_log() as log:
        root = await log.session("root")
        helper = Agent(scripted(*answers(9)), name="helper").as_tool()
        asking: Answer = [call("helper", {"prompt": "think"}), stop("tool_use", usage=Usage(input_tokens=5))]
        await Agent(scripted(asking, *answers(9)), tools=[helper]).run("hi", session=root)
        fork = await root.fork()
        deeper = await fork.fork()
        for session in (fork, deeper):
            await Agent(scripted(*answers())).run("again", session=session)
        other = await log.session("other")
        await other.adopt(await root.messages(), from_=root)
        entries = [entry async for entry in all_spending(log.store)]
        assert sum(entry.spent.calls for entry in entries) == 5
        assert sum(entry.spent.usage.input_tokens for entry in entries) == 405
        of_root, of_deeper = await spending(log.store, root.id), await spending(log.store, deeper.id)
        assert (of_root.own.usage.input_tokens, of_root.children.usage.input_tokens) == (105, 100)
        assert len(of_root.child_ids) == 1
        assert (of_deeper.own.usage.input_tokens, of_deeper.inherited.usage.input_tokens) == (100, 105)
        of_other = await spending(log.store, other.id)
        assert (of_other.own.calls, of_other.adopted.usage.input_tokens) == (0, 105)
        assert {entry.model for entry in entries} == {of_deeper.entries[0].model}


def test_entries_are_added_up_by_day_model_and_session() -> None:
    async def made() -> list[SpendingEntry]:
        now = [0]
        async with open_log(clock=lambda: now[0]) as log:
            for day, name in enumerate(("a", "b", "b")):
                now[0] = (day + 1) * 86_400_000_000
                await Agent(scripted(*answers(day + 1))).run("hi", session=await log.session(name))
            found = [entry async for entry in all_spending(log.store)]
            late = [entry async for entry in all_spending(log.store, since_us=3 * 86_400_000_000)]
        assert (len(found), len(late)) == (3, 1)
        return found

    entries = asyncio.run(made())
    assert [spent.calls for spent in summed(entries, "day").values()] == [1, 1, 1]
    assert [spent.calls for spent in summed(entries, "session").values()] == [2, 1]
    assert [spent.calls for spent in summed(entries, "model").values()] == [3]


def spend(shell: Shell) -> str:
    shell.script.write_text('[["Yes.", {"stop": "stop", "usage": {"input_tokens": 1200, "output_tokens": 34}}]]')
    return shell.said("hi")


def test_the_command_says_what_all_sessions_spent_and_what_has_no_price(shell: Shell) -> None:
    session = spend(shell)
    fork = shell.good("fork", session).strip()
    said = shell("usage")
    assert said.exit_code == 0
    assert said.stdout.splitlines()[1].split() == ["scripted/scripted", "1", "1,200", "34", "0", "0", "unknown"]
    assert "No price is known for scripted/scripted (1 answer)." in said.stderr
    assert "Not counted here: 1,234 tokens, unknown inherited from its parent." in shell("usage", fork).stderr
    for by in ("model", "day", "session"):
        document = shell.json("usage", "--by", by, "--since", "7d")
        assert isinstance(document, dict)
        assert (document["calls"], document["unpriced_models"]) == (1, ["scripted/scripted"])
        assert [row["usage"]["input_tokens"] for row in document[f"by_{by}"]] == [1200]
    assert shell("usage", "--since", "2000-01-01").stdout == said.stdout
    assert "No answer says" in shell("usage", "--since", "0s").stderr
    assert shell("usage", "--since", "next week").exit_code == 2


def test_what_was_spent_can_be_read_from_a_log_that_cannot_be_written(shell: Shell, tmp_path: Path) -> None:
    spend(shell)
    log = tmp_path / "refold.db"
    assert log.exists()
    log.chmod(0o444)
    assert "1,200" in shell.good("usage")
