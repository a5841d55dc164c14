"""Write a release's golden runs: `python -m tests.golden.write_runs 0.1.0`. What a release wrote stays as it is.

runs.db.xz: whatever agents, tasks, recorders, the proxy and imports leave in a log, finished and unfinished, and forks
of it all. runs.json.xz: each session's row, digest and the digest of its events. runs.tar.xz: each session exported.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import json
import lzma
import sys
import tarfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from eventsource.codec import encode
from eventsource.envelope import SessionInfo
from eventsource.errors import RefoldError, UnknownSeqError
from eventsource.events import (
    ConfigChange,
    Custom,
    Event,
    MessageEnd,
    MetadataSet,
    ModelRequest,
    QueueClear,
    QueuePush,
    StepEnd,
    StepStart,
    StreamUpdate,
    TaskEnd,
    TaskStart,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionUpdate,
    WaitEnd,
)
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, ToolCall, ToolResultMessage, UserMessage
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import Answer, call, stall
from eventsource.models.secrets import Secrets
from refold import Agent, Log, Session
from refold.http.proxy.recorder import Call, ProxyRecorder
from refold.http.wires.protocol import as_json
from refold.http.wires.routes import WIRES
from refold.tasks import Task, TaskRun
from refold.tasks.worker import Worker
from replay.formats import import_file
from replay.formats.refold.write import export_session
from tests.golden import runs

FOLDER = Path(__file__).parent
HOUR_US = 3_600_000_000


class Clock:
    """A clock that goes on by a millisecond each time it is read, and by more when told to."""

    now_us = 1_700_000_000_000_000

    def __call__(self) -> int:
        self.now_us += 1_000
        return self.now_us


class Writing:
    """A log that golden sessions are written into."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self.log, self.clock = log, clock

    async def session(self, title: str) -> Session:
        return await self.log.session(title)

    async def said(self, title: str, *prompts: str, agent: Agent[object] | None = None) -> Session:
        """Make a session in which an agent answers."""
        session = await self.session(title)
        for prompt in prompts:
            await (agent or runs.agent()).run(prompt, session=session)
        return session

    async def work(self, *, later_us: int = 0) -> None:
        """Let a worker do what is due, at once or later."""
        self.clock.now_us += later_us
        await Worker(self.log, runs.TASKS).drain()

    async def started(self, task: Task[Any, Any], payload: object = None) -> TaskRun:
        """Start a task, and let a worker do what can be done."""
        run = await task.trigger(self.log, payload, key=f"golden {task.id} {payload}", tags=("golden",))
        await self.work()
        return await run.refresh()

    async def decided(self, session: Session, *ways: Mapping[str, object]) -> None:
        """Decide a session's waits, one after the other."""
        for wait, way in zip(await session.waits(), ways, strict=False):
            await session.decide(wait, decided_by="ann", **way)  # type: ignore[arg-type]  # the options of a decision


async def talks(writing: Writing) -> None:
    """Agents' runs: streamed and whole, parallel and sequential, failed, retried, aborted, steered, at a limit."""
    await writing.said("plain", "A coat?", "Try all.", "And now?")
    await writing.said("sequential", "One by one.", agent=runs.agent(tools="sequential", steering="interrupt"))
    await writing.said("limited", "A coat?", agent=runs.agent(turn_limit=1))
    await writing.said("retried", "Fail once.", "Be busy once.", agent=runs.agent(retries=2))
    await writing.said("failed", "Fail once.")
    aborted = await writing.session("aborted")
    slow = runs.agent().replace(model=ScriptedModel([["Half of ", "it", aborted.abort, stall()], "Again."]))
    await slow.run("Slowly.", session=aborted)
    await runs.agent().run("A coat?", session=aborted)
    steered = await writing.session("steered")
    calls: Answer = [call("weather", {"city": "Oslo"}), call("put", {"text": "a"}), lambda: steered.steer("Stop that.")]
    answers: list[Answer] = [calls, ["Stopped", lambda: steered.follow_up("And then?")], "Then this."]
    told = runs.agent(tools="sequential", steering="interrupt").replace(model=ScriptedModel(answers))
    await told.run("Go.", session=steered)
    await steered.follow_up("Never said.")
    await steered.append([QueueClear(queue="follow_up"), Custom(kind="app", data=msgspec.Raw(b'{"n":[1.50]}'))])
    changed = await writing.said("changed", "A coat?")
    other = runs.agent(tools="sequential", partial="kept").replace(system="Be slow.", options={"temperature": 0})
    await other.run("A coat?", session=changed)


