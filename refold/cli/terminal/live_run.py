"""A run in this process: printed while it goes on, ended by Ctrl-C, summed up at its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from ...agent import Agent
from ...output import recorded_check
from ...run import Run
from ...session import Session
from ...signals import on_signal
from ...stream import AgentStream
from ..exit_codes import RUN_EXIT_CODES
from .formatting import count
from .next_steps import continue_command, print_next, print_outcome
from .run_printer import RunPrinter
from .screen import Screen


async def run_and_print(
    screen: Screen, agent: Agent[object], session: Session, prompt: str | None, deps: object
) -> int:
    """Run, and print what happens and how it ended. Returns: the exit code."""
    if agent.output is None and (fault := recorded_check(agent.options)[1]):
        screen.note(f"Answers are not checked: the output schema on record cannot be used: {fault}")
    stop = asyncio.Event()
    printer = RunPrinter(screen.out, screen.err)
    with _interrupts(stop):
        ended = await print_run(agent.stream(prompt, session=session, deps=deps, signal=stop), stop, screen, printer)
    if screen.as_json:
        screen.json(_summary(ended))
    await _print_end(screen, ended, stopped=stop.is_set())
    return RUN_EXIT_CODES[ended.status]


async def print_run(
    stream: AgentStream[object], stop: asyncio.Event, screen: Screen, printer: RunPrinter
) -> Run[object]:
    """Print a run to its end. Whatever keeps it from being printed (nobody reads any more, Ctrl-C) aborts it first."""
    try:
        async for shown in stream.lifecycle():
            if not screen.as_json:
                printer.print_event(shown)
        printer.close()
    except BaseException:
        stop.set()
        with suppress(Exception):  # it is the first one that counts
            await stream.run()
        raise
    return await stream.run()


def _summary(ended: Run[object]) -> dict[str, object]:
    return {
        "id": ended.session.id,
        "status": ended.status,
        "head": ended.head,
        "text": ended.text,
        "error": ended.error,
        "usage": ended.usage,
        "waits": [msgspec.to_builtins(wait) for wait in ended.waits],
    }


async def _print_end(screen: Screen, ended: Run[object], *, stopped: bool) -> None:
    tokens = ended.usage.total_tokens
    words = [ended.status, count(ended.head, "event"), *([count(tokens, "token")] if tokens else [])]
    screen.note((f"\nsession {ended.session.id}: {', '.join(words)}", "dim"))
    again = await continue_command(screen, ended.session)
    if stopped and ended.status == "aborted":
        screen.note("Interrupted; the session is kept.")
        print_next(screen, again)
    else:
        said = ended.error if screen.as_json else ""
        print_outcome(screen, ended.session.id, ended.status, said, ended.waits, again=again)


@contextmanager
def _interrupts(stop: asyncio.Event) -> Iterator[None]:
    """Turn the first Ctrl-C into an abort that is recorded; the second one ends the program at once."""
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if stop.is_set():
            loop.remove_signal_handler(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        stop.set()

    if not on_signal(signal.SIGINT, call=interrupt):
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
