"""Real logs of evaluations: every session in them is sound, and says what independent counts say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from eventsource.errors import TranscriptError
from eventsource.events import MessageAdopt
from eventsource.log import open_store
from eventsource.machine.evolve import fold
from eventsource.machine.state import Phase
from refold import Agent, open_log
from refold.testing import scripted
from replay.formats import import_file
from replay.formats.inspect.archive import archive_of
from replay.formats.inspect.write import inspect_parts
from replay.formats.openhands.write import openhands_parts

DATA = Path(os.environ.get("REFOLD_DATA", Path(__file__).parents[3] / "shared" / "data")).resolve() / "transcripts"
PIECES = ("log__test_skeleton", "timeline__")
INSPECT = sorted(path for path in (DATA / "inspect-ai").glob("*") if not path.name.startswith(PIECES))
NONE = sorted(path for path in (DATA / "inspect-ai").glob("*") if path.name.startswith(PIECES))
OPENHANDS = [*sorted((DATA / "openhands-v0").glob("*.jsonl")), *(DATA / "openhands-v1").glob("*.jsonl")]
ALL = [*INSPECT, *OPENHANDS]
if not ALL:
    pytest.skip(f"needs recorded sessions; there are none in {DATA} (set REFOLD_DATA)", allow_module_level=True)


def name_of(path: Path) -> str:
    return str(path.relative_to(DATA))


def samples(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".json":
        return list(json.loads(path.read_bytes())["samples"])
    found = archive_of(path)
    return [json.loads(found.read(name)) for name in found.members if name.startswith("samples/")]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("path", INSPECT, ids=name_of)
async def test_each_sample_of_inspect_has_its_messages_and_its_tokens_and_is_written_back(path: Path) -> None:
    wanted = samples(path)
    async with open_store() as log:
        report = await import_file(log, str(path))
        assert len(wanted) == 1 + len(report.others)
        for one, told in zip(wanted, (report, *report.others), strict=True):
            events = [recorded.event for recorded in await log.read(told.session, limit=10_000)]
            adopted = [event.message for event in events if isinstance(event, MessageAdopt)]
            assert len(adopted) == sum(message["role"] != "system" for message in one["messages"])
            infos = [await log.info(session.session) for session in (told, *told.children)]
            used = one.get("model_usage") or {}
            if used:  # one of them does not say
                assert sum(info.input_tokens for info in infos) == sum(one["input_tokens"] for one in used.values())
                assert sum(info.output_tokens for info in infos) == sum(one["output_tokens"] for one in used.values())
            whole = json.loads(b"".join([part async for part in inspect_parts(log, told.session)]))
            transcript = one.pop("transcript", {})
            one = {"events": transcript.get("events", []), "attachments": transcript.get("content", {}), **one}
            assert whole["samples"] == [one]


@pytest.mark.parametrize("path", OPENHANDS, ids=name_of)
async def test_what_openhands_wrote_is_written_back_and_its_tokens_count_once(path: Path) -> None:
    wanted = lines(path)
    async with open_store() as log:
        report = await import_file(log, str(path))
        every = (report, *report.others)
        found = [json.loads(part) for one in every async for part in openhands_parts(log, one.session)]
        infos = [await log.info(one.session) for one in every]
    assert found == wanted
    for one, info in zip(wanted, infos, strict=False):
        total = one.get("metrics", {}).get("accumulated_token_usage")
        if total:
            assert (info.input_tokens, info.output_tokens) == (total["prompt_tokens"], total["completion_tokens"])


@pytest.mark.parametrize("path", NONE, ids=name_of)
async def test_what_is_no_log_is_refused(path: Path) -> None:
    async with open_store() as log:
        with pytest.raises(TranscriptError, match="is not a session this program can read"):
            await import_file(log, str(path))


@pytest.mark.parametrize("path", ALL, ids=name_of)
async def test_an_imported_session_verifies_forks_replays_and_goes_on(path: Path, tmp_path: Path) -> None:
    async with open_log(tmp_path / "log.db") as log:
        report = await import_file(log.store, str(path))
        again = await import_file(log.store, str(path))
        assert not any(one.branches for one in (again, *again.others))
        for one in (report, *report.children, *report.others):
            assert (await log.store.verify(one.session)).ok
        head = (await log.store.info(report.session)).head
        for seq in range(1, head + 1, max(1, head // 20)):
            fork = await log.store.fork(report.session, seq, at_us=1)
            assert fold(await log.store.read(fork.id, limit=1_000_000)).phase is Phase.IDLE
        session = await log.find(report.session)
        assert (await session.replay()).difference is None
        run = await Agent(scripted("Done."), system="Be brief.").run("Go on.", session=session)
        assert run.text == "Done."
        assert (await session.replay()).difference is None