async def approvals(writing: Writing) -> None:
    """Calls that a person must agree to: denied, edited, approved, given up, open, and those of a child."""
    await writing.said("asked", "Pay.")
    ways: dict[str, Mapping[str, object]] = {
        "approved": {"approve": True},
        "denied": {"approve": False, "reason": "too much"},
        "edited": {"approve": True, "arguments": {"amount": 1}},
        "edited badly": {"approve": True, "arguments": {"amount": "much"}},
        "given up": {"outcome": "cancelled"},
    }
    for title, way in ways.items():
        session = await writing.said(title, "Pay.")
        await writing.decided(session, way, {"approve": True})
        await runs.agent().resume(session)
    half = await writing.said("half decided", "Pay.")
    await writing.decided(half, {"approve": False, "reason": "no"})
    ended = await writing.said("aborted while asked", "Pay.")
    await ended.abort()
    await runs.agent().resume(ended)
    doubt = await (await writing.session("plain")).fork(at=await seq_of(await writing.session("plain"), "weather"))
    await runs.agent(in_doubt="ask").resume(doubt)


async def agents_as_tools(writing: Writing) -> None:
    """Agents as tools: one that ends, one that waits for a person, one that was given up."""
    await writing.said("children", "Research.", agent=runs.BOSS)
    await writing.said("child asks", "Approve through a child.", agent=runs.BOSS)
    answered = await writing.said("child was answered", "Approve through a child.", agent=runs.BOSS)
    await writing.decided(answered, {"approve": True}, {"approve": False, "reason": "no"})
    await runs.BOSS.resume(answered)
    ended = await writing.said("child was given up", "Approve through a child.", agent=runs.BOSS)
    await ended.abort()
    await runs.BOSS.resume(ended)


async def edits(writing: Writing) -> None:
    """Compaction, hidden and replaced messages, bookmarks, titles, adopted messages, results that a fork takes over."""
    compacted = await writing.said("compacted", "A coat?", "Tell me much.")
    await runs.agent().compact(compacted)
    await runs.agent().run("And now?", session=compacted)
    edited = await writing.said("edits", "A coat?", "Tell me much.")
    messages = await edited.messages()
    result = next(one for one in messages if isinstance(one.message, ToolResultMessage))
    await edited.hide(messages[-1])
    await edited.replace(result, "sunshine")
    await edited.replace(messages[0], UserMessage(content="An umbrella?"))
    await edited.label("here", messages[1].seq)
    await edited.label("there", result.seq)
    await edited.label("", messages[1].seq)
    await edited.label("edits and labels")
    await runs.agent().run("And now?", session=edited)
    branch = await edited.edit((await edited.messages())[-2], "Something else?", title="branch")
    await runs.agent().run("More.", session=branch)
    await edited.adopt((await branch.messages())[-2:], from_=branch)
    again = await (await writing.session("approved")).fork(at=5, title="calls again")
    await runs.agent().resume(again, tools="recorded")
    await writing.decided(again, {"approve": True}, {"approve": True})
    await runs.agent().resume(again, tools="recorded")


async def tasks(writing: Writing) -> None:
    """Tasks: done, waiting, timed out, cancelled, between two attempts; with children, an inbox, a loop, an agent."""
    done = await writing.started(runs.work, {"n": 1})
    await done.session.decide("go", 7, decided_by="ann")
    await writing.started(runs.ask, "open")
    answered = await writing.started(runs.ask, "answered")
    await answered.session.decide("answered", {"yes": [1]}, decided_by="ann")
    taken_back = await writing.started(runs.ask, "taken back")
    await taken_back.session.decide("taken back", outcome="cancelled")
    cancelled = await writing.started(runs.ask, "cancelled")
    await cancelled.cancel("not needed")
    chatting = await writing.started(runs.chat)
    await chatting.session.send("A coat?", key="first")
    looping = await writing.started(runs.loop)
    parent = await writing.started(runs.family)
    paying = await writing.started(runs.payment)
    await writing.started(runs.flaky, 2)
    await writing.work()
    await writing.decided(paying.session, {"approve": False, "reason": "no"}, {"approve": True})
    await writing.decided(parent.session, {"value": "me"})
    for message in ("two", {"three": 3}):
        await chatting.session.send(message)
        await looping.session.send(message)
        await writing.work()
    await chatting.session.abort()
    await writing.work(later_us=2 * HOUR_US)  # tokens, inboxes and backoffs are over, and what failed is tried again
    await writing.started(runs.nap)
    await writing.started(runs.flaky, 3)  # an attempt failed, the next one is an hour away
    await writing.started(runs.flaky, 9)
    await writing.work(later_us=HOUR_US + 1_000_000)
    await writing.started(runs.nap, "again")
    await writing.started(runs.ask, "for ever")
    await writing.started(runs.work, {"n": 2})  # waits for its token
    waiting = await writing.started(runs.chat, "waiting")
    await waiting.session.send("A coat?")
    unanswered = await runs.family.trigger(writing.log, None, key="waits for its child")
    await writing.work()
    await unanswered.session.append([MetadataSet(name="mood", value=msgspec.Raw(b'"good"'))])
    await unanswered.session.append([StreamUpdate(name="from outside", item=msgspec.Raw(b"0.5"))])
    await runs.work.trigger(writing.log, {"n": 3}, key="nobody has begun it")


