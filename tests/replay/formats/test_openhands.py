"""Conversations of OpenHands: the events of one response are one answer, in both versions of its events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.events import Compaction, ConfigChange, MessageAdopt, Origin
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.messages import AssistantMessage, Message, ToolResultMessage, UserMessage
from projections import CONTEXT, history, parts, project
from replay.formats import ImportReport, detect, import_file
from replay.formats.finding import Finder, FoundFile
from replay.formats.openhands.write import openhands_parts

Fields = dict[str, Any]
TIME = "2026-01-01T00:00:01"
TOLD: Fields = {"tool_name": "terminal"}


def text(said: str) -> list[Fields]:
    return [{"type": "text", "text": said}]


def event(kind: str, name: str, source: str = "agent", **more: Any) -> Fields:
    return {"id": name, "timestamp": TIME, "source": source, "kind": kind, **more}


def said(name: str, words: str, source: str = "user", **more: Any) -> Fields:
    role = "user" if source == "user" else "assistant"
    return event("MessageEvent", name, source, llm_message={"role": role, "content": text(words)}, **more)


def acted(name: str, call: str, response: str, thought: str = "", **more: Any) -> Fields:
    named = {"id": call, "name": "terminal", "arguments": '{"command": "ls"}'}
    told: Fields = {"tool_name": "terminal", "tool_call_id": call, "tool_call": named}
    told["llm_response_id"] = response
    return event("ActionEvent", name, thought=text(thought) if thought else [], **told, **more)


def observed(name: str, call: str, words: str, **more: Any) -> Fields:
    told: Fields = {**TOLD, "tool_call_id": call, "action_id": "a", "observation": {"content": text(words)}}
    return event("ObservationEvent", name, "environment", **told, **more)


def counted(name: str, prompt: int, completion: int, **others: int) -> Fields:
    """Make an event with the tokens so far: the agent's, and prompts of those that work was delegated to."""
    tokens = {"prompt_tokens": prompt, "completion_tokens": completion}
    stats: Fields = {"agent": {"model_name": "openai/gpt-4o", "accumulated_token_usage": tokens}}
    stats |= {f"delegate:{one}": {"accumulated_token_usage": {"prompt_tokens": n}} for one, n in others.items()}
    value = {"usage_to_metrics": stats}
    return event("ConversationStateUpdateEvent", name, "environment", key="stats", value=value)


V1 = [
    event("SystemPromptEvent", "s", system_prompt={"type": "text", "text": "Be brief."}, tools=[]),
    said("u", "look"),
    counted("c1", 10, 2),
    acted("a1", "x", "r1", "I look."),
    acted("a2", "y", "r1"),
    observed("o1", "y", "two"),
    observed("o2", "x", "one"),
    counted("c2", 25, 5),
    said("m", "Done.", "agent", llm_response_id="r2"),
]


