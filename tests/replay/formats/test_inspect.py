"""Logs of Inspect: each sample and epoch is a session, what its agents said are sessions below it."""

from __future__ import annotations

import json
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.errors import TranscriptError
from eventsource.events import ConfigChange, Label, MessageAdopt, Origin
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.messages import AssistantMessage, ImageContent, Message, ToolResultMessage, UserMessage
from projections import CONTEXT, history, parts, project
from replay.formats import ImportReport, import_file
from replay.formats.inspect.archive import archive_of
from replay.formats.inspect.write import inspect_parts

FIXTURES = Path(__file__).parent / "fixtures"
Fields = dict[str, Any]
EVAL: Fields = {
    "task": "sums",
    "task_id": "t1",
    "run_id": "r1",
    "created": "2026-01-01T00:00:00+00:00",
    "model": "openai/gpt-4o",
    "config": {"epochs": 2},
}
PIXEL = "data:image/png;base64,AA=="


def said(role: str, content: object, **more: Any) -> Fields:
    return {"role": role, "content": content, **more}


def sample(number: int = 1, epoch: int = 1, **more: Any) -> Fields:
    messages = [said("user", f"What is {number} + 1?"), said("assistant", str(number + 1))]
    return {"id": number, "epoch": epoch, "input": "?", "target": "2", "messages": messages, **more}


def called(message: Fields, given: list[Fields], **usage: int) -> Fields:
    output = {"choices": [{"message": message, "stop_reason": "stop"}], "usage": {"input_tokens": 0, **usage}}
    times = {"timestamp": "2026-01-01T00:00:01+00:00", "completed": "2026-01-01T00:00:03+00:00"}
    return {"event": "model", "model": "openai/gpt-4o", "input": given, "tools": [], "output": output, **times}


def archive(path: Path, *samples: Fields, head: bool = True) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        start = {"version": 2, "eval": EVAL, "plan": {}}
        file.writestr("_journal/start.json", json.dumps(start))
        for one in samples:
            file.writestr(f"samples/{one['id']}_epoch_{one['epoch']}.json", json.dumps(one))
        if head:
            file.writestr("header.json", json.dumps({**start, "status": "success"}))
    return path


def document(path: Path, *samples: Any) -> Path:
    _write(path, json.dumps({"version": 2, "status": "success", "eval": EVAL, "samples": samples}).encode())
    return path


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _content(path: Path) -> bytes:
    return path.read_bytes()


def every(report: ImportReport) -> list[ImportReport]:
    return [report, *report.others]


async def messages(log: EventLog, session: str) -> list[Message]:
    view = project(CONTEXT, await log.read(session, limit=100_000))
    return [entry.message for entry in history(view) if entry.message is not None]


async def back(log: EventLog, session: str) -> Fields:
    whole = json.loads(b"".join([part async for part in inspect_parts(log, session)]))
    (one,) = whole["samples"]
    assert isinstance(one, dict)
    return one


@pytest.mark.parametrize("make", [archive, document])
async def test_each_sample_and_epoch_is_a_session_that_is_found_again(log: EventLog, tmp_path: Path, make: Any) -> None:
    path = make(tmp_path / "log.eval", sample(1), sample(1, 2), sample(2))
    report = await import_file(log, str(path))
    infos = [await log.info(one.session) for one in every(report)]
    assert [info.title for info in infos] == [
        "sums 1 epoch 1: What is 1 + 1?",
        "sums 1 epoch 2: What is 1 + 1?",
        "sums 2 epoch 1: What is 2 + 1?",
    ]
    assert [info.source for info in infos] == ["inspect:r1/t1/1/1", "inspect:r1/t1/1/2", "inspect:r1/t1/2/1"]
    assert infos[0].agent == "inspect"
    again = await import_file(log, str(make(tmp_path / "log.eval", sample(1), sample(1, 2), sample(2), sample(3))))
    assert [(one.known, len(one.branches)) for one in every(again)] == [(True, 0)] * 3 + [(False, 1)]


async def test_scores_an_error_and_a_limit_are_a_bookmark_at_the_last_message(log: EventLog, tmp_path: Path) -> None:
    ended: Fields = {
        "scores": {"match": {"value": "C"}, "size": {"value": 2.0}},
        "error": {"message": "it broke", "traceback": "..."},
        "limit": {"type": "message", "limit": 6.0},
    }
    report = await import_file(log, str(archive(tmp_path / "a.eval", sample(**ended))))
    events = [one.event for one in await log.read(report.session)]
    (label,) = (event for event in events if isinstance(event, Label) and event.target_seq)
    assert label.text == "match: C; size: 2; error: it broke; limit: message 6"
    assert isinstance(events[label.target_seq - 1], MessageAdopt)
    assert {name: one for name, one in (await back(log, report.session)).items() if name in ended} == ended
    scored = sample(**{**ended, "scores": {"match": {"value": "I"}}})
    again = await import_file(log, str(archive(tmp_path / "a.eval", scored)))
    assert (again.known, again.messages, len(again.branches)) == (True, 0, 1)


