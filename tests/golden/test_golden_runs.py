"""Runs that a release recorded open, verify, replay, fork anywhere and go on, for ever."""

from __future__ import annotations

import hashlib
import json
import lzma
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventsource.envelope import Recorded
from eventsource.events import EVENT_TYPES, AbortRequest, Fork, TaskStart, WaitEnd
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from eventsource.log.row import UNDER_WAY
from eventsource.machine.evolve import evolve, fold
from eventsource.machine.state import Phase, State
from eventsource.machine.steps import Stop, next_step
from refold import Log, Session
from refold.tasks.worker import Worker
from replay.formats import import_file
from replay.lineage import erased_seqs
from replay.replay import replay
from tests.golden import runs
from tests.golden.write_runs import HOUR_US, Clock, summary
from tests.interpreter import resumed

FOLDERS = sorted(path.parent for path in Path(__file__).parent.glob("*/runs.db.xz"))
PURE_STEPS = 5
"""A cut so many seqs further is gone on with, in memory; the first differs from session to session."""


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def path(folder: Path, tmp_path: Path) -> Path:
    """Unpack a release's log."""
    found = tmp_path / "runs.db"
    found.write_bytes(lzma.decompress((folder / "runs.db.xz").read_bytes()))
    return found


@pytest.fixture
async def store(path: Path) -> AsyncIterator[EventLog]:
    async with open_store(str(path), clock=Clock()) as opened:
        yield opened