async def recorded(writing: Writing) -> None:
    """A loop of somebody else's: whole and streamed answers, chunks, tools, a failure, and one that broke off."""
    async with writing.log.record("recorded", model="groq:some-model") as record:
        await record.user("Do I need a coat?")
        async with record.model({"model": "some-model", "messages": []}) as reply:
            for number, delta in enumerate(DELTAS, 1):
                await reply.feed(chunk(delta, "tool_calls" if number == len(DELTAS) else None))
        for made in reply.calls:
            async with record.tool(made) as execution:
                execution.update("looking")
                execution.result({"sky": "grey"})
        await record.user("Be quick.")
        async with record.model() as reply:
            reply.message("Take one.")
        await record.user("Pay.")
        async with record.model() as reply:
            reply.message(AssistantMessage(content=(CALL,), stop_reason="tool_use"))
        async with record.tool(reply.calls[0]):
            raise RuntimeError("no money")
    try:
        async with writing.log.record("recording broke off") as record:
            await record.user("Go.")
            async with record.model() as reply:
                reply.message(AssistantMessage(content=(CALL,), stop_reason="tool_use"))
            raise TimeoutError("the loop had enough")
    except TimeoutError:
        pass


CALL = ToolCall(id="p", name="pay", arguments='{"amount":1}')
_FUNCTION = {"name": "weather", "arguments": '{"city":'}
DELTAS: Sequence[Mapping[str, object]] = (
    {"role": "assistant", "content": "I "},
    {"content": "look."},
    {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": _FUNCTION}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]},
)


def chunk(delta: Mapping[str, object], reason: str | None) -> Mapping[str, object]:
    """Make a chunk of a chat completion."""
    return {"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


async def proxied(writing: Writing) -> None:
    """What passes a proxy: a conversation with tools, the same asked again, a branch, a refusal, a broken stream."""
    lost: list[str] = []
    recorder = ProxyRecorder(writing.log, lose=lost.append)
    user, again = {"role": "user", "content": "A coat, by proxy?"}, {"role": "user", "content": "And now?"}
    called = {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
        ],
    }
    result = {"role": "tool", "tool_call_id": "c1", "content": "rain"}
    answered = {"role": "assistant", "content": "Take one."}
    talk = [{"role": "system", "content": "Be brief."}, user]
    await pass_by(recorder, talk, called)
    await pass_by(recorder, [*talk, called, result], answered)
    await pass_by(recorder, [*talk, called, result], answered)
    await pass_by(recorder, [*talk, called, result, answered, again], {"content": "Now it"}, cut=True)
    await pass_by(recorder, [*talk, called, result, answered, again], {"content": "Now it snows."})
    await pass_by(recorder, [*talk, called, {**result, "content": "sun"}], {"content": "None."})
    await pass_by(recorder, [{"role": "user", "content": "Too busy?"}], {}, status=429)
    assert not lost, lost


async def pass_by(
    recorder: ProxyRecorder, talk: Sequence[object], said: Mapping[str, object], *, status: int = 200, cut: bool = False
) -> None:
    """Let one exchange pass by."""
    wire = WIRES["openai-completions"]

    def read() -> Call:
        asked = wire.read("/v1/chat/completions", {"model": "m", "messages": talk, "temperature": 0}, "openai")
        return Call(asked=asked, ref=asked.request.model, body_sha256="0" * 64, secrets=Secrets())

    buffer = recorder.begin(read, "POST /v1/chat/completions")
    buffer.begin(status, "")
    if status == 200:
        text = str(said["content"])
        deltas: list[dict[str, object]] = [{"content": text[:3]}, {"content": text[3:]}]
        if "tool_calls" in said:
            calls = said["tool_calls"]
            assert isinstance(calls, list)
            deltas.append({"tool_calls": [{"index": n, **one} for n, one in enumerate(calls)]})
        reason = None if cut else "tool_calls" if "tool_calls" in said else "stop"
        for n, delta in enumerate(deltas):
            last = n == len(deltas) - 1
            buffer.piece(f"data: {as_json(chunk(delta, reason if last else None))}\n\n".encode())
            await asyncio.sleep(0)
    else:
        buffer.piece(b'{"error":{"message":"slow down"}}')
    buffer.end("the connection broke" if cut else "")
    await recorder.close()


def pi_session() -> str:
    """Write a session of pi: two branches, tool calls with and without results, a compaction, a label."""
    time = "2026-01-01T00:00:0{}.000Z"

    def entry(name: str, parent: str | None, kind: str = "message", **fields: object) -> dict[str, object]:
        return {"type": kind, "id": name, "parentId": parent, "timestamp": time.format(1), **fields}

    def said(text: str, *calls: str) -> dict[str, object]:
        content: list[object] = [{"type": "text", "text": text}]
        content += [{"type": "toolCall", "id": one, "name": "ls", "arguments": {"path": one}} for one in calls]
        usage = {"input": 1, "output": 2, "cacheRead": 3, "cacheWrite": 4, "totalTokens": 10, "cost": {"total": 0.0125}}
        reason = "toolUse" if calls else "stop"
        whose = {"api": "anthropic-messages", "provider": "anthropic", "model": "claude"}
        return {"role": "assistant", "content": content, **whose, "stopReason": reason, "usage": usage}

    def asked(text: str) -> dict[str, object]:
        return {"role": "user", "content": text, "timestamp": 1_700_000_000_123}

    result = {"role": "toolResult", "toolCallId": "x", "toolName": "ls", "isError": False}
    lines = [
        {"type": "session", "version": 3, "id": "golden", "timestamp": time.format(0), "cwd": "/tmp"},
        entry("a", None, message=asked("What is here?")),
        entry("b", "a", message=said("I look.", "x", "y")),
        entry("c", "b", message={**result, "content": [{"type": "text", "text": "a file"}], "details": {"exit": 0}}),
        entry("d", "c", message=said("A file.")),
        entry("e", "d", message=asked("And there?")),
        entry("f", "e", message=said("Nothing.")),
        entry("g", "d", message=asked("Elsewhere?")),
        entry("h", "g", "compaction", summary="We looked.", firstKeptEntryId="g", tokensBefore=99),
        entry("i", "h", message=said("There neither.")),
        entry("j", "i", "label", targetId="g", label="here"),
        entry("k", "j", "custom", customType="app", data={"n": 1}),
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


async def imported(writing: Writing) -> None:
    """A session of another program, taken in and gone on with."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "golden.jsonl"
        path.write_text(pi_session(), encoding="utf-8")
        report = await import_file(writing.log.store, str(path))
    branch = await (await writing.log.find(report.branches[0].session)).fork(title="gone on with")
    await runs.agent().run("A coat?", session=branch)


async def forks(writing: Writing) -> None:
    """Forks of every session there is, at three places each: one goes on, one waits to, one has a fork of its own."""
    for info in [row for row in await all_sessions(writing.log.store) if row.head > 3]:
        session = await writing.log.find(info.id)
        places = sorted({max(info.fork_seq, 1) + (info.head - info.fork_seq) * n // 4 for n in (1, 2, 3)})
        for n, at in enumerate(places):
            fork = await session.fork(at=at, title=f"fork {n} of {info.id}")
            if n == 1 and not info.task:
                await carried_on(fork)
            if n == 2:
                await (await fork.fork(title=f"fork of a fork of {info.id}")).label("forked twice")
    await writing.work()


async def carried_on(session: Session) -> None:
    """Let an agent finish what is unfinished."""
    try:
        await runs.BOSS.resume(session)
    except RefoldError as error:
        await session.append([Custom(kind="cannot go on", data=msgspec.Raw(json.dumps(str(error)).encode()))])


async def removals(writing: Writing) -> None:
    """Erased content of each kind, in sessions, in a task, below forks and in a fork; dropped updates."""
    store = writing.log.store
    await erased(writing, await writing.log.find("changed"), MessageEnd, QueuePush)
    await erased(writing, await writing.log.find("recorded"), MessageEnd, ToolExecutionEnd)
    again = await writing.said("erased", "A coat?", "Try all.")
    kinds: tuple[type[Event], ...] = (
        QueuePush,
        MessageEnd,
        ToolExecutionUpdate,
        ToolExecutionEnd,
        ConfigChange,
        ModelRequest,
    )
    await erased(writing, again, *kinds)
    await (await again.fork(title="fork of what was erased")).label("later")
    below = await again.fork(title="erased in a fork")
    await runs.agent().run("And now?", session=below)
    await erased(writing, below, QueuePush, MessageEnd)
    worked = next(info for info in await all_sessions(store) if info.task == "work" and info.status == "idle")
    kinds = (TaskStart, StepStart, StepEnd, MetadataSet, TokenCreate, WaitEnd, StreamUpdate, QueuePush, TaskEnd)
    await erased(writing, await writing.log.find(worked.id), *kinds)
    await (await (await writing.log.find(worked.id)).fork(title="fork of an erased task")).label("later")
    dropped = await writing.said("dropped", "A coat?", "Try all.")
    await store.drop_updates(dropped.id)
    await (await dropped.fork(title="fork of what was dropped")).label("later")


async def erased(writing: Writing, session: Session, *kinds: type[Event]) -> None:
    """Erase, of each kind, the first of the session's own events that can be erased."""
    own = (await session.info()).fork_seq
    for kind in kinds:
        for seq in [one.seq for one in await session.events(after=own) if isinstance(one.event, kind)]:
            with suppress(UnknownSeqError):  # it holds nothing
                await writing.log.store.erase(session.id, seq, at_us=writing.clock(), reason="asked to")
                break


PARTS: tuple[Callable[[Writing], Awaitable[None]], ...] = (
    talks,
    approvals,
    agents_as_tools,
    edits,
    tasks,
    recorded,
    proxied,
    imported,
    forks,
    removals,
)


async def seq_of(session: Session, tool_name: str) -> int:
    """Find the first start of a tool."""
    return next(r.seq for r in await session.events() if getattr(r.event, "name", "") == tool_name and r.seq > 6)


async def all_sessions(store: EventLog) -> list[SessionInfo]:
    """List every session's row, by id."""
    return sorted(await store.sessions(limit=10_000), key=lambda row: row.id)


async def summary(store: EventLog) -> dict[str, dict[str, object]]:
    """Say what a log tells of each session: its row, and the digest of its events with their times."""
    rows: dict[str, dict[str, object]] = {}
    for info in sorted(await store.sessions(limit=10_000), key=lambda row: row.id):
        events = hashlib.sha256()
        async for one in read_all(store, info.id):
            events.update(b"[%d,%d,%s]\n" % (one.seq, one.at_us, encode(one.event)))
        rows[info.id] = {
            "title": info.title,
            "parent": info.parent,
            "fork_seq": info.fork_seq,
            "head": info.head,
            "digest": info.digest,
            "status": info.status,
            "task": info.task,
            "messages": info.messages,
            "dropped": [list(span) for span in await store.dropped(info.id)],
            "events": events.hexdigest(),
        }
    return rows


async def write(path: Path) -> None:
    """Write the log."""
    clock = Clock()
    names = (f"run{n}" for n in itertools.count(1))
    async with open_store(str(path), clock=clock, new_id=lambda: next(names)) as store:
        writing = Writing(Log(store, clock=clock), clock)
        for part in PARTS:
            await part(writing)


async def exported(store: EventLog, path: Path) -> None:
    """Export every session into one archive."""
    with tarfile.open(path, "w:xz") as archive:
        for info in sorted(await store.sessions(limit=10_000), key=lambda row: row.id):
            body = await export_session(store, info.id)
            member = tarfile.TarInfo(f"{info.id}.jsonl")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))


async def main(version: str) -> None:
    """Write all three files; a release that has them keeps them."""
    folder = FOLDER / version
    if (folder / "runs.db.xz").exists():
        raise SystemExit(f"{folder / 'runs.db.xz'} is there, and stays")
    with TemporaryDirectory() as place:
        path = Path(place) / "runs.db"
        await write(path)
        async with open_store(str(path)) as store:
            rows = [f"{json.dumps(name)}:{json.dumps(row)}" for name, row in (await summary(store)).items()]
            await exported(store, folder / "runs.tar.xz")
        (folder / "runs.json.xz").write_bytes(lzma.compress(("{" + ",\n".join(rows) + "}\n").encode(), preset=9))
        (folder / "runs.db.xz").write_bytes(lzma.compress(path.read_bytes(), preset=9))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
