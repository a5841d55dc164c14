"""A served log, asked as a page asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from refold import Log
from refold.http import serving_log
from refold.http.api.agent_runs import Chooser

TOKEN = "t" * 32


class Page:
    """Asks a server for JSON."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, status: int = 200, **query: object) -> Any:
        """Ask for something, and hold its status to what is expected."""
        params = {name: str(value) for name, value in query.items()} or None
        answer = await self.client.get(f"/api{path}", params=params)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: object = None, status: int = 200, **query: object) -> Any:
        """Have something done, with the header that a page sends."""
        params = {name: str(value) for name, value in query.items()}
        answer = await self.client.post(f"/api{path}", json=body or {}, params=params, headers={"X-Refold": "1"})
        assert answer.status_code == status, answer.text
        return answer.json()


@asynccontextmanager
async def served_page(log: Log, *, choose: Chooser | None = None, read_only: bool = False) -> AsyncIterator[Page]:
    """Serve a log, and open a page on it."""
    async with serving_log(log, token=TOKEN, choose=choose, read_only=read_only) as running:
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=running.url, headers=headers, trust_env=False, timeout=60) as client:
            yield Page(client)