def written(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Read what the release said of its sessions."""
    return dict(json.loads(lzma.decompress((folder / "runs.json.xz").read_bytes())))


async def histories(store: EventLog) -> dict[str, tuple[Recorded, ...]]:
    """Read every session."""
    rows = await store.sessions(limit=10_000)
    return {row.id: tuple([recorded async for recorded in read_all(store, row.id)]) for row in rows}


def bytes_of(path: Path) -> str:
    """Digest a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def exports(folder: Path, into: Path) -> Iterator[Path]:
    """Unpack a release's exports."""
    with tarfile.open(folder / "runs.tar.xz") as archive:
        for member in archive:
            body = archive.extractfile(member)
            assert body is not None
            (into / member.name).write_bytes(body.read())
            yield into / member.name


def states(history: tuple[Recorded, ...]) -> Iterator[tuple[int, State]]:
    """Fold a history, seq by seq; seqs whose content was dropped are left out, for nobody can fork there."""
    state = State()
    for recorded in history:
        state = evolve(state, recorded)
        yield recorded.seq, state


async def test_golden_runs_read_as_they_were_written_and_reading_changes_no_byte(folder: Path, path: Path) -> None:
    async with open_store(str(path)) as store:  # a log of an earlier format is brought to this one's
        assert await store.rebuild() == 0
    before = bytes_of(path)
    async with open_store(str(path)) as store:
        told = await summary(store)
        report = await store.verify()
    found = written(folder)
    assert told.keys() == found.keys()
    for session, row in found.items():
        now = told[session]
        if now["status"] in UNDER_WAY:  # 0.1 showed as running what nobody held, too
            now["status"] = "running"
        assert now == row, f"{session} ({row['title']})"
    assert report.ok, report.findings
    assert bytes_of(path) == before


async def test_golden_runs_hold_every_event_and_every_kind_of_waiting(store: EventLog) -> None:
    found = await histories(store)
    assert {type(recorded.event) for history in found.values() for recorded in history} == set(EVENT_TYPES)
    ends = {r.event.outcome for h in found.values() for r in h if isinstance(r.event, WaitEnd)}
    assert ends == {"completed", "timed_out", "cancelled"}
    folded = [fold(history) for history in found.values()]
    assert {state.phase for history in found.values() for _, state in states(history)} == set(Phase)
    assert {wait.reason for state in folded for wait in state.waits} >= {"", "approval", "child", "inbox", "sleep"}
    assert any(state.retry_at_us is not None for state in folded)


async def test_golden_runs_replay_without_a_difference(store: EventLog) -> None:
    for session, history in (await histories(store)).items():
        report = replay(history, erased=await erased_seqs(store, session))
        assert report.difference is None, f"{session}: {report.difference}"


async def test_golden_runs_have_a_legal_next_step_at_every_seq_also_in_a_fork_there(store: EventLog) -> None:
    for session, history in (await histories(store)).items():
        for seq, state in states(history):
            try:
                next_step(state)
                next_step(evolve(state, Recorded(seq + 1, 0, Fork())))
            except Exception as error:
                error.add_note(f"{session} at seq {seq}")
                raise


@pytest.mark.slow
async def test_golden_runs_go_on_to_an_end_from_every_seq(store: EventLog) -> None:
    for number, (session, history) in enumerate((await histories(store)).items()):
        if await store.dropped(session):
            continue  # the shell of this test knows no gaps; the agents below do
        inherited = (await store.info(session)).fork_seq
        for cut in range(inherited + 1 + number % PURE_STEPS, len(history) + 1, PURE_STEPS):
            for prefix in (history[:cut], (*history[:cut], Recorded(history[cut - 1].seq + 1, 0, Fork()))):
                try:
                    ended = resumed(prefix)
                    state = fold(ended)
                    assert (state.phase, state.task, state.queue) == (Phase.IDLE, "", state.queued("inbox"))
                    assert isinstance(next_step(state), Stop)
                except Exception as error:
                    error.add_note(f"{session} cut after {cut} events, {type(prefix[-1].event).__name__} last")
                    raise


@pytest.mark.slow
async def test_golden_exports_are_taken_in_with_the_same_digest_and_replay(folder: Path, tmp_path: Path) -> None:
    found = written(folder)
    names: set[str] = set()
    for path in exports(folder, tmp_path):
        async with open_store() as store:
            report = await import_file(store, str(path))
            taken = report.session
            same = (await store.info(taken)).digest == found[path.stem]["digest"]
            assert same == (not report.lost), f"{path.stem}: what was erased or dropped, and only that, is said"
            assert (await store.verify()).ok
            history = [r async for r in read_all(store, taken)]
            assert replay(history, erased=await erased_seqs(store, taken)).difference is None
        names.add(path.stem)
    assert names == found.keys()


@pytest.mark.slow
async def test_golden_runs_go_on_with_their_agents_and_workers_to_an_end(path: Path) -> None:
    clock = Clock()
    clock.now_us += 1_000 * HOUR_US  # whatever waits for a time is due
    async with open_store(str(path), clock=clock) as store:
        log = Log(store, clock=clock)
        erased = [name for name, history in (await histories(store)).items() if is_erased(history)]
        for info in await store.sessions(limit=10_000):
            if not info.task and not info.title.startswith("summary"):
                await to_its_end(await log.find(info.id))
        for _ in range(20):
            await Worker(log, runs.TASKS).drain()
            unfinished = [row for row in await store.sessions(open=True, limit=10_000) if row.id not in erased]
            for row in unfinished:
                await people_answer(await log.find(row.id))
                if row.task and row.parent is not None:  # a fork of a child has no parent that runs it
                    await runs.code(row.task).resume(await log.find(row.id))
            clock.now_us += 10 * HOUR_US
            if not unfinished:
                break
        for info in [row for row in await store.sessions(limit=10_000) if row.id not in erased]:
            session = await log.find(info.id)
            state = await session.state()
            assert (state.phase, state.task, state.waits) == (Phase.IDLE, "", ()), f"{info.id}: {info.title}"
            assert (await session.replay()).difference is None, f"{info.id}: {info.title}"
        assert (await store.verify()).ok


def is_erased(history: tuple[Recorded, ...]) -> bool:
    """Say whether what a task's code was begun with is gone, so that it cannot run again."""
    starts = [recorded.event for recorded in history if isinstance(recorded.event, TaskStart)]
    return any(start.payload == msgspec.Raw(b'"[erased]"') for start in starts)


async def to_its_end(session: Session) -> None:
    """Let an agent finish a session, a person agreeing to everything."""
    run = await runs.BOSS.resume(session, tools="live")
    for _ in range(10):
        if run.status != "waiting":
            break
        await people_answer(session)
        run = await runs.BOSS.resume(session, tools="live")


async def people_answer(session: Session) -> None:
    """Decide whatever a person can decide."""
    for wait in await session.waits():
        if wait.reason == "approval":
            await session.decide(wait, approve=True)
        elif wait.reason == "in_doubt":
            await session.decide(wait, "rerun")
        elif not wait.reason:
            await session.decide(wait, 1)
        elif wait.reason == "inbox":
            await session.core.append([AbortRequest(cause="cancel")])
