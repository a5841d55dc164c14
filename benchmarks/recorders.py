"""What recorders keep: one agent and one provider under Refold and under two recorders of agents.

Each is used as its README says. Refold stands there twice: with an `Agent` of its own, and as the proxy before an agent
that knows nothing of it. What is said of them comes from the files they leave and from what they print.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from eventsource.events import MessageUpdate
from eventsource.log.load import read_all
from refold import open_log

from .measure import environment, turns
from .provider import STALL, STALLED_DELTAS, Provider, provider
from .recorded_agent import TOOL_CALLS
from .rows import aligned, figure
from .stores import folder

_ROOT = Path(__file__).parents[1]
_BIN = Path(sys.executable).parent
_REFOLD = (sys.executable, "-c", "import sys; from refold.cli import main; sys.argv[0] = 'refold'; main()")
_SAYS = re.compile(r"drift|differ|diverge|mismatch|is not what was recorded", re.IGNORECASE)
_SETTLE_S = 0.5
_SAME = "as to the left"
_FORK = "a fork"  # with which the question begins that a quick run asks beside that of the kill
_AFTER = 2  # events after the last answer: the ends of its turn and of its run


def _agent(how: str) -> tuple[str, ...]:
    """Make the command that runs the agent. A recorder that runs it again does not know of `-m`."""
    script = str(_ROOT / "benchmarks" / "recorded_agent.py")
    started = ("-m", "benchmarks.recorded_agent") if how.startswith("refold") else (script,)
    return sys.executable, *started, how, "."


class Way(NamedTuple):
    """A recorder: what records, what replays, and what forks before the last model call, of so many exchanges."""

    name: str
    record: Sequence[str]
    replay: Sequence[str]
    fork: Callable[[Path, int], Sequence[str]]
    proxied: bool = False
    variant: bool = False


def _refold_fork(place: Path, _exchanges: int) -> Sequence[str]:
    session, head = asyncio.run(_session(place))
    return *_REFOLD, "fork", session, "--at", str(head - _AFTER), "--db", str(place / "refold.db")


def _ways() -> list[Way]:
    tape = str(_BIN / "tape")
    ways = [
        Way("Refold, `Agent`", _agent("refold-record"), _agent("refold-replay"), _refold_fork),
        Way("Refold, proxy", _agent("plain"), _agent("plain"), _refold_fork, proxied=True),
    ]
    if find_spec("reeltime") is not None:
        for name, how in (("reeltime", "reeltime"), ("reeltime, `span` around a call", "reeltime-span")):
            ways.append(
                Way(
                    name,
                    (tape, "run", *_agent(how)),
                    (tape, "replay", "last"),
                    lambda _place, exchanges: (tape, "fork", "last", "--at", str(_events(exchanges) - 1)),
                    variant=how == "reeltime-span",
                )
            )
    if find_spec("rewind") is not None:
        for name, how in (("agent-rewind", "rewind-replay"), ('agent-rewind, `match="parallel"`', "rewind-parallel")):
            ways.append(
                Way(
                    name,
                    _agent("rewind-record"),
                    _agent(how),
                    lambda _place, _exchanges: _agent("rewind-fork"),
                    variant=how == "rewind-parallel",
                )
            )
    return ways


def _events(exchanges: int) -> int:
    """Count what both recorders keep of exchanges: two model calls, and the tools."""
    return (2 + len(TOOL_CALLS)) * exchanges


class Ended(NamedTuple):
    """How a program ended, and what it and its recorder printed."""

    code: int
    out: str
    said: str

    def told(self, key: str) -> object:
        """What the agent said of itself, None if it did not come so far."""
        lines = [line for line in self.out.splitlines() if line.startswith('{"given"')]
        return json.loads(lines[0])[key] if lines else None


def run(quick: bool) -> str:
    """Record, kill, replay and fork under each. Returns: a table, a line for each question."""
    exchanges, forks, replays = (1, 1, 1) if quick else (40, 3, 2)
    questions: list[tuple[str, bool, Callable[[Way, Provider], str]]] = [
        (f"killed (-9) in the middle of an answer, after {STALLED_DELTAS} deltas: kept", False, _killed),
        (
            f"{len(TOOL_CALLS)} calls at once (`asyncio.to_thread`) ending in another order: at replay the model gets",
            True,
            lambda way, server: _replayed(way, server, replays),
        ),
        (
            "the same, in a `ThreadPoolExecutor`",
            True,
            lambda way, server: _replayed(way, server, replays, AGENT_POOL="1") if "Agent" not in way.name else _SAME,
        ),
        ("replay, another system prompt", True, lambda way, server: _changed(way, server, AGENT_SYSTEM="Be long.")),
        (
            "replay, another description of a tool",
            True,
            lambda way, server: _changed(way, server, AGENT_TOOL="Changed."),
        ),
        ("bytes on disk, one exchange", False, lambda way, server: _bytes(way, server, 1)),
        (f"the same, each of {exchanges}", False, lambda way, server: _bytes(way, server, exchanges)),
        (f"{_FORK} before the end of {exchanges}", False, lambda way, server: _forked(way, server, exchanges, forks)),
    ]
    ways = [way for way in _ways() if not (quick and way.variant)]
    if quick:
        questions = [one for one in questions if one[2] is _killed or one[0].startswith(_FORK)]
    with provider() as server:
        lines = [
            (question, *(look(way, server) if every or not way.variant else _SAME for way in ways))
            for question, every, look in questions
        ]
    missing = [
        name for name, package in (("reeltime", "reeltime"), ("agent-rewind", "rewind")) if not find_spec(package)
    ]
    return "\n\n".join(
        [aligned([["", *(way.name for way in ways)], *lines]), *(f"{name} is not installed." for name in missing)]
    )


@contextmanager
def _place() -> Iterator[Path]:
    with TemporaryDirectory(dir=folder()) as place:
        yield Path(place)


def _environment(place: Path, url: str, changed: dict[str, str]) -> dict[str, str]:
    path = f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    python = f"{_ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)
    own = {"PATH": path, "PYTHONPATH": python, "TAPE_DIR": str(place / ".tape"), "AGENT_URL": url}
    return {**environment(), **own, **changed}


@contextmanager
def _before(
    way: Way, place: Path, url: str, *, replay: bool, said: list[str]
) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """Start what stands between the agent and its provider. Yields: where the agent asks, and what was started."""
    if not way.proxied:
        yield url, []
        return
    words = ["--replay", asyncio.run(_session(place))[0]] if replay else ["--upstream", url.removesuffix("/v1")]
    command = [*_REFOLD, "proxy", "--port", "0", "--db", str(place / "refold.db"), *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as proxy:
        at = (proxy.stdout.readline() if proxy.stdout is not None else "").split()[-1]
        try:
            yield f"{at}/v1", [proxy]
        finally:
            proxy.terminate()
            said += proxy.communicate(timeout=30)


def _run(way: Way, place: Path, url: str, *, replay: bool, changed: dict[str, str]) -> Ended:
    said: list[str] = []
    with _before(way, place, url, replay=replay, said=said) as (at, _):
        ended = _ended(way.replay if replay else way.record, place, at, changed)
    return ended._replace(said=ended.said + "".join(said))


def _ended(words: Sequence[str], place: Path, url: str, changed: dict[str, str]) -> Ended:
    done = subprocess.run(
        words,
        cwd=place,
        env=_environment(place, url, changed),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return Ended(done.returncode, done.stdout, done.stdout + done.stderr)


def _recorded(way: Way, place: Path, server: Provider, **changed: str) -> None:
    ended = _run(way, place, server.url, replay=False, changed=changed)
    if ended.code or ended.told("given") is None:
        raise RuntimeError(f"{way.name} did not record: {ended.said}")


def _killed(way: Way, server: Provider) -> str:
    with _place() as place:
        server.stalled.clear()
        server.go_on.clear()
        with _before(way, place, server.url, replay=False, said=[]) as (at, others):
            kept = _environment(place, at, {"AGENT_PROMPT": STALL})
            with subprocess.Popen(
                way.record,
                cwd=place,
                env=kept,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            ) as agent:
                if not server.stalled.wait(60):
                    raise RuntimeError(f"{way.name}: the agent did not ask")
                time.sleep(_SETTLE_S)
                os.killpg(agent.pid, signal.SIGKILL)
                for other in others:
                    other.kill()
        server.go_on.set()
        deltas, prompt = _kept(place)
    return f"{deltas} deltas, {'the request' if prompt else 'no request'}"


def _kept(place: Path) -> tuple[int, bool]:
    """Count the deltas that can be found again, by Refold's reader or as text in any file, and look for the prompt."""
    if (place / "refold.db").exists():
        return asyncio.run(_kept_in_log(place / "refold.db"))
    files = [path.read_bytes() for path in place.rglob("*") if path.is_file()]
    found = {number for data in files for number in re.findall(rb"\bw(\d+) ", data)}
    return len(found), any(STALL.encode() in data for data in files)


