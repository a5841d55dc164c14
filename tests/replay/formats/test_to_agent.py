"""A session is given to the agent that it came from, or to another one: its file says what a model reads."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventsource.events import Compaction, ContextEdit, Fork, MessageAdopt, Origin, Place, QueuePush
from eventsource.log import open_store
from eventsource.log.load import load
from eventsource.log.protocol import EventLog
from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from eventsource.models.openai.shared import sent_arguments
from projections import CONTEXT, messages, parts
from projections.transcript import with_text
from replay.formats import FORMATS, import_file
from replay.formats.claude_code.write import project_folder
from replay.formats.to_agent import HandedOver, ToAgent, hand_over
from tests.lives import Life

TO = {one.name: one.to_agent for one in FORMATS if one.to_agent is not None}
AGENTS = [*TO]
AT_US = 1_767_225_600_000_000  # 2026-01-01
_SUMMARY = re.compile(
    r"\A(?:The conversation history before .*<summary>\n(.*)\n</summary>|<state_snapshot>\n(.*))\Z", re.S
)
"""How a model is told what was said before: each agent has its own words around it."""
HELLO = ImageContent(data="aGVsbG8=", media_type="image/png")


def call(call_id: str, command: str) -> ToolCall:
    return ToolCall(id=call_id, name="bash", arguments=json.dumps({"command": command}))


def result(call_id: str, *texts: str) -> ToolResultMessage:
    content = tuple(TextContent(text=text) for text in texts)
    return ToolResultMessage(tool_call_id=call_id, tool_name="bash", content=content)


TALK: Sequence[Message] = (
    UserMessage(content="Look around."),
    AssistantMessage(
        content=(TextContent(text="I look."), call("c1", "ls"), call("c2", "pwd")), stop_reason="tool_use"
    ),
    result("c1", "a.txt"),
    result("c2", "/work"),
    AssistantMessage(content=(TextContent(text="There is a file."),)),
    UserMessage(content=(TextContent(text="And what is this?"), HELLO)),
    AssistantMessage(content=(TextContent(text="A picture."),)),
)


async def talk(log: EventLog, said: Sequence[Message] = TALK) -> str:
    """Make a session that was born elsewhere; each message is one event."""
    info = await log.create()
    calls = {
        block.id: Place(message_seq=seq, content_index=place)
        for seq, message in enumerate(said, 1)
        if isinstance(message, AssistantMessage)
        for place, block in enumerate(message.content)
        if isinstance(block, ToolCall)
    }
    events = [
        MessageAdopt(
            message=message,
            origin=Origin(source="elsewhere"),
            call=calls.get(message.tool_call_id) if isinstance(message, ToolResultMessage) else None,
        )
        for message in said
    ]
    await log.append(info.id, [(AT_US + number, event) for number, event in enumerate(events)])
    return info.id


async def give(log: EventLog, session: str, agent: str, home: Path, folder: str = "/work") -> HandedOver:
    names = ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", "PI_CODING_AGENT_DIR")
    kept = dict.fromkeys(names, str(home))
    return await hand_over(log, session, agent, TO[agent], folder=folder, environment=kept, at_us=AT_US)


async def come_back(log: EventLog, agent: str, home: Path, said: Sequence[Message] = TALK) -> str:
    """Make a session that was imported from a file of an agent."""
    given = await give(log, await talk(log, said), agent, home)
    report = await import_file(log, given.path)
    assert (report.format, len(report.branches), report.recovered, report.lost) == (agent, 1, (), ())
    return report.session


async def read(log: EventLog, session: str) -> list[tuple[str, tuple[Any, ...]]]:
    """Return what a model would read: whose it is, texts and images, calls."""
    _, _, view = await load(log, session, context=CONTEXT)
    found: list[tuple[str, tuple[Any, ...]]] = []
    for who, said in (shown(part.message) for part in parts(view)):
        if found and who == found[-1][0] == "assistant":  # Codex does not say where one ends
            found[-1] = who, (*found[-1][1], *said)
        else:
            found.append((who, said))
    return found


def _unwrapped(text: str) -> str:
    found = _SUMMARY.match(text)
    return text if found is None else found[1] or found[2] or ""


def shown(message: Message) -> tuple[str, tuple[Any, ...]]:
    match message:
        case UserMessage(content=str() as text):
            return "user", (_unwrapped(text),)
        case UserMessage(content=content) | ToolResultMessage(content=content):
            seen = tuple(
                one.data if isinstance(one, ImageContent) else _unwrapped(one.text)
                for one in content
                if not isinstance(one, str)
            )
            return (message.role, seen) if isinstance(message, UserMessage) else (message.tool_call_id, seen)
        case AssistantMessage(content=blocks):
            return "assistant", tuple(
                (one.id, one.name, json.loads(sent_arguments(one.arguments)))
                if isinstance(one, ToolCall)
                else one.text
                if isinstance(one, TextContent)
                else type(one)
                for one in blocks
                if not isinstance(one, ProviderContent)
            )
        case _:
            raise AssertionError(message)


async def read_file(given: HandedOver, agent: str) -> list[tuple[str, tuple[Any, ...]]]:
    alone = Path(given.path).with_suffix("") / Path(given.path).name  # else it is a fork of those beside it
    _put_aside(Path(given.path), alone)
    async with open_store() as other:
        report = await import_file(other, str(alone), format=agent)
        assert (len(report.branches), report.recovered, report.lost) == (1, (), ())
        return await read(other, report.session)


def _results_first(found: list[tuple[str, tuple[Any, ...]]]) -> list[tuple[str, tuple[Any, ...]]]:
    """Put what tools gave right behind the answer that asked for it, where Gemini CLI keeps it."""
    turns = [number for number, (who, _) in enumerate(found) if who == "assistant"]
    turn = dict(enumerate(sum(begin <= place for begin in turns) for place in range(len(found))))
    order = sorted(range(len(found)), key=lambda place: (turn[place], found[place][0] == "user"))
    return [found[place] for place in order] if turns else found


def _put_aside(path: Path, copy: Path) -> None:
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(path.read_bytes())


def content(given: HandedOver) -> str:
    return Path(given.path).read_text()


def lines(given: HandedOver) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content(given).splitlines()]


@pytest.mark.parametrize("agent", AGENTS)
async def test_what_was_born_elsewhere_reads_the_same_in_the_agents_file(
    agent: str, log: EventLog, tmp_path: Path
) -> None:
    session = await talk(log)
    given = await give(log, session, agent, tmp_path)
    assert await read_file(given, agent) == await read(log, session)
    assert (given.messages, given.unanswered, given.lost) == (7, False, ())


@pytest.mark.parametrize("agent", AGENTS)
async def test_each_edit_of_a_fork_stands_in_the_file_and_everything_else_as_it_was(agent: str, tmp_path: Path) -> None:
    async with open_store() as log:
        session = await come_back(log, agent, tmp_path)
        before = await read(log, session)
        _, _, view = await load(log, session, context=CONTEXT)
        for place, part in enumerate(messages(view)):
            changed = [with_text(part.message, "EDITED"), None, UserMessage(content="something else")]
            for new in changed:
                fork = await log.fork(session, view.entries[len(view.entries) - 1].seq, at_us=AT_US)
                edit = ContextEdit(message_seq=part.seq, replacement=new, says_hidden=True)
                await log.append(fork.id, [(AT_US, edit)])
                given = await give(log, fork.id, agent, tmp_path)
                found, wanted = await read_file(given, agent), await read(log, fork.id)
                assert found == (_results_first(wanted) if agent == "gemini" else wanted) != before
                if new is changed[0]:
                    assert "EDITED" in str(found[place])
                    assert found[:place] + found[place + 1 :] == before[:place] + before[place + 1 :]


@pytest.mark.parametrize("agent", AGENTS)
async def test_a_fork_at_any_event_is_given_as_far_as_it_goes(agent: str, tmp_path: Path) -> None:
    async with open_store() as log:
        session = await come_back(log, agent, tmp_path)
        for seq in range((await log.info(session)).head + 1):
            fork = await log.fork(session, seq, at_us=AT_US)
            wanted = await read(log, fork.id)
            if wanted:
                assert await read_file(await give(log, fork.id, agent, tmp_path), agent) == wanted


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("first", [0, 5, 6])
@pytest.mark.parametrize("own", [False, True])
async def test_what_a_compaction_keeps_stands_behind_its_summary(
    agent: str, first: int, own: bool, tmp_path: Path
) -> None:
    async with open_store() as log:
        session = await come_back(log, agent, tmp_path) if own else await talk(log)
        _, _, view = await load(log, session, context=CONTEXT)
        names = [part.seq for part in messages(view)]
        compaction = Compaction(summary="They looked around.", first_kept_seq=names[first] if first else 0)
        more = MessageAdopt(message=UserMessage(content="Go on."), origin=Origin(source="elsewhere"))
        await log.append(session, [(AT_US, compaction), (AT_US, more)])
        wanted = await read(log, session)
        assert len(wanted) == (2 if not first else 9 - first)
        assert await read_file(await give(log, session, agent, tmp_path), agent) == wanted


@pytest.mark.parametrize("agent", AGENTS)
async def test_of_a_list_that_became_the_context_another_agent_gets_that_list(
    agent: str, log: EventLog, tmp_path: Path
) -> None:
    session = await talk(log)
    more = MessageAdopt(message=UserMessage(content="All that is left."), origin=Origin(source="elsewhere"))
    await log.append(session, [(AT_US, Compaction(summary="", silent=True)), (AT_US, more)])
    assert await read_file(await give(log, session, agent, tmp_path), agent) == [("user", ("All that is left.",))]


@pytest.mark.parametrize("agent", AGENTS)
async def test_calls_get_ids_of_their_own_which_their_results_name(agent: str, log: EventLog, tmp_path: Path) -> None:
    said: list[Message] = [
        AssistantMessage(content=(call("", "a"), call("", "b"))),
        result("", "A"),
        result("", "B"),
        AssistantMessage(content=(call("c1", "c"),)),
        result("c1", "C"),
        AssistantMessage(content=(call("c1", "d"),)),
        result("c1", "D"),
    ]
    info = await log.create()
    places = [None, (1, 0), (1, 1), None, (4, 0), None, (6, 0)]
    for message, place in zip(said, places, strict=True):
        at = Place(message_seq=place[0], content_index=place[1]) if place is not None else None
        event = MessageAdopt(message=message, origin=Origin(source="elsewhere"), call=at)
        await log.append(info.id, [(AT_US, event)])
    found = await read_file(await give(log, info.id, agent, tmp_path), agent)
    asked = [block for who, blocks in found if who == "assistant" for block in blocks]
    answers = {who: texts for who, texts in found if who != "assistant"}
    assert len({call_id for call_id, _, _ in asked} - {""}) == 4
    assert [answers[call_id] for call_id, _, _ in asked] == [("A",), ("B",), ("C",), ("D",)]


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("seed", range(0, 40, 2))
async def test_any_life_of_a_session_gives_a_file_without_a_fault(agent: str, seed: int, tmp_path: Path) -> None:
    life = Life(seed)
    life.live()
    async with open_store() as log:
        session = (await log.create()).id
        for one in life.recorded:
            if isinstance(one.event, Fork):
                session = (await log.fork(session, one.seq - 1, at_us=AT_US)).id
            else:
                await log.append(session, [(AT_US + one.seq, one.event)])
        wanted = await read(log, session)
        if not any(said for _, said in wanted):
            return
        given = await give(log, session, agent, tmp_path)
        found = await read_file(given, agent)
        assert said_by("user", found) == said_by("user", wanted)
        assert _calls(found) == _calls(wanted)


def said_by(who: str, found: Sequence[Any]) -> list[object]:
    return [said for whose, said in found if whose == who]


def _calls(found: Sequence[Any]) -> Counter[str]:
    blocks = [one for who, said in found if who == "assistant" for one in said if isinstance(one, tuple)]
    return Counter(json.dumps([re.sub(r"[^\w-]", "_", name, flags=re.ASCII)[:128], told]) for _, name, told in blocks)


async def test_gemini_finds_a_session_in_the_folder_that_it_has_for_the_working_folder(
    log: EventLog, tmp_path: Path
) -> None:
    session = await talk(log)
    kept = tmp_path / ".gemini" / "tmp"
    for name, folder in (("x", "/elsewhere"), ("my-work", "/other/My Work"), ("z", "/there/z")):
        (kept / name).mkdir(parents=True)
        (kept / name / ".project_root").write_text(folder)
    places = [(await give(log, session, "gemini", tmp_path, folder)).path for folder in ("/there/z", "/there/My Work")]
    assert [str(Path(place).parent.relative_to(kept)) for place in places] == ["z/chats", "my-work-1/chats"]
    assert (kept / "my-work-1" / ".project_root").read_text() == "/there/My Work"
    assert [(kept / name / ".project_root").read_text() for name in ("x", "my-work")] == [
        "/elsewhere",
        "/other/My Work",
    ]


async def test_an_edited_result_of_gemini_is_told_nowhere_as_it_was(log: EventLog, tmp_path: Path) -> None:
    path = tmp_path / "session-x.jsonl"
    asked = {"id": "c1", "name": "run_shell_command", "args": {"command": "ls"}}
    response = {"functionResponse": {"id": "c1", "name": "run_shell_command", "response": {"output": "old words"}}}
    answer = {"id": "b", "timestamp": "2026-01-01T00:00:02Z", "type": "gemini", "content": "I look.", "model": "m"}
    records: list[dict[str, Any]] = [
        {"sessionId": "s", "projectHash": "h", "startTime": "2026-01-01T00:00:00Z", "kind": "main"},
        {"id": "a", "timestamp": "2026-01-01T00:00:01Z", "type": "user", "content": [{"text": "Look."}]},
        answer,
        {**answer, "toolCalls": [{**asked, "result": [response], "status": "success"}]},
        {"id": "c", "timestamp": "2026-01-01T00:00:03Z", "type": "user", "content": [response]},
        {"id": "d", "timestamp": "2026-01-01T00:00:04Z", "type": "gemini", "content": "Done.", "model": "m"},
    ]
    _put(path, records)
    session = (await import_file(log, str(path))).session
    plain = await give(log, session, "gemini", tmp_path)
    assert [one.get("id") for one in lines(plain)] == [None, "a", "b", "d"]
    assert await read_file(plain, "gemini") == await read(log, session)
    (seq,) = [
        one.seq
        for one in await log.read(session)
        if isinstance(one.event, MessageAdopt) and isinstance(one.event.message, ToolResultMessage)
    ]
    new = msgspec.structs.replace(result("c1", "new words"), tool_name="run_shell_command")
    await log.append(session, [(AT_US, ContextEdit(message_seq=seq, replacement=new))])
    given = await give(log, session, "gemini", tmp_path / "edited")
    assert ("old words" in content(given), content(given).count("new words")) == (False, 1)
    assert await read_file(given, "gemini") == await read(log, session)


async def test_a_session_that_gemini_cli_saved_is_given_back_whole(log: EventLog, tmp_path: Path) -> None:
    saved = Path(__file__).parent / "fixtures" / "gemini-checkpoint-0.30.1.json"
    session = (await import_file(log, str(saved))).session
    given = await give(log, session, "gemini", tmp_path)
    _, *messages = lines(given)
    assert [one["type"] for one in messages] == ["user", "user", *["gemini", "user"] * 3, "gemini"]
    assert len({one["id"] for one in messages}) == len(messages)
    assert await read_file(given, "gemini") == await read(log, session)


def _put(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


async def test_it_is_said_that_what_sub_agents_did_is_not_there(log: EventLog, tmp_path: Path) -> None:
    session = await talk(log)
    fork = await log.fork(session, 4, at_us=AT_US)
    for place in range(2):
        await log.create(started_by=session if place else fork.id)
    given = await give(log, fork.id, "claude-code", tmp_path)
    assert given.lost == ("what 2 sub-agents did: their answers are there",)


async def test_thinking_of_another_provider_is_a_text_where_its_own_would_be_signed(
    log: EventLog, tmp_path: Path
) -> None:
    thought = ThinkingContent(thinking="Hm.", signature="c2lnbmVk")
    for api, provider in (("anthropic-messages", "anthropic"), ("openai-responses", "openai")):
        answer = AssistantMessage(content=(thought, TextContent(text="Yes.")), api=api, provider=provider)
        session = await talk(log, [UserMessage(content="Why?"), answer])
        _, record = lines(await give(log, session, "claude-code", tmp_path))[-2:]
        content = [one["message"]["content"] for one in lines(await give(log, session, "claude-code", tmp_path))[1:]]
        own = {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVk"}
        assert content[0] == ([own] if provider == "anthropic" else [{"type": "text", "text": "Hm."}])
        assert record["message"]["usage"] == {"input_tokens": 0, "output_tokens": 0}


async def test_an_edited_record_of_claude_code_keeps_all_but_what_was_edited(log: EventLog, tmp_path: Path) -> None:
    session = await come_back(log, "claude-code", tmp_path)
    (seq,) = [
        one.seq
        for one in await log.read(session)
        if isinstance(one.event, MessageAdopt)
        and isinstance(one.event.message, ToolResultMessage)
        and one.event.message.tool_call_id == "c1"
    ]
    fork = await log.fork(session, (await log.info(session)).head, at_us=AT_US)
    await log.append(fork.id, [(AT_US, ContextEdit(message_seq=seq, replacement=result("c1", "nothing")))])
    plain, edited = (
        lines(await give(log, session, "claude-code", tmp_path)),
        await give(log, fork.id, "claude-code", tmp_path),
    )
    differs = [
        (one, now)
        for one, now in zip(plain, lines(edited), strict=True)
        if _without_session(one) != _without_session(now)
    ]
    ((before, after),) = differs
    assert before["message"]["content"][0]["content"] == "a.txt"
    before["message"]["content"][0]["content"] = "nothing"
    assert _without_session(before) == _without_session(after)
    assert {one["sessionId"] for one in lines(edited)} == {edited.id}


def _without_session(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "sessionId"}


async def test_each_record_of_a_copy_for_claude_code_hangs_from_the_one_before_it(
    log: EventLog, tmp_path: Path
) -> None:
    session = await come_back(log, "claude-code", tmp_path)
    records = lines(await give(log, session, "claude-code", tmp_path))
    assert [one["parentUuid"] for one in records] == [None, *(one["uuid"] for one in records[:-1])]
    assert len({one["uuid"] for one in records}) == len(records)


async def test_what_a_person_or_a_tool_said_of_what_was_edited_is_not_shown_by_codex_either(
    log: EventLog, tmp_path: Path
) -> None:
    time = "2026-01-01T00:00:00.000Z"

    def record(kind: str, **payload: Any) -> dict[str, Any]:
        return {"timestamp": time, "type": kind, "payload": payload}

    def item(**payload: Any) -> dict[str, Any]:
        return record("response_item", **payload)

    told = [
        record("session_meta", id="0199-old", timestamp=time, cwd="/work", originator="codex", cli_version="0.100.0"),
        item(type="message", role="user", content=[{"type": "input_text", "text": "my key is hunter-two"}]),
        record("event_msg", type="user_message", message="my key is hunter-two"),
        item(type="function_call", name="shell", arguments="{}", call_id="c1"),
        record("event_msg", type="exec_command_end", call_id="c1", stdout="secret"),
        item(type="function_call_output", call_id="c1", output="secret"),
        record("event_msg", type="thread_settings_applied", thread_id="0199-old"),
        record("event_msg", type="thread_rolled_back", num_turns=0),
    ]
    path = tmp_path / "rollout-x.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in told))
    session = (await import_file(log, str(path))).session
    _, _, view = await load(log, session, context=CONTEXT)
    asked, _, answered = (part.seq for part in messages(view))
    edits = [ContextEdit(message_seq=asked, replacement=UserMessage(content="my key is safe"))]
    edits.append(ContextEdit(message_seq=answered, replacement=result("c1", "done")))
    await log.append(session, [(AT_US, edit) for edit in edits])
    given = await give(log, session, "codex", tmp_path)
    text = content(given)
    assert not any(word in text for word in ("hunter-two", "secret", "0199-old", "thread_rolled_back"))
    assert text.count("my key is safe") == 2
    assert text.count(given.id) == 2


async def test_a_prompt_that_waits_goes_into_the_command_and_not_into_the_file(log: EventLog, tmp_path: Path) -> None:
    session = await talk(log)
    await log.append(session, [(AT_US, QueuePush(queue="prompt", message=UserMessage(content="Say it's done.")))])
    for agent, begins in (("claude-code", "claude --resume"), ("codex", "codex resume"), ("pi", "pi --session")):
        given = await give(log, session, agent, tmp_path)
        named = given.path if agent == "pi" else given.id
        assert given.command == (*begins.split(), named, "Say it's done.")
        assert "done." not in content(given)


async def test_who_is_given_a_prompt_without_an_answer_is_told_so(log: EventLog, tmp_path: Path) -> None:
    session = await talk(log, TALK[:6])
    assert (await give(log, session, "codex", tmp_path)).unanswered


async def test_a_file_that_is_there_is_never_written_over(log: EventLog, tmp_path: Path) -> None:
    session, there = await talk(log), tmp_path / "there.jsonl"
    there.write_text("mine")
    for one in TO.values():
        same = ToAgent(copy=one.copy, path=lambda *_: there, resume=one.resume)
        with pytest.raises(FileExistsError):
            await hand_over(log, session, "pi", same, folder="/work", environment={}, at_us=AT_US)
    assert there.read_text() == "mine"


async def test_an_agent_finds_the_file_where_it_looks(log: EventLog, tmp_path: Path) -> None:
    session = await talk(log)
    found = {agent: str((await give(log, session, agent, tmp_path, "/my work/x")).path) for agent in AGENTS}
    name = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.jsonl"
    home = re.escape(str(tmp_path))
    assert re.fullmatch(rf"{home}/projects/-my-work-x/{name}", found["claude-code"])
    day = r"\d{4}/\d\d/\d\d/rollout-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d"
    assert re.fullmatch(rf"{home}/sessions/{day}-{name}", found["codex"])
    assert re.fullmatch(rf"{home}/sessions/--my work-x--/2026-01-01T00-00-00-000Z_{name}", found["pi"])


@pytest.mark.parametrize(
    ("folder", "named"),
    [
        ("/home/é😀/x_y.z", "-home-----x-y-z"),
        ("/" + "long name/" * 24 + "long name", f"-{'long-name-' * 24}"[:200] + "-7szrs0"),
    ],
)
def test_claude_code_calls_the_folder_of_a_project_so(folder: str, named: str) -> None:
    assert project_folder(folder) == named
