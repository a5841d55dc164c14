"""What people are told: what to do next, who decided and with what, what waits, and what nobody will read."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import call
from refold import Agent, open_log, tool
from refold.cli.group import refold
from tests.refold.shell import Shell

APP = """
from eventsource.models.scripted.script import call
from eventsource.models.scripted import scripted
from refold import Agent, task, tool

@tool(approval="always")
def pay(amount: int) -> str:
    return f"paid {amount}"

payer = Agent(scripted([call("pay", {"amount": 480})], "Paid.", by="request"), tools=[pay])

caster = Agent(scripted("It rains.", by="request"), name="caster", system="You know the weather")
boss = Agent(scripted([call("caster", {"prompt": "Oslo?"})], "A coat.", by="request"), tools=[caster.as_tool()])
asker = Agent(payer.model, tools=[pay], name="asker")
chief = Agent(scripted([call("asker", {"prompt": "Pay."})], "Done.", by="request"), tools=[asker.as_tool()])

@task(id="far", queue="gpu")
async def far(ctx, payload: None) -> None:
    return None

@task(id="all")
async def everything(ctx, payload: object) -> object:
    if payload == "token":
        return (await ctx.wait(await ctx.create_token(key="go"))).value
    if payload == "sleep":
        await ctx.sleep("1h", key="nap")
    if payload == "inbox":
        async for message in ctx.inbox(key="in"):
            return message.value
    if payload == "child":
        await ctx.trigger_and_wait(far, None, key="far")
    if payload == "fail":
        raise ValueError("no such customer")
    return payload
