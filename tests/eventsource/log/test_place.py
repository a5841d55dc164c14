"""A log is named by a path or by a URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventsource.errors import StoreError
from eventsource.log import open_store
from eventsource.log.place import file_of


def test_a_path_is_a_path_whatever_is_in_it() -> None:
    for text in ("runs.db", "a b/runs.db", "c:/runs.db", "a:b", "http:/x", "1://x", "~/runs.db"):
        assert file_of(text) == Path(text)
    assert file_of(Path("sqlite:///x")) == Path("sqlite:///x")


def test_a_url_of_sqlite_names_a_file() -> None:
    assert file_of("sqlite:///runs.db") == Path("runs.db")
    assert file_of("SQLite:////data/runs.db") == Path("/data/runs.db")
    for text in ("sqlite://", "sqlite:///", "sqlite://runs.db"):
        with pytest.raises(StoreError, match="names no file"):
            file_of(text)


async def test_a_log_is_opened_by_its_url(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path}/log.db") as log:
        await log.create("one")
    async with open_store(tmp_path / "log.db") as log:
        assert (await log.info("one")).id == "one"


async def test_a_store_that_there_is_none_of_is_refused_without_its_password() -> None:
    with pytest.raises(StoreError, match="postgresql://: this release has no such store") as refused:
        async with open_store("postgresql://me:hunter2@host/db"):
            pass
    assert "hunter2" not in str(refused.value)
