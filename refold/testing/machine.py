"""A rule-based state machine for your own agent and tools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from eventsource.models.scripted.script import CallItem, call, fail, retry
from eventsource.tools.tool import toolbox

from ..agent import Agent
from .world import During, RunCheck, ScriptedTurn, SessionUnderTest, World

T = TypeVar("T")
_TEXTS = ("Yes.", "It rains. ", "Take a coat.")


def turns(calls: Sequence[CallItem]) -> st.SearchStrategy[list[ScriptedTurn]]:
    """Make what a model answers, call after call: texts, tool calls, failures, and what happens meanwhile."""
    texts = st.lists(st.sampled_from(_TEXTS), min_size=1, max_size=2)
    asked = st.lists(st.sampled_from(calls), min_size=1, max_size=3) if calls else st.just(list[CallItem]())
    meanwhile = st.lists(st.sampled_from(During), max_size=1)
    broken = _joined(texts, st.just([fail("overloaded")]))
    return st.lists(st.one_of(_joined(texts, meanwhile, asked), broken, st.just([retry("busy")])), max_size=4)


def _joined(*parts: st.SearchStrategy[Any]) -> st.SearchStrategy[ScriptedTurn]:
    return st.tuples(*parts).map(lambda made: [item for part in made for item in part])


class AgentMachine(RuleBasedStateMachine):
    """Sessions of one agent, and what is done with them; made by `agent_machine`."""

    branches = Bundle("branches")
    answers: ClassVar[st.SearchStrategy[list[ScriptedTurn]]]
    begin_world: ClassVar[Callable[[], World]]

    def __init__(self) -> None:
        super().__init__()
        self.world = type(self).begin_world()
        self._runner = asyncio.Runner()

    def teardown(self) -> None:
        """Close the event loop."""
        self._runner.close()

    @initialize(target=branches)
    def begin(self) -> SessionUnderTest:
        """Create a session."""
        return self._runner.run(self.world.begin())

    @rule(target=branches)
    def begin_another(self) -> SessionUnderTest:
        """Create one more."""
        return self._runner.run(self.world.begin())

    @rule(branch=branches, data=st.data())
    def run(self, branch: SessionUnderTest, data: st.DataObject) -> None:
        """Send a prompt and run to the end."""
        self._runner.run(self.world.run(branch, data.draw(self.answers)))

    @rule(branch=branches, data=st.data(), appends=st.integers(1, 12))
    def run_and_be_killed(self, branch: SessionUnderTest, data: st.DataObject, appends: int) -> None:
        """Send a prompt and run, until the process is killed."""
        self._runner.run(self.world.run(branch, data.draw(self.answers), appends=appends))

    @rule(branch=branches, data=st.data(), appends=st.one_of(st.none(), st.integers(1, 6)))
    def go_on(self, branch: SessionUnderTest, data: st.DataObject, appends: int | None) -> None:
        """Resume from wherever the log stops, and perhaps be killed again."""
        self._runner.run(self.world.resume(branch, data.draw(self.answers), appends=appends))

    @rule(branch=branches, what=st.sampled_from(During))
    def say(self, branch: SessionUnderTest, what: During) -> None:
        """Steer, follow up or abort while nothing runs."""
        self._runner.run(self.world.say(branch, what))

    @rule(target=branches, branch=branches, at=st.integers(0, 2**16))
    def fork(self, branch: SessionUnderTest, at: int) -> SessionUnderTest:
        """Fork at any seq."""
        return self._runner.run(self.world.fork(branch, at % (len(branch.seen) + 1)))

    @rule(branch=branches, number=st.integers(0, 2**8), data=st.data())
    def edit(self, branch: SessionUnderTest, number: int, data: st.DataObject) -> None:
        """Edit a prompt, in a fork."""
        self._runner.run(self.world.edit(branch, number, data.draw(self.answers)))

    @rule(branch=branches)
    def compact(self, branch: SessionUnderTest) -> None:
        """Compact the session."""
        self._runner.run(self.world.compact(branch))


def agent_machine(
    agent: Agent[T], *, calls: Sequence[CallItem] = (), deps: object = None, check: RunCheck | None = None
) -> type[RuleBasedStateMachine]:
    """Make a state machine that runs, steers, aborts, kills, continues, forks, edits and compacts sessions of an agent.

    The agent's tools and hooks are real, its model says what Hypothesis makes up. After each step this must hold: what
    was recorded never changes, nor do other sessions; the replay predicts every decision; every message is delivered
    once; no model is asked while a call lacks its result; a `once` tool ran at most once; a run comes to its end.

    calls: what the model may call, such as `call("weather", {"city": "Oslo"})`; by default each tool without arguments.
    check: what else must hold of each run that has ended; it raises if it does not.

        TestMyAgent = agent_machine(agent, calls=[call("weather", {"city": "Oslo"})]).TestCase
    """
    asked = tuple(calls) or tuple(call(name) for name in toolbox(agent.tools))

    class Machine(AgentMachine):
        answers = turns(asked)
        begin_world = partial(World, agent, deps=deps, check=check)

    return Machine
