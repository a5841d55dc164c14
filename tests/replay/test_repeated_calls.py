"""A fork that makes a call again which its parent made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eventsource.events import Fork, Origin, Place, RepeatedTools, ToolExecutionEnd, ToolExecutionStart, WaitStart
from eventsource.log import MemoryLog
from eventsource.log.protocol import EventLog
from eventsource.machine.repeated_calls import NOT_AGAIN
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import Answer, call, stop
from projections.transcript import text_of
from refold import Agent, Session, Tool, tool
from refold.log import Log
from replay.formats.refold.read import import_refold
from replay.formats.refold.write import export_session
from replay.repeated_calls import Repeats, calls_behind

MAIL = [call("mail", {"to": "ann"}), stop("tool_use")]
TWO: Answer = [call("mail", {"to": "ann"}), call("mail", {"to": "bob"}), stop("tool_use")]


class Outbox:
    """What was really sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    @property
    def tool(self) -> Tool:
        @tool(name="mail")
        def mail(to: str) -> str:
            """Send a mail."""
            self.sent.append(to)
            return f"mail {len(self.sent)} to {to}"

        return mail


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


def agent(outbox: Outbox, *answers: object) -> Agent[None]:
    return Agent(ScriptedModel(answers), tools=[outbox.tool])  # type: ignore[arg-type]  # answers of any form


async def parent(log: EventLog, outbox: Outbox, *answers: object) -> Session:
    session = await Log(log, clock=lambda: 7).session("parent")
    await agent(outbox, *(answers or (MAIL, "Sent."))).run("Write to Ann.", session=session)
    return session


async def fork_before_the_answer(session: Session) -> Session:
    return await session.fork(before=(await session.messages())[1])


async def results(session: Session) -> list[str]:
    return [text_of(one.message) for one in await session.messages() if one.call is not None]


async def test_by_default_a_call_that_the_parent_made_waits_for_a_decision(log: EventLog, outbox: Outbox) -> None:
    fork = await fork_before_the_answer(await parent(log, outbox))
    run = await agent(outbox, MAIL, "Done.").resume(fork)
    assert run.status == "waiting"
    assert outbox.sent == ["ann"]
    [wait] = run.waits
    assert wait.key.startswith("repeat:")
    last = (await fork.events())[-1].event
    assert isinstance(last, WaitStart)
    assert last.reason == "repeat"
    assert (await agent(outbox, MAIL, "Done.").resume(fork)).status == "waiting"
    assert (await fork.replay()).difference is None


@pytest.mark.parametrize(
    ("decision", "sent", "result"),
    [("rerun", 2, "mail 2 to ann"), ("adopt", 1, "mail 1 to ann"), ("fail", 1, NOT_AGAIN), ("whatever", 1, NOT_AGAIN)],
)
async def test_a_person_decides(log: EventLog, outbox: Outbox, decision: str, sent: int, result: str) -> None:
    fork = await fork_before_the_answer(await parent(log, outbox))
    run = await agent(outbox, MAIL).resume(fork)
    await fork.decide(run.waits[0].key, decision)
    run = await agent(outbox, "Done.").resume(fork, tools="live")  # the decision counts more
    assert run.text == "Done."
    assert (len(outbox.sent), await results(fork)) == (sent, [result])
    assert (await fork.replay()).difference is None


async def test_a_cancelled_wait_makes_no_call(log: EventLog, outbox: Outbox) -> None:
    fork = await fork_before_the_answer(await parent(log, outbox))
    run = await agent(outbox, MAIL).resume(fork)
    await fork.decide(run.waits[0].key, "rerun", outcome="cancelled")
    await agent(outbox, "Done.").resume(fork)
    assert outbox.sent == ["ann"]


@pytest.mark.parametrize(("mode", "sent"), [("live", 2), ("recorded", 1)])
async def test_the_option_decides(log: EventLog, outbox: Outbox, mode: RepeatedTools, sent: int) -> None:
    fork = await fork_before_the_answer(await parent(log, outbox))
    run = await agent(outbox, MAIL, "Done.").resume(fork, tools=mode)
    assert (run.text, len(outbox.sent), await results(fork)) == ("Done.", sent, [f"mail {sent} to ann"])
    assert (await fork.replay()).difference is None
    assert (await fork.verify()).ok


@pytest.mark.parametrize(("mode", "sent"), [("live", 2), ("recorded", 1), ("ask", 1)])
async def test_a_fork_that_was_told_what_to_do_does_so_whoever_runs_it(
    log: EventLog, outbox: Outbox, mode: RepeatedTools, sent: int
) -> None:
    session = await parent(log, outbox)
    fork = await session.fork(before=(await session.messages())[1], tools=mode)
    assert Fork(repeated_tools=mode) in [one.event for one in await fork.events()]
    run = await agent(outbox, MAIL, "Done.").resume(fork)
    assert (run.status, len(outbox.sent)) == ("waiting" if mode == "ask" else "done", sent)
    assert (await fork.replay()).difference is None
    assert (await fork.verify()).ok


