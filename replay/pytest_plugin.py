"""A pytest plugin by which a recorded session is a test: today's agent must ask what was asked then.

    def test_oslo(refold_session):
        refold_session("sessions/oslo.jsonl", agent)

    @pytest.mark.refold("sessions/oslo.jsonl")       # with a fixture `refold_agent` that gives the agent
    def test_oslo(): ...

`pytest --refold` runs only such tests; `pytest --refold-update` goes live where one differs, and writes its file again.
Nothing of Refold is loaded before a test asks for it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, Protocol, TypeVar

import pytest

if TYPE_CHECKING:
    from eventsource.envelope import Recorded

    from .formats.refold.file import Export
    from .mismatch import Mismatch

T = TypeVar("T")
_UPDATED = "refold_updated"


class EndedRun(Protocol):
    """How a run ended."""

    @property
    def status(self) -> str:
        """Its status."""
        ...

    @property
    def error(self) -> str:
        """What it failed with."""
        ...

    @property
    def text(self) -> str:
        """The text of its last answer."""
        ...


class ReexecutionResult(Protocol):
    """What a re-execution came to: `refold.reexecution.Reexecution`."""

    @property
    def mismatch(self) -> Mismatch | None:
        """The first thing that differed."""
        ...

    @property
    def history(self) -> tuple[Recorded, ...]:
        """Its events."""
        ...

    @property
    def run(self) -> EndedRun:
        """Its run."""
        ...


class CanReexecute(Protocol):
    """What can be run against a recording: `refold.Agent`."""

    async def reexecute(
        self,
        recording: Sequence[Recorded],
        *,
        mode: Literal["strict", "live"] = "strict",
        tools: Literal["recorded", "live"] = "recorded",
        deps: object = None,
    ) -> ReexecutionResult:
        """Run against a recording."""
        ...


class RefoldSession:
    """The fixture: call it with a session file, beside the test's own, and the agent."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    def __call__(
        self,
        path: str | Path,
        agent: CanReexecute | None = None,
        *,
        tools: Literal["recorded", "live"] = "recorded",
        deps: object = None,
    ) -> ReexecutionResult:
        """Re-execute a session and fail at the first difference; without an agent, with the fixture `refold_agent`.

        `tools="live"`: pure tools really run, and must say what they said.
        """
        __tracebackhide__ = True
        file = self._request.path.parent / path
        export, code = _read(file), self._agent() if agent is None else agent
        update = bool(self._request.config.getoption("--refold-update"))
        mode: Literal["strict", "live"] = "live" if update else "strict"
        again = _in_thread(lambda: code.reexecute(export.history, mode=mode, tools=tools, deps=deps))
        if again.mismatch is not None and not update:
            _fail(_report(path, again))
        if again.mismatch is not None:
            self._update(file, export, again)
        return again

    def _agent(self) -> CanReexecute:
        __tracebackhide__ = True
        try:
            found: CanReexecute = self._request.getfixturevalue("refold_agent")
        except pytest.FixtureLookupError:
            pytest.fail("no agent: pass one, or define a fixture `refold_agent` that gives it", pytrace=False)
        return found

    def _update(self, file: Path, export: Export, again: ReexecutionResult) -> None:
        __tracebackhide__ = True
        if again.run.status == "error":
            _fail(f"{file}: not updated, because the live run failed: {again.run.error}")
        file.write_bytes(_in_thread(lambda: _written(export, again.history)))
        self._request.node.user_properties.append((_UPDATED, str(file)))


def _fail(problem: str) -> NoReturn:
    """Fail the test; signs of a recording that would steer the terminal are shown, not sent."""
    __tracebackhide__ = True
    from eventsource.control_characters import plain

    pytest.fail(plain(problem), pytrace=False)


def _read(file: Path) -> Export:
    __tracebackhide__ = True
    from eventsource.errors import TranscriptError

    from .formats.refold.file import read_export

    try:
        return read_export(file.read_bytes(), path=str(file))
    except OSError as error:
        hint = f"write it with: refold export SESSION -o {file.name}"
        _fail(f"{file}: cannot be read: {error.strerror}; {hint}")
    except TranscriptError as error:
        _fail(str(error))


def _report(path: str | Path, again: ReexecutionResult) -> str:
    indented = "\n".join(f"  {line}" for line in str(again).splitlines())
    hint = "If that is meant, `pytest --refold-update` goes live from there and writes the file again."
    return f"{path}: today's agent parts from the recording\n{indented}\n{hint}"


async def _written(export: Export, history: Sequence[Recorded]) -> bytes:
    """Write a history as a file in the place of an older one, under its id and title."""
    from eventsource.envelope import Restored
    from eventsource.log import open_store

    from .formats.refold.write import export_session

    row = export.sessions[-1].row
    async with open_store() as log:
        await log.create(row.session, title=row.title)
        await log.restore(row.session, [Restored(at_us=one.at_us, event=one.event) for one in history])
        return await export_session(log, row.session)


def _in_thread(work: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run async work to its end, also while the test's own event loop runs."""
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(context.run, lambda: asyncio.run(work())).result()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the options."""
    group = parser.getgroup("refold", "recorded sessions as tests")
    group.addoption("--refold", action="store_true", help="run only the tests that re-execute a recorded session")
    group.addoption(
        "--refold-update",
        action="store_true",
        help="where a recorded session differs, go on with the agent's own model and tools, and write its file again",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    line = "refold(path, agent=None, tools='recorded'): re-execute a recorded session first, and fail where it differs"
    config.addinivalue_line("markers", line)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the fixture to marked tests; with `--refold`, deselect all others."""
    kept: list[pytest.Item] = []
    for item in items:
        if isinstance(item, pytest.Function):
            if item.get_closest_marker("refold") is not None and "refold_session" not in item.fixturenames:
                item.fixturenames.append("refold_session")
            if "refold_session" in item.fixturenames:
                kept.append(item)
    if config.getoption("--refold"):
        chosen = set(kept)
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = kept


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Re-execute the sessions that a test is marked with, before its own code."""
    __tracebackhide__ = True
    for marker in pyfuncitem.iter_markers("refold"):
        session = pyfuncitem.funcargs["refold_session"]
        if isinstance(session, RefoldSession):
            session(*marker.args, **marker.kwargs)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the files that were written again."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, ())]
    updated = {v: None for one in reports for name, v in getattr(one, "user_properties", ()) if name == _UPDATED}
    for file in updated:
        from eventsource.control_characters import plain

        terminalreporter.write_line(plain(f"refold: {file} was written again"))


@pytest.fixture
def refold_session(request: pytest.FixtureRequest) -> RefoldSession:
    """Re-execute a recorded session against an agent: `refold_session("sessions/oslo.jsonl", agent)`."""
    return RefoldSession(request)