async def _kept_in_log(path: Path) -> tuple[int, bool]:
    deltas, prompt = 0, False
    async with open_log(path) as log:
        for info in await log.sessions():
            async for recorded in read_all(log.store, info.id):
                event = recorded.event
                deltas += isinstance(event, MessageUpdate) and event.kind == "text_delta"
                prompt = prompt or STALL in str(event)
    return deltas, prompt


async def _session(place: Path) -> tuple[str, int]:
    async with open_log(place / "refold.db") as log:
        (session, *_) = await log.sessions()
        return session.id, (await session.info()).head


def _replayed(way: Way, server: Provider, replays: int, **changed: str) -> str:
    """Replay what was recorded, unchanged, and look at the results that the model would be given."""
    with _place() as place:
        _recorded(way, place, server, **changed)
        found = [_given(_run(way, place, server.url, replay=True, changed=changed)) for _ in range(replays)]
    return "; ".join(f"{one} ({found.count(one)} of {replays})" for one in sorted(set(found)))


def _given(ended: Ended) -> str:
    given, ran = ended.told("given"), ended.told("ran")
    if ended.code or not isinstance(given, list):
        return f"stops and says so: {_last(ended)}"
    says = ", and it says so" if _SAYS.search(ended.said) else ", without a word"
    results = [text.partition(": content of ") for text in given]
    if any(name != content for name, _, content in results):
        return f"swapped results{says}"
    return f"the right results, but the tools run again{says}" if ran else "the right results"


