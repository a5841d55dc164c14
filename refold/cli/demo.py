"""The command `demo`: an agent runs, then its log is shown, replayed, forked and continued."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.resources import files

from eventsource.control_characters import plain
from eventsource.envelope import Recorded
from eventsource.errors import UnknownSessionError
from eventsource.events import MessageStart, MessageUpdate
from eventsource.log.load import read_all
from projections import fork_tree, tree_lines

from ..agent import Agent
from ..log import Log
from ..run import Run
from ..session import Session
from ..session_tree import related_sessions
from .command import command
from .exit_codes import NO
from .terminal.events import print_event
from .terminal.formatting import count, difference_text
from .terminal.live_run import print_run
from .terminal.run_printer import RunPrinter
from .terminal.screen import Screen

_INDENT = "  "

_AGENT = "refold.demo:agent"


@command(
    "demo",
    ("refold demo", "in the current folder, of which it only reads"),
    ("refold demo --db demo.db", "in a log of its own"),
    creates=True,
)
async def demo(screen: Screen, log: Log) -> int | None:
    """Watch an agent run, its log being replayed, forked and continued: a scripted model, no key, no network.

    Its tools list and read files of the current folder and change nothing.
    """
    from ..demo import BRIEFLY, QUESTION, agent  # builds tools, which loads pydantic

    session = await log.session()
    await session.label("demo")
    _print_title(screen, "An agent runs", "a scripted model and two tools that read in this folder; no key, no network")
    ran = await _run(screen, agent, session, QUESTION)
    history = [recorded async for recorded in read_all(log.store, session.id)]
    _print_title(screen, "Its log", "every event, each word that streamed too")
    _print_log(screen, history)
    report = await session.replay()
    _print_title(screen, "Replayed", "from the log alone: no model, no tool")
    if not screen.as_json:
        given, predicted = count(report.given, "event"), count(report.predicted, "decision")
        screen.line(f"{_INDENT}{given} given, {predicted} predicted", difference_text(report))
    middle, said = _middle(history)
    fork = await session.fork(at=middle, title="demo, in one line")
    _print_title(screen, f"Forked at {middle}", f"inside the last answer, after “…{said}”")
    again = await _run(screen, agent.replace(system=BRIEFLY), fork, None)
    rows = (await related_sessions(log.store, session.id)).rows
    _print_title(screen, "The tree", "a fork copies nothing")
    if screen.as_json:
        screen.json(_summary(screen, ran, again, middle, differs=report.difference is not None))
    else:
        for line in tree_lines(fork_tree(rows)):
            screen.line(_INDENT, line)
        await _print_next_steps(screen, log, session.id, fork.id, middle)
    return None if report.difference is None and ran.status == again.status == "done" else NO


def _print_title(screen: Screen, title: str, says: str) -> None:
    if not screen.as_json:
        screen.line("" if title == "An agent runs" else "\n", (title, "bold"), (f"  {says}", "dim"))


async def _run(screen: Screen, agent: Agent[object], session: Session, prompt: str | None) -> Run[object]:
    printer = RunPrinter(screen.out, screen.out, inputs=True, indent=_INDENT)
    stop = asyncio.Event()
    return await print_run(agent.stream(prompt, session=session, signal=stop), stop, screen, printer)


def _print_log(screen: Screen, history: Sequence[Recorded]) -> None:
    """Print the beginning and the end of the log, with a streamed piece or two."""
    if screen.as_json:
        return
    width = len(str(history[-1].seq))
    last = next(n for n, one in enumerate(reversed(history)) if isinstance(one.event, MessageStart))
    shown = [*history[:7], None, *history[-last - 1 : -last + 3], None, *history[-3:]]
    for recorded in shown:
        if recorded is None:
            screen.line((f"{_INDENT}{'…':>{width}}", "dim"))
        else:
            print_event(screen, recorded, width + len(_INDENT), room=70)


def _middle(history: Sequence[Recorded]) -> tuple[int, str]:
    """Find a seq in the middle of the last answer's text, and the words before it."""
    start = max(n for n, one in enumerate(history) if _is_answer_start(one))
    pieces = [one for one in history[start:] if isinstance(one.event, MessageUpdate) and one.event.delta]
    half = pieces[: len(pieces) // 2 + 1]
    said = "".join(one.event.delta for one in half[-3:] if isinstance(one.event, MessageUpdate))
    return half[-1].seq, plain(" ".join(said.split()))


def _is_answer_start(recorded: Recorded) -> bool:
    return isinstance(recorded.event, MessageStart) and recorded.event.role == "assistant"


def _summary(screen: Screen, ran: Run[object], again: Run[object], middle: int, *, differs: bool) -> dict[str, object]:
    return {
        "log": screen.log.shown,
        "id": ran.session.id,
        "text": ran.text,
        "replayed": not differs,
        "fork": {"id": again.session.id, "at": middle, "text": again.text},
    }


async def _print_next_steps(screen: Screen, log: Log, session: str, fork: str, middle: int) -> None:
    one, other = await _shortened(log, session), await _shortened(log, fork)
    built = files("refold.http").joinpath("page", "index.html").is_file()
    tries = (
        (("ui",), "see it in the browser" if built else "see it in the browser; `make ui` builds the page first"),
        (("show", one), "read it; the numbers are places to fork at"),
        (("show", one, "--updates"), "each streamed word"),
        (("replay", one, "--speed", "1"), "watch it again"),
        (("context", one, "--at", str(middle)), "what a model would be sent there"),
        (("fork", one, "--at", str(middle - 3)), "another fork"),
        (("continue", other, "--agent", _AGENT, "--prompt", "And here?"), "go on"),
    )
    screen.line("\n", ("Try next", "bold"), (f"  the log is {screen.log.shown}", "dim"))
    lines = [(screen.command(*words), says) for words, says in tries]
    width = max(len(line) for line, _ in lines)
    width = width if width + 40 <= screen.width else 0
    for line, says in lines:
        screen.line(f"{_INDENT}{line:<{width}}", (f"   {says}", "dim"))


async def _shortened(log: Log, session: str) -> str:
    """Return the beginning of an id, if it names the session."""
    try:
        return session[:6] if await log.store.resolve(session[:6]) == session else session
    except UnknownSessionError:
        return session
