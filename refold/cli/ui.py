"""The command `ui`: the page in which sessions are read, forked and followed, on a server of its own."""

from __future__ import annotations

import asyncio
import os
import sys
import webbrowser
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Unpack
from urllib.parse import quote

import click

from eventsource.background import running

from ..http.api.credentials import page_address
from ..http.server import listening
from ..log import Log
from .arguments.address import address_options, print_address
from .arguments.serving import ServerOptions, served_with, server_options, server_token_for
from .arguments.session_files import check_session_files, session_file_options
from .command import command
from .exit_codes import OK
from .terminal.screen import Screen

PORT = 8799
_OTHERS = (*range(PORT + 1, PORT + 10), 0)


@command(
    "ui",
    ("refold ui", "the page of all sessions, until Ctrl-C"),
    (
        "refold ui session.jsonl",
        "of a session file of Claude Code, Codex, Gemini CLI, opencode or pi: imports it first",
    ),
    ("refold ui --from claude-code --watch", "of what Claude Code keeps of this folder, as it grows"),
    ("refold ui --agent my_agents:weather --allow-run", "and forks can be run from the page"),
    creates=True,
)
@session_file_options
@address_options(None, port_help=f"By default {PORT}, or the next one that is free; 0: a free one.")
@server_options
@click.option("--no-open", is_flag=True, help="Open no browser; the address is printed anyway.")
async def ui(
    screen: Screen,
    log: Log,
    files: tuple[str, ...],
    agent: str | None,
    all_: bool,
    since: int,
    watch: bool,
    port: int | None,
    no_open: bool,
    **options: Unpack[ServerOptions],
) -> int:
    """Read sessions in a page: what was said, what each model call was sent and why, at any event; fork from any.

    Files are imported first, as `refold import` does. The page is for you alone: the address that is printed has the
    token that opens it. It loads nothing from elsewhere, and works offline.
    """
    check_session_files(files, agent, all_=all_)
    if watch and not files and not agent:
        raise click.UsageError("--watch goes with files or folders, or an agent with --from")
    token = server_token_for(screen, options, told=True)
    session, follow, code = None, list[Callable[[], Coroutine[None, None, None]]](), OK
    if files or agent:
        from .programs.importing import Importing, SessionFiles, import_all, watch_files

        work = Importing(screen, log, here=bool(agent) and not all_, advises=False, awaited=watch)
        source = SessionFiles(files, agent, all_=all_, since_us=since, watched=watch)
        await import_all(screen, source, work, alone=len(files) == 1 and not watch)
        if work.code and not work.sessions and not watch:
            return work.code
        session, code = work.only_session, work.code
        follow = [partial(watch_files, screen, log, source, work)] if watch else []
    path = "/" if session is None else f"/s/{quote(session, safe='')}"
    first, others = (PORT, _OTHERS) if port is None else (port, ())
    async with AsyncExitStack() as stack:
        at = stack.enter_context(listening(options["host"], first, others=others))
        serves = served_with(screen, log, options, token=token)
        named = options["agent_name"] is not None or options["model_name"] is not None
        served = await stack.enter_async_context(serves) if named else None  # it may be none: then there is no page
        print_address("The page is at", page_address(at.url + path, token))

        from ..http.api.serving import serving_at  # whoever connects by now waits for it

        if served is None:
            served = await stack.enter_async_context(serves)
        server = await stack.enter_async_context(
            serving_at(at, served, read_only=options["read_only"], allow_hosts=options["allow_hosts"])
        )
        if not no_open and _is_seen(screen):
            opened = await asyncio.to_thread(webbrowser.open, at.url + served.openings.make(path))
            screen.note(("Ctrl-C ends it" if opened else "no browser could be started: open that address", "dim"))
        async with running(server.until_interrupted(), *(one() for one in follow)) as tasks:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
    return code


def _is_seen(screen: Screen) -> bool:
    """Return whether somebody sits before this command, with a screen on which a browser can be."""
    has_screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return has_screen and not screen.as_json and sys.stdout.isatty()
