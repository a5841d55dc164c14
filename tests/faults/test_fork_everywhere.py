"""Forks at any seq of every scenario and every real session: the fork goes on, and its parent is left as it was."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from eventsource import session as core
from eventsource.envelope import Recorded
from eventsource.events import (
    AgentStart,
    Event,
    Fork,
    MessageEnd,
    MessageStart,
    ModelRequest,
    Resume,
    TurnEnd,
    TurnStart,
)
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from eventsource.machine.state import Phase
from eventsource.machine.steps import turn_messages
from eventsource.messages import UserMessage
from eventsource.models.scripted import scripted
from refold import Agent, Policies
from refold.session import Session
from replay.formats import import_file
from replay.formats.refold.write import export_session
from replay.replay import replay
from tests.conformance.oracle import VARIANTS, carry_on, play

pytestmark = [pytest.mark.faults, pytest.mark.slow]
FULL = os.environ.get("REFOLD_FAULTS") == "full"
DATA = Path(os.environ.get("REFOLD_DATA", Path(__file__).parents[3] / "shared" / "data")).resolve()
CASES = [
    (path, variant)
    for path in sorted((DATA / "oracle" / "scenarios").glob("*.json"))
    for variant in VARIANTS
    if (DATA / "oracle" / variant / f"{path.stem}.jsonl").exists()
]
REAL = sorted([*(DATA / "transcripts" / "pi").glob("*.jsonl"), *(DATA / "oracle" / "session-fold").glob("*.jsonl")])
FORKS = 2_000 if FULL else 60
"""Forks of real sessions; of scenarios each seq of each when full, else so many."""

BETWEEN = (AgentStart, MessageEnd, MessageStart, Resume, TurnEnd, TurnStart)


async def history(log: EventLog, session: str) -> tuple[Recorded, ...]:
    return tuple([recorded async for recorded in read_all(log, session)])


async def assert_parted(log: EventLog, parent: str, before: bytes, fork: str, at: int) -> None:
    """Hold a fork that went on against its parent, whose export is given as it was before."""
    assert await export_session(log, parent) == before
    own, theirs = await history(log, fork), await history(log, parent)
    assert own[:at] == theirs[:at]
    assert own[at].seq == at + 1
    assert isinstance(own[at].event, Fork)
    assert await log.cursor(fork, at) == await log.cursor(parent, at)
    assert (await log.verify(fork)).ok
    assert replay(own).difference is None
    state = await core.SessionHandle(log, fork, clock=lambda: 1).state()
    assert state.phase is Phase.IDLE


async def fork_and_carry_on(log: EventLog, parent: str, at: int, scenario: dict[str, Any], variant: str) -> None:
    before = await export_session(log, parent)
    fork = await log.fork(parent, at, at_us=0)
    await carry_on(scenario, variant, log, fork.id)
    await assert_parted(log, parent, before, fork.id, at)
    if "transform_context" not in scenario and "convert_to_llm" not in scenario:
        await assert_asks_the_same(log, parent, fork.id, at)


def is_answer(event: Event) -> bool:
    """Tell whether a model's answer ends here, whole: what is asked after it is another question."""
    return isinstance(event, MessageEnd) and event.message is not None and event.interrupted is None


async def assert_asks_the_same(log: EventLog, parent: str, fork: str, at: int) -> None:
    """Hold what a fork asked first against what its parent asked there, where nothing but the machine came between."""
    asked = []
    for session, after in ((parent, at), (fork, at + 1)):
        rest = [recorded.event for recorded in (await history(log, session))[after:]]
        place = next((n for n, event in enumerate(rest) if isinstance(event, ModelRequest)), None)
        said = rest[: place or 0]
        if not all(isinstance(event, BETWEEN) for event in said) or any(map(is_answer, said)):
            return
        asked.append(rest[place] if place is not None else None)
    state = await core.SessionHandle(log, parent, clock=lambda: 1).state(at)
    if set(turn_messages(state)) != {push.seq for push in state.queue}:
        return  # what the turn under way does not deliver is the parent's
    theirs, ours = asked
    if isinstance(theirs, ModelRequest) and isinstance(ours, ModelRequest):
        assert ours.request_sha256 == theirs.request_sha256


@pytest.mark.skipif(not CASES, reason="needs the founding loop's scenarios (set REFOLD_DATA)")
async def test_a_scenario_forks_at_any_seq() -> None:
    chance = random.Random()
    for path, variant in CASES if FULL else chance.sample(CASES, min(FORKS, len(CASES))):
        scenario = json.loads(path.read_text(encoding="utf-8"))
        async with open_store() as log:
            played = await play(scenario, variant, log)
            if played.refused:
                continue
            head = (await log.info(played.session)).head
            for at in range(head + 1) if FULL else [chance.randint(0, head)]:
                try:
                    await fork_and_carry_on(log, played.session, at, scenario, variant)
                except AssertionError as error:
                    error.add_note(f"{variant}/{path.stem}, forked at {at} of {head}")
                    raise


@pytest.mark.skipif(not REAL, reason="needs recorded sessions (set REFOLD_DATA)")
async def test_a_real_session_forks_at_any_seq(tmp_path: Path) -> None:
    chance = random.Random()
    async with open_store(tmp_path / "log.db") as log:
        for file in REAL:
            report = await import_file(log, str(file))
            for branch in report.branches:
                head = (await log.info(branch.session)).head
                seqs = range(head + 1)
                count = min(len(seqs), max(1, FORKS // len(REAL) // len(report.branches)))
                before = await export_session(log, branch.session)
                for at in chance.sample(seqs, count):
                    fork = await log.fork(branch.session, at, at_us=0)
                    await go_on(log, fork.id)
                    await assert_parted(log, branch.session, before, fork.id, at)


async def go_on(log: EventLog, session: str) -> None:
    """Say something in an imported session, without its tools, which are code that nobody has."""
    agent: Agent[None] = Agent(scripted("Then this."), policies=Policies())
    run = await agent.run("And then?", session=Session(core.SessionHandle(log, session, clock=lambda: 1)))
    said = [message for message in run.messages if isinstance(message, UserMessage)]
    assert said[-1].content == "And then?"
    assert run.text == "Then this."


async def test_a_fork_of_a_fork_of_a_fork_goes_on_at_every_seq(tmp_path: Path) -> None:
    agent: Agent[None] = Agent(scripted(*["Yes."] * 200))
    async with open_store(tmp_path / "log.db") as log:
        parent = (await log.create()).id
        for depth in range(6):
            session = Session(core.SessionHandle(log, parent, clock=lambda: 1))
            await agent.run(f"Question {depth}?", session=session)
            head = (await log.info(parent)).head
            every = range(head + 1) if FULL else sorted(random.sample(range(head + 1), min(20, head)))
            for at in every if depth == 5 else [head - 3]:
                before = await export_session(log, parent)
                fork = await log.fork(parent, at, at_us=0)
                await agent.run("Instead?", session=Session(core.SessionHandle(log, fork.id, clock=lambda: 1)))
                await assert_parted(log, parent, before, fork.id, at)
            parent = fork.id
