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
from eventsource.models.scripted.script import call
from eventsource.models.scripted import scripted

@tool(approval="always")
def pay(amount: int) -> str:
    return f"paid {amount}"

payer = Agent(scripted([call("pay", {"amount": 3})], "Paid.", by="request"), tools=[pay], name="payer")

@task(id="greet", payload=str)
async def greet(ctx: TaskContext, name: str) -> str:
    return f"Hello, {name}."

@task(id="fail")
async def fail(ctx: TaskContext, payload: object) -> None:
    raise ValueError("no such customer")

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
    assert work(shell, app).count("done") == 2
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
        assert "say one of" in shell("decide", session, key, "--approve", "--deny").stderr
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


def test_show_of_a_failed_task_names_what_runs_it_anew(shell: Shell, app: str) -> None:
    session = shell.good("trigger", f"{app}:fail").strip()
    shell("worker", app, "--until-idle")
    told = shell("show", session).stderr
    assert "trigger MODULE:NAME" in told
    assert "worker MODULE" not in told
    assert shell("continue", session, "-m", "scripted").exit_code == 1


def test_continue_of_a_due_task_names_the_worker(shell: Shell, app: str) -> None:
    session = shell.good("trigger", f"{app}:greet", "Ann").strip()
    told = shell("continue", session, "-m", "scripted").stderr
    assert f"Session {session} is a run of task greet, due\n" in told
    assert "Next: refold worker MODULE\n" in told
    assert "nothing to continue" not in told


def test_a_worker_that_leaves_stuck_runs_ends_with_8_and_they_are_listed(shell: Shell, app: str) -> None:
    stranger = f"other_{uuid4().hex[:8]}"
    (shell.folder / f"{stranger}.py").write_text(APP.replace('"greet"', '"wave"'))
    run = shell("trigger", f"{stranger}:greet", "Ann").stdout.strip()
    worked = shell("worker", app, "--until-idle")
    assert worked.exit_code == 8
    assert "1 run left stuck" in worked.stderr
    assert "does not know task 'wave'" in worked.stderr
    (listed,) = json.loads(shell("runs", "--status", "stuck", "--json").stdout)
    assert (listed["id"], listed["status"], listed["error"]) == (run, "stuck", "this worker does not know task 'wave'")
    assert "does not know task" in shell("ls", "--status", "stuck").stdout
    assert "does not know task" in shell("show", run).stdout
    assert shell("worker", stranger, "--until-idle").exit_code == 0
    assert json.loads(shell("runs", "--status", "stuck", "--json").stdout) == []


def test_a_worker_tells_time_task_run_step_and_outcome_in_lines_or_in_json(shell: Shell, app: str) -> None:
    shell("trigger", f"{app}:greet", "Ann")
    shell("trigger", f"{app}:ask", "who")
    line = work(shell, app).splitlines()[1]
    assert line[2] == line[5] == ":"
    shell("trigger", f"{app}:greet", "Bob")
    (one,) = (json.loads(line) for line in shell("worker", app, "--until-idle", "--json").stdout.splitlines())
    assert (one["task"], one["status"], one["attempt"]) == ("greet", "done", 1)
    assert one["at_us"] > 0


def test_a_cancelled_run_is_shown_as_such_and_the_command_says_what_it_did(shell: Shell, app: str) -> None:
    run = shell("trigger", f"{app}:ask", "who").stdout.strip()
    work(shell, app)
    assert "is cancelled" in shell("cancel", run, "--reason", "enough").stderr
    assert json.loads(shell("runs", run, "--json").stdout)["status"] == "cancelled"
    assert [one["id"] for one in json.loads(shell("ls", "--status", "cancelled", "--json").stdout)] == [run]


def test_show_of_a_task_has_its_payload_steps_waits_streams_and_result(shell: Shell, app: str) -> None:
    source = """
from refold.tasks import TaskContext, task

def fail():
    raise ValueError("no luck")

@task(id="report", payload=dict, token_limit=500)
async def report(ctx: TaskContext, payload: dict) -> str:
    ctx.metadata.set("progress", 0.5)
    await ctx.step("price", lambda: 90)
    await ctx.stream("words", items)
    await ctx.wait(await ctx.create_token(key="colleague", timeout="1d"))
    return await ctx.step("broken", fail, retries=1, backoff="1h")

async def items():
    for word in ("a", "b"):
        yield word
"""
    name = f"shown_{uuid4().hex[:8]}"
    (shell.folder / f"{name}.py").write_text(source)
    run = shell("trigger", f"{name}:report", '{"city": "Oslo"}').stdout.strip()
    work(shell, name)
    shell("complete", f"{run}:colleague", "yes")
    work(shell, name)
    shown = shell("show", run).stdout
    for words in ('{"city":"Oslo"}', "progress: 0.5", "step price", "90", "2 items", "completed", "again 2", "no luck"):
        assert words in shown, words
    did = json.loads(shell("show", run, "--json").stdout)["run"]["did"]
    states = {(one["kind"], one["key"]): one["state"] for one in did}
    assert states["step", "broken"] == "again"
    assert states["token", "colleague"] == "completed"
    assert next(one["until_us"] for one in did if one["key"] == "broken") > 0
    earlier = json.loads(shell("show", run, "--at", "2", "--json").stdout)["run"]["did"]
    assert len(earlier) < len(did)
