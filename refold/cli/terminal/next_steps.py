"""How a run ended or stands, and what to do next: a command that can be copied, as `Next: ...`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from eventsource.log.load import load_state
from eventsource.machine.state import Config

from ...models import is_vendor_model
from ...session import Session
from ...session_tree import root_starter
from ...waits import Waiting
from ..arguments.tools import FILES, selected_tools
from .screen import Screen

AGENT = ("--agent", "MODULE:NAME")


def print_next(screen: Screen, *words: str) -> None:
    """Print what to do next."""
    screen.note(("Next: ", "dim"), *words)


def required_options(config: Config) -> list[str]:
    """List the options without which `continue` cannot continue a session: those for its tools, and its model.

    Those that this command line has are among them, with their values.
    """
    context = click.get_current_context(silent=True)
    given = context.params if context is not None else {}
    if given.get("agent_name") is not None:
        return ["--agent", str(given["agent_name"])]
    names = {spec.name for spec in config.tools}
    options = selected_tools().options() if context is not None and names else []
    if names and not options:
        if not names <= {*FILES, "bash"}:
            return [*AGENT]
        options = ["--tools"] * bool(names & {*FILES}) + ["--bash"] * ("bash" in names)
    if not is_vendor_model(config.model):
        options += ["-m", str(given.get("model_name") or "MODEL")]
    return options


async def continue_command(screen: Screen, session: Session, *more: str) -> str:
    """Return the command that continues a session, or the one that started it.

    Args:
        more: behind it, where it is `continue`.
    """
    info = await root_starter(session.core.log, await session.info())
    _, state = await load_state(session.core.log, info.id)
    if state.task:
        return screen.command("worker", "MODULE")
    return screen.command("continue", info.id, *required_options(state.config), *more)


async def print_next_steps(screen: Screen, session: Session) -> None:
    """Print what to do next with a session that was changed: how to answer its waits, or how it goes on."""
    again, waits = await continue_command(screen, session), await session.waits()
    for wait in waits:
        print_next(screen, answer_command(screen, wait, again))
    if not waits:
        print_next(screen, again)


def print_outcome(
    screen: Screen,
    session: str,
    status: str,
    reason: str,
    waits: Sequence[Waiting],
    *,
    again: str,
    waits_shown: bool = False,
) -> None:
    """Print how a run ended that is not done, and what to do next; nothing when it is done.

    Args:
        again: the command that continues it.
        waits_shown: the waits are on the screen already.
    """
    for wait in waits:
        if not waits_shown:
            screen.note(f"It {wait.words}")
        print_next(screen, answer_command(screen, wait, again))
    if reason:
        screen.note(f"{status}: {reason}")
    say_more = f"{again} --prompt TEXT" if " continue " in again else ""
    match status:
        case "error" | "failed":
            print_next(screen, again, f", or say something more: {say_more}" if say_more else "")
        case "aborted" | "interrupted" | "queued":
            print_next(screen, again)
        case "limit":
            print_next(screen, say_more or again)
        case "stuck":
            print_next(screen, again, ", once what it says is mended")
        case "refused":
            print_next(screen, screen.command("fork", session, "--before", "N"), ", and say it otherwise")
        case _:
            pass


def answer_command(screen: Screen, wait: Waiting, again: str) -> str:
    """Return the command that answers a wait, and the one that then continues its session."""
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
        case "child" if wait.queue:
            return screen.command("worker", "MODULE", "--queue", wait.queue)
        case "child":
            return again
        case _:
            return f"{screen.command('complete', wait.token)} VALUE, then {again}"
