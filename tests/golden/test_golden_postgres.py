"""A log in PostgreSQL that an earlier release made opens, verifies, moves into a file and is gone on with, for ever."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from eventsource.errors import StoreError
from eventsource.log import open_store
from eventsource.log.copying import copy_log
from eventsource.log.postgres.schema import make_log, renew_log
from eventsource.log.postgres.server import Server
from refold import open_log
from refold.tasks import Worker
from tests.golden.write_database import told
from tests.golden.write_postgres import errand, restore
from tests.postgres import empty_schema

FOLDERS = sorted(path.parent for path in Path(__file__).parent.glob("*/postgres.sql.xz"))


def restored(folder: Path, place: str) -> None:
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {place.rpartition('%3D')[2]}")
    restore(lzma.decompress((folder / "postgres.sql.xz").read_bytes()), place)


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def place(folder: Path, postgres: str) -> Iterator[str]:
    """Restore a release's log, and bring it up to date as `refold db upgrade` does."""
    with empty_schema(postgres) as url:
        restored(folder, url)
        renew_log(Server(url))
        yield url


@pytest.mark.slow
async def test_a_release_s_log_says_the_same_and_moves_into_a_file(folder: Path, place: str, tmp_path: Path) -> None:
    written = json.loads(lzma.decompress((folder / "postgres.json.xz").read_bytes()))
    async with open_store(place) as store:
        assert (await store.verify()).ok
        assert json.loads(json.dumps(await told(store))) == written
        assert await store.search("coat")
        assert await copy_log(store, tmp_path / "copy.db") == len(written)
    async with open_store(tmp_path / "copy.db") as copy:
        assert json.loads(json.dumps(await told(copy))) == written


@pytest.mark.slow
async def test_a_release_s_log_is_gone_on_with(place: str) -> None:
    async with open_log(place) as log:
        (run,) = [info for info in await log.list(unfinished=True) if info.task == "errand"]
        worker = Worker(log, [errand], queues=["errands"])
        await worker.drain()
        await log.complete(f"{run.id}:go", "gone")
        await worker.drain()
        assert (await (await log.find(run.id)).info()).status == "idle"
        fork = await (await log.session("oslo")).fork(title="later")
        await fork.label("there", 1)
        await (await log.session("closed")).label("it goes on", 1)
        assert (await log.verify()).ok


def test_what_a_log_lacks_is_made_and_what_no_release_made_is_refused(postgres: str) -> None:
    """A log that was made before a table, an index or a trigger was thought of; and one that lacks a column."""
    with empty_schema(postgres) as url:
        make_log(Server(url))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP TABLE search_tools; DROP INDEX first_titled; DROP VIEW history;")
            connection.execute("DROP TRIGGER events_stay ON events")
            renew_log(Server(url))
            connection.execute("SELECT * FROM search_tools, history")
            kinds = connection.execute(
                "SELECT count(*) FROM pg_indexes WHERE indexname = 'first_titled' AND schemaname = current_schema()"
            )
            assert kinds.fetchone() == (1,)
            with pytest.raises(psycopg.errors.RaiseException, match="deleted with its whole session"):
                connection.execute(
                    "INSERT INTO events (id, at_us, body) VALUES (1, 1, '{}'); DELETE FROM events WHERE id = 1"
                )
            connection.execute("ALTER TABLE sessions DROP COLUMN searched")
            with pytest.raises(StoreError, match="table sessions has no column searched"):
                renew_log(Server(url))
            connection.execute("UPDATE refold_format SET number = 3")
            with pytest.raises(StoreError, match="format 3"):
                renew_log(Server(url))
