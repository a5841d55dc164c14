"""Typed output: what does not fit is asked for again, by a policy on record, and then the run ends in error."""

from __future__ import annotations

import dataclasses
import enum
import json
import subprocess
import sys
from pathlib import Path
from typing import Generic, Literal, TypeVar

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from eventsource.errors import IllegalEventError, OutputError
from eventsource.events import AbortRequest, QueuePush, TurnEnd
from eventsource.messages import UserMessage
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import Answer, call, fail
from eventsource.runner.hooks import Hooks, TurnEnded
from refold import Agent, Policies, open_log, tool
from refold.output import recorded_check
from refold.tasks import TaskContext, task
from refold.tasks.worker import Worker
from tests.refold.shell import Shell

T = TypeVar("T")
BAD, GOOD = '{"titel": "x"}', '{"title": "x"}'


class Report(BaseModel):
    """A model with a constraint."""

    title: str = Field(min_length=1)


class Envelope(BaseModel, Generic[T]):
    """A generic model."""

    item: T


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int


class Named(TypedDict):
    """A typed dictionary."""

    name: str


def reporter(*answers: Answer, hooks: Hooks | None = None, retries: int = 2) -> Agent[Report]:
    return Agent(scripted(*answers), output=Report, hooks=hooks or Hooks(), policies=Policies(output_retries=retries))


async def test_an_answer_that_does_not_fit_is_asked_for_again_with_what_does_not_fit() -> None:
    async with open_log() as log:
        session = await log.session("it")
        run = await reporter(BAD, "no JSON at all", GOOD).run("Report.", session=session)
        assert (run.status, run.output) == ("done", Report(title="x"))
        asked = [one.message.content for one in await session.messages() if isinstance(one.message, UserMessage)]
        assert len(asked) == 3
        assert "title: Field required" in str(asked[1])
        assert "Invalid JSON" in str(asked[2])
        assert (await session.replay()).difference is None


@pytest.mark.parametrize("retries", [0, 1, 2])
async def test_after_so_many_times_the_run_ends_in_error_and_says_what_did_not_fit(retries: int) -> None:
    async with open_log() as log:
        session = await log.session("it")
        run = await reporter(*[BAD] * (retries + 1), GOOD, retries=retries).run("Report.", session=session)
        assert (run.status, len(run.answers)) == ("error", retries + 1)
        assert "title: Field required" in run.error
        with pytest.raises(OutputError, match="title: Field required"):
            _ = run.output
        assert (await session.replay()).difference is None
        assert (await session.info()).status == "failed"


async def test_a_run_goes_on_asking_wherever_its_log_stops_also_in_a_fork() -> None:
    async with open_log() as log:
        session = await log.session("it")
        await reporter(BAD, BAD, BAD).run("Report.", session=session)
        events = await session.events()
        [first, *_] = [one.seq for one in events if isinstance(one.event, QueuePush) and one.event.queue == "output"]
        ends = [one.seq for one in events if isinstance(one.event, TurnEnd)]
        for at in range(first - 1, ends[0]):
            fork = await session.fork(at=at)
            run = await reporter(*[GOOD] * 2).resume(fork)
            assert (run.status, run.output, len(run.answers)) == ("done", Report(title="x"), 1), at
            assert (await fork.replay()).difference is None
        last = await session.fork(at=ends[1])
        over = await reporter(BAD, GOOD).resume(last)
        assert (over.status, len(over.answers)) == ("error", 1), "what was asked before the fork counts"


async def test_more_questions_than_the_policy_allows_are_no_legal_log() -> None:
    async with open_log() as log:
        session = await log.session("it")
        await reporter(BAD, BAD, retries=1).run("Report.", session=session)
        [end] = [one.seq for one in await session.events() if isinstance(one.event, AbortRequest)]
        fork = await session.fork(at=end - 1)
        again = QueuePush(queue="output", message=UserMessage(content="Again."))
        with pytest.raises(IllegalEventError, match="at most 1 times"):
            await fork.append([again])


async def test_a_run_at_its_turn_limit_does_not_ask_again_and_begins_no_other() -> None:
    made = Agent(scripted(*[BAD] * 9), output=Report, policies=Policies(turn_limit=2))
    run = await made.run("Report.")
    assert (run.status, len(run.answers)) == ("limit", 2)


async def test_what_is_asked_of_a_hook_comes_first_and_an_answer_that_does_not_fit_is_never_done() -> None:
    shown: list[TurnEnded] = []

    def ends(turn: TurnEnded) -> bool:
        shown.append(turn)
        return True

    run = await reporter(BAD, GOOD, hooks=Hooks(should_stop_after_turn=ends)).run("Report.")
    assert (run.status, len(run.answers), len(shown)) == ("error", 1, 1)
    assert "title: Field required" in run.error


async def test_an_answer_before_steering_or_with_calls_is_not_the_last_one() -> None:
    @tool
    def look() -> str:
        """Look."""
        return "seen"

    made = Agent(scripted(["Let me look.", call("look", {})], GOOD), tools=[look], output=Report)
    run = await made.run("Report.")
    assert (run.output, len(run.answers)) == (Report(title="x"), 2)


