"""What a fork keeps of what was queued: the messages that the turn under way was begun to deliver."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given

from eventsource.envelope import Recorded
from eventsource.events import AgentStart, Event, Fork, MessageEnd, MessageStart, ModelRequest, Policies, TurnStart
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.machine.evolve import evolve, fold
from eventsource.machine.state import Phase, State
from eventsource.machine.steps import CallModel, Record, Step, next_step, turn_messages
from eventsource.messages import AssistantMessage, UserMessage
from eventsource.models.scripted import ScriptedModel
from eventsource.request import Request
from refold import Agent, open_log
from refold.session import Session
from refold.testing.history_strategies import choices
from replay.formats import import_file
from replay.formats.refold.write import export_session
from replay.replay import replay
from tests.interpreter import played


class Listening:
    """An agent that keeps what its model was asked."""

    def __init__(self, **policies: str) -> None:
        self.asked: list[Request] = []
        self.agent: Agent[None] = Agent(
            ScriptedModel(self._answer),
            policies=Policies(**policies),  # type: ignore[arg-type]  # the names are checked by the struct
        )

    def _answer(self, request: Request) -> str:
        self.asked.append(request)
        return f"Answer {len(self.asked)}."

    def last(self) -> list[str]:
        """Give what people said since the last answer, as the model was asked it last."""
        said: list[str] = []
        for message in self.asked[-1].messages:
            said = [] if isinstance(message, AssistantMessage) else [*said, getattr(message, "content", "")]
        return said


async def begin(session: Session) -> None:
    """Run with two prompts, a steering message and a follow-up, then with a steering message, then with a follow-up."""
    listening = Listening(steering_queue="all")
    await session.core.push("prompt", "one", "two")
    await session.steer("three")
    await session.follow_up("four")
    await listening.agent.resume(session)
    await session.steer("five")
    await listening.agent.resume(session)
    await session.follow_up("six")
    await listening.agent.resume(session)


def asked_at(events: Sequence[Event], at: int) -> int | None:
    """Give the place of the request that follows the events up to a seq, when a turn that will ask has begun there."""
    rest = list(enumerate(events))[at:]
    place = next((n for n, event in rest if isinstance(event, ModelRequest)), None)
    begun = isinstance(events[at - 1], AgentStart | TurnStart | MessageStart | MessageEnd) if at else False
    between = (AgentStart, TurnStart, MessageStart, MessageEnd)
    quiet = place is not None and all(isinstance(event, between) for event in events[at - 1 : place])
    return place if begun and quiet else None


@pytest.mark.parametrize("stored", ["memory", "file"])
async def test_a_fork_where_a_turn_has_begun_asks_what_the_original_asked_there(tmp_path: Path, stored: str) -> None:
    async with open_log(tmp_path / "log.db" if stored == "file" else None) as log:
        session = await log.session("s")
        await begin(session)
        history = [one async for one in read_all(log.store, session.id)]
        events = [one.event for one in history]
        compared = set()
        for at in range(len(events) + 1):
            place = asked_at(events, at)
            fork = await session.fork(at=at)
            listening = Listening(steering_queue="all")
            await listening.agent.resume(fork)
            own = [one async for one in read_all(log.store, fork.id)]
            assert replay(own).difference is None
            assert all(request.messages and listening_to(request) for request in listening.asked)
            info = await fork.info()
            assert not info.open
            if place is not None:
                asked = next(event for event in events[place:] if isinstance(event, ModelRequest))
                again = next(one.event for one in own[at:] if isinstance(one.event, ModelRequest))
                assert isinstance(again, ModelRequest)
                assert again.request_sha256 == asked.request_sha256
                compared.add(tuple(listening.last()))
        assert compared == {("one", "two", "three"), ("four",), ("five",), ("six",)}
        assert await log.store.rebuild() == 0
        assert (await log.verify()).ok


def listening_to(request: Request) -> bool:
    """Say whether a request ends with what is to be answered."""
    return isinstance(request.messages[-1], UserMessage)


def until(state: State) -> tuple[list[int], Step]:
    """Follow the machine until it wants something. Returns: the pushes it delivered, and what it wants."""
    delivered: list[int] = []
    while isinstance(step := next_step(state), Record) and state.phase is not Phase.BETWEEN:
        for event in step.events:
            if isinstance(event, MessageStart) and event.push_seq:
                delivered.append(event.push_seq)
            state = evolve(state, Recorded(0, 0, event))
            if state.phase in (Phase.BETWEEN, Phase.IDLE):
                return delivered, step
    return delivered, step


@given(choices(60))
def test_at_every_seq_of_a_history_a_fork_asks_with_what_the_turn_there_delivers(numbers: list[int]) -> None:
    state = State()
    for recorded in played(numbers):
        state = evolve(state, recorded)
        run = state.run
        if state.phase not in (Phase.STARTED, Phase.OPEN, Phase.INPUT) or run is None or run.attempt:
            continue
        fork = evolve(state, Recorded(recorded.seq + 1, 0, Fork(keeps=turn_messages(state))))
        theirs, ours = until(state), until(fork)
        assert ours[0] == theirs[0]
        assert type(ours[1]) is type(theirs[1])
        assert {push.seq for push in fork.queue} == set(theirs[0])


def test_a_fork_of_0_1_that_went_on_without_its_prompt_replays_as_it_did() -> None:
    history = played([0] * 40)
    begun = next(n for n, one in enumerate(history, 1) if isinstance(one.event, TurnStart))
    state = fold(history[:begun])
    assert turn_messages(state)
    forked = evolve(state, Recorded(begun + 1, 0, Fork()))
    assert forked.queue == ()
    assert isinstance(next_step(forked), CallModel)


async def test_what_a_fork_keeps_is_exported_and_taken_in(tmp_path: Path) -> None:
    async with open_log() as log:
        session = await log.session("s")
        await begin(session)
        begun = next(one.seq for one in await session.events() if isinstance(one.event, AgentStart))
        fork = await session.fork(at=begun)
        kept = (await fork.events())[begun].event
        assert isinstance(kept, Fork)
        assert kept.keeps == (1, 2, 3)
        path = tmp_path / "fork.jsonl"
        path.write_bytes(await export_session(log.store, fork.id))
        async with open_store() as other:
            report = await import_file(other, str(path))
            assert (await other.info(report.session)).digest == (await fork.info()).digest


async def test_a_fork_before_a_message_keeps_what_else_was_to_be_heard_and_not_that_message() -> None:
    async with open_log() as log:
        session = await log.session()
        await begin(session)
        for said in ("two", "three", "four", "five"):
            message = next(one for one in await session.messages() if getattr(one.message, "content", "") == said)
            edited = await session.edit(message, f"not {said}")
            listening = Listening(steering_queue="all")
            await listening.agent.resume(edited)
            heard = [getattr(one.message, "content", "") for one in await edited.messages()]
            assert said not in heard
            assert heard.count(f"not {said}") == 1
            before = [getattr(one.message, "content", "") for one in await session.messages() if one.seq < message.seq]
            assert heard[: len(before)] == before
