"""The command `serve`: let others read, follow, steer and answer sessions over HTTP."""

from __future__ import annotations

import os
from pathlib import Path

import click

from eventsource.machine.state import State

from ..agent import Agent
from ..log import Log
from .arguments.address import address_options, is_loopback, print_address
from .arguments.agents import agent_options, named_model, open_named_agent, recorded_agent
from .arguments.tasks import find_tasks
from .command import command
from .exit_codes import OK
from .terminal.screen import Screen


@command(
    "serve",
    ("refold serve", "on port 8799, until Ctrl-C; the token that it asks for is in a file beside the log"),
    ("refold serve --read-only", "nothing can be changed"),
    ("refold serve --agent my_agents:weather --allow-run", "and it runs your agent when it is asked to"),
    ("refold serve --socket refold.sock", "on a Unix socket, for yourself alone"),
    creates=True,
)
@address_options(8799)
@agent_options
@click.option("--socket", metavar="PATH", help="Listen on a Unix socket of this name, in place of an address.")
@click.option("--read-only", is_flag=True, help="Offer nothing that changes the log.")
@click.option("--allow-run", is_flag=True, help="Run agents when asked to: it costs money, and tools run here.")
@click.option(
    "--tasks", "apps", metavar="MODULE[:NAME]", multiple=True, help="Tasks that can be started; a worker runs them."
)
@click.option("--public-url", metavar="URL", default="", help="By which address others reach this server, for links.")
async def serve(
    screen: Screen,
    log: Log,
    host: str,
    port: int,
    allow_hosts: tuple[str, ...],
    model_name: str | None,
    agent_name: str | None,
    system: str | None,
    socket: str | None,
    read_only: bool,
    allow_run: bool,
    apps: tuple[str, ...],
    public_url: str,
) -> int:
    """Let others read, follow live, steer and answer this log's sessions over HTTP, also while other processes write.

    Whoever asks bears a token: the one in REFOLD_TOKEN, else one that is kept beside the log, for its owner alone. What
    can be asked for is described at /openapi.json.
    """
    from ..http import ServerUnavailableError

    try:
        from ..http import serving_log
        from ..http.api.credentials import VARIABLE, server_token, token_path
    except ImportError as error:
        raise ServerUnavailableError("serving needs starlette and uvicorn: pip install 'refold[server]'") from error

    if read_only and allow_run:
        raise click.UsageError("--allow-run goes without --read-only: a run is written to the log")
    if socket is None and not is_loopback(host) and not os.environ.get(VARIABLE):
        raise click.UsageError(f"--host {host}: other machines can ask there; give a token of your own in {VARIABLE}")
    place = screen.log.path
    if place is None and not os.environ.get(VARIABLE):
        raise click.UsageError(
            f"a log on a server has no file beside it for a token: give one of your own in {VARIABLE}"
        )
    token = server_token(place, os.environ.get(VARIABLE))
    async with open_named_agent(agent_name, model_name, system) as (agent, deps):
        model = named_model(model_name) if model_name is not None and agent is None else None

        def choose(session: str, state: State) -> tuple[Agent[object], object]:
            return (agent, deps) if agent is not None else (recorded_agent(session, state.config, model, system), None)

        async with serving_log(
            log,
            token=token,
            choose=choose if allow_run else None,
            tasks=[task for app in apps for task in find_tasks(app)],
            read_only=read_only,
            public_url=public_url,
            tell=lambda what: screen.note((what, "red")),
            host=host,
            port=port,
            socket_path=None if socket is None else Path(socket),
            allow_hosts=allow_hosts,
        ) as running:
            print_address("Listening at", running.url)
            where = VARIABLE if place is None or os.environ.get(VARIABLE) else str(token_path(place))
            screen.note((f"Whoever asks bears the token in {where}", "dim"))
            await running.until_interrupted()
    return OK
