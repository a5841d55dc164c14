"""What a server of the log is told on the command line: whom it lets in, and what it may do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypedDict, TypeVar

import click

from eventsource.machine.state import State

from ...log import Log
from ..terminal.screen import Screen
from .address import is_loopback
from .agent_options import agent_options

if TYPE_CHECKING:
    from ...agent import Agent
    from ...http.api.served import Served

F = TypeVar("F", bound=Callable[..., object])


class ServerOptions(TypedDict):
    """The options that all servers of a log have."""

    host: str
    allow_hosts: tuple[str, ...]
    agent_name: str | None
    model_name: str | None
    system: str | None
    read_only: bool
    allow_run: bool


def server_options(function: F) -> F:
    """Add the options that say what a server of the log may do."""
    for option in (
        click.option("--allow-run", is_flag=True, help="Run agents when asked to: it costs money, and tools run here."),
        click.option("--read-only", is_flag=True, help="Offer nothing that changes the log."),
        agent_options,
    ):
        function = option(function)
    return function


def server_token_for(screen: Screen, options: ServerOptions, *, socket: bool = False, told: bool = False) -> str:
    """Return the token that whoever asks must bear; prints a warning if others can ask.

    Args:
        socket: it listens on a Unix socket, which others cannot open.
        told: the command prints the token, so that it may be one that is kept nowhere.

    Raises: UsageError for options that do not go together, or a token that nobody would know.
    """
    from ...http.api.credentials import VARIABLE, server_token

    given, host = os.environ.get(VARIABLE, ""), options["host"]
    if options["read_only"] and options["allow_run"]:
        raise click.UsageError("--allow-run goes without --read-only: a run is written to the log")
    if not socket and not is_loopback(host):
        if not given:
            raise click.UsageError(
                f"--host {host}: other machines can ask there; give a token of your own in {VARIABLE}"
            )
        screen.note((f"What is asked of {host}, and the token, goes over the network in the clear", "yellow"))
    if screen.log.path is None and not given and not told:
        raise click.UsageError(
            f"a log on a server has no file beside it for a token: give one of your own in {VARIABLE}"
        )
    return server_token(screen.log.path, given)


def token_home(screen: Screen) -> str:
    """Return where the token of a server is found: in a variable, or a file."""
    from ...http.api.credentials import VARIABLE, token_path

    place = screen.log.path
    return VARIABLE if place is None or os.environ.get(VARIABLE) else str(token_path(place))


@asynccontextmanager
async def served_with(
    screen: Screen, log: Log, options: ServerOptions, *, token: str, apps: Sequence[str] = (), public_url: str = ""
) -> AsyncIterator[Served]:
    """Open the agent that was named, and put together what the log is served with.

    Raises: UsageError; ArgumentError.
    """
    from ...http.api.serving import served_log
    from .agents import named_model, open_named_agent, recorded_agent
    from .tasks import find_tasks

    agent_name, model_name, system = options["agent_name"], options["model_name"], options["system"]
    async with open_named_agent(agent_name, model_name, system) as (agent, deps):
        model = named_model(model_name) if model_name is not None and agent is None else None

        def choose(session: str, state: State) -> tuple[Agent[object], object]:
            return (agent, deps) if agent is not None else (recorded_agent(session, state.config, model, system), None)

        yield served_log(
            log,
            token=token,
            choose=choose if options["allow_run"] else None,
            tasks=[task for app in apps for task in find_tasks(app)],
            public_url=public_url,
            tell=lambda what: screen.note((what, "red")),
        )
