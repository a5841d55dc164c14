"""What can be typed in a conversation beside things to say: /fork, /tree and the like."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from eventsource.log.load import load
from projections import CONTEXT, fork_tree, read_transcript, tree_lines

from ...session import Session
from ...session_tree import related_sessions
from ...spending import spending
from ..arguments.agents import named_model
from ..terminal.messages import print_message
from ..terminal.spending import print_spending

if TYPE_CHECKING:
    from .conversation import Conversation

_SHOWN = 10


@dataclass(frozen=True)
class SlashCommand:
    """A slash command: a function of the rest of the line, what may stand there, and its line in `/help`."""

    action: Callable[[Conversation, str], Awaitable[None]]
    argument: str
    help: str


def find_command(line: str) -> tuple[str, str]:
    """Read a line that begins with a slash: the command's name, and what follows it. Raises: UsageError."""
    name, _, argument = line[1:].strip().partition(" ")
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f"did you mean /{near[0]}? " if near else ""
        raise click.UsageError(f"No command /{name}; {meant}/help lists them. A blank before the slash says it.")
    return name, argument.strip()


def _session(chat: Conversation) -> Session:
    if chat.session is None:
        raise click.UsageError("Nothing was said yet.")
    return chat.session


def _resting(chat: Conversation) -> None:
    if chat.working:
        raise click.UsageError("An answer is under way: Ctrl-C stops it, or wait for its end.")


async def _fork(chat: Conversation, argument: str) -> None:
    """Go on in a fork, from the head or from a seq."""
    session = _session(chat)
    _resting(chat)
    if argument and not argument.isdecimal():
        raise click.UsageError(f"/fork {argument}: expected a seq; /show has them")
    chat.session = fork = await session.fork(at=int(argument) if argument else None)
    shared = (await fork.info()).fork_seq
    chat.screen.note(f"Session {fork.id} shares events 1 to {shared} of {session.id}; /open {session.id} goes back.")
    await chat.print_unfinished(fork)


async def _open(chat: Conversation, argument: str) -> None:
    """Go on in another session."""
    _resting(chat)
    if not argument:
        raise click.UsageError("/open: expected a session: an id, the beginning of one, or a title")
    chat.session = await chat.log.find(argument)
    await chat.print_session()


async def _tree(chat: Conversation, argument: str) -> None:
    session = _session(chat)
    rows = (await related_sessions(chat.log.store, session.id)).rows
    for line in tree_lines(fork_tree(rows)):
        here = session.id in line.split()
        chat.screen.line((line, "bold" if here else ""), ("  ← here", "bold green") if here else "")


async def _show(chat: Conversation, argument: str) -> None:
    """Print the last messages with their seqs."""
    session = _session(chat)
    if argument and not argument.isdecimal():
        raise click.UsageError(f"/show {argument}: expected a number of messages")
    reached, _, view = await load(chat.log.store, session.id, context=CONTEXT)
    for one in read_transcript(view)[-(int(argument) if argument else _SHOWN) :]:
        print_message(chat.screen, one, len(str(reached)), full=False)


async def _model(chat: Conversation, argument: str) -> None:
    if argument:
        _resting(chat)
        chat.agent = chat.agent.replace(model=named_model(argument))
    ref = chat.agent.config().model
    chat.screen.note(f"{ref.provider}:{ref.model} answers" if ref is not None else "Nobody answers")


async def _cost(chat: Conversation, argument: str) -> None:
    print_spending(chat.screen, await spending(chat.log.store, _session(chat).id), "model")


async def _continue(chat: Conversation, argument: str) -> None:
    session = _session(chat)
    _resting(chat)
    chat.start(session, None)


async def _help(chat: Conversation, argument: str) -> None:
    width = max(len(f"/{name} {one.argument}") for name, one in COMMANDS.items())
    for name, one in COMMANDS.items():
        chat.screen.line((f"/{name} {one.argument}".ljust(width), "bold"), f"  {one.help}")
    chat.screen.line("What you type while an answer comes is heard before the next model call.")
    chat.screen.line("Ctrl-C stops an answer and keeps the session; Ctrl-D leaves; Tab completes.")


async def _quit(chat: Conversation, argument: str) -> None:
    raise EOFError


COMMANDS: Mapping[str, SlashCommand] = {
    "fork": SlashCommand(_fork, "[SEQ]", "go on in a fork, from here or from a seq"),
    "tree": SlashCommand(_tree, "", "draw this session and its forks"),
    "open": SlashCommand(_open, "NAME", "go on in another session"),
    "show": SlashCommand(_show, "[N]", f"the last messages with their seqs, {_SHOWN} if no number is given"),
    "model": SlashCommand(_model, "[MODEL]", "say who answers, or let another model answer"),
    "cost": SlashCommand(_cost, "", "tokens and money, by model"),
    "continue": SlashCommand(_continue, "", "go on where it stopped, or ask again after an error"),
    "help": SlashCommand(_help, "", "this list"),
    "quit": SlashCommand(_quit, "", "leave; the session is kept"),
}
