"""What a type checker knows of an event: its class and its tag say the same, to people and to mypy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eventsource.codec import decode, encode
from eventsource.events import EVENT_TYPES, TurnEnd
from tests import type_checker

PYRIGHT = shutil.which("pyright") or shutil.which("basedpyright")
SOURCE = """
from typing import Literal, assert_type

from eventsource.events import AgentEnd, Event, MessageUpdate
from eventsource.messages import AssistantMessage, Message, TextContent
from refold import Agent, TaskContext, Tool, json_tool, mcp_tools, task, tool
from refold.tasks import Task, Token


def look(event: Event) -> None:
    if event.type == "message_update":
        assert_type(event, MessageUpdate)
    match event:
        case MessageUpdate(delta=delta):
            assert_type(delta, str)
        case AgentEnd():
            assert_type(event.error, str)
        case _:
            pass


async def show(agent: Agent[None]) -> None:
    stream = agent.stream("hello")
    async for event in stream:
        if event.type == "message_update":
            assert_type(event, MessageUpdate)
        match event:
            case MessageUpdate(delta=delta):
                assert_type(delta, str)
            case AgentEnd():
                assert_type(event.error, str)
            case _:
                pass
    async for shown in stream.lifecycle():
        if isinstance(shown.event, MessageUpdate):
            assert_type(shown.event.delta, str)


def read(message: Message) -> None:
    if message.role == "assistant":
        assert_type(message, AssistantMessage)
        for part in message.content:
            if part.type == "text":
                assert_type(part, TextContent)


async def ask(agent: Agent[int]) -> None:
    assert_type(Agent("x:y"), Agent[None])
    assert_type(Agent("x:y", output=int), Agent[int])
    assert_type((await agent.run("hello")).output, int)
    assert_type((await agent.stream("hello").run()).output, int)
    assert_type((await agent.resume((await agent.run("hello")).session)).output, int)
    assert_type(Agent("x:y", output=list[int]).run_sync("hello").output, list[int])
    either: Agent[int | str] = Agent("x:y", output=int | str)
    assert_type(either.run_sync("hello").output, int | str)
    maybe: Agent[int | None] = Agent("x:y", output=int | None)
    assert_type(maybe.replace(system="").run_sync("hello").output, int | None)
    chosen: Agent[Literal["a", "b"]] = Agent("x:y", output=Literal["a", "b"])
    assert_type(chosen.run_sync("hello").output, Literal["a", "b"])
    Agent("x:y", output=int | str, deps_type=int | str)


@task(id="t", payload=int | None, result=int | str)
async def work(ctx: TaskContext, payload: int | None) -> int | str:
    assert_type(await ctx.step("a", abs, -3, returns=int), int)
    assert_type(await ctx.step("b", either, returns=int | str), int | str)
    assert_type((await ctx.wait(await ctx.create_token(type=int))).unwrap(), int)
    token: Token[bool | None] = await ctx.create_token(type=bool | None)
    assert_type((await ctx.wait(token)).unwrap(), bool | None)
    assert_type((await ctx.turn(Agent("x:y", output=int), "hello")).output, int)
    return 3


def either() -> int | str:
    return 3


assert_type(work, Task[int | None, int | str])
assert_type(tool(either), Tool)
assert_type(tool(either, name="e", effect="pure", timeout="30s", approval=lambda arguments: bool(arguments)), Tool)
assert_type(tool(approval="always", approval_timeout="1d", approval_default="approve")(either), Tool)
assert_type(json_tool("e", {}, either, description="Either.", mode="sequential", version="2"), Tool)
mcp_tools("server", approval={"e": "always"}, approval_timeout="1h", approval_default="deny")
"""
WRONG = (
    ('== "message_update":\n            assert_type', '== "turn_end":\n            assert_type'),
    ("Agent[int | str] = Agent", "Agent[bytes] = Agent"),
    ("output=list[int])", 'output="int", instructions="x")'),
    ('"message_update"', '"message_updated"'),
    ('effect="pure"', 'effect="purr"'),
    ('mode="sequential"', 'modus="sequential"'),
    ('approval_timeout="1h"', 'aproval_timeout="1h"'),
)


def test_the_type_of_an_event_is_its_stored_tag_and_adds_nothing_to_what_is_stored() -> None:
    assert [kind.type for kind in EVENT_TYPES] == [kind.__struct_config__.tag for kind in EVENT_TYPES]  # type: ignore[attr-defined]  # each of them has one
    assert encode(TurnEnd()) == b'{"type":"turn_end"}'
    assert decode(b'{"type":"turn_end"}').type == "turn_end"


@pytest.mark.slow
def test_a_type_checker_tells_events_apart_by_class_and_by_type_and_knows_what_a_run_gives(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(SOURCE)
    wrong = []
    for number, (this, that) in enumerate(WRONG):
        assert this in SOURCE
        wrong.append(tmp_path / f"wrong_{number}.py")
        wrong[-1].write_text(SOURCE.replace(this, that, 1))
    said, _, _ = type_checker.check([tmp_path / "right.py", *wrong])
    assert [path.name for path in wrong if path.name not in said] == []
    assert "right.py" not in said, said


@pytest.mark.slow
@pytest.mark.skipif(PYRIGHT is None, reason="pyright is not installed")
def test_another_type_checker_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(SOURCE)
    (tmp_path / "wrong.py").write_text(SOURCE.replace(*WRONG[0], 1))
    command = [str(PYRIGHT), "--pythonpath", sys.executable, "--level", "error"]
    right = subprocess.run([*command, "right.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert right.returncode == 0, right.stdout
    wrong = subprocess.run([*command, "wrong.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
