"""A log in PostgreSQL does what a dict does, in any order of calls."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import settings

from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from tests.eventsource.log.test_model import Model
from tests.postgres import empty_log, server_of_this_run


class PostgresModel(Model):
    """The same rules, and a schema for each example."""

    def __init__(self) -> None:
        self.schema = ExitStack()
        self.url = self.schema.enter_context(empty_log(server_of_this_run()))
        super().__init__()

    async def open(self) -> EventLog:
        """Open the example's log."""
        return await self.stack.enter_async_context(open_store(self.url, new_id=self.new_id))

    def teardown(self) -> None:
        """Hold that it verifies, and remove it."""
        super().teardown()
        self.schema.close()


PostgresModel.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestPostgresModel = pytest.mark.slow(PostgresModel.TestCase)
