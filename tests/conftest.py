"""What every test may ask for: real inputs, a log of each kind, and the order tests run in."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import Phase

from eventsource.log.protocol import EventLog
from tests.postgres import empty_log, server_of_this_run

ROOT = Path(__file__).parents[1]

hypothesis.settings.register_profile("quick", max_examples=40, deadline=None)
hypothesis.settings.register_profile("check", max_examples=40, deadline=None, derandomize=True)
hypothesis.settings.register_profile(  # what fails is enough to know, the smallest example is not needed
    "mutants", max_examples=25, deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
)
hypothesis.settings.register_profile("thorough", max_examples=2_000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.hookimpl(trylast=True)  # the plugin of properties has marked them by then
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run whatever is quick first, then the properties, then the slow tests, then the faults."""
    items.sort(
        key=lambda item: (
            bool(item.get_closest_marker("faults")),
            bool(item.get_closest_marker("slow")),
            bool(item.get_closest_marker("hypothesis")),
        )
    )


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Say where the recorded inputs would be."""
    return Path(os.environ.get("REFOLD_DATA", ROOT / ".." / "shared" / "data")).resolve()


@pytest.fixture(scope="session")
def data(data_folder: Path) -> Path:
    """Find the folder of recorded inputs, or skip."""
    if not data_folder.is_dir():
        pytest.skip(f"needs recorded inputs; there is no folder {data_folder} (set REFOLD_DATA)")
    return data_folder


@pytest.fixture(scope="session")
def postgres() -> str:
    """Start a server, one for all processes that test, or skip. Returns: its URL."""
    return server_of_this_run()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventLog]:
    """Open an empty log of each kind."""
    from eventsource.log import open_store

    if request.param == "postgres":
        with empty_log(request.getfixturevalue("postgres")) as url:
            async with open_store(url) as store:
                yield store
        return
    async with open_store(tmp_path / "log.db" if request.param == "sqlite" else None) as store:
        yield store