async def test_a_reexecution_checks_answers_itself(tmp_path: Path) -> None:
    async with open_log(tmp_path / "x.db") as log:
        session = await log.session("it")
        await reporter(BAD, GOOD).run("Report.", session=session)
        again = await reporter().reexecute(session)
        assert (again.ok, again.run.output) == (True, Report(title="x"))


async def test_a_tasks_turn_asks_again_too() -> None:
    made = reporter(BAD, GOOD)

    @task(id="report")
    async def report(ctx: TaskContext, payload: None) -> str:
        turn = await ctx.turn(made, "Report.")
        return f"{turn.status} {turn.output.title}"

    async with open_log() as log:
        run = await report.trigger(log)
        await Worker(log, [report]).drain()
        assert (await run.refresh()).result == "done x"


@pytest.mark.parametrize(
    ("output", "answer", "expected"),
    [
        (str, "Plain words.", "Plain words."),
        (bool, "true", True),
        (int, "3", 3),
        (list[Report], '[{"title": "x"}]', [Report(title="x")]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (int | str, '"x"', "x"),
        (Literal["yes", "no"], '"no"', "no"),
        (int | None, "null", None),
        (Point, '{"x": 1}', Point(1)),
        (Named, '{"name": "x"}', {"name": "x"}),
        (Colour, '"red"', Colour.RED),
        (Envelope[int], '{"item": 1}', Envelope(item=1)),
        (type(None), "null", None),
    ],
    ids=str,
)
async def test_any_type_that_pydantic_reads_may_be_an_output(output: object, answer: str, expected: object) -> None:
    made: Agent[object] = Agent(scripted(answer), output=output)  # type: ignore[call-overload]  # unions are no classes
    run = await made.run("Answer.")
    assert (run.status, run.output) == ("done", expected), run.error


def test_a_plain_text_has_no_schema() -> None:
    assert "output_schema" not in str(Agent(scripted("x"), output=str).config().options)


@pytest.mark.parametrize("output", [object(), 3, "Unknown", type("Odd", (), {})])
def test_what_is_no_type_for_an_answer_is_refused_when_the_agent_is_made(output: object) -> None:
    with pytest.raises(TypeError, match=r"expected a type|is no type that an answer can be read as"):
        Agent(scripted("x"), output=output)  # type: ignore[call-overload]  # it is not one


TYPED = """
import asyncio, sys
from pydantic import BaseModel
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import fail
from refold import Agent, open_log

class Report(BaseModel):
    title: str

async def main():
    async with open_log(sys.argv[1]) as log:
        await Agent(scripted([fail("overloaded")]), output=Report).run("Report.", session=await log.session("it"))

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_session_that_is_gone_on_in_without_its_agent_checks_answers_by_the_schema_on_record(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for answers, code, says in (
        (["many", '{"title": "x"}'], 0, ""),
        (["many", "a lot", "more"], 1, "asked for 2 more times: answer: it is no JSON"),
        (['{"title": 3}'] * 3, 1, "title: must be string"),
    ):
        subprocess.run([sys.executable, "-c", TYPED, tmp_path / "refold.db"], check=True)
        shell.script.write_text(json.dumps([[answer] for answer in answers]))
        run = shell("continue", "it", "-m", f"scripted:{shell.script}")
        assert (run.exit_code, says in run.stderr) == (code, True), run.stderr
        shell.good("delete", "it", "--yes")


async def test_a_schema_among_the_options_is_what_answers_are_checked_by_and_one_that_is_none_is_not() -> None:
    schema = {"$ref": "#/$defs/Report", "$defs": {"Report": {"type": "object", "required": ["title"]}}}
    run = await Agent(scripted("{}", '{"title": 1}'), options={"output_schema": schema}).run("Report.")
    assert (run.status, run.text, len(run.answers)) == ("done", '{"title": 1}', 2)
    fenced = await Agent(scripted('```json\n{"title": 1}\n```'), options={"output_schema": schema}).run("Report.")
    assert len(fenced.answers) == 1
    for fault in ({"type": "nonsense"}, {"$ref": "#/$defs/gone"}):
        agent = Agent(scripted("{}"), options={"output_schema": fault})
        assert (await agent.run("Report.")).status == "done"
        assert recorded_check(agent.options)[1]


def test_a_schema_on_record_that_cannot_be_used_is_told_in_a_line(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    schema = {"type": "object", "properties": {"title": {"$ref": "#/$defs/gone"}}}
    options: dict[str, object] = {"output_schema": schema}
    Agent(scripted([fail("overloaded")]), options=options).run_sync("x", session="it", log=tmp_path / "refold.db")
    shell.script.write_text(json.dumps([["{}"]]))
    run = shell("continue", "it", "-m", f"scripted:{shell.script}")
    assert run.exit_code == 0
    assert "Answers are not checked: the output schema on record cannot be used: root: #/$defs/gone" in run.stderr
