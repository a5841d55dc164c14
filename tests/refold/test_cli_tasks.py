"""Tasks, workers and decisions from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.refold.shell import Shell

APP = """
from refold import Agent, tool
from refold.tasks import TaskContext, task
from eventsource.models.script import call
from eventsource.models.scripted import scripted

@tool(approval="always")
def pay(amount: int) -> str:
    return f"paid {amount}"

payer = Agent(scripted([call("pay", {"amount": 3})], "Paid.", by="request"), tools=[pay], name="payer")

@task(id="greet", payload=str)
async def greet(ctx: TaskContext, name: str) -> str:
    return f"Hello, {name}."

@task(id="ask", payload=str)
async def ask(ctx: TaskContext, question: str) -> object:
    return (await ctx.wait(await ctx.create_token(key=question, timeout="1d"))).value

@task(id="chat")
async def chat(ctx: TaskContext, payload: object) -> list[object]:
    said = []
    async for message in ctx.inbox():
        said.append(message.value)
        if message.value == "bye":
            break
    return said

nothing = 3
"""


@pytest.fixture
def app(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"app_{uuid4().hex[:8]}"  # a module is imported once in a process
    (shell.folder / f"{name}.py").write_text(APP)
    monkeypatch.chdir(shell.folder)
    monkeypatch.syspath_prepend(str(shell.folder))
    return name


def work(shell: Shell, app: str) -> str:
    result = shell("worker", app, "--until-idle")
    assert result.exit_code == 0, result.stderr
    return result.stderr


def test_a_run_is_triggered_worked_on_and_listed(shell: Shell, app: str) -> None:
    session = shell.good("trigger", f"{app}:greet", "Ann", "--tag", "vip").strip()
    assert shell.good("trigger", f"{app}:greet", "Bob", "--key", "k") == shell.good(
        "trigger", f"{app}:greet", "Eve", "--key", "k"
    )
    assert "greet  done" in work(shell, app)
    listed = shell.json("runs", "--task", "greet")
    assert isinstance(listed, list)
    assert [(run["result"], run["tags"]) for run in listed if run["id"] == session] == [("Hello, Ann.", ["vip"])]
    assert "Hello, Bob." in shell.good("runs")
    assert "Hello, Bob." not in shell.good("runs", "--tag", "vip")
    inspected = shell.good("runs", session)
    assert "payload  Ann" in inspected
    assert "result   Hello, Ann." in inspected
    one = shell.json("runs", session)
    assert isinstance(one, dict)
    assert one["attempt"] == 1


def test_a_token_is_completed_by_its_name(shell: Shell, app: str) -> None:
    session = shell.good("trigger", f"{app}:ask", "who").strip()
    work(shell, app)
    waits = shell.json("waits")
    assert isinstance(waits, list)
    assert [wait["token"] for wait in waits] == [f"{session}:who"]
    assert f"{session}:who" in shell.good("waits", session)
    shell.good("complete", f"{session}:who", '{"name": "Ann"}')
    assert shell("complete", f"{session}:who", "again").exit_code != 0
    work(shell, app)
    assert '{"name":"Ann"}' in shell.good("runs")
    assert shell("waits").exit_code == 1


def test_messages_reach_a_task_once_for_each_key(shell: Shell, app: str) -> None:
    session = shell.good("trigger", f"{app}:chat").strip()
    for message, key in (('{"n": 1}', "a"), ('{"n": 1}', "a"), ("bye", "b")):
        shell.good("send", session, message, "--key", key)
    work(shell, app)
    run = shell.json("runs")
    assert isinstance(run, list)
    assert run[0]["result"] == [{"n": 1}, "bye"]


def test_a_call_is_approved_or_denied(shell: Shell, app: str) -> None:
    for words, said in (
        (["--approve"], "paid 3"),
        (["--approve", "--arguments", '{"amount": 1}'], "paid 1"),
        (["--deny", "--reason", "too much"], "denied: too much"),
    ):
        result = shell("run", "Pay.", "--agent", f"{app}:payer")
        assert result.exit_code == 0
        assert 'whether to call pay {"amount":3}' in result.stderr
        waits = shell.json("waits")
        assert isinstance(waits, list)
        session, key = waits[0]["session"], waits[0]["key"]
        assert shell("decide", session, key).exit_code == 2
        assert shell("decide", session, key, "--deny", "--arguments", "{}").exit_code == 2
        shell.good("decide", session, key, *words)
        shell.good("continue", session, "--agent", f"{app}:payer")
        assert said in shell.good("show", session)


def test_a_task_is_cancelled(shell: Shell, app: str) -> None:
    session = shell.good("trigger", f"{app}:ask", "who").strip()
    work(shell, app)
    shell.good("cancel", session, "--reason", "not needed")
    work(shell, app)
    assert "cancelled" in shell.good("runs")
    assert shell("cancel", session).exit_code == 1


def test_a_run_may_be_worked_on_where_it_is_triggered(shell: Shell, app: str) -> None:
    result = shell("trigger", f"{app}:greet", "Ann", "--wait", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["result"] == "Hello, Ann."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["worker", "{}:nothing"], "is a int"),
        (["worker", "{}:nobody"], "is not there"),
        (["worker", "no_such_module"], "no module"),
        (["trigger", "{}", "x"], "name one task"),
        (["trigger", "{}:greet", "3"], "does not take this payload"),
        (["complete", "nowhere:key", "1"], "nowhere"),
    ],
)
def test_what_is_said_wrongly_is_told(shell: Shell, app: str, words: list[str], said: str) -> None:
    result = shell(*(word.format(app) for word in words))
    assert result.exit_code in (2, 3)
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_module_without_tasks_is_no_app(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"app_{uuid4().hex[:8]}"
    (tmp_path / f"{name}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "no task in it" in shell("worker", name).stderr
