"""The log in memory keeps the contract of stores."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest

from eventsource.errors import StoreError
from eventsource.events import Event
from eventsource.log import open_store
from eventsource.log.contract.append_read import LogContract
from eventsource.log.memory import MemoryLog
from eventsource.log.protocol import EventLog


class TestMemoryLog(LogContract):
    def open(self) -> AbstractAsyncContextManager[EventLog]:
        return open_store()

    async def overwrite(self, log: EventLog, session: str, seq: int, event: Event | None, *, erased: bool) -> None:
        assert isinstance(log, MemoryLog)
        own = log._sessions[session]
        if event is None:
            own.drop({seq})
        else:
            own.replace(seq, event, erased=erased)


async def test_a_log_in_memory_cannot_be_copied_to_a_file() -> None:
    async with open_store() as log:
        with pytest.raises(StoreError, match="no file"):
            await log.backup("copy.db")


async def test_a_closed_log_says_so() -> None:
    async with open_store() as log:
        session = (await log.create()).id
    with pytest.raises(StoreError, match="closed"):
        await log.info(session)
