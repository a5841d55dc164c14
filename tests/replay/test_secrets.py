"""A secret that became known after it was recorded elsewhere comes into no other session, whichever way it takes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from eventsource.codec import encode
from eventsource.errors import TranscriptError
from eventsource.events import QueuePush
from eventsource.log.protocol import EventLog
from eventsource.messages import UserMessage
from eventsource.models.scripted import ScriptedModel
from eventsource.models.secrets import MARK, Secrets
from refold import Agent, Log, Session, open_log
from refold.tasks import TaskContext, task
from replay.formats import import_file
from replay.formats.refold.write import export_session

_NUMBERS = count(1)
HEADER = {"type": "session", "version": 3, "id": "x", "timestamp": "2026-01-01T00:00:00.000Z"}
ENTRY = {"type": "message", "id": "a", "parentId": None, "timestamp": "2026-01-01T00:00:00.000Z"}


@pytest.fixture
def key() -> str:
    return f"sk-from-elsewhere-{next(_NUMBERS):06}"


def learn(key: str) -> None:
    Secrets().add(key)


async def said(session: Session) -> str:
    return "\n".join([encode(one.event).decode() for one in await session.events()])


async def told(log: Log, key: str) -> Session:
    """Record a prompt with a key that nobody knows yet to be one."""
    session = await log.session("source")
    await Agent(ScriptedModel(["Fine."])).run(f"use {key}", session=session)
    assert key in await said(session)
    learn(key)
    return session


async def test_adopted_messages_are_without_it(key: str) -> None:
    async with open_log() as log:
        source, target = await told(log, key), await log.session("target")
        await target.adopt(await source.messages(), from_=source)
        assert key not in await said(target)
        assert f"use {MARK}" in await said(target)


async def test_the_inputs_of_a_reexecution_are_without_it(key: str) -> None:
    async with open_log() as log, open_log() as other:
        source = await told(log, key)
        again = await Agent(ScriptedModel(["Fine."])).reexecute(source, mode="live", log=other)
        assert key not in await said(again.run.session)
        assert f"use {MARK}" in await said(again.run.session)


async def test_an_import_of_a_transcript_is_without_it_and_says_so(key: str, tmp_path: Path) -> None:
    learn(key)
    path = tmp_path / "a.jsonl"
    entry = ENTRY | {"message": {"role": "user", "content": f"use {key}", "timestamp": 1}}
    path.write_text(f"{json.dumps(HEADER)}\n{json.dumps(entry)}\n")
    async with open_log() as log:
        report = await import_file(log.store, str(path))
        assert key not in await said(await log.find(report.session))
        assert [note.problem for note in report.lost] == [
            f"2 of its events told a secret that this process knows (a key, a variable's value): {MARK} stands there"
        ]


async def test_an_import_of_an_exported_session_with_it_is_refused_by_its_seq(key: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    async with open_log() as log, open_log() as other:
        source = await told(log, key)
        path.write_bytes(await export_session(log.store, source.id))
        push = next(one.seq for one in await source.events() if isinstance(one.event, QueuePush))
        with pytest.raises(
            TranscriptError, match=rf"session {source.id}, seq {push}: it tells a secret .*refold erase"
        ):
            await import_file(other.store, str(path))
        assert await other.list() == ()
        await log.store.erase(source.id, push, at_us=1)
        path.write_bytes(await export_session(log.store, source.id))
        assert key not in await said(await other.find((await import_file(other.store, str(path))).session))


async def items(*some: str) -> AsyncIterator[str]:
    for one in some:
        yield one


async def test_a_childs_payload_and_what_a_task_shows_at_the_root_are_without_it(key: str) -> None:
    learn(key)

    @task(id="child", payload=str)
    async def child(ctx: TaskContext, payload: str) -> None:
        await ctx.stream("used", lambda: items(key), root=True)

    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> None:
        await ctx.trigger_and_wait(child, f"use {key}", key="one")

    async with open_log() as log:
        run = await parent.run(log)
        assert run.status == "done"
        root, one = await said(run.session), await said(await log.find(run.children["one"]))
        assert key not in root + one
        assert MARK in root
        assert f"use {MARK}" in one


async def test_what_is_appended_to_a_store_directly_is_without_it(log: EventLog, key: str) -> None:
    learn(key)
    await log.create("s")
    push = QueuePush(queue="prompt", message=UserMessage(content=f"use {key}"))
    await log.append("s", [(1, push)])
    assert (await log.read("s"))[0].event == QueuePush(queue="prompt", message=UserMessage(content=f"use {MARK}"))