async def test_usage_and_times_are_those_of_the_calls_of_the_model(log: EventLog, tmp_path: Path) -> None:
    one = sample()
    one["events"] = [called(one["messages"][1], one["messages"][:1], input_tokens=7, output_tokens=2)]
    report = await import_file(log, str(archive(tmp_path / "a.eval", one)))
    adopted = [one.event for one in await log.read(report.session) if isinstance(one.event, MessageAdopt)]
    assert [event.sent_at_us // 1_000_000 % 60 for event in adopted] == [1, 3]
    info = await log.info(report.session)
    assert (info.models, info.input_tokens, info.output_tokens) == (("openai/gpt-4o",), 7, 2)


async def test_a_log_that_was_cut_short_has_its_samples(log: EventLog, tmp_path: Path) -> None:
    report = await import_file(log, str(archive(tmp_path / "a.eval", sample(1), sample(2), head=False)))
    assert [one.title for one in every(report)] == ["sums 1 epoch 1: What is 1 + 1?", "sums 2 epoch 1: What is 2 + 1?"]
    whole = _content(archive(tmp_path / "b.eval", *(sample(number) for number in range(1, 9))))
    _write(tmp_path / "b.eval", whole[: len(whole) // 2])
    cut = await import_file(log, str(tmp_path / "b.eval"), again=True)
    assert 1 < len(list(every(cut))) < 8
    assert "table of contents is missing" in cut.recovered[0].problem


async def test_a_sample_that_is_damaged_is_named_and_the_others_come_in(log: EventLog, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.eval", sample(1), sample(2), sample(3))
    member = archive_of(path).members["samples/2_epoch_1.json"]
    data = bytearray(_content(path))
    data[member.start + 9] ^= 255
    _write(path, bytes(data))
    report = await import_file(log, str(path))
    assert [one.source[-3:] for one in every(report)] == ["1/1", "3/1"]
    assert report.lost[0].problem.startswith("samples/2_epoch_1.json ")


async def test_a_sample_that_the_summaries_name_and_the_archive_lacks_is_said(log: EventLog, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.eval", sample(1), sample(3, id="boom/3"))
    told = [{"id": 1, "epoch": 1}, {"id": "boom/3", "epoch": 1}, {"id": "lost", "epoch": 2}]
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("_journal/summaries/1.json", json.dumps(told))
    report = await import_file(log, str(path))
    assert [one.title for one in every(report)][1].startswith("sums boom/3 epoch 1")  # an id may have slashes
    assert [one.problem for one in report.lost] == [
        "samples/lost_epoch_2.json: the summaries name it, and the archive does not hold it"
    ]
    _write(damaged := tmp_path / "b.eval", path.read_bytes())
    with zipfile.ZipFile(damaged, "a") as file:
        file.writestr("summaries.json", "[{")
    assert (await import_file(log, str(damaged), again=True)).lost == report.lost
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("summaries.json", json.dumps(told[:2]))  # as of a log whose samples were taken out later
    assert (await import_file(log, str(path), again=True)).lost == ()


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"_journal/start.json": "{}"}, "holds no sample"),
        ({"_journal/start.json": "{}", "samples/1_epoch_1.json": "[]"}, "samples/1_epoch_1.json is no JSON object"),
        ({"_journal/start.json": "{}", "samples/1_epoch_1.json": " " * (65 << 20)}, "unpacks to more than 64 MB"),
        ({"header.json": "{}", "samples/1_epoch_1.json": "{}"}, "holds no entry of a inspect session"),
    ],
    ids=["none", "list", "bomb", "empty"],
)
async def test_an_archive_that_holds_no_sample_is_refused_in_one_sentence(
    tmp_path: Path, members: dict[str, str], problem: str
) -> None:
    with zipfile.ZipFile(tmp_path / "a.eval", "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            file.writestr(name, text)
    async with open_store() as log:
        with pytest.raises(TranscriptError, match=problem):
            await import_file(log, str(tmp_path / "a.eval"))
        assert await log.sessions() == ()


async def test_a_piece_of_a_log_is_no_log(log: EventLog, tmp_path: Path) -> None:
    _write(tmp_path / "a.json", json.dumps({"description": "x", "events": [{"event": "model"}]}).encode())
    with pytest.raises(TranscriptError, match="is not a session this program can read"):
        await import_file(log, str(tmp_path / "a.json"))


async def test_members_in_zstandard_are_read_or_the_package_is_named(log: EventLog) -> None:
    path = str(FIXTURES / "inspect-zstandard.eval")
    if find_spec("zstandard") is None and find_spec("compression") is None:
        with pytest.raises(TranscriptError, match=r"Zstandard, which takes a package: pip install 'refold\[inspect\]'"):
            await import_file(log, path)
        return
    report = await import_file(log, path)
    assert [type(one).__name__ for one in await messages(log, report.session)] == [
        *("UserMessage", "AssistantMessage", "ToolResultMessage", "AssistantMessage"),
    ]


async def test_attachments_stand_where_they_are_referred_to(log: EventLog, tmp_path: Path) -> None:
    parts_ = [{"type": "text", "text": "attachment://t"}, {"type": "image", "image": "tc://i"}]
    one = sample(messages=[said("user", parts_)], transcript={"events": [], "content": {"t": "Look.", "i": PIXEL}})
    report = await import_file(log, str(document(tmp_path / "a.json", one)))
    (user,) = await messages(log, report.session)
    assert isinstance(user, UserMessage)
    assert [getattr(part, "text", "image") for part in user.content] == ["Look.", "image"]
    assert isinstance(user.content[1], ImageContent)
    assert (await back(log, report.session))["messages"] == one["messages"]


async def test_an_agent_that_is_a_tool_is_a_session_below_and_no_token_counts_twice(log: EventLog) -> None:
    report = await import_file(log, str(FIXTURES / "inspect-astool.eval"))
    (child,) = report.children
    results = [
        one.event
        for one in await log.read(report.session)
        if isinstance(one.event, MessageAdopt) and isinstance(one.event.message, ToolResultMessage)
    ]
    assert [event.child for event in results] == [child.session]
    infos = [await log.info(one.session) for one in (report, child)]
    assert (infos[1].started_by, infos[1].title) == (report.session, "task 1, sub: compute 40+2")
    assert [type(one).__name__ for one in await messages(log, child.session)] == [
        *("UserMessage", "AssistantMessage", "ToolResultMessage", "AssistantMessage"),
    ]
    used = (await back(log, report.session))["model_usage"]["mockllm/model"]
    assert sum(info.input_tokens for info in infos) == used["input_tokens"]
    assert sum(info.cache_read_tokens for info in infos) == used["input_tokens_cache_read"]


async def test_tools_and_the_system_prompt_are_in_force_and_errors_are_results(log: EventLog) -> None:
    report = await import_file(log, str(FIXTURES / "inspect-tools.eval"))
    changes = [one.event for one in await log.read(report.session) if isinstance(one.event, ConfigChange)]
    assert [[tool.name for tool in change.tools] for change in changes if change.tools] == [["add", "fail"]]
    results = [one for one in await messages(log, report.session) if isinstance(one, ToolResultMessage)]
    assert [(one.tool_name, one.is_error) for one in results] == [
        *(("add", False), ("fail", True), ("nothere", True), ("add", True)),
    ]
    assert results[1].content[0].text == "it broke: x"  # type: ignore[union-attr]  # a text
    child = await import_file(log, str(FIXTURES / "inspect-astool.eval"))
    changes = [one.event for one in await log.read(child.children[0].session) if isinstance(one.event, ConfigChange)]
    assert (changes[0].system_prompt or "").startswith("You are the sub.")


async def test_a_compaction_leaves_the_model_what_it_was_given(log: EventLog) -> None:
    report = await import_file(log, str(FIXTURES / "inspect-compact-trim.eval"))
    one = await back(log, report.session)
    calls = [event for event in one["events"] if event["event"] == "model"]
    given = [one["events_data"]["messages"][at] for first, end in calls[-1]["input_refs"] for at in range(first, end)]
    recorded = await log.read(report.session, limit=10_000)
    adopted = [one for one in recorded if isinstance(one.event, MessageAdopt)]
    shown = [part.message for part in parts(project(CONTEXT, recorded[: adopted[-1].seq - 1]))]
    roles = {"user": UserMessage, "assistant": AssistantMessage, "tool": ToolResultMessage}
    assert [type(one) for one in shown] == [roles[one["role"]] for one in given if one["role"] != "system"]
    assert len(await messages(log, report.session)) == sum(one["role"] != "system" for one in one["messages"])


async def test_a_call_that_failed_is_an_answer_with_its_error(log: EventLog) -> None:
    report = await import_file(log, str(FIXTURES / "inspect-error.eval"))
    assert [one.session for one in every(report)] == [report.session, report.others[0].session]
    user, failed = await messages(log, report.session)
    assert isinstance(user, UserMessage)
    assert isinstance(failed, AssistantMessage)
    assert (failed.stop_reason, failed.error) == ("error", "RuntimeError('provider down')")
    assert (await log.info(report.session)).errors == 1


async def test_a_sample_in_chunks_says_what_it_says_whole(log: EventLog) -> None:
    whole = await import_file(log, str(FIXTURES / "inspect-tools.eval"))
    chunked = await import_file(log, str(FIXTURES / "inspect-tools-chunked.eval"), again=True)
    assert await messages(log, chunked.session) == await messages(log, whole.session)


@pytest.mark.parametrize("name", ["astool", "compact-trim", "error", "tools"])
async def test_a_sample_is_written_back_as_it_was_read_and_goes_on(log: EventLog, name: str) -> None:
    path = FIXTURES / f"inspect-{name}.eval"
    found = archive_of(path)
    wanted = [json.loads(found.read(member)) for member in found.members if member.startswith("samples/")]
    report = await import_file(log, str(path))
    got = [await back(log, one.session) for one in (report, *report.others)]
    assert got == wanted
    new = MessageAdopt(message=UserMessage(content="And then?"), origin=Origin(source="refold"))
    await log.append(report.session, [(1, new)])
    assert (await back(log, report.session))["messages"][-1]["content"] == "And then?"


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image", "reasoning", "tool_use", "odd"]) | JSON},
    optional={"text": JSON, "image": st.sampled_from([PIXEL, "attachment://x", "http://x"]) | JSON, "reasoning": JSON},
)
CALLS = st.fixed_dictionaries(
    {}, optional={"id": st.sampled_from("xy") | JSON, "function": JSON, "arguments": JSON, "type": JSON}
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]) | JSON},
    optional={
        "content": st.text("ab", max_size=2) | st.lists(PARTS | JSON, max_size=2) | JSON,
        "id": st.sampled_from("mn") | JSON,
        "tool_calls": st.lists(CALLS | JSON, max_size=2) | JSON,
        "tool_call_id": st.sampled_from("xy") | JSON,
        "function": JSON,
        "error": st.fixed_dictionaries({"type": JSON, "message": JSON}) | JSON,
    },
)
EVENTS = st.fixed_dictionaries(
    {"event": st.sampled_from(["model", "tool", "span_begin", "compaction", "score", "odd"]) | JSON},
    optional={
        "id": st.sampled_from("xys") | JSON,
        "span_id": st.sampled_from("st") | JSON,
        "parent_id": st.sampled_from("st") | JSON,
        "agent_span_id": st.sampled_from("st") | JSON,
        "type": st.sampled_from(["agent", "tool", "handoff", "summary", "trim"]) | JSON,
        "name": JSON,
        "model": JSON,
        "error": JSON,
        "input": st.lists(MESSAGES, max_size=2) | JSON,
        "input_refs": st.lists(st.lists(st.integers(-1, 3), max_size=3), max_size=2) | JSON,
        "tools": st.lists(st.fixed_dictionaries({"name": JSON, "parameters": JSON}), max_size=1) | JSON,
        "output": st.fixed_dictionaries(
            {"choices": st.lists(st.fixed_dictionaries({"message": MESSAGES}), max_size=1) | JSON},
            optional={"usage": JSON},
        )
        | JSON,
        "timestamp": st.just("2026-01-01T00:00:00Z") | JSON,
        "tokens_before": JSON,
        "events": JSON,
    },
)
SAMPLES = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGES, min_size=1, max_size=4)},
    optional={
        "id": JSON,
        "epoch": JSON,
        "uuid": st.just("u") | JSON,
        "events": st.lists(EVENTS, max_size=5),
        "scores": st.dictionaries(st.sampled_from("ab"), JSON, min_size=1, max_size=2),
        "error": st.fixed_dictionaries({"message": JSON}),
        "attachments": st.dictionaries(st.sampled_from("xy"), st.text("ab"), max_size=2),
        "started_at": JSON,
        "odd": JSON,
    },
)


@given(SAMPLES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_a_sample_holds_goes_in_and_comes_back(tmp_path: Path, one: Fields) -> None:
    async with open_store() as log:
        report: ImportReport = await import_file(log, str(document(tmp_path / "a.json", one)))
        found = await back(log, report.session)
        for info in await log.sessions():
            fold(await log.read(info.id, limit=1_000))
        assert not any(again.branches for again in every(await import_file(log, str(tmp_path / "a.json"))))
    wanted = {"id": 1, "epoch": 1, "events": [], "attachments": {}, **one}
    assert json.dumps(found, sort_keys=True) == json.dumps(wanted, sort_keys=True)