def response(name: str, calls: list[str], words: str = "") -> Fields:
    told = [{"id": call, "type": "function", "function": {"name": "execute_bash", "arguments": "{}"}} for call in calls]
    message = {"role": "assistant", "content": words, "tool_calls": told}
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    return {"id": name, "model": "gpt-4o", "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}


def called(number: int, call: str, answer: Fields, **more: Any) -> Fields:
    metadata = {"function_name": "execute_bash", "tool_call_id": call, "model_response": answer}
    return {"id": number, "timestamp": TIME, "tool_call_metadata": metadata, **more}


BOTH = response("r1", ["x", "y"], "I look.")
V0 = [
    {"id": 0, "timestamp": TIME, "source": "agent", "action": "system", "args": {"content": "Be brief.", "tools": []}},
    {"id": 1, "timestamp": TIME, "source": "user", "action": "message", "args": {"content": "look"}},
    called(2, "x", BOTH, source="agent", action="run", args={"command": "ls"}),
    called(3, "x", BOTH, source="agent", observation="run", content="one", cause=2, success=True),
    called(4, "y", BOTH, source="agent", action="run", args={"command": "pwd"}),
    called(5, "y", BOTH, source="agent", observation="error", content="two", cause=4),
    {"id": 6, "timestamp": TIME, "source": "agent", "action": "message", "args": {"content": "Done."}},
]


async def put(log: EventLog, folder: Path, *events: Any, name: str = "events.jsonl") -> ImportReport:
    path = folder / name
    lines = "".join(json.dumps(one) + "\n" for one in events)
    _write(path, lines if name.endswith(".jsonl") else json.dumps(events))
    return await import_file(log, str(path))


def _write(path: Path, told: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(told)


async def messages(log: EventLog, session: str) -> list[Message]:
    view = project(CONTEXT, await log.read(session, limit=100_000))
    return [entry.message for entry in history(view) if entry.message is not None]


async def back(log: EventLog, session: str) -> list[Fields]:
    return [json.loads(line) async for line in openhands_parts(log, session)]


def words(message: Message) -> str:
    content = getattr(message, "content", "")
    return content if isinstance(content, str) else "".join(getattr(part, "text", "") for part in content)


def shape(found: list[Message]) -> list[str]:
    return [type(one).__name__.removesuffix("Message") for one in found]


@pytest.mark.parametrize(("events", "name"), [(V1, "events.jsonl"), (V0, "trajectory.json")], ids=["v1", "v0"])
async def test_the_events_of_one_response_are_one_answer_and_each_result_names_its_call(
    log: EventLog, tmp_path: Path, events: list[Fields], name: str
) -> None:
    report = await put(log, tmp_path, *events, name=name)
    found = await messages(log, report.session)
    assert shape(found) == ["User", "Assistant", "ToolResult", "ToolResult", "Assistant"]
    answer = found[1]
    assert isinstance(answer, AssistantMessage)
    assert (answer.text, [call.id for call in answer.tool_calls]) == ("I look.", ["x", "y"])
    adopted = [one.event for one in await log.read(report.session) if isinstance(one.event, MessageAdopt)]
    told = {
        one.message.tool_call_id: one.call and one.call.content_index
        for one in adopted
        if isinstance(one.message, ToolResultMessage)
    }
    assert told == {"x": 1, "y": 2}
    changes = [one.event for one in await log.read(report.session) if isinstance(one.event, ConfigChange)]
    assert [one.system_prompt for one in changes if one.system_prompt] == ["Be brief."]
    info = await log.info(report.session)
    assert (info.title, info.agent, info.models[0][-6:]) == ("look", "openhands", "gpt-4o")
    assert await back(log, report.session) == events
    again = await import_file(log, str(tmp_path / name))
    assert (again.known, again.branches) == (True, ())


async def test_the_usage_of_a_response_counts_once(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, *V0, name="trajectory.json")
    info = await log.info(report.session)
    assert (info.input_tokens, info.cache_read_tokens, info.output_tokens) == (6, 4, 2)


async def test_tokens_of_agents_below_count_beside_those_of_the_agent(log: EventLog, tmp_path: Path) -> None:
    records = [*V1[:6], counted("c2", 15, 3, dig=500), said("m", "Dug.", "agent", llm_response_id="r2")]
    records += [counted("c3", 25, 5, dig=500), said("n", "Done.", "agent", llm_response_id="r3")]
    report = await put(log, tmp_path, *records)
    used = [one.usage for one in await messages(log, report.session) if isinstance(one, AssistantMessage)]
    assert [one and one.input_tokens for one in used] == [10, 505, 10]


async def test_tokens_of_all_calls_so_far_are_those_of_each(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, *V1)
    used = [one.usage for one in await messages(log, report.session) if isinstance(one, AssistantMessage)]
    assert [one and (one.input_tokens, one.output_tokens) for one in used] == [(10, 2), (15, 3)]


@pytest.mark.parametrize("version", [0, 1])
async def test_a_command_ends_as_the_model_was_told(log: EventLog, tmp_path: Path, version: int) -> None:
    metadata = {"exit_code": 3, "working_dir": "/w", "py_interpreter_path": "/py", "prefix": "[Below]\n"}
    metadata["suffix"] = "\n[The command completed with exit code 3.]"
    told = "[Below]\na.txt\n[The command completed with exit code 3.]\n[Current working directory: /w]"
    told += "\n[Python interpreter: /py]\n[Command finished with exit code 3]"
    if version == 1:
        records = [said("u", "go"), acted("a", "c", "r"), observed("o", "c", "a.txt"), acted("b", "d", "s")]
        records.append(observed("p", "d", "Still at it"))
        records[2]["observation"] |= {"metadata": metadata, "kind": "TerminalObservation"}
        records[4]["observation"] |= {"metadata": {**metadata, "exit_code": -1, "working_dir": None, "suffix": "..."}}
        told_last = "[Below]\nStill at it...\n[Python interpreter: /py]"
    else:
        records = list(V0)
        place = next(n for n, one in enumerate(records) if one.get("observation") == "run")
        records[place] = {**records[place], "content": "a.txt", "extras": {"command": "ls", "metadata": metadata}}
        told_last = told
    report = await put(log, tmp_path, *records, name="events.jsonl" if version else "trajectory.json")
    results = [one for one in await messages(log, report.session) if isinstance(one, ToolResultMessage)]
    assert {told, told_last} <= set(map(words, results))
    assert await back(log, report.session) == records


async def test_a_conversation_of_version_0_is_found_and_called_as_it_says(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".openhands" / "sessions" / "abc"
    for one in V0:
        _write(folder / "events" / f"{one['id']}.json", json.dumps(one))
    _write(folder / "metadata.json", json.dumps({"conversation_id": "abc", "title": "Looking around"}))
    monkeypatch.setenv("HOME", str(tmp_path))
    _, found = Finder().kept_by("openhands", {})
    (file,) = (one for one in found if isinstance(one, FoundFile))
    assert file.path == folder / "events" / "0.json"
    report = await import_file(log, str(file.path))
    assert ((await log.info(report.session)).title, report.kept) == ("Looking around", ())
    assert await back(log, report.session) == V0
    _write(folder / "metadata.json", "{")
    async with open_store() as other:
        assert (await other.info((await import_file(other, str(file.path))).session)).title == "look"


async def test_an_error_and_a_rejection_are_results_that_failed(log: EventLog, tmp_path: Path) -> None:
    events = [
        *(said("u", "look"), acted("a1", "x", "r1"), acted("a2", "y", "r1")),
        event("AgentErrorEvent", "e", tool_name="terminal", tool_call_id="x", error="no such tool"),
        event(
            "UserRejectObservation", "r", "environment", tool_name="terminal", tool_call_id="y", rejection_reason="no"
        ),
        event("ConversationErrorEvent", "f", "environment", code="LLM", detail="it is down"),
    ]
    report = await put(log, tmp_path, *events)
    *_, error, rejected, failed = await messages(log, report.session)
    assert isinstance(error, ToolResultMessage)
    assert isinstance(rejected, ToolResultMessage)
    assert isinstance(failed, AssistantMessage)
    assert (error.is_error, error.content[0].text) == (True, "no such tool")  # type: ignore[union-attr]  # a text
    assert (rejected.is_error, rejected.content[0].text) == (True, "Action rejected: no")  # type: ignore[union-attr]  # a text
    assert (failed.stop_reason, failed.error) == ("error", "it is down")
    assert await back(log, report.session) == events


@pytest.mark.parametrize("version", [0, 1])
async def test_a_condensation_leaves_what_it_did_not_forget_with_its_summary_in_its_place(
    log: EventLog, tmp_path: Path, version: int
) -> None:
    if version == 1:
        told = {"summary": "It looked.", "summary_offset": 2, "llm_response_id": "r9"}
        condensed = event("Condensation", "d", "environment", forgotten_event_ids=["a1", "a2", "o1", "o2"], **told)
        report = await put(log, tmp_path, *V1, condensed, said("u2", "more"))
    else:
        args = {
            "forgotten_events_start_id": 2,
            "forgotten_events_end_id": 5,
            "summary": "It looked.",
            "summary_offset": 2,
        }
        condensed = {"id": 7, "timestamp": TIME, "source": "agent", "action": "condensation", "args": args}
        more = {"id": 8, "timestamp": TIME, "source": "user", "action": "message", "args": {"content": "more"}}
        report = await put(log, tmp_path, *V0, condensed, more, name="trajectory.json")
    recorded = await log.read(report.session)
    assert sum(isinstance(one.event, Compaction) for one in recorded) == 1
    shown = [part.message for part in parts(project(CONTEXT, recorded))]
    assert sorted(map(words, shown)) == ["Done.", "It looked.", "look", "more"]
    assert shape(shown) == ["User", "User", "Assistant", "User"]


async def test_an_event_with_another_parent_is_a_branch(log: EventLog, tmp_path: Path) -> None:
    events = [said("u", "look"), said("m", "Done.", "agent", parent_id="u"), said("v", "again", parent_id="u")]
    report = await put(log, tmp_path, *events)
    assert [shape(await messages(log, branch.session)) for branch in report.branches] == [
        ["User", "User"],
        ["User", "Assistant"],
    ]
    assert await back(log, report.session) == events


async def test_a_folder_with_a_file_for_each_event_is_one_session(log: EventLog, tmp_path: Path) -> None:
    folder = tmp_path / "conversation"
    for number, one in enumerate(V1):
        _write(folder / "events" / f"event-{number:05d}-0123456789.json", json.dumps(one))
    usage = [{"response_id": "r1", "prompt_tokens": 7, "completion_tokens": 1}]
    metrics = {"agent": {"token_usages": usage}}
    state = {
        "id": "c1",
        "agent": {"llm": {"model": "gpt-4o"}},
        "workspace": {"working_dir": "/work"},
        "persistence_dir": "x",
        "stats": {"usage_to_metrics": metrics},
    }
    _write(folder / "base_state.json", json.dumps(state))
    (found,) = Finder().among([folder])
    assert isinstance(found, FoundFile)
    assert (found.path.name, found.format, found.folder) == ("base_state.json", "openhands", "/work")
    report = await import_file(log, str(found.path))
    info = await log.info(report.session)
    assert (info.source, info.folder) == ("openhands:c1", "/work")
    answers = [one for one in await messages(log, report.session) if isinstance(one, AssistantMessage)]
    assert answers[0].usage is not None
    assert answers[0].usage.input_tokens == 7
    assert await back(log, report.session) == V1
    _write(folder / "events" / "event-00003-0123456789.json", "{")
    damaged = await import_file(log, str(found.path), again=True)
    assert damaged.lost[0].problem.startswith("event-00003-0123456789.json ")


async def test_each_line_of_an_evaluations_output_is_a_session_and_one_that_was_delegated_to_is_below(
    log: EventLog, tmp_path: Path
) -> None:
    delegated = [
        *V0[:2],
        {
            "id": 2,
            "timestamp": TIME,
            "source": "agent",
            "action": "delegate",
            "args": {"agent": "Browser", "thought": ""},
        },
        {"id": 3, "timestamp": TIME, "source": "user", "action": "message", "args": {"content": "browse"}},
        {"id": 4, "timestamp": TIME, "source": "agent", "action": "message", "args": {"content": "Seen."}},
        {"id": 5, "timestamp": TIME, "source": "agent", "observation": "delegate", "content": "Seen.", "cause": 2},
    ]
    lines = [{"instance_id": "one", "history": V0}, {"instance_id": "two", "history": delegated, "metrics": {}}]
    report = await put(log, tmp_path, *lines, name="output.jsonl")
    second = report.others[0]
    assert [one.title for one in (report, second)] == ["one: look", "two: look"]
    (child,) = second.children
    assert shape(await messages(log, child.session)) == ["User", "Assistant"]
    results = [one.event for one in await log.read(second.session) if isinstance(one.event, MessageAdopt)]
    assert results[-1].child == child.session
    assert await back(log, report.session) == [lines[0]]


async def test_the_oldest_events_have_neither_ids_nor_times(log: EventLog, tmp_path: Path) -> None:
    old = [
        {"content": "look", "action": "message", "wait_for_response": False},
        {"command": "ls", "thought": "I look.", "action": "run"},
        {"content": "a.txt", "command": "ls", "exit_code": 0, "observation": "run"},
        {"outputs": {}, "thought": "Done.", "action": "finish"},
    ]
    pairs = {"instance_id": "one", "history": [old[:1], [old[1], old[2]], old[3:]]}
    for number, history_ in enumerate((old, pairs["history"])):
        report = await put(log, tmp_path, {"instance_id": f"n{number}", "history": history_}, name="output.jsonl")
        found = await messages(log, report.session)
        assert shape(found) == ["User", "Assistant", "ToolResult", "Assistant"]
        assert isinstance(found[1], AssistantMessage)
        assert [(call.name, call.arguments) for call in found[1].tool_calls] == [("run", '{"command": "ls"}')]


async def test_what_is_said_here_follows_as_new_events(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, *V1)
    new = MessageAdopt(message=UserMessage(content="And then?"), origin=Origin(source="refold"))
    await log.append(report.session, [(1, new)])
    told = await back(log, report.session)
    assert told[:-1] == V1
    assert told[-1]["llm_message"] == {"role": "user", "content": text("And then?")}
    _write(tmp_path / "back.jsonl", "".join(json.dumps(one) + "\n" for one in told))
    assert detect(str(tmp_path / "back.jsonl")) == "openhands"


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
TEXTS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text("ab")}) | JSON, max_size=2) | JSON
EVENTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(
            [
                *("MessageEvent", "ActionEvent", "ObservationEvent", "AgentErrorEvent", "UserRejectObservation"),
                *("Condensation", "SystemPromptEvent", "ConversationStateUpdateEvent", "ConversationErrorEvent", "Odd"),
            ]
        )
        | JSON
    },
    optional={
        "id": st.sampled_from(["a", "b", "c"]) | JSON,
        "source": st.sampled_from(["user", "agent"]) | JSON,
        "timestamp": st.just(TIME) | JSON,
        "parent_id": st.sampled_from(["a", "b", "__root__"]) | JSON,
        "llm_message": st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]) | JSON, "content": TEXTS})
        | JSON,
        "thought": TEXTS,
        "tool_name": JSON,
        "tool_call_id": st.sampled_from("xy") | JSON,
        "tool_call": st.fixed_dictionaries({"name": JSON, "arguments": JSON}) | JSON,
        "llm_response_id": st.sampled_from("rs") | JSON,
        "observation": st.fixed_dictionaries({"content": TEXTS}) | JSON,
        "forgotten_event_ids": st.lists(st.sampled_from("abc")) | JSON,
        "summary": st.text("ab") | JSON,
        "summary_offset": st.integers(0, 3) | JSON,
        "key": st.just("stats") | JSON,
        "value": JSON,
        "system_prompt": JSON,
        "tools": st.lists(st.fixed_dictionaries({"name": JSON, "parameters": JSON}), max_size=1) | JSON,
    },
)
OLD = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(0, 3) | JSON,
        "timestamp": st.just(TIME) | JSON,
        "source": st.sampled_from(["user", "agent"]) | JSON,
        "action": st.sampled_from(["message", "run", "system", "delegate", "finish", "condensation", "odd"]) | JSON,
        "observation": st.sampled_from(["run", "error", "delegate", "odd"]) | JSON,
        "args": st.fixed_dictionaries(
            {},
            optional={"content": JSON, "thought": JSON, "forgotten_event_ids": JSON, "summary": JSON, "outputs": JSON},
        )
        | JSON,
        "content": JSON,
        "cause": st.integers(0, 3) | JSON,
        "tool_call_metadata": st.fixed_dictionaries(
            {
                "tool_call_id": JSON,
                "model_response": st.just(BOTH) | st.fixed_dictionaries({"id": JSON, "choices": JSON}) | JSON,
            }
        )
        | JSON,
    },
)


@given(st.lists(EVENTS, min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_events_hold_goes_in_and_comes_back(tmp_path: Path, events: list[Fields]) -> None:
    await _goes_in_and_comes_back(tmp_path, [V1[1], *events], "events.jsonl")


@given(st.lists(OLD, min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_old_events_hold_goes_in_and_comes_back(tmp_path: Path, events: list[Fields]) -> None:
    whole = [V0[1], *events]
    if not any(one.get("action") == "delegate" for one in events):
        await _goes_in_and_comes_back(tmp_path, whole, "trajectory.json")
    async with open_store() as log:
        await put(log, tmp_path, *whole, name="trajectory.json")


async def _goes_in_and_comes_back(tmp_path: Path, events: list[Fields], name: str) -> None:
    async with open_store() as log:
        report = await put(log, tmp_path, *events, name=name)
        found = await back(log, report.session)
        assert json.dumps(found, sort_keys=True) == json.dumps(events, sort_keys=True)
        for info in await log.sessions():
            fold(await log.read(info.id, limit=1_000))
        assert not (await put(log, tmp_path, *events, name=name)).branches
