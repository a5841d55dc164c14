"""The command `replay`: prove a session's record, or play it as it happened."""

from __future__ import annotations

import asyncio
import signal
import sys

import click

from eventsource.envelope import Recorded
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
from .terminal.events import show_event
from .terminal.formatting import count, end_of
from .terminal.run_printer import Teller
from .terminal.screen import Screen


@command(
    "replay",
    ("refold replay ID", "prove it: every decision must come out as it stands in the log"),
    ("refold replay ID --speed 1", "watch it as it happened; 10 is ten times as fast"),
    ("refold replay ID --step", "event by event; Enter goes on"),
)
@click.argument("session")
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
    screen: Screen, log: Log, session: str, at: int | None, speed: float | None, step: bool, max_pause: float
) -> int | None:
    """Replay a session's record. No model is called, no tool runs.

    Inputs and outcomes are given by the record; every decision is predicted and compared, and so are each request's
    digest and each message with its pieces. The exit code is 1 when something differs.
    """
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
    _say(screen, found, report)
    return None if report.difference is None else NO


async def _play(screen: Screen, session: Session, at: int | None, *, speed: float, max_pause_s: float) -> ReplayReport:
    """Tell a session as it happened, comparing on the way."""
    run = Replay(await erased_seqs(session.core.log, session.id))
    stream, teller = Lifecycle(), Teller(screen.out, screen.out, inputs=True)
    before: int | None = None
    async for recorded in read_all(session.core.log, session.id, upto=at):
        pause_s = (recorded.at_us - before) / 1_000_000 / speed if before is not None else 0.0
        if pause_s > 0.002:  # a shorter sleep takes longer than it says
            await asyncio.sleep(min(pause_s, max_pause_s))
        before = recorded.at_us
        shown = stream.feed(recorded)
        for one in shown:
            teller.show(one)
        if not shown:
            teller.tell(recorded.event)
        if not run.feed(recorded):
            break
    teller.close()
    return run.report()


async def _step(screen: Screen, session: Session, at: int | None) -> ReplayReport:
    """Show event after event, each when it is asked for; streamed pieces come along without being asked."""
    run = Replay(await erased_seqs(session.core.log, session.id))
    width = len(str((await session.info()).head))
    asks = sys.stdin.isatty()
    if asks:
        screen.note(("Enter: the next event; q and Enter: leave.", "dim"))
    async for recorded in read_all(session.core.log, session.id, upto=at):
        show_event(screen, recorded, width)
        if not run.feed(recorded) or (_stops(recorded) and not _goes_on()):
            break
    return run.report()


def _stops(recorded: Recorded) -> bool:
    return not isinstance(recorded.event, MessageUpdate)


def _goes_on() -> bool:
    """Wait for Enter, with a Ctrl-C that works while nothing else does."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        line = sys.stdin.readline()
    finally:
        signal.signal(signal.SIGINT, handler)
    return line != "" and line.strip().lower() not in ("q", "quit")


def _say(screen: Screen, session: Session, report: ReplayReport) -> None:
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
        f"{count(report.given, 'event')} given, {count(report.predicted, 'decision')} predicted", end_of(report)
    )
    if report.unchecked:
        screen.line(f"{count(report.unchecked, 'request')} could not be checked: what they held was erased or dropped")
    if difference is not None:
        screen.line(("first difference ", "bold red"), f"at seq {difference.seq}, {difference.field}")
        screen.line("  expected  ", difference.expected)
        screen.line("  found     ", difference.found)