def _changed(way: Way, server: Provider, **changed: str) -> str:
    with _place() as place:
        _recorded(way, place, server)
        ended = _run(way, place, server.url, replay=True, changed=changed)
    (now,) = changed.values()
    shown = ", with what differs" if now in ended.said else ""
    if ended.code:
        return f"stops and says so{shown}"
    return f"goes on and says so{shown}" if _SAYS.search(ended.said) else "goes on without a word"


def _last(ended: Ended) -> str:
    return (ended.said.strip().splitlines() or ["nothing was said"])[-1][:60]


def _bytes(way: Way, server: Provider, exchanges: int) -> str:
    with _place() as place:
        _recorded(way, place, server, AGENT_EXCHANGES=str(exchanges), AGENT_SLOW_MS="0")
        return figure(_room(place) / exchanges)


def _forked(way: Way, server: Provider, exchanges: int, forks: int) -> str:
    room, taken = [], []
    with _place() as place:
        several = {"AGENT_EXCHANGES": str(exchanges), "AGENT_SLOW_MS": "0"}
        _recorded(way, place, server, **several)
        several["AGENT_FORK_AT"] = str(_events(exchanges) - 1)
        words = way.fork(place, exchanges)
        for _ in turns(forks, way):
            before, began = _room(place), time.perf_counter()
            ended = _ended(words, place, server.url, several)
            taken.append((time.perf_counter() - began) * 1000)
            room.append(_room(place) - before)
            if ended.code:
                return f"fails: {_last(ended)}"
    return f"{figure(room[0])} bytes, {figure(median(taken))} ms"


def _room(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
