"""A log is named by a path or by a URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventsource.errors import StoreError
from eventsource.log import open_store
from eventsource.log.place import file_of, is_server, secrets_of, shown


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
    with pytest.raises(StoreError, match="mysql://: this release has no such store") as refused:
        async with open_store("mysql://me:hunter2@host/db"):
            pass
    assert "hunter2" not in str(refused.value)


def test_a_server_is_shown_without_its_password() -> None:
    for place, told in {
        "postgresql://me:hunter2@host:5433/db?sslmode=require": "postgresql://me@host:5433/db?sslmode=require",
        "postgres://me:a@b:c@host/db": "postgresql://me@host/db",
        "postgresql:///db?user=me&password=hunter2&sslpassword=x": "postgresql:///db?user=me",
        "postgresql://host/db?options=-csearch_path%3Dmine": "postgresql://host/db?options=-csearch_path%3Dmine",
        "postgresql://me:hunter2@[::1/db": "postgresql://...",
    }.items():
        assert is_server(place)
        assert shown(place) == told
        for secret in secrets_of(place):
            assert secret not in told
    assert set(secrets_of("postgresql://me:p%40ss@host/db")) == {"p%40ss", "p@ss", "p%2540ss"}
    for file in ("runs.db", "sqlite:///runs.db", Path("runs.db")):
        assert not is_server(file)
        assert shown(file) == str(file)
    with pytest.raises(StoreError, match="it names a server, and a file is needed here"):
        file_of("postgresql://host/db")
