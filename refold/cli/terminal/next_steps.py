"""How a run ended or stands, and what to do next: a command that can be copied, as `Next: ...`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from eventsource.log.load import load_state
from eventsource.machine.state import Config

from ...family import first_starter
from ...models import is_a_vendors
from ...session import Session
from ...waits import Waiting
from ..arguments.tools import FILES, toolbelt
from .screen import Screen

AGENT = ("--agent", "MODULE:NAME")


def next_note(screen: Screen, *words: str) -> None:
    """Say what to do next."""
    screen.note(("Next: ", "dim"), *words)


def needed(config: Config) -> list[str]:
    """List the options without which `continue` cannot go on with a session: whose its tools are, and who answers.

    What this command line says of them is said again.
    """
    context = click.get_current_context(silent=True)
    given = context.params if context is not None else {}
    if given.get("agent_name") is not None:
        return ["--agent", str(given["agent_name"])]
    names = {spec.name for spec in config.tools}
    options = toolbelt().options() if context is not None and names else []
    if names and not options:
        if not names <= {*FILES, "bash"}:
            return [*AGENT]
        options = ["--tools"] * bool(names & {*FILES}) + ["--bash"] * ("bash" in names)
    if not is_a_vendors(config.model):
        options += ["-m", str(given.get("model_name") or "MODEL")]
    return options


async def going_on(screen: Screen, session: Session, *more: str) -> str:
    """Spell out the command that goes on with a session, or with the one that started it.

    Args:
        more: behind it, where it is `continue`.
    """
    info = await first_starter(session.core.log, await session.info())
    _, state = await load_state(session.core.log, info.id)
    if state.task:
        return screen.command("worker", "MODULE")
    return screen.command("continue", info.id, *needed(state.config), *more)


async def tell_next(screen: Screen, session: Session) -> None:
    """Say what to do next with a session that was changed: how to answer what it waits for, or how it goes on."""
    again, waits = await going_on(screen, session), await session.waits()
    for wait in waits:
        next_note(screen, answer(screen, wait, again))
    if not waits:
        next_note(screen, again)


def tell_end(
    screen: Screen, session: str, status: str, reason: str, waits: Sequence[Waiting], *, again: str, said: bool = False
) -> None:
    """Say what is to be known when a run is not done; nothing when it is.

    Args:
        again: what makes it go on.
        said: the waits are on the screen already.
    """
    for wait in waits:
        if not said:
            screen.note(f"It {wait.words}")
        next_note(screen, answer(screen, wait, again))
    if reason:
        screen.note(f"{status}: {reason}")
    say_more = f"{again} --prompt TEXT" if " continue " in again else ""
    match status:
        case "error" | "failed":
            next_note(screen, again, f", or say something more: {say_more}" if say_more else "")
        case "aborted" | "interrupted" | "queued":
            next_note(screen, again)
        case "limit":
            next_note(screen, say_more or again)
        case "stuck":
            next_note(screen, again, ", once what it says is mended")
        case "refused":
            next_note(screen, screen.command("fork", session, "--before", "N"), ", and say it otherwise")
        case _:
            pass


def answer(screen: Screen, wait: Waiting, again: str) -> str:
    """Spell out how a wait is answered, and what then makes its session go on."""
    decide = screen.command("decide", wait.token)
    match wait.reason:
        case "approval":
            return f"{decide} --approve (or --deny), then {again}"
        case "sleep":
            return f"{again} (when it is time), or {decide} --cancel (to wait no longer)"
        case "retry" if wait.step:
            return f"{again} (when it is time), or {decide} null (to try at once)"
        case "retry":
            return f"{again} (when it is time)"
        case "inbox":
            return f"{screen.command('send', wait.session)} MESSAGE, then {again}"
        case "in_doubt":
            return f"{decide} rerun (or fail), then {again}"
        case "repeat":
            return f"{decide} rerun (or adopt, or fail), then {again}"
        case _:
            return f"{screen.command('complete', wait.token)} VALUE, then {again}"
