"""Agents with deps at the command line: where they come from, that they are closed, what is said where they lack."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.refold.shell import Shell

AGENTS = '''
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from eventsource.models.scripted.script import call
from eventsource.models.scripted import scripted
from refold import Agent, ToolContext, tool


@dataclass
class Pages:
    text: str
    open: bool = True


@tool(effect="pure")
def read(context: ToolContext[Pages]) -> str:
    """Read."""
    assert context.deps.open
    return context.deps.text


def agent_of():
    return Agent(scripted(call("read"), "done", "and more", by="request"), tools=[read], deps_type=Pages)


agent = agent_of()
pair = (agent, Pages("from a pair"))
wrong = (agent, "text")
number = 3
plain = Agent(scripted("plain"))
for_nobody = (plain, Pages("x"))


def given():
    return agent_of(), Pages("from a function")


async def later():
    return agent_of(), Pages("from an async function")


def alone():
    return plain


@asynccontextmanager
async def opened():
    pages = Pages("from a manager")
    try:
        yield agent_of(), pages
    finally:
        pages.open = False
        Path("closed").write_text("yes")


@contextmanager
def opened_too():
    yield agent_of(), Pages("from a plain manager")
    Path("closed").write_text("yes")


async def yielded():
    yield agent_of(), Pages("from what yields")
    Path("closed").write_text("yes")


def lost():
    return agent_of()


def broken():
    raise KeyError("DB_URL")


def asks(url):
    return agent_of(), Pages(url)


def unclosed():
    yield agent_of(), Pages("x")
    raise OSError("the disk is gone")
'''
SAID = {
    "pair": "from a pair",
    "given": "from a function",
    "later": "from an async function",
    "opened": "from a manager",
    "opened_too": "from a plain manager",
    "yielded": "from what yields",
}


@pytest.fixture
def with_agents(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    (tmp_path / "with_deps.py").write_text(AGENTS)
    monkeypatch.delitem(sys.modules, "with_deps", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return shell


@pytest.mark.parametrize("name", SAID)
def test_deps_of_every_kind_reach_the_tools(name: str, with_agents: Shell, tmp_path: Path) -> None:
    with_agents.good("run", "hi", "--agent", f"with_deps:{name}", "-c", "s")
    assert SAID[name] in with_agents.good("show", "s")
    assert (tmp_path / "closed").exists() == (name in ("opened", "opened_too", "yielded"))


def test_every_command_that_takes_an_agent_takes_its_deps(with_agents: Shell) -> None:
    agent = ("--agent", "with_deps:given")
    with_agents.good("run", "hi", *agent, "-c", "s")
    with_agents.good("continue", "s", "--prompt", "more", *agent)
    with_agents.good("reexecute", "s", *agent, "--tools", "live")
    assert with_agents("compact", "s", *agent).exit_code in (0, 1)
    assert with_agents.good("run", "hi", "--agent", "with_deps:alone").startswith("plain")
    with_agents.good("run", "hi", *agent, "-m", "scripted", "--system", "Be brief.")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("agent", "its tools need a Pages as deps, and it comes without: name a function that takes nothing"),
        ("lost", "its tools need a Pages as deps, and it comes without"),
        ("wrong", "deps: expected a Pages, found the text 'text'"),
        ("for_nobody", "deps: expected none, found a Pages"),
        ("number", "expected an Agent, or (agent, deps); number is 3 (int)"),
        ("nothing", "expected an Agent; nothing is not there"),
        ("broken", "making it failed: KeyError"),
        ("asks", "expected a function that takes nothing: missing a required argument: 'url'"),
        ("Pages", "expected a function that takes nothing"),
    ],
)
def test_what_gives_no_agent_with_its_deps_is_told_and_no_session_is_left(
    name: str, says: str, with_agents: Shell
) -> None:
    result = with_agents("run", "hi", "--agent", f"with_deps:{name}", "-c", "s")
    assert result.exit_code == 2
    assert f"--agent with_deps:{name}: " in result.stderr
    assert says in " ".join(result.stderr.split())
    assert json.loads(with_agents.good("ls", "--json")) == []


def test_deps_that_cannot_be_closed_are_told_and_the_run_is_kept(with_agents: Shell) -> None:
    result = with_agents("run", "hi", "--agent", "with_deps:unclosed", "-c", "s")
    assert result.exit_code == 2
    assert "closing it failed: OSError: the disk is gone" in result.stderr
    assert "done" in with_agents.good("show", "s")
