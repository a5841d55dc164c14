"""Chat Completions: lists of messages, requests, logs of these; what goes on from an earlier request belongs to it."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.errors import TranscriptError
from eventsource.events import ConfigChange, MessageAdopt
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.messages import AssistantMessage, Message, ThinkingContent, ToolResultMessage, UserMessage
from projections import CONTEXT, history, project
from replay.formats import ImportReport, detect, import_file
from replay.formats.dialect import InContext, PathState
from replay.formats.openai_chat.dialect import OpenAIChatDialect
from replay.formats.walk import in_file_order, walk_family

from .first_class import check_first_class

Record = dict[str, Any]
SYSTEM: Record = {"role": "system", "content": "Be brief."}
TOOL: Record = {
    "type": "function",
    "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}},
}
CALL: Record = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}},
        {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
    ],
}
RESULTS: list[Record] = [{"role": "tool", "tool_call_id": one, "content": f"result of {one}"} for one in ("c2", "c1")]
PNG = "data:image/png;base64,iVBORw0KGgo="


def user(text: object) -> Record:
    return {"role": "user", "content": text}


def said(text: str) -> Record:
    return {"role": "assistant", "content": text}


def request(*messages: Record, model: str = "gpt-4o") -> Record:
    return {"model": model, "messages": list(messages), "tools": [TOOL], "temperature": 0}


def completion(*messages: Record, number: int = 1) -> Record:
    choices = [
        {
            "index": place,
            "message": {**one, "refusal": None},
            "finish_reason": "tool_calls" if "tool_calls" in one else "stop",
        }
        for place, one in enumerate(messages)
    ]
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}
    answered = {"id": f"chatcmpl-{number}", "created": 1_760_000_000 + number, "model": "gpt-4o-2024-08-06"}
    return {**answered, "object": "chat.completion", "choices": choices, "usage": usage}


def logged(asked: Record, answered: object, **fields: Any) -> Record:
    return {"timestamp": "2025-10-09T08:53:20Z", "request": asked, "response": answered, **fields}


class Writing(OpenAIChatDialect):
    """Writes a session back with nothing that was recorded here."""

    def new_name(self, session: str, seq: int) -> str:
        return ""

    def write_new(self, event: InContext, at_us: int, name: str, state: PathState) -> list[Record]:
        return []


async def put(log: EventLog, folder: Path, *lines: object, name: str = "chat.jsonl") -> ImportReport:
    """Import a file of JSON Lines, or (`.json`) a document."""
    path = folder / name
    values = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    _write(path, "".join(values) if name.endswith(".json") else "".join(f"{one}\n" for one in values))
    return await import_file(log, str(path))


def _write(path: Path, text: str) -> None:
    path.write_text(text)


async def back(log: EventLog, session: str) -> list[Record]:
    return list(in_file_order(await walk_family(log, session, Writing({}, conversation=None))))


async def messages(log: EventLog, session: str) -> list[Message]:
    view = project(CONTEXT, await log.read(session, limit=1_000))
    return [one.message for one in history(view) if one.message is not None]


async def texts(log: EventLog, session: str) -> list[object]:
    return [
        one.content if isinstance(one, UserMessage) else one.text
        for one in await messages(log, session)
        if isinstance(one, UserMessage | AssistantMessage)
    ]


async def own_answers(log: EventLog, report: ImportReport) -> list[AssistantMessage]:
    return [
        one.event.message
        for branch in report.branches
        for one in await log.read(branch.session, after=(await log.info(branch.session)).fork_seq)
        if isinstance(one.event, MessageAdopt) and isinstance(one.event.message, AssistantMessage)
    ]


async def test_a_list_of_messages_becomes_a_session(log: EventLog, tmp_path: Path) -> None:
    shown = user([{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PNG}}])
    linked = user([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}])
    thought = {**said("Blue."), "reasoning_content": "The sky.", "name": "x"}
    records = [
        SYSTEM,
        user("look"),
        CALL,
        *RESULTS,
        thought,
        shown,
        linked,
        {"role": "developer", "content": "Louder."},
    ]
    report = await put(log, tmp_path, records, name="chat.json")
    found = await messages(log, report.session)
    assert [type(one).__name__ for one in found] == [
        *("UserMessage", "AssistantMessage", "ToolResultMessage", "ToolResultMessage", "AssistantMessage"),
        *["UserMessage"] * 3,
    ]
    results = [one for one in found if isinstance(one, ToolResultMessage)]
    assert [(one.tool_call_id, one.tool_name) for one in results] == [("c2", "look"), ("c1", "look")]
    assert isinstance(found[4], AssistantMessage)
    assert found[4].content[0] == ThinkingContent(thinking="The sky.", signature="reasoning_content")
    assert [type(part).__name__ for part in found[5].content] == ["TextContent", "ImageContent"]  # type: ignore[union-attr]  # of a user
    assert [part.text for part in found[6].content] == ["[image_url: kept as it came]"]  # type: ignore[union-attr]  # a text
    changes = [one.event.system_prompt for one in await log.read(report.session) if isinstance(one.event, ConfigChange)]
    assert (changes, report.title) == (["Be brief."], "look")
    assert await back(log, report.session) == records


async def test_each_shape_of_a_file_is_known_and_says_the_same(tmp_path: Path) -> None:
    told = [SYSTEM, user("look"), CALL, *RESULTS, said("Blue.")]
    asked = request(*told[:-1])
    shapes: dict[str, tuple[object, ...]] = {
        "list.json": (told,),
        "body.json": (json.dumps(request(*told), indent=2),),
        "pair.json": (logged(asked, completion(said("Blue."))),),
        "pairs.json": ([logged(asked, completion(said("Blue.")))],),
        "messages.jsonl": tuple(told),
        "tuning.jsonl": ({"messages": told},),
        "flat.jsonl": ({**asked, "response": completion(said("Blue."))},),
        "batch.jsonl": (
            logged({"custom_id": "1", "body": asked}, {"status_code": 200, "body": completion(said("Blue."))}),
        ),
        "text.jsonl": ({"input": {"messages": told[:-1]}, "output": "Blue."},),
        "message.jsonl": ({"input": told[:-1], "output": said("Blue.")},),
    }
    for name, lines in shapes.items():
        async with open_store() as log:
            report = await put(log, tmp_path, *lines, name=name)
            assert detect(str(tmp_path / name)) == "openai-chat"
            assert await texts(log, report.session) == ["look", "", "Blue."], name
            assert (report.title, report.others) == ("look", ()), name


async def test_each_line_of_a_file_for_fine_tuning_is_a_session_unless_it_goes_on(
    log: EventLog, tmp_path: Path
) -> None:
    one = [SYSTEM, user("a"), said("1")]
    lines = [one, [SYSTEM, user("b"), said("2")], [SYSTEM, user("a"), said("3")], [*one, user("more"), said("4")]]
    report = await put(log, tmp_path, *({"messages": line} for line in lines))
    assert [await texts(log, each.session) for each in (report, *report.others)] == [
        ["a", "1", "more", "4"],
        ["b", "2"],
        ["a", "3"],
    ]
    assert all(len(each.branches) == 1 for each in (report, *report.others))


async def test_growing_requests_are_one_session_and_what_parts_is_a_fork(log: EventLog, tmp_path: Path) -> None:
    begun = [SYSTEM, user("look")]
    done = [*begun, CALL, *RESULTS]
    lines = [
        logged(request(*begun), completion(CALL)),
        logged(request(*done), completion(said("Blue."), number=2)),
        logged(request(*done, said("Blue."), user("x")), completion(said("X"), number=3)),
        logged(request(SYSTEM, user("a title?")), completion(said("T"), number=4)),
        logged(request(*done, {**said("Blue."), "refusal": None}, user("y")), completion(said("Y"), number=5)),
        logged(request(*done), completion(said("Grey."), number=6)),
    ]
    report = await put(log, tmp_path, *lines)
    (side,) = report.others
    assert await texts(log, side.session) == ["a title?", "T"]
    assert sorted([await texts(log, branch.session) for branch in report.branches], key=str) == [
        ["look", "", "Blue.", "x", "X"],
        ["look", "", "Blue.", "y", "Y"],
        ["look", "", "Grey."],
    ]
    answers = await own_answers(log, report)
    assert len(answers) == 5
    assert all(one.usage is not None and one.usage.input_tokens == 7 for one in answers)
    assert {one.response_id for one in answers} == {f"chatcmpl-{number}" for number in (1, 2, 3, 5, 6)}
    changes = [one.event for one in await log.read(report.session) if isinstance(one.event, ConfigChange)]
    assert [change.model.model for change in changes if change.model] == ["gpt-4o"]
    assert [[tool.name for tool in change.tools] for change in changes if change.tools] == [["look"]]


async def test_requests_without_answers_say_these_in_the_next_one(log: EventLog, tmp_path: Path) -> None:
    begun = [SYSTEM, user("look")]
    lines = [
        request(*begun),
        request(*begun, CALL, *RESULTS),
        request(*begun, CALL, *RESULTS, said("Blue."), user("x")),
    ]
    report = await put(log, tmp_path, *lines)
    assert (len(report.branches), await texts(log, report.session)) == (1, ["look", "", "Blue.", "x"])


async def test_several_answers_to_one_request_are_forks_and_its_usage_counts_once(
    log: EventLog, tmp_path: Path
) -> None:
    report = await put(log, tmp_path, logged(request(user("go")), completion(said("1"), said("2"))))
    assert sorted([await texts(log, branch.session) for branch in report.branches], key=str) == [
        ["go", "1"],
        ["go", "2"],
    ]
    assert sum(one.usage is not None for one in await own_answers(log, report)) == 1


async def test_the_same_request_with_the_same_answer_says_nothing_twice(log: EventLog, tmp_path: Path) -> None:
    line = logged(request(user("go")), completion(said("1")))
    report = await put(
        log, tmp_path, line, line, logged(request(user("go"), said("1"), user("on")), completion(said("2")))
    )
    assert [await texts(log, branch.session) for branch in report.branches] == [["go", "1", "on", "2"]]


async def test_a_log_that_grows_adds_what_is_new_and_one_cut_after_any_line_is_a_beginning(tmp_path: Path) -> None:
    begun = [SYSTEM, user("look")]
    lines = [
        logged(request(*begun), completion(CALL)),
        logged(request(*begun, CALL, *RESULTS), completion(said("Blue."), number=2)),
        logged(request(*begun, CALL, *RESULTS, said("Blue."), user("x")), completion(said("X"), number=3)),
    ]
    async with open_store() as log:
        for count in range(1, 4):
            report = await put(log, tmp_path, *lines[:count])
            assert [branch.parent for branch in report.branches] == [None]
            assert not (await put(log, tmp_path, *lines[:count])).branches
        assert await texts(log, report.session) == ["look", "", "Blue.", "x", "X"]
        (info,) = await log.sessions()
        grown = await put(log, tmp_path, *lines, logged(request(user("other")), completion(said("o"))))
        assert (grown.branches, [one.known for one in grown.others]) == ((), [False])
        assert info.id == grown.session


@pytest.mark.slow
async def test_what_a_log_of_requests_holds_can_do_what_every_session_can(tmp_path: Path) -> None:
    done = [SYSTEM, user("look"), CALL, *RESULTS]
    lines = [logged(request(*done[:2]), completion(CALL)), logged(request(*done), completion(said("1"), said("2")))]
    path = tmp_path / "log.jsonl"
    _write(path, "".join(json.dumps(one) + "\n" for one in [*lines, request(user("other"))]))
    await check_first_class(path, tmp_path)


async def test_functions_as_they_were_called_once_are_calls_and_results(log: EventLog, tmp_path: Path) -> None:
    called = {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}}
    records = [user("look"), called, {"role": "function", "name": "look", "content": "sky"}]
    report = await put(log, tmp_path, records, name="a.json")
    _, call, result = await messages(log, report.session)
    assert isinstance(call, AssistantMessage)
    assert isinstance(result, ToolResultMessage)
    assert ([one.name for one in call.tool_calls], result.tool_name) == (["look"], "look")
    assert await back(log, report.session) == records


@pytest.mark.parametrize(
    "lines",
    [
        ({"model": "claude", "system": "x", "messages": [user("hi")], "max_tokens": 5},),
        ({"messages": [user([{"type": "tool_result", "tool_use_id": "1", "content": "x"}])]},),
        ({"messages": []},),
        ({"role": "robot", "content": "x"},),
        ({"model": "gpt-4o", "input": "hi"},),
        ([[user("hi")]],),
    ],
)
async def test_what_is_no_chat_is_a_sentence(lines: tuple[object, ...], log: EventLog, tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.json"):
        with pytest.raises(TranscriptError):
            await put(log, tmp_path, *lines, name=name)


async def test_lines_without_messages_and_torn_ones_are_named(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, request(user("go")), {"event": "started"}, '{"messages": [{"role"', [1])
    assert [note.number for note in report.lost] == [2, 3, 4]
    assert await texts(log, report.session) == ["go"]


VALUES: list[Any] = [None, True, 0, -1, 1e308, 2**70, "", "\ud800", "x" * 2_000, [], {}, [[]], {"type": "text"}, "tool"]


def places(value: Any) -> list[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in ((value, key), *places(item))]


async def test_a_damaged_log_is_a_sentence_or_an_import(tmp_path: Path) -> None:
    done = [SYSTEM, user("look"), CALL, *RESULTS]
    whole = [
        logged(request(*done[:2]), completion(CALL)),
        logged(request(*done), completion(said("1"), said("2"))),
        request(*done, said("1"), user([{"type": "image_url", "image_url": {"url": PNG}}])),
    ]
    for number in range(60):
        chance = random.Random(number)
        value = deepcopy(whole)
        for _ in range(chance.randint(1, 4)):
            holder, key = chance.choice(places(value))
            holder[key] = chance.choice(VALUES)
        data = [json.dumps(one) for one in value]
        if chance.random() < 0.3:
            data[-1] = data[-1][: chance.randrange(len(data[-1]))]
        async with open_store() as log:
            try:
                report = await put(log, tmp_path, *data)
            except TranscriptError:
                continue
            for info in await log.sessions(limit=1_000):
                fold(await log.read(info.id, limit=1_000_000))
            again = await put(log, tmp_path, *data)
            assert not any(one.branches for one in (again, *again.others)), number
            assert report.session


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "refusal", "input_audio"]) | JSON},
    optional={"text": st.text("ab") | JSON, "image_url": st.just({"url": PNG}) | JSON, "refusal": st.text("ab") | JSON},
)
CALLS = st.fixed_dictionaries(
    {"id": st.sampled_from("xy") | JSON, "type": st.sampled_from(["function", "custom"]) | JSON},
    optional={
        "function": st.just({"name": "f", "arguments": "{}"}) | JSON,
        "custom": st.just({"name": "g", "input": "a"}) | JSON,
    },
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system", "function"])},
    optional={
        "content": st.text("ab") | st.lists(PARTS, max_size=2) | JSON,
        "tool_calls": st.lists(CALLS, max_size=2) | JSON,
        "function_call": st.just({"name": "f", "arguments": "{}"}) | JSON,
        "tool_call_id": st.sampled_from("xy") | JSON,
        "reasoning_content": st.text("ab") | JSON,
        "reasoning_details": JSON,
        "refusal": st.text("ab") | JSON,
        "name": JSON,
    },
)


@given(st.lists(MESSAGES, max_size=6), st.lists(JSON, max_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_messages_hold_is_written_back_as_it_was_read(
    tmp_path: Path, records: list[Record], beside: list[Any]
) -> None:
    value = [user("go"), *records, *(one for one in beside if isinstance(one, dict))]
    async with open_store() as log:
        report = await put(log, tmp_path, value, name="a.json")
        assert json.dumps(await back(log, report.session), sort_keys=True) == json.dumps(value, sort_keys=True)
        for info in await log.sessions():
            project(CONTEXT, await log.read(info.id, limit=1_000))
        assert not (await put(log, tmp_path, value, name="a.json")).branches


@given(
    st.lists(
        st.lists(st.sampled_from([SYSTEM, user("a"), user("b"), said("1"), CALL, RESULTS[0]]), min_size=1), max_size=5
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_request_of_a_log_is_on_some_branch_as_it_was_made(
    tmp_path: Path, asked: list[list[Record]]
) -> None:
    async with open_store() as log:
        await put(log, tmp_path, *({"messages": one} for one in [[user("a")], *asked]))
        branches = {str(await texts(log, info.id)) for info in await log.sessions(limit=1_000)}
    for one in asked:
        begun = next((place for place, message in enumerate(one) if message["role"] != "system"), len(one))
        spoken = [message["content"] or "" for message in one[begun:] if message["role"] != "tool"]
        assert any(found.startswith(str(spoken)[:-1]) for found in branches), spoken
