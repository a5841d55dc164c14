"""What routes have: the log that is served, who may ask, live streams, and what this process may run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...log import Log
from ...tasks.task import Task
from ...views.index import SessionIndex
from .agent_runs import AgentRuns
from .hub import Hub
from .openings import Openings
from .table_watch import TableWatch


@dataclass
class Served:
    """A log that is served.

    token: what a client must bear. runs: agents that this process may run, if any. tasks: those that can be started, by
    id. public_url: by which address others reach it, for links; else its own. tell: hears of what should not have
    happened, and where. describe: writes the document of all that can be asked for. is_written: it may be changed.
    """

    log: Log
    token: str = field(repr=False)
    runs: AgentRuns | None = None
    tasks: Mapping[str, Task[object, object]] = field(default_factory=dict)
    public_url: str = ""
    tell: Callable[[str, Exception], None] = lambda where, error: None
    describe: Callable[[], dict[str, Any]] = dict  # a document, not data of ours
    is_written: bool = True

    def __post_init__(self) -> None:
        """Prepare the live streams, what is kept folded for the page, and links that open it."""
        self.public_url = self.public_url.rstrip("/")
        self.openings = Openings(self.token)
        self.hub = Hub(self.log.store)
        self.index = SessionIndex(self.log.store)
        self.table = TableWatch(self.log.store)

    def link_base(self, host: str) -> str:
        """Return where links begin: the public address, else the one that the client asked by (its Host)."""
        return self.public_url or f"http://{host}"

    async def stop(self) -> None:
        """End what is under way: streams are told so, runs are handed back, so that another process can go on."""
        await self.hub.stop()
        await self.table.close()
        await self.index.close()
        if self.runs is not None:
            await self.runs.stop()
