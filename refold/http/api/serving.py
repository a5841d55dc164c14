"""Serving a log: the interface, a server around it, and an order in which both end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from eventsource.errors import ArgumentError
from eventsource.user_code.error_words import words

from ...log import Log
from ...tasks.task import Task
from ..server import LOOPBACK, Serving, serving
from .agent_runs import AgentRuns, Chooser
from .api import LIMITS, Api
from .page import PAGE
from .problems import refusal
from .served import Served
from .v1 import ROUTES


@asynccontextmanager
async def serving_log(
    log: Log,
    *,
    token: str,
    choose: Chooser | None = None,
    tasks: Sequence[Task[object, object]] = (),
    read_only: bool = False,
    public_url: str = "",
    tell: Callable[[str], None] = lambda what: None,
    host: str = LOOPBACK,
    port: int = 0,
    socket_path: Path | None = None,
    allow_hosts: Sequence[str] = (),
) -> AsyncIterator[Serving]:
    """Serve an open log over HTTP until the block ends; then streams are ended, and runs handed back.

    Args:
        token: what a client must bear (`Authorization: Bearer TOKEN`).
        choose: gives the agent and deps for a session; without it this process runs nothing.
        tasks: those that can be started, for a worker.
        read_only: nothing can be changed.
        public_url: by which address others reach it, for links; its host is allowed then.
        tell: hears in a sentence of what went wrong and no client can be told.
        host, port, socket_path, allow_hosts: as `serving` takes them.

    Raises: ServerUnavailableError; ArgumentError for a token that is too short, or a public URL that is none.
    """
    if len(token) < 16:
        raise ArgumentError("serving_log", "token", "16 characters at least", f"{len(token)}")
    if public_url and urlsplit(public_url).scheme not in ("http", "https"):
        raise ArgumentError("serving_log", "public_url", "http://... or https://...", repr(public_url))
    runs = None
    if choose is not None:
        runs = AgentRuns(choose, lambda session, error: tell(f"session {session}: {words(error)}"))
    served = Served(
        log,
        token,
        runs=runs,
        tasks={task.id: task for task in tasks},
        public_url=public_url,
        tell=lambda where, error: tell(f"{where}: {words(error, typed=True)}"),
    )
    api = Api(served, (*ROUTES, *PAGE), read_only=read_only)
    async with serving(
        api.answer,
        host=host,
        port=port,
        socket_path=socket_path,
        allow_hosts=[*allow_hosts, *([named] if (named := urlsplit(public_url).hostname) else [])],
        limits=LIMITS,
        refusal=refusal,
    ) as running:
        try:
            yield running
        finally:
            await served.stop()
