"""A database of every released format opens, reads as it was written, verifies, and can be gone on with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from eventsource.events import Custom
from eventsource.log import open_store
from tests.golden.write_database import told

FOLDERS = sorted(path.parent for path in (Path(__file__).parents[2] / "golden").glob("*/log.db"))


def test_a_database_of_the_first_release_is_kept() -> None:
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_a_released_database_reads_as_it_was_written_and_goes_on(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "log.db", tmp_path / "log.db")
    written = json.loads((folder / "log.json").read_text(encoding="utf-8"))
    async with open_store(str(tmp_path / "log.db")) as store:
        assert json.loads(json.dumps(await told(store))) == written
        assert (await store.verify()).ok
        assert await store.rebuild() == 0
        for session, row in written.items():
            assert await store.append(session, [(1, Custom(kind="later"))], expected=row["head"]) == row["head"] + 1
        assert (await store.verify()).ok
