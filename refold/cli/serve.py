"""The command `serve`: let others read, follow, steer and answer sessions over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from ..http.server import listening
from ..log import Log
from .arguments.address import address_options, print_address
from .arguments.serving import ServerOptions, served_with, server_options, server_token_for, token_home
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
@server_options
@click.option("--socket", metavar="PATH", help="Listen on a Unix socket of this name, in place of an address.")
@click.option(
    "--tasks", "apps", metavar="MODULE[:NAME]", multiple=True, help="Tasks that can be started; a worker runs them."
)
@click.option("--public-url", metavar="URL", default="", help="By which address others reach this server, for links.")
async def serve(
    screen: Screen,
    log: Log,
    port: int,
    socket: str | None,
    apps: tuple[str, ...],
    public_url: str,
    **options: Unpack[ServerOptions],
) -> int:
    """Let others read, follow live, steer and answer this log's sessions over HTTP, also while other processes write.

    Whoever asks bears a token: the one in REFOLD_TOKEN, else one that is kept beside the log, for its owner alone. What
    can be asked for is described at /openapi.json; at / there is a page, which `refold ui` opens.
    """
    token = server_token_for(screen, options, socket=socket is not None)
    async with served_with(screen, log, options, token=token, apps=apps, public_url=public_url) as served:
        from ..http.api.serving import serving_at

        path = None if socket is None else Path(socket)
        with listening(options["host"], port, path) as at:
            async with serving_at(
                at, served, read_only=options["read_only"], allow_hosts=options["allow_hosts"]
            ) as running:
                print_address("Listening at", running.url)
                screen.note((f"Whoever asks bears the token in {token_home(screen)}", "dim"))
                await running.until_interrupted()
    return OK
