"""Scripts in files: what is written is what is said, and what is wrong is named with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from eventsource.errors import RefoldError, ScriptFileError
from eventsource.messages import TextContent, ToolCall, Usage
from eventsource.models.protocol import CallOptions, StreamEnd, StreamEvent, StreamRetry
from eventsource.models.scripted import ScriptedModel, call, rule
from eventsource.models.scripted.file import load_script, read_answers
from eventsource.models.scripted.model import SCRIPTED
from eventsource.request import Request


async def play(model: ScriptedModel, *history: StreamEvent) -> list[StreamEvent]:
    messages = tuple(event.message for event in history if isinstance(event, StreamEnd))
    return [event async for event in model.stream(Request(model=SCRIPTED, messages=messages), CallOptions())]


def script(folder: Path, text: str) -> Path:
    path = folder / "script.json"
    path.write_text(text, encoding="utf-8")
    return path


async def test_every_kind_of_item_can_be_written(tmp_path: Path) -> None:
    answers = [
        [
            {"think": ["h", "m"], "signature": "s"},
            "Let me ",
            "look.",
            {"say": "Now.", "signature": "t"},
            {"call": "weather", "arguments": {"city": "Oslo", "days": [1, 2.5, None]}, "id": "c"},
            {"call": "broken", "arguments": '{"city":', "deltas": ["{", '"city":']},
            {"stop": "tool_use", "usage": {"input_tokens": 20}, "raw_stop_reason": "r", "response_id": "id"},
        ],
        [{"pause_ms": 0}, {"deaf": True}, "par", {"fail": "overloaded", "reason": "error"}],
        [{"retry": "529", "not_before_us": 7}],
        ["x", {"cut": True}],
        "Rain.",
    ]
    model = load_script(script(tmp_path, json.dumps(answers)))
    first = (await play(model))[-1]
    assert isinstance(first, StreamEnd)
    assert first.message.content[1:] == (
        TextContent(text="Let me look."),
        TextContent(text="Now.", signature="t"),
        ToolCall(id="c", name="weather", arguments='{"city":"Oslo","days":[1,2.5,null]}'),
        ToolCall(id="call_1_4", name="broken", arguments='{"city":'),
    )
    assert first.message.usage == Usage(input_tokens=20)
    failed = (await play(model, first))[-1]
    assert isinstance(failed, StreamEnd)
    assert (failed.message.error, failed.message.text) == ("overloaded", "par")
    assert await play(model, first) == [StreamRetry(cause="529", not_before_us=7)]
    assert not any(isinstance(event, StreamEnd) for event in await play(model, first))
    last = (await play(model, first))[-1]
    assert isinstance(last, StreamEnd)
    assert last.message.text == "Rain."


async def test_a_rule_in_a_file_is_a_rule(tmp_path: Path) -> None:
    when = {"said": "sun", "system": "short", "tool": "look", "schema": "degrees"}
    given = [{"when": when, "answer": [{"call": "look"}]}, {"when": {}, "answer": "No."}]
    path = script(tmp_path, json.dumps(given))
    assert read_answers(str(path), given) == [
        rule([call("look")], said="sun", system="short", tool="look", schema="degrees"),
        rule("No."),
    ]
    last = (await play(load_script(path)))[-1]
    assert isinstance(last, StreamEnd)
    assert last.message.text == "No."


async def test_two_processes_with_one_file_go_on_from_each_other(tmp_path: Path) -> None:
    path = script(tmp_path, '["one", "two"]')
    first = (await play(load_script(path)))[-1]
    second = (await play(load_script(str(path)), first))[-1]
    assert isinstance(second, StreamEnd)
    assert second.message.text == "two"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", ": is not JSON: Expecting value: line 1 column 2 (char 1)"),
        ("[" * 100_000, ": is not JSON: maximum recursion depth exceeded"),
        ("{}", ": expected a list of answers, found an object"),
        ("[]", ": expected a list of answers, found an empty list"),
        ('["x", 3]', ", answer 2: expected a text or a list of items, found 3"),
        (
            '[{"call": "x"}]',
            ", answer 1: expected a text, a list of items or a rule, found an object with 'call'; an answer of one ",
        ),
        (
            '[{"when": {}}]',
            ", answer 1: expected a text, a list of items or a rule, found an object with 'when'; a rule has ",
        ),
        ('["x", {"when": {"sayd": "y"}, "answer": "z"}]', ", answer 2: when: object contains unknown field `sayd`"),
        ('[{"when": {"said": 3}, "answer": "z"}]', ", answer 1: when: expected `str | null`, got `int` - at `said`"),
        ('[{"when": "x", "answer": "z"}]', ", answer 1: when: expected `object`, got `str`"),
        ('[{"when": {}, "answer": {}}]', ", answer 1: expected a text or a list of items, found an object"),
        ('[{"when": {}, "answer": ["x", {"sya": "y"}]}]', ", answer 1, item 2: expected one of the keys say, think, "),
        ('[["x", ["y"]]]', ", answer 1, item 2: expected a text or an object, found a list"),
        ('[[{"sya": "x"}]]', ", answer 1, item 1: expected one of the keys say, think, call, stop, fail, retry, "),
        ('[[{"say": "x", "call": "y"}]]', ", answer 1, item 1: expected one of the keys say, think, call, "),
        ("[[{}]]", ", answer 1, item 1: expected one of the keys say, "),
        ('[[{"say": 3}]]', ", answer 1, item 1: say: expected `str | array`, got `int` - at `say`"),
        ('[["x"], [{"stop": "stopp"}]]', ", answer 2, item 1: stop: invalid enum value 'stopp' - at `stop`"),
        ('[[{"call": "t", "argument": {}}]]', ", answer 1, item 1: call: object contains unknown field `argument`"),
        ('[[{"call": "t", "arguments": {"a": NaN}}]]', ": is not JSON: NaN is not JSON"),
        (
            '[[{"stop": "stop", "usage": {"in": 1}}]]',
            ", answer 1, item 1: stop: object contains unknown field `in` - at",
        ),
    ],
)
def test_a_mistake_is_named_with_file_answer_and_item(tmp_path: Path, text: str, problem: str) -> None:
    path = script(tmp_path, text)
    with pytest.raises(ScriptFileError, match=re.escape(f"{path}{problem}")) as caught:
        load_script(path)
    assert isinstance(caught.value, RefoldError)
    assert len(str(caught.value)) < 500


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptFileError, match=r"nothing\.json: cannot be read: No such file or directory"):
        load_script(tmp_path / "nothing.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe[")
    with pytest.raises(ScriptFileError, match=r"binary\.json: is not JSON: 'utf-8' codec can't decode"):
        load_script(tmp_path / "binary.json")


async def test_the_pace_is_handed_on(tmp_path: Path) -> None:
    model = load_script(script(tmp_path, '["x"]'), pace_ms=1)
    assert isinstance((await play(model))[-1], StreamEnd)
