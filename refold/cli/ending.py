"""Telling how a run ended or stands: one sentence why, and one what to do."""

from __future__ import annotations

from collections.abc import Sequence

from ..waiting import Waiting
from .screen import Screen


def tell_end(
    screen: Screen, session: str, status: str, reason: str, waits: Sequence[Waiting], *, go_on: str = ""
) -> None:
    """Say what is to be known when a run is not done; nothing when it is.

    Args:
        go_on: what makes it go on, where that is not the command `continue`.
    """
    again = go_on or screen.command("continue", session)
    for wait in waits:
        screen.note(f"It {wait.words}{_answer(screen, wait, again)}")
    said = f"{status}: {reason}. " if reason else ""
    match status:
        case "error" | "failed":
            more = "" if go_on else f", or say something more: {again} --prompt TEXT"
            screen.note(f"{said}Try again: {again}{more}")
        case "aborted" | "interrupted":
            screen.note(f"{said}Go on: {again}")
        case "limit":
            screen.note(f"{said}Go on with what it has: {again} --prompt TEXT" if not go_on else said)
        case "stuck":
            screen.note("Mend what it says; the next worker that starts goes on with it.")
        case "refused":
            screen.note(f"{said}Say it otherwise: refold fork {session} --before N, or say something more")
        case _:
            pass


def _answer(screen: Screen, wait: Waiting, again: str) -> str:
    """Say how a wait is answered."""
    decide = screen.command("decide", wait.session, wait.key)
    match wait.reason:
        case "approval":
            return f": {decide} --approve (or --deny), then {again}"
        case "sleep" | "retry":
            return ""
        case "inbox":
            return f": {screen.command('send', wait.session)} MESSAGE"
        case "in_doubt":
            return f": {decide} rerun (or fail), then {again}"
        case "repeat":
            return f": {decide} rerun (or adopt, or fail), then {again}"
        case _:
            return f": {decide} VALUE, then {again}"
