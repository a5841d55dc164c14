"""Recorded sessions as tests of a user's own project: what a plain pytest run makes of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from eventsource.models.scripted import scripted
from refold import Agent, open_log
from replay.formats.refold.write import export_session
from replay.pytest_plugin import CanReexecute

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
PLUGIN = () if entry_points(group="pytest11", name="refold") else ("-p", "replay.pytest_plugin")
PLUGIN = (*PLUGIN, "-p", "no:cacheprovider", "-p", "no:asyncio")  # of the plugins here, only the one that is tested
AGENT = """
import pytest
from eventsource.models.scripted.script import call, fail
from eventsource.models.scripted import scripted
from refold import Agent, tool

RAN = []

@tool(effect="pure")
def weather(city: str) -> str:
    "Current weather in a city."
    RAN.append(city)
    return city + ": rain"

agent = Agent(scripted([fail("a live call was made")]), system="Be brief.", tools=[weather])
"""
TEST = """
from agents import RAN, agent

def test_oslo(refold_session):
    again = refold_session("sessions/oslo.jsonl", agent)
    assert again.run.text == "Take a coat."
    assert RAN == []

def test_other():
    pass
"""
MARKED = """
import pytest
from agents import agent

@pytest.fixture
def refold_agent():
    return agent

@pytest.mark.refold("sessions/oslo.jsonl")
def test_oslo():
    pass
"""


async def recorded() -> bytes:
    from eventsource.models.scripted.script import call
    from refold import tool

    @tool(effect="pure")
    def weather(city: str) -> str:
        """Current weather in a city."""
        return city + ": rain"

    async with open_log() as log:
        session = await log.session("oslo")
        answers = scripted([call("weather", {"city": "Oslo"})], "Take a coat.")
        await Agent(answers, system="Be brief.", tools=[weather]).run("Do I need a coat?", session=session)
        return await export_session(log.store, session.id)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Make somebody's project: an agent, a recorded session, and a test that uses it."""
    monkeypatch.syspath_prepend(pytester.path)
    pytester.makepyfile(agents=AGENT, test_agent=TEST)
    folder = pytester.mkdir("sessions")
    (folder / "oslo.jsonl").write_bytes(asyncio.run(recorded()))
    sys.modules.pop("agents", None)
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_inprocess(*PLUGIN, *options)


def change(project: pytest.Pytester, old: str, new: str, name: str = "agents.py") -> None:
    file = project.path / name
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_an_agent_that_does_the_same_passes(project: pytest.Pytester) -> None:
    run(project).assert_outcomes(passed=2)


def test_a_changed_prompt_fails_with_the_first_difference(project: pytest.Pytester) -> None:
    change(project, "Be brief.", "Be long.")
    result = run(project)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "sessions/oslo.jsonl: today's agent parts from the recording",
            "  model call 1 asks something else than the recording at seq *",
            "*system prompt:",
            "*-Be brief.",
            "*+Be long.",
            "  before that, 0 model calls and 0 tool calls are as recorded",
            "*--refold-update*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_plugin.py:*")


def test_a_mark_needs_no_code_in_the_test(project: pytest.Pytester) -> None:
    project.makepyfile(test_agent=MARKED)
    run(project, "--strict-markers").assert_outcomes(passed=1)
    change(project, "Be brief.", "Be long.")
    sys.modules.pop("agents", None)
    result = run(project, "--strict-markers")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*+Be long."])


def test_refold_leaves_out_all_other_tests(project: pytest.Pytester) -> None:
    run(project, "--refold").assert_outcomes(passed=1, deselected=1)


def test_update_goes_live_and_writes_the_file_again(project: pytest.Pytester) -> None:
    change(project, "Be brief.", "Be long.")
    change(project, '[fail("a live call was made")]', '[call("weather", {"city": "Bergen"})], "Take a coat."')
    change(project, "assert RAN == []", "assert RAN == ['Bergen']", "test_agent.py")
    result = run(project, "--refold-update")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["refold: *oslo.jsonl was written again"])
    change(project, "assert RAN == ['Bergen']", "assert RAN == []", "test_agent.py")
    for name in ("agents", "test_agent"):
        sys.modules.pop(name, None)
    run(project).assert_outcomes(passed=2)
    assert b'"Be long."' in (project.path / "sessions" / "oslo.jsonl").read_bytes()


def test_update_leaves_a_file_alone_that_matches_or_whose_live_run_failed(project: pytest.Pytester) -> None:
    file = project.path / "sessions" / "oslo.jsonl"
    before = file.read_bytes()
    run(project, "--refold-update").assert_outcomes(passed=2)
    assert file.read_bytes() == before
    change(project, "Be brief.", "Be long.")
    sys.modules.pop("agents", None)
    result = run(project, "--refold-update")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*oslo.jsonl: not updated, because the live run failed: a live call was made"])
    assert file.read_bytes() == before


def test_a_missing_file_and_a_missing_agent_are_named(project: pytest.Pytester) -> None:
    change(project, "sessions/oslo.jsonl", "sessions/bergen.jsonl", "test_agent.py")
    run(project).stdout.fnmatch_lines(["*bergen.jsonl: cannot be read: *refold export SESSION -o bergen.jsonl"])
    change(
        project,
        'refold_session("sessions/bergen.jsonl", agent)',
        'refold_session("sessions/oslo.jsonl")',
        "test_agent.py",
    )
    sys.modules.pop("test_agent", None)
    run(project).stdout.fnmatch_lines(["no agent: pass one, or define a fixture `refold_agent` that gives it"])


def test_an_async_test_may_use_it_too(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_agent="""
        import asyncio
        from agents import agent

        def test_oslo(refold_session):
            async def inside():
                return refold_session("sessions/oslo.jsonl", agent).run.text
            assert asyncio.run(inside()) == "Take a coat."
        """
    )
    run(project).assert_outcomes(passed=1)


def test_the_function_of_the_packages_name_stays_when_its_file_is_loaded() -> None:
    code = "import replay.replay, refold; from replay import replay; print(replay(()).given)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.slow
def test_a_run_that_uses_none_of_it_loads_none_of_it(tmp_path: Path) -> None:
    own = "{one for one in sys.modules if one.split('.')[0] in ('eventsource', 'projections', 'refold', 'msgspec')}"
    code = f"    assert {own} <= {{'eventsource', 'eventsource.lazy_names'}}"
    (tmp_path / "test_it.py").write_text(f"import sys\ndef test_it():\n{code}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", *PLUGIN, str(tmp_path)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_agent_is_what_the_fixture_takes() -> None:
    taken: CanReexecute = Agent(scripted("Yes."))
    assert callable(taken.reexecute)