async def test_an_edit_says_what_becomes_of_calls_made_again_too(log: EventLog, outbox: Outbox) -> None:
    session = await parent(log, outbox)
    fork = await session.edit((await session.messages())[0], "Write to Ann, please.", tools="recorded")
    assert (await agent(outbox, MAIL, "Done.").resume(fork)).status == "done"
    assert outbox.sent == ["ann"]


async def test_a_run_that_says_otherwise_counts_more_than_its_fork(log: EventLog, outbox: Outbox) -> None:
    session = await parent(log, outbox)
    fork = await session.fork(before=(await session.messages())[1], tools="live")
    await agent(outbox, MAIL, "Done.").resume(fork, tools="recorded")
    assert outbox.sent == ["ann"]


async def test_what_a_fork_was_told_is_not_told_to_its_own_forks(log: EventLog, outbox: Outbox) -> None:
    session = await parent(log, outbox)
    fork = await session.fork(before=(await session.messages())[1], tools="live")
    again = await fork.fork()
    assert (await agent(outbox, MAIL, "Done.").resume(again)).status == "waiting"


async def test_a_fork_that_goes_on_by_itself_after_a_wait_still_knows(log: EventLog, outbox: Outbox) -> None:
    session = await parent(log, outbox, TWO, "Sent.")
    fork = await session.fork(before=(await session.messages())[1], tools="recorded")

    @tool(name="mail", approval="always")
    def held(to: str) -> str:
        """Send a mail."""
        outbox.sent.append(to)
        return "sent"

    run = await Agent(ScriptedModel([TWO]), tools=[held]).resume(fork)
    assert (run.status, len(run.waits)) == ("waiting", 2)
    for wait in run.waits:
        await fork.decide(wait.key, approve=True)
    assert (await Agent(ScriptedModel(["Done."]), tools=[held]).resume(fork)).text == "Done."
    assert outbox.sent == ["ann", "bob"]


async def test_an_exported_fork_is_told_the_same_where_it_is_imported(
    log: EventLog, outbox: Outbox, tmp_path: Path
) -> None:
    session = await parent(log, outbox)
    fork = await session.fork(before=(await session.messages())[1], tools="recorded")
    path = tmp_path / "fork.refold.jsonl"
    path.write_bytes(await export_session(log, fork.id))
    other = MemoryLog(clock=lambda: 0, new_id=iter("ab").__next__)
    told = await import_refold(other, str(path))
    there = await Log(other, clock=lambda: 7).find(told.session)
    assert (await there.info()).digest == (await fork.info()).digest
    assert (await there.state()).repeated_tools == "recorded"


@pytest.mark.parametrize("cut", range(0, 40, 3))
async def test_what_is_listed_behind_a_seq_is_what_a_fork_there_finds(log: EventLog, outbox: Outbox, cut: int) -> None:
    first = await parent(log, outbox, TWO, MAIL, "Sent.")
    second = await first.fork(before=(await first.messages())[1], tools="live")
    await agent(outbox, [call("mail", {"to": "eve"}), stop("tool_use")], MAIL, "Done.").resume(second)
    at = min(cut, (await second.info()).head)
    fork = await second.fork(at=at)
    listed = await calls_behind(log, second.id, at)
    found = Repeats(log, fork.id)
    for number, one in enumerate(listed):
        repeat = await found.find(Place(message_seq=900 + number, content_index=0), one.name, one.arguments)
        assert repeat == one.repeat
    for name in ("ann", "bob", "eve"):
        assert await found.find(Place(message_seq=999, content_index=0), "mail", json.dumps({"to": name})) is None
    made = {(one.session, one.start_seq) for one in listed}
    assert {seq for name, seq in made if name == second.id} == {
        one.seq
        for one in await second.events()
        if isinstance(one.event, ToolExecutionStart) and one.seq > max(at, (await second.info()).fork_seq)
    }


async def test_an_adopted_result_names_where_it_comes_from(log: EventLog, outbox: Outbox) -> None:
    session = await parent(log, outbox)
    fork = await fork_before_the_answer(session)
    await agent(outbox, MAIL, "Done.").resume(fork, tools="recorded")
    ended = next(r.seq for r in await session.events() if isinstance(r.event, ToolExecutionEnd))
    events = [recorded.event for recorded in await fork.events()]
    [end] = [event for event in events if isinstance(event, ToolExecutionEnd)]
    assert (end.decided, end.origin) == ("adopted", Origin(source="refold", session=session.id, entry=str(ended)))
    [start] = [event for event in events if isinstance(event, ToolExecutionStart)]
    assert start.refused == "adopted"


async def test_other_arguments_are_another_call(log: EventLog, outbox: Outbox) -> None:
    fork = await fork_before_the_answer(await parent(log, outbox))
    other = [call("mail", {"to": "bob"}), stop("tool_use")]
    assert (await agent(outbox, other, "Done.").resume(fork)).text == "Done."
    assert outbox.sent == ["ann", "bob"]


