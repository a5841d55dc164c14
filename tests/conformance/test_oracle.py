"""Every scenario of the founding loop, through the real loop, a real log and the lifecycle projection."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventsource.envelope import Recorded
from eventsource.events import QueuePush
from eventsource.log import open_store
from eventsource.log.load import load_state, read_all
from eventsource.log.protocol import EventLog
from eventsource.machine.state import Phase
from eventsource.messages import UserMessage
from projections.lifecycle import lifecycle
from replay.replay import replay

from .differences import reason_for
from .oracle import VARIANTS, Played, carry_on, comparable, expected_lines, normal, play

DATA = Path(os.environ.get("REFOLD_DATA", Path(__file__).parents[3] / "shared" / "data"))
SCENARIOS = sorted((DATA / "oracle" / "scenarios").glob("*.json"))
CASES = [
    pytest.param(path, variant, id=f"{variant}/{path.stem}")
    for path in SCENARIOS
    for variant in VARIANTS
    if (DATA / "oracle" / variant / f"{path.stem}.jsonl").exists()
]
if not CASES:
    pytest.skip("the oracle's scenarios are not in REFOLD_DATA", allow_module_level=True)

cases = pytest.mark.parametrize(("path", "variant"), CASES)


@cases
async def test_the_stream_equals_the_founding_loops(path: Path, variant: str, tmp_path: Path) -> None:
    scenario = read(path)
    expected = list(expected_lines(DATA / "oracle" / variant / f"{path.stem}.jsonl"))
    async with open_store(str(tmp_path / "log.db")) as log:
        played = await play(scenario, variant, log)
        if played.session:
            history = [recorded async for recorded in read_all(log, played.session)]
            assert [event.type for event in lifecycle(history)] == [event["type"] for event in played.events]
            assert replay(history).difference is None
            assert (await log.verify(played.session)).ok
    found = compare(scenario, played, expected)
    if reason_for(path.stem, variant) is None:
        assert found == []
    else:
        assert found, "this difference is gone: take it out of the table"
        assert_sound(played)


@cases
async def test_a_run_cut_at_any_seq_goes_on_to_a_legal_end(path: Path, variant: str) -> None:
    scenario = read(path)
    async with open_store(None) as log:
        played = await play(scenario, variant, log)
        if played.refused:
            return
        history = [recorded async for recorded in read_all(log, played.session)]
        for cut in range(len(history) + 1):
            session = (await log.create()).id
            await append_all(log, session, history[:cut])
            await carry_on(scenario, variant, log, session)
            await assert_legal_end(log, session, f"continued after {cut} of {len(history)}")
            fork = await log.fork(played.session, cut, at_us=0)
            await carry_on(scenario, variant, log, fork.id)
            await assert_legal_end(log, fork.id, f"forked at {cut} of {len(history)}")


@cases
async def test_after_any_run_a_request_holds_no_failed_answer_and_no_open_call(path: Path, variant: str) -> None:
    scenario = read(path)
    async with open_store(None) as log:
        played = await play(scenario, variant, log)
        if played.refused:
            return
        await log.append(played.session, [(0, QueuePush(queue="prompt", message=UserMessage(content="And now?")))])
        await carry_on(scenario, variant, log, played.session)  # the model that answers looks at each request
        _, state = await load_state(log, played.session)
        assert state.phase is Phase.IDLE
        assert state.queue == ()


async def append_all(log: EventLog, session: str, history: list[Recorded]) -> None:
    if history:
        await log.append(session, [(recorded.at_us, recorded.event) for recorded in history])


async def assert_legal_end(log: EventLog, session: str, where: str) -> None:
    history = [recorded async for recorded in read_all(log, session)]
    _, state = await load_state(log, session)
    assert state.phase is Phase.IDLE, where
    assert replay(history).difference is None, where


def assert_sound(played: Played) -> None:
    """Whatever the reason to differ: the run ends, and every call that ran or not has its result."""
    assert played.events[-1]["type"] == "agent_end"
    started = [e["toolCallId"] for e in played.events if e["type"] == "tool_execution_start"]
    ended = [e["toolCallId"] for e in played.events if e["type"] == "tool_execution_end"]
    ends = [e["message"] for e in played.events if e["type"] == "message_end"]
    results = [message["toolCallId"] for message in ends if message["role"] == "toolResult"]
    assert sorted(started) == sorted(ended) == sorted(results)


def read(path: Path) -> dict[str, Any]:
    scenario: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return scenario


def compare(scenario: dict[str, Any], played: Played, expected: list[dict[str, Any]]) -> list[str]:
    end = next(line for line in expected if line["type"] == "$end")
    if end["status"] != "ok" and str(end.get("message", "")).startswith("Cannot continue"):
        return [] if played.refused else ["the founding loop refuses to continue"]
    found = []
    events = [normal(comparable(line)) for line in expected if not line["type"].startswith("$")]
    mine = [normal(event) for event in played.events]
    for place in range(max(len(events), len(mine))):
        theirs = events[place] if place < len(events) else None
        ours = mine[place] if place < len(mine) else None
        if theirs != ours:
            found.append(f"event {place}:\n  expected {theirs}\n  found    {ours}")
            break
    aborts = any(line["type"] == "$abort" for line in expected)
    polls = [POLLS[line["type"]](line) for line in expected if line["type"] in POLLS and "returned" in line]
    if (polls[: len(played.polls)] if aborts else polls) != played.polls:  # after an abort nobody is asked
        found.append(f"callbacks: expected {polls}, found {played.polls}")
    ran = [
        {name: line[name] for name in ("id", "name", "args")} for line in expected if line["type"] == "$tool_execute"
    ]
    if ran != played.ran:
        found.append(f"calls that ran: expected {ran}, found {played.ran}")
    if played.caller != [message["role"] for message in scenario.get("messages", ())]:
        found.append(f"the caller's own messages: {played.caller}")
    calls = [
        {name: comparable(line[name]) for name in ("system_prompt", "tools", "messages", "api_key")}
        for line in expected
        if line["type"] == "$llm_call" and not line["aborted"]
    ]
    if normal(calls) != normal(played.calls):
        found.append(f"model calls:\n  expected {calls}\n  found    {played.calls}")
    result = next((line["messages"] for line in expected if line["type"] == "$result"), None)
    if result is not None and normal(comparable(result)) != normal(played.result):
        found.append(f"result:\n  expected {result}\n  found    {played.result}")
    return found


POLLS: dict[str, Callable[[dict[str, Any]], tuple[str, object]]] = {
    "$poll_steering": lambda line: ("steering", line["returned"]),
    "$poll_follow_up": lambda line: ("follow_ups", line["returned"]),
    "$finish_turn": lambda line: ("finish_turn", (line["returned"] or {}).get("action")),
}