"""


@pytest.fixture
def app(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"people_{uuid4().hex[:8]}"  # a module is imported once in a process
    (shell.folder / f"{name}.py").write_text(APP)
    monkeypatch.chdir(shell.folder)
    monkeypatch.syspath_prepend(str(shell.folder))
    monkeypatch.setenv("LOGNAME", "ada")
    return name


def next_of(said: str) -> list[str]:
    return re.findall(r"^Next: (.+)$", said, re.MULTILINE)


def started(shell: Shell, app: str, payload: str) -> str:
    session = shell.good("trigger", f"{app}:everything", payload).strip()
    assert shell("worker", app, "--queue", "default", "--until-idle").exit_code == 0
    return session


def asked(shell: Shell, app: str) -> tuple[str, str]:
    """Run until a call waits for a person; give the session and the wait as it is printed."""
    told = shell("run", "Pay.", "--agent", f"{app}:payer")
    assert told.exit_code == 0
    (waits,) = json.loads(shell.good("waits", "--json"))
    return waits["session"], waits["token"]


def test_a_call_that_was_edited_is_shown_as_asked_for_and_as_run(shell: Shell, app: str) -> None:
    session, token = asked(shell, app)
    shell.good("decide", token, "--approve", "--arguments", '{"amount":35}', "--by", "eve")
    assert 'to be run with {"amount":35}' in shell.good("show", session)
    shell.good("continue", session, "--agent", f"{app}:payer")
    shown = shell.good("show", session)
    assert '→ pay {"amount":480}' in shown
    assert "approved by eve\n" in shown
    assert 'run with {"amount":35}' in shown
    row = shell.good("calls", session)
    assert '{"amount":35} (asked for {"amount":480})' in row
    assert "approved by eve" in row
    (call,) = json.loads(shell.good("calls", session, "--json"))
    assert (call["asked"], call["arguments"]) == ('{"amount":480}', '{"amount":35}')
    assert (call["decided"]["what"], call["decided"]["by"]) == ("approved", "eve")
    assert 'pay with {"amount":35}' in shell.good("show", session, "--events")
    page = shell.good("show", session, "--html", "-")
    for words in ("approved by eve", "the model asked for:", "it was run with:", "run with other arguments"):
        assert words in page


def test_a_call_that_was_run_as_it_was_asked_for_says_nothing_of_other_arguments(shell: Shell, app: str) -> None:
    session, token = asked(shell, app)
    shell.good("decide", token, "--approve")
    shell.good("continue", session, "--agent", f"{app}:payer")
    assert "run with" not in shell.good("show", session)
    assert "run with" not in shell.good("show", session, "--html", "-")


def test_who_denied_a_call_is_the_one_who_is_logged_in_unless_named(shell: Shell, app: str) -> None:
    session, token = asked(shell, app)
    shell.good("decide", token, "--deny", "--reason", "Too much.")
    assert "denied by ada: Too much." in shell.good("show", session)
    (end,) = [one["event"] for one in events(shell, session) if one["event"]["type"] == "wait_end"]
    assert end["decided_by"] == "ada"
    assert shell("decide", token, "--deny", "--by", "machine").exit_code == 2


@pytest.mark.parametrize("command", ["decide", "complete"])
@pytest.mark.parametrize("form", ["one word", "two words", "title", "key is a token"])
def test_a_wait_is_named_by_its_token_or_by_session_and_key(shell: Shell, app: str, command: str, form: str) -> None:
    session = started(shell, app, "token")
    shell.good("label", session, "the run")
    words = {
        "one word": [f"{session}:go"],
        "two words": [session, "go"],
        "title": ["the run", "go"],
        "key is a token": [session, f"{session}:go"],
    }[form]
    if form == "key is a token" and command == "complete":
        words = ["the run:go"]
    assert next_of(shell(command, *words, "7", "--by", "eve").stderr) == ["refold worker MODULE"]
    assert shell("worker", app, "--until-idle").exit_code == 0
    run = shell.json("runs", session)
    assert isinstance(run, dict)
    assert run["result"] == 7
    assert "completed by eve" in shell.good("show", session)


async def test_a_program_names_a_wait_in_both_forms(shell: Shell, app: str) -> None:
    async with open_log() as log:
        session = await log.session("s")
        from importlib import import_module

        module = import_module(app)
        run = await module.chief.run("Pay.", session=session)
        (wait,) = run.waits
        assert wait.session != session.id
        await session.decide(wait.token, approve=True)
        run = await module.chief.resume(session)
        assert (run.status, run.text) == ("done", "Done.")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nobody:go", "1"], "no session 'nobody'"),
        (["{session}:come", "1"], "does not wait for 'come'; it waits for go"),
        (["{session}"], "its key; it waits for {session}:go"),
        (["{session}:go", "1", "2"], "expected one value behind it"),
        (["{session}:go"], "say one of: a value"),
        (["{session}:go", "1", "--by", " "], "expected the name of whoever decides"),
        (["{session}:go", "--cancel", "--reason", "No."], "--reason goes with --deny or --approve"),
    ],
)
def test_a_wait_that_is_named_wrongly_is_told_in_words(shell: Shell, app: str, words: Sequence[str], told: str) -> None:
    session = started(shell, app, "token")
    result = shell("decide", *[word.format(session=session) for word in words])
    assert result.exit_code in (2, 3)
    assert told.format(session=session) in result.stderr


ANSWERS: Mapping[str, Sequence[str]] = {
    "token": ("complete {session}:go VALUE",),
    "sleep": ("worker MODULE (when it is time)", "decide {session}:nap --cancel"),
    "inbox": ("send {session} MESSAGE", "worker MODULE"),
    "child": ("worker MODULE --queue gpu",),
}


@pytest.mark.parametrize("payload", ANSWERS)
@pytest.mark.parametrize("command", ["waits", "show", "continue"])
def test_what_a_task_waits_for_is_said_with_the_command_that_answers_it(
    shell: Shell, app: str, payload: str, command: str
) -> None:
    session = started(shell, app, payload)
    result = shell(command, session)
    assert result.exit_code == 0
    (line,) = next_of(result.stderr)
    for words in ANSWERS[payload]:
        assert f"refold {words.format(session=session)}" in line


def test_the_commands_that_are_said_next_can_be_copied_and_lead_to_the_end(shell: Shell, app: str) -> None:
    first = next_of(shell("run", "Pay.", "--agent", f"{app}:payer").stderr)
    assert next_of(shell("waits").stderr) == [first[0].replace(f"{app}:payer", "MODULE:NAME")]
    decide, go_on = first[0].replace(" (or --deny)", "").split(", then ")
    decided = shell(*shlex.split(decide)[1:])
    assert next_of(decided.stderr) == [go_on.replace(f"{app}:payer", "MODULE:NAME")]
    ended = shell(*shlex.split(go_on)[1:])
    assert (ended.exit_code, ended.stdout) == (0, "Paid.\n")
    assert next_of(ended.stderr) == []


def test_a_child_that_waits_leads_to_the_session_that_started_it(shell: Shell, app: str) -> None:
    told = shell("run", "Pay.", "--agent", f"{app}:chief", "-c", "chief")
    (wait,) = json.loads(shell.good("waits", "--json"))
    (root,) = [one["id"] for one in json.loads(shell.good("ls", "--json")) if one["title"] == "chief"]
    assert wait["session"] != root
    (line,) = next_of(told.stderr)
    assert f"decide {wait['token']} --approve" in line
    assert next_of(shell("decide", wait["token"], "--approve").stderr) == [
        f"refold continue {root} --agent MODULE:NAME"
    ]
    assert shell.good("continue", "chief", "--agent", f"{app}:chief") == "Done.\n"


@pytest.mark.parametrize(
    ("words", "then"),
    [
        (("steer", "s", "More."), "continue {id} -m MODEL"),
        (("fork", "s"), "continue "),
        (("label", "s", "good", "--at", "6"), "fork {id} --at good"),
        (("label", "s", "new"), "show {id}"),
        (("erase", "s", "2", "--yes"), "search TEXT"),
        (("backup", "copy.db"), "ls --db copy.db"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else "",
)
def test_a_command_that_changes_something_says_what_to_do_next(
    shell: Shell, words: tuple[str, ...], then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shell.folder)
    session = shell.said("Oslo?", "-c", "s")
    (line,) = next_of(shell(*words).stderr)
    assert line.startswith(f"refold {then.format(id=session)}")


def test_a_message_after_the_end_is_queued_and_the_run_stays_finished(shell: Shell) -> None:
    session = shell.said("Oslo?", "-c", "s")
    shell.good("steer", "s", "And tomorrow?")
    assert json.loads(shell.good("ls", "--json"))[0]["status"] == "queued"
    assert [one["id"] for one in json.loads(shell.good("ls", "--json", "--status", "queued"))] == [session]
    assert json.loads(shell.good("ls", "--json", "--status", "interrupted")) == []
    for said in (shell.good("ls"), shell.good("show", "s"), shell.good("show", "s", "--html", "-")):
        assert "a queued message waits for the next run" in said
        assert "interrupted" not in said
    answered = shell("continue", "s", "-m", f"scripted:{shell.script}")
    assert answered.exit_code == 0
    assert json.loads(shell.good("ls", "--json"))[0]["status"] == "idle"


def test_how_the_last_run_failed_is_said_beside_what_is_queued(shell: Shell) -> None:
    shell.script.write_text(json.dumps([[{"fail": "no such model"}]]))
    assert shell("run", "Oslo?", "-m", f"scripted:{shell.script}", "-c", "s").exit_code == 1
    shell.good("steer", "s", "Again?")
    shown = shell.good("show", "s")
    assert "queued: a queued message waits for the next run; the last one was failed: " in shown


def test_a_message_that_nobody_would_read_is_refused(shell: Shell, app: str) -> None:
    session = started(shell, app, "inbox")
    shell.good("send", session, "one", "--key", "k")
    assert shell("worker", app, "--until-idle").exit_code == 0
    head = json.loads(shell.good("ls", "--json"))[0]["head"]
    refused = shell("send", session, "two")
    assert refused.exit_code == 2
    assert "nobody would read this message: its task all has ended" in refused.stderr
    shell.good("send", session, "one", "--key", "k")  # it has arrived; to send it again changes nothing
    assert json.loads(shell.good("ls", "--json"))[0]["head"] == head
    talk = shell.said("Oslo?")
    assert "no task runs in it; `steer` speaks to a model" in shell("send", talk, "x").stderr


def test_a_waiting_session_is_gone_on_with_without_anybody_who_answers(shell: Shell, app: str) -> None:
    session, token = asked(shell, app)
    result = shell("continue", session)
    assert result.exit_code == 0
    assert f"Session {session} is waiting: it asks whether to call pay" in result.stderr
    assert json.loads(shell.good("continue", session, "--json"))["waits"][0]["key"] == token.partition(":")[2]


def test_a_task_that_failed_is_told_as_one_that_has_ended(shell: Shell, app: str) -> None:
    session = started(shell, app, "fail")
    result = shell("continue", session)
    assert result.exit_code == 1
    said = f"Session {session} is a run of task all, which has ended: it failed: no such customer"
    assert said in result.stderr
    assert next_of(result.stderr) == ["refold trigger MODULE:NAME PAYLOAD (for another run)"]


def test_going_on_after_an_approval_is_no_crash(shell: Shell, app: str) -> None:
    session, token = asked(shell, app)
    shell.good("decide", token, "--approve")
    assert "what it waited for has come, and nobody runs it now" in shell.good("show", session)
    shell.good("continue", session, "--agent", f"{app}:payer")
    assert [one["event"]["why"] for one in events(shell, session) if one["event"]["type"] == "resume"] == ["wait"]


def test_a_page_says_what_a_waiting_session_waits_for(shell: Shell, app: str) -> None:
    session, _ = asked(shell, app)
    page = shell.good("show", session, "--html", "-")
    assert "it asks whether to call pay {&quot;amount&quot;:480}" in page


def test_an_agent_that_works_on_a_call_is_named_there_and_is_a_child_in_lists(shell: Shell, app: str) -> None:
    shell.good("run", "Coat?", "--agent", f"{app}:boss", "-c", "boss")
    rows = json.loads(shell.good("ls", "--json"))
    (child,) = [row for row in rows if row["started_by"]]
    (root,) = [row["id"] for row in rows if row["title"] == "boss"]
    assert child["started_by"] == root
    assert f"worked on in session {child['id']}: done" in shell.good("show", "boss")
    assert f"worked on in session {child['id']}: done" in shell.good("show", "boss", "--html", "-")
    assert f"(child of {root})" in shell.good("ls")
    for drawn in (shell.good("tree"), shell.good("tree", "boss"), shell.good("tree", child["id"])):
        assert drawn.split("\n")[1].startswith(f"└─ child  {child['id']}  agent:caster")


@pytest.mark.parametrize(
    "words",
    [
        ("export", "s", "-o"),
        ("show", "s", "--html"),
        ("backup",),
        ("run", "x", "-m", "scripted", "--db"),
        ("demo", "--db"),
    ],
    ids=lambda words: str(words[0]),
)
def test_a_file_that_cannot_be_written_there_says_what_is_missing(
    shell: Shell, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shell.folder)
    shell.said("Oslo?", "-c", "s")
    missing = shell(*words, "my out/there/file")
    assert missing.exit_code == 3
    told = "my out/there/file: there is no folder my out/there; make it first: mkdir -p 'my out/there'"
    assert told in missing.stderr
    folder = shell(*words, shell.folder)
    assert folder.exit_code == 3
    assert "it is a folder; name a file in it" in folder.stderr


def test_an_imported_session_is_called_by_its_first_words(shell: Shell) -> None:
    record = {"type": "session", "version": 3, "id": "x", "timestamp": "2026-01-01T00:00:00Z", "cwd": "/"}
    said = {"role": "user", "content": "<context>much</context> Do I need a coat?", "timestamp": 1767225600000}
    entry = {"type": "message", "id": "a", "parentId": None, "timestamp": "2026-01-01T00:00:00Z", "message": said}
    file = shell.folder / "2026-01-01_x.jsonl"
    file.write_text("\n".join(map(json.dumps, (record, entry))))
    assert "Do I need a coat?" in shell.good("import", file).split("\n")[0]
    assert "Do I need a coat?" in shell.good("import", file, "--title", "Named").split("\n")[0]
    assert "Named" in shell.good("import", file, "--again", "--title", "Named")
    assert [row["title"] for row in json.loads(shell.good("ls", "--json"))] == ["Named", "Do I need a coat?"]


def events(shell: Shell, session: str) -> list[dict[str, dict[str, object]]]:
    shown = json.loads(shell.good("show", session, "--events", "--json"))
    found: list[dict[str, dict[str, object]]] = shown["events"]
    return found


def test_help_of_every_command_that_takes_a_wait_names_both_forms() -> None:
    for name in ("decide", "complete"):
        command = refold.get_command(None, name)  # type: ignore[arg-type]  # the group needs no context
        assert command is not None
        examples = [line for line, _ in getattr(command, "examples")]  # noqa: B009  # a field of our own class
        assert any("ID:KEY" in line for line in examples)
        assert any("ID KEY" in line or "ID deploy" in line for line in examples)


WIDE = (
    ("ls",),
    ("tree",),
    ("show", "last"),
    ("show", "last", "--events"),
    ("calls", "last"),
    ("timeline", "last"),
    ("diff", "last", "last"),
    ("search", "word"),
    ("why", "last"),
    ("context", "last"),
)


@pytest.mark.parametrize("words", WIDE, ids=" ".join)
async def test_no_line_of_data_is_wider_than_a_terminal_of_80_columns(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Long titles, names of tools, prompts and answers."""

    @tool(name="a_tool_whose_name_is_long_enough_to_fill_most_of_a_line")
    def write(path: str) -> str:
        return "word " * 40

    script = scripted([call(write.spec.name, {"path": "/home/somebody/a/b.py" * 9})], "word " * 60, by="request")
    path = tmp_path / "log.db"
    async with open_log(path) as log:
        session = await log.session("A title that goes on " * 6)
        await Agent(script, tools=[write]).run("word " * 60, session=session)
        await session.steer("word " * 60)
    terminal = {"COLUMNS": "80", "FORCE_COLOR": "1", "REFOLD_DB": str(path)}
    result = await asyncio.to_thread(CliRunner(env=terminal).invoke, refold, list(words))
    lines = re.sub("\x1b\\[[0-9;]*m", "", result.stdout).split("\n")
    assert "\x1b" in result.stdout or words[0] in ("tree", "diff")
    assert len(lines) > 1
    assert [line for line in lines if cell_len(line) > 80] == []