async def test_arguments_are_compared_as_values(log: EventLog, outbox: Outbox) -> None:
    fork = await fork_before_the_answer(await parent(log, outbox))
    spaced = [call("mail", '{ "to" : "ann" }'), stop("tool_use")]
    assert (await agent(outbox, spaced).resume(fork)).status == "waiting"


async def test_what_came_before_the_fork_may_be_done_again(log: EventLog, outbox: Outbox) -> None:
    session = await parent(log, outbox)
    fork = await session.fork()
    assert (await agent(outbox, MAIL, "Done.").run("Once more.", session=fork)).text == "Done."
    assert outbox.sent == ["ann", "ann"]


async def test_each_call_of_the_parent_is_taken_once(log: EventLog, outbox: Outbox) -> None:
    fork = await fork_before_the_answer(await parent(log, outbox))
    both = [call("mail", {"to": "ann"}), call("mail", {"to": "ann"}), stop("tool_use")]
    await agent(outbox, both, MAIL, "Done.").resume(fork, tools="recorded")
    assert await results(fork) == ["mail 1 to ann", "mail 2 to ann", "mail 3 to ann"]


async def test_a_later_run_of_the_fork_counts_what_it_has_made_again(log: EventLog, outbox: Outbox) -> None:
    fork = await fork_before_the_answer(await parent(log, outbox))
    await agent(outbox, MAIL, "Done.").resume(fork, tools="recorded")
    assert (await agent(outbox, MAIL, "Done.").run("Again!", session=fork)).text == "Done."
    assert outbox.sent == ["ann", "ann"]


async def test_only_the_calls_that_repeat_something_wait(log: EventLog, outbox: Outbox) -> None:
    fork = await fork_before_the_answer(await parent(log, outbox))
    run = await agent(outbox, TWO).resume(fork)
    assert (run.status, len(run.waits), outbox.sent) == ("waiting", 1, ["ann", "bob"])
    await fork.decide(run.waits[0].key, "adopt")
    assert (await agent(outbox, "Done.").resume(fork)).text == "Done."
    assert await results(fork) == ["mail 1 to ann", "mail 2 to bob"]


async def test_a_fork_inside_the_batch_finds_its_own_calls_there(log: EventLog, outbox: Outbox) -> None:
    session = await parent(log, outbox, TWO, "Sent.")
    began = next(r.seq for r in await session.events() if isinstance(r.event, ToolExecutionStart))
    fork = await session.fork(at=began - 1)
    await agent(outbox, "Done.").resume(fork, tools="recorded")
    assert await results(fork) == ["mail 1 to ann", "mail 2 to bob"]
    assert outbox.sent == ["ann", "bob"]


async def test_a_fork_of_a_fork_knows_all_its_ancestors(log: EventLog, outbox: Outbox) -> None:
    fork = await fork_before_the_answer(await parent(log, outbox))
    bob = [call("mail", {"to": "bob"}), stop("tool_use")]
    await agent(outbox, bob, "Done.").resume(fork)
    grandchild = await fork.fork(before=(await fork.messages())[1])
    await agent(outbox, TWO, "Done.").resume(grandchild, tools="recorded")
    assert outbox.sent == ["ann", "bob"]
    assert await results(grandchild) == ["mail 1 to ann", "mail 2 to bob"]


async def test_a_call_with_unknown_outcome_is_not_adopted_but_asked_about(log: EventLog, outbox: Outbox) -> None:
    session = await parent(log, outbox)
    events = await session.events()
    began = next(r.seq for r in events if isinstance(r.event, ToolExecutionStart))
    crashed = await session.fork(at=began)  # as a process that died in the middle of the call leaves it
    await agent(outbox, "Hm.").resume(crashed)
    fork = await crashed.fork(before=(await crashed.messages())[1])
    outbox.sent.clear()
    other = await session.core.log.info(fork.id)
    assert other.parent == crashed.id
    run = await agent(outbox, MAIL, "Done.").resume(fork, tools="recorded")
    assert (run.text, outbox.sent) == ("Done.", [])  # the first session knows what came of it


async def test_pure_tools_run_again() -> None:
    ran: list[str] = []

    @tool(effect="pure")
    def look(at: str) -> str:
        """Look."""
        ran.append(at)
        return at

    looks: Answer = [call("look", {"at": "x"}), stop("tool_use")]
    session = await Log(MemoryLog(clock=lambda: 0, new_id=iter("ab").__next__), clock=lambda: 7).session()
    await Agent(ScriptedModel([looks, "Seen."]), tools=[look]).run("Look.", session=session)
    fork = await fork_before_the_answer(session)
    assert (await Agent(ScriptedModel([looks, "Seen."]), tools=[look]).resume(fork)).status == "done"
    assert ran == ["x", "x"]
