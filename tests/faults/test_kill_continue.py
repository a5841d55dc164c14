"""A process killed at any event, or any instant: another one goes on, and the end is that of a run nobody killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from eventsource.envelope import Recorded
from eventsource.events import EVENT_TYPES, Resume, ToolExecutionEnd, ToolExecutionStart
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.machine.refusals import UNKNOWN_OUTCOME
from eventsource.machine.state import Phase
from eventsource.messages import Message, ToolResultMessage
from refold.log import Log
from refold.session import Session
from replay.replay import replay

from .story import Effects, open_story, run

pytestmark = [pytest.mark.faults, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
FULL = os.environ.get("REFOLD_FAULTS") == "full"
BETWEEN_EFFECTS = {
    Phase.STARTED,
    Phase.OPEN,
    Phase.INPUT,
    Phase.RESULT,
    Phase.SETTLED,
    Phase.FAILED,
    Phase.BETWEEN,
    Phase.ENDING,
}
"""Where going on makes the log that an unkilled run would have made, but for `resume` and times."""


@dataclass(frozen=True)
class End:
    """What a program came to: the kinds of facts of its session, and what a model would be sent in it and its fork."""

    facts: list[str]
    context: tuple[Message, ...]
    forked: tuple[Message, ...]
    history: tuple[Recorded, ...]


async def history_of(session: Session) -> tuple[Recorded, ...]:
    return tuple([one async for one in read_all(session.core.log, session.id)])


async def finish(path: Path, effects: Path) -> tuple[End, Phase]:
    """Go on in this process. Returns: the end, and the phase in which the session was found."""
    async with open_store(path) as store:
        log = Log(store)
        phase = (await (await open_story(log)).state()).phase
        session, fork = await run(log, Effects(effects))
        for one in await store.sessions():
            assert replay([r async for r in read_all(store, one.id)]).difference is None
        assert (await store.verify()).findings == ()
        assert [(await one.info()).status for one in (session, fork)] == ["idle", "idle"]
        history = await history_of(session)
        facts = [str(r.event.__struct_config__.tag) for r in history if not isinstance(r.event, Resume)]
        end = End(facts, (await session.request()).messages, (await fork.request()).messages, history)
        return end, phase


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory) -> End:
    """Run the program once without any kill."""
    folder = tmp_path_factory.mktemp("unkilled")
    end, _ = asyncio.run(finish(folder / "log.db", folder / "effects"))
    return end


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Count the events that the program commits in all its sessions, each by itself."""
    folder = tmp_path_factory.mktemp("counted")
    assert run_child(folder, kill_after=1_000_000) == 0

    async def count() -> int:
        async with open_store(folder / "log.db") as store:
            return sum(one.head - one.fork_seq for one in await store.sessions())

    return asyncio.run(count())


def start(folder: Path, *, kill_after: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.story", str(folder / "log.db"), str(folder / "effects")],
        cwd=ROOT,
        env={**os.environ, "REFOLD_KILL_AFTER": str(kill_after)},
        stdout=subprocess.PIPE,
        text=True,
    )


def run_child(folder: Path, *, kill_after: int = 0) -> int:
    """Run the program in a process to its end. Returns: the exit code."""
    with start(folder, kill_after=kill_after) as child:
        child.communicate(timeout=240)
        return child.returncode


def known(messages: tuple[Message, ...]) -> list[Message]:
    """Leave out what a call in doubt came to: it is settled as unknown, or it has its result."""
    unknown = UNKNOWN_OUTCOME.content
    return [
        m
        for m in messages
        if not (isinstance(m, ToolResultMessage) and (m.tool_name in ("send", "sign") or m.content == unknown))
    ]


def assert_effects(effects: Path, end: End) -> None:
    """Hold what was done to the world against what is on record."""
    done = Counter(line for line in Effects(effects).lines() if not line.startswith("first"))
    assert all(count == 1 for line, count in done.items() if line.startswith(("send ", "sign "))), done
    names: dict[tuple[int, int], str] = {}
    for one in end.history:
        if isinstance(one.event, ToolExecutionStart):
            names[one.event.message_seq, one.event.content_index] = one.event.name
        if isinstance(one.event, ToolExecutionEnd) and one.event.decided == "executed":
            place = (one.event.message_seq, one.event.content_index)
            assert any(line.startswith(names[place]) and line.endswith(f":{place[0]}:{place[1]}") for line in done)


def assert_equal(end: End, unkilled: End, phase: Phase) -> None:
    assert known(end.context) == known(unkilled.context)
    assert known(end.forked) == known(unkilled.forked)
    if phase in BETWEEN_EFFECTS:
        assert end.facts == unkilled.facts


def kill_and_go_on(folder: Path, unkilled: End, kill_after: int) -> None:
    code = run_child(folder, kill_after=kill_after)
    assert code == -signal.SIGKILL
    end, phase = asyncio.run(finish(folder / "log.db", folder / "effects"))
    assert_effects(folder / "effects", end)
    assert_equal(end, unkilled, phase)


def test_the_program_makes_every_kind_of_event_that_a_run_makes(unkilled: End) -> None:
    left_out = {
        *("fork", "erase", "queue_clear", "resume", "loop_context", "metadata_set", "stream_update"),
        *("task_start", "task_end", "step_start", "step_end"),
    }
    made = {str(kind.__struct_config__.tag) for kind in EVENT_TYPES} - left_out
    assert made - set(unkilled.facts) == set()


def test_a_run_that_nobody_killed_does_everything_once(unkilled: End, tmp_path: Path) -> None:
    assert run_child(tmp_path) == 0
    done = Counter(line for line in Effects(tmp_path / "effects").lines())
    assert set(done.values()) == {1}
    end, _ = asyncio.run(finish(tmp_path / "log.db", tmp_path / "effects"))
    assert end.facts == unkilled.facts


def test_a_process_killed_after_any_event_is_gone_on_with(unkilled: End, committed: int, tmp_path: Path) -> None:
    every = range(1, committed - 2)  # how many updates an abort cuts off, chance decides
    for number in every if FULL else sorted(random.sample(every, 10)):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            kill_and_go_on(folder, unkilled, kill_after=number)
        except AssertionError as error:
            error.add_note(f"killed after event {number} of {committed}")
            raise


def test_a_process_killed_at_any_instant_is_gone_on_with(unkilled: End, tmp_path: Path) -> None:
    for number in range(500 if FULL else 5):
        folder = tmp_path / str(number)
        folder.mkdir()
        with start(folder) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(random.uniform(0, 0.25))
            child.kill()
        end, _ = asyncio.run(finish(folder / "log.db", folder / "effects"))
        assert_effects(folder / "effects", end)
        assert_equal(end, unkilled, Phase.IDLE)


def test_a_process_killed_again_and_again_comes_to_its_end(unkilled: End, tmp_path: Path) -> None:
    for _ in range(100):
        if run_child(tmp_path, kill_after=random.randint(5, 40)) == 0:
            break
    end, _ = asyncio.run(finish(tmp_path / "log.db", tmp_path / "effects"))
    assert_effects(tmp_path / "effects", end)
    assert_equal(end, unkilled, Phase.IDLE)
