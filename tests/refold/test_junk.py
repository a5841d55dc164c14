"""Whatever a caller gives to a public function as an argument: it works, or the error names the argument."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import get_args, is_typeddict

import pytest

import refold
from eventsource import errors, values
from eventsource.errors import RefoldError
from eventsource.events import EventBase
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import Block, Message, UserMessage
from eventsource.models.scripted import scripted
from refold import Agent, AgentContext, AgentLoopConfig, Log, Session, open_log
from refold.functional import AgentEventStream

JUNK: tuple[object, ...] = (
    None, "junk", "", b"x", 3, -1, 2.5, True, [], [None], ["junk"], [3], {}, {"a": 1}, (), {1}, object(), len, dict,
    ValueError("x"),
)  # fmt: skip
MADE_BY_REFOLD = {
    *("AgentStream", "Model", "Recorded", "Request", "Run", "Session", "TaskContext", "Tool", "ToolContext"),
    *("ToolOutcomeShown", "ToolRequest", "TurnEnded", "Waiting"),
}
VALUES = [one for one in vars(values).values() if isinstance(one, type) and one.__module__ == values.__name__]
ON_RECORD = (EventBase, *get_args(Message), errors.RefoldError, Block, *VALUES)
"""What a log holds is checked as a whole, when it is recorded."""
ENDS_THE_LOG = {"close", "open"}
_LIMIT_S = 2


def work(a: int = 0) -> int:
    """Work."""
    return a


def methods(kind: type) -> list[str]:
    """List what a caller may call on an object of a class."""
    named = [name for name, one in vars(kind).items() if inspect.isfunction(one) and not name.startswith("_")]
    return [name for name in named if name not in ENDS_THE_LOG]


def is_checked(name: str) -> bool:
    """Say whether a public name is something that callers give arguments to, each of which is checked at once."""
    thing = getattr(refold, name)
    on_record = isinstance(thing, type) and issubclass(thing, ON_RECORD) and thing is not refold.Policies
    return callable(thing) and name not in MADE_BY_REFOLD and not on_record and not is_typeddict(thing)


FUNCTIONS = [name for name in refold.__all__ if is_checked(name)]


async def good(name: str, log: Log, session: Session) -> object:
    """Give an argument that is right, for a parameter of that name that has no default."""
    match name:
        case "server":
            return "true"
        case "session" | "recording" | "left" | "right" | "from_":
            return session
        case "prompt" | "new" | "prompts" | "message" | "text" | "reason" | "name" | "id" | "summary" | "media_type":
            return "said"
        case "model":
            return scripted("said", "said")
        case "function":
            return work
        case "context":
            return AgentContext(messages=[UserMessage(content="hi")])
        case "config":
            return AgentLoopConfig(model=scripted("said"))
        case "schema":
            return {"type": "object", "properties": {}}
        case "data":
            return b"x"
        case "result":
            return refold.tool_result("x")
        case "wait" | "token":
            return "key"
        case "at":
            return 1
        case "events":
            return []
        case "messages":
            return []
        case "deps":
            return None
        case "path":
            return "/nowhere/at/all.db"
        case _:
            raise AssertionError(f"say what is right for {name!r}")


async def good_of_store(name: str, log: Log, session: Session) -> object:
    """The same for a method of a store."""
    match name:
        case "session" | "parent":
            return session.id
        case "name" | "text":
            return "said"
        case "lease":
            return await log.store.claim(session.id)
        case "at" | "seq" | "at_us":
            return 1
        case "after":
            return 0
        case "sessions":
            return [session.id]
        case "events" | "types":
            return []
        case "path":
            return "/nowhere/at/all.db"
        case _:
            raise AssertionError(f"say what is right for {name!r}")


CALLED_BACK = {"progress"}
"""Functions of the caller's own: what they raise is the caller's, and ends what they are told of."""


def parameters(function: Callable[..., object]) -> Iterator[inspect.Parameter]:
    kinds = (inspect.Parameter.VAR_KEYWORD,)
    yield from (one for one in inspect.signature(function).parameters.values() if one.kind not in kinds)


async def called(
    function: Callable[..., object], changed: inspect.Parameter, junk: object, args: dict[str, object]
) -> None:
    """Call it, and wait for what comes."""
    star = changed.kind is changed.VAR_POSITIONAL
    named = {**args} if star else {**args, changed.name: junk}
    by_place = [
        named.pop(one.name)
        for one in parameters(function)
        if one.kind is one.POSITIONAL_ONLY or (star and one.kind is one.POSITIONAL_OR_KEYWORD)
        if one.name in named
    ]
    given = function(*by_place, *((junk,) if star else ()), **named)
    if isinstance(given, AgentEventStream):
        given = given.result()
    if isinstance(given, refold.AgentStream):
        given = given.run()
    if inspect.isawaitable(given):
        await asyncio.wait_for(given, _LIMIT_S)


async def judge(
    function: Callable[..., object],
    log: Log,
    right: Callable[[str, Log, Session], Awaitable[object]],
) -> list[str]:
    """Give junk for each parameter in turn. Returns: what was told in words that say nothing of it."""
    wrong = list[str]()
    for changed in parameters(function):
        for junk in JUNK:
            if changed.name in CALLED_BACK and callable(junk):
                continue
            session = await log.session()
            args = dict[str, object]()
            for one in parameters(function):
                if one.default is one.empty and one is not changed and one.kind is not one.VAR_POSITIONAL:
                    args[one.name] = await right(one.name, log, session)
            try:
                await called(function, changed, junk, args)
            except (RefoldError, ValueError, OSError) as error:
                said, ours = str(error), isinstance(error, RefoldError | OSError)
                if not ours and changed.name not in said:
                    wrong.append(f"{changed.name}={junk!r}: {type(error).__name__}: {said}")
            except BaseException as error:
                wrong.append(f"{changed.name}={junk!r}: {type(error).__name__}: {error}")
    return wrong


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder: a backup called junk is one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def log() -> AsyncIterator[Log]:
    async with open_log() as opened:
        yield opened


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_a_public_function_says_what_is_wrong_with_junk(name: str, log: Log) -> None:
    assert await judge(getattr(refold, name), log, good) == []


@pytest.mark.parametrize("name", methods(Agent))
async def test_a_method_of_an_agent_says_what_is_wrong_with_junk(name: str, log: Log) -> None:
    assert await judge(getattr(Agent(scripted(lambda request: "said")), name), log, good) == []


@pytest.mark.parametrize("name", methods(Session))
async def test_a_method_of_a_session_says_what_is_wrong_with_junk(name: str, log: Log) -> None:
    session = await log.session("x")
    await Agent(scripted("said")).run("hi", session=session)
    assert await judge(getattr(session, name), log, good) == []


@pytest.mark.parametrize("name", methods(Log))
async def test_a_method_of_a_log_says_what_is_wrong_with_junk(name: str, log: Log) -> None:
    assert await judge(getattr(log, name), log, good) == []


@pytest.mark.parametrize("name", methods(EventLog))
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_method_of_a_store_says_what_is_wrong_with_junk(name: str, kind: str, tmp_path: Path) -> None:
    async with open_store(None if kind == "memory" else tmp_path / "runs.db") as store:
        assert await judge(getattr(store, name), Log(store), good_of_store) == []
