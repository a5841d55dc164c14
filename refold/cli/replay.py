"""The command `replay`: prove a session's record, or play it as it happened."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import click

from eventsource.errors import UnknownSeqError
from eventsource.events import MessageUpdate
from eventsource.log.load import read_all
from projections import Lifecycle
from replay.lineage import erased_seqs
from replay.replay import Replay, ReplayReport

from ..log import Log
from ..session import Session
from .command import command
from .exit_codes import NO
from .terminal.events import print_event
from .terminal.formatting import count, difference_text
from .terminal.run_printer import RunPrinter
from .terminal.screen import Screen


@command(
    "replay",
    ("refold replay ID", "prove it: every decision must come out as it stands in the log"),
    ("refold replay ID --speed 1", "watch it as it happened; 10 is ten times as fast"),
    ("refold replay ID --step", "event by event; Enter goes on"),
    ('refold replay ID -- claude -p "Look around"', "run that agent again, offline, against the recording"),
)
@click.argument("session")
@click.argument("line", nargs=-1, metavar="[-- COMMAND...]")
@click.option(
    "--allow-drift", is_flag=True, help="With a command: answer though model, prompt, tools or options changed."
)
@click.option("--at", "at", type=click.IntRange(min=0), metavar="N", help="Only up to this seq.")
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), metavar="X", help="Play it X times as fast.")
@click.option("--step", is_flag=True, help="Show one event after each Enter.")
@click.option(
    "--max-pause",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="With --speed, wait no longer than this for the next event.",
)
async def replay(
    screen: Screen,
    log: Log,
    session: str,
    line: tuple[str, ...],
    allow_drift: bool,
    at: int | None,
    speed: float | None,
    step: bool,
    max_pause: float,
) -> int | None:
    """Replay a session's record. No model is called, no tool runs.

    Inputs and outcomes are given by the record; every decision is predicted and compared, and so are each request's
    digest and each message with its pieces. The exit code is 1 when something differs.

    With a command, that agent runs again, its tools too, and the recording answers its requests: what it does not have
    is refused. The exit code is 1 when something was, else the agent's.
    """
    if line:
        if at is not None or speed is not None or step or screen.as_json:
            raise click.UsageError("a command goes with --allow-drift alone: what is printed is its own")
        return await _run_again(screen, log, session, line, allow_drift=allow_drift)
    if allow_drift:
        raise click.UsageError("--allow-drift goes with a command: refold replay ID --allow-drift -- COMMAND")
    if sum((screen.as_json, speed is not None, step)) > 1:
        raise click.UsageError("--speed, --step and --json exclude each other")
    found = await log.find(session)
    head = (await found.info()).head
    if at is not None and at > head:
        raise UnknownSeqError(found.id, at, head)
    if speed is not None:
        report = await _play(screen, found, at, speed=speed, max_pause_s=max_pause)
    elif step:
        report = await _step(screen, found, at)
    else:
        with screen.busy(f"replaying {count(at or head, 'event')}"):
            report = await found.replay(at)
    _print_result(screen, found, report)
    return None if report.difference is None else NO


async def _run_again(screen: Screen, log: Log, session: str, line: Sequence[str], *, allow_drift: bool) -> int:
    """Run an agent against a recording, and say what it asked that is not in it."""
    from ..http import ProxyRecorder, Replaying, Upstreams, proxying, serving
    from .programs.pointing import pointed, print_unreached
    from .programs.process import check_program, run_program

    check_program(line[0])
    replaying = await Replaying.of(await log.find(session), allow_drift=allow_drift)
    recorder = ProxyRecorder(log, lose=lambda _: None)  # has nothing to do: nothing goes on to a provider
    async with (
        proxying(recorder, Upstreams(), replaying=replaying) as answering,
        serving(answering, host="127.0.0.1", port=0) as running,
    ):
        with pointed(line, os.environ, running.url) as pointing:
            pointing.without_keys()
            code = await run_program(pointing.line, environment=pointing.environment)
    for drift in replaying.drifts:
        screen.note(("answered all the same: ", "yellow"), drift)
    for problem in replaying.refused:
        screen.note(("refused: ", "red"), problem)
    screen.note((f"{count(replaying.answered, 'request')} answered from the recording {replaying.session}", "dim"))
    if not replaying.answered and not replaying.refused:
        print_unreached(screen, line[0])
    return NO if replaying.refused or not replaying.answered else code


async def _play(screen: Screen, session: Session, at: int | None, *, speed: float, max_pause_s: float) -> ReplayReport:
    """Print a session as it happened, comparing on the way."""
    run = Replay(await erased_seqs(session.core.log, session.id))
    stream, printer = Lifecycle(), RunPrinter(screen.out, screen.out, inputs=True)
    before: int | None = None
    async for recorded in read_all(session.core.log, session.id, upto=at):
        pause_s = (recorded.at_us - before) / 1_000_000 / speed if before is not None else 0.0
        if pause_s > 0.002:  # a shorter sleep takes longer than it says
            await asyncio.sleep(min(pause_s, max_pause_s))
        before = recorded.at_us
        shown = stream.feed(recorded)
        for one in shown:
            printer.print_event(one)
        if not shown:
            printer.print_other(recorded.event)
        if not run.feed(recorded):
            break
    printer.close()
    return run.report()


async def _step(screen: Screen, session: Session, at: int | None) -> ReplayReport:
    """Print event after event, one for each Enter; streamed pieces come without waiting."""
    run = Replay(await erased_seqs(session.core.log, session.id))
    width = len(str((await session.info()).head))
    asks = sys.stdin.isatty()
    if asks:
        screen.note(("Enter: the next event; q and Enter: leave.", "dim"))
    async for recorded in read_all(session.core.log, session.id, upto=at):
        print_event(screen, recorded, width)
        waits = not isinstance(recorded.event, MessageUpdate)
        if not run.feed(recorded) or (waits and not _read_enter()):
            break
    return run.report()


def _read_enter() -> bool:
    """Wait for Enter, with a Ctrl-C that works while nothing else does."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        line = sys.stdin.readline()
    finally:
        signal.signal(signal.SIGINT, handler)
    return line != "" and line.strip().lower() not in ("q", "quit")


def _print_result(screen: Screen, session: Session, report: ReplayReport) -> None:
    difference = report.difference
    if screen.as_json:
        found = {
            "id": session.id,
            "given": report.given,
            "predicted": report.predicted,
            "unchecked": report.unchecked,
            "difference": None,
        }
        if difference is not None:
            found["difference"] = {
                "seq": difference.seq,
                "field": difference.field,
                "expected": difference.expected,
                "found": difference.found,
            }
        screen.json(found)
        return
    screen.line(
        f"{count(report.given, 'event')} given, {count(report.predicted, 'decision')} predicted",
        difference_text(report),
    )
    if report.unchecked:
        screen.line(f"{count(report.unchecked, 'request')} could not be checked: what they held was erased or dropped")
    if difference is not None:
        screen.line(("first difference ", "bold red"), f"at seq {difference.seq}, {difference.field}")
        screen.line("  expected  ", difference.expected)
        screen.line("  found     ", difference.found)
