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
from .. import server
from ..server import LOOPBACK, Listening, Serving, listening
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
    served = served_log(log, token=token, choose=choose, tasks=tasks, public_url=public_url, tell=tell)
    with listening(host, port, socket_path) as at:
        async with serving_at(at, served, read_only=read_only, allow_hosts=allow_hosts) as running:
            yield running


def served_log(
    log: Log,
    *,
    token: str,
    choose: Chooser | None = None,
    tasks: Sequence[Task[object, object]] = (),
    public_url: str = "",
    tell: Callable[[str], None] = lambda what: None,
) -> Served:
    """Put together what a log is served with; see `serving_log`. Raises: ArgumentError."""
    if len(token) < 16:
        raise ArgumentError("serving_log", "token", "16 characters at least", f"{len(token)}")
    if public_url and urlsplit(public_url).scheme not in ("http", "https"):
        raise ArgumentError("serving_log", "public_url", "http://... or https://...", repr(public_url))
    runs = None
    if choose is not None:
        runs = AgentRuns(choose, lambda session, error: tell(f"session {session}: {words(error)}"))
    return Served(
        log,
        token,
        runs=runs,
        tasks={task.id: task for task in tasks},
        public_url=public_url,
        tell=lambda where, error: tell(f"{where}: {words(error, typed=True)}"),
    )


@asynccontextmanager
async def serving_at(
    at: Listening, served: Served, *, read_only: bool = False, allow_hosts: Sequence[str] = ()
) -> AsyncIterator[Serving]:
    """Serve at an address that is listened at already, until the block ends; see `serving_log`."""
    api = Api(served, (*ROUTES, *PAGE), read_only=read_only)
    public_host = urlsplit(served.public_url).hostname
    async with server.serving_at(
        at,
        api.answer,
        allow_hosts=[*allow_hosts, *([public_host] if public_host else [])],
        limits=LIMITS,
        refusal=refusal,
    ) as running:
        try:
            yield running
        finally:
            await served.stop()
