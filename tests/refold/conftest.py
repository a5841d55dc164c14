from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from refold.views.index import SessionIndex
from tests.refold.shell import Shell


@pytest.fixture(autouse=True, scope="session")
def _patience() -> Iterator[None]:
    """Let what a page or a shell waits a second for take a minute: this machine may be slow."""
    with pytest.MonkeyPatch.context() as patch:
        for asks in (SessionIndex.whole, SessionIndex.at):
            assert asks.__kwdefaults__ is not None
            patch.setitem(asks.__kwdefaults__, "patience_s", 60.0)
        patch.setattr("refold.cli.arguments.completion._WAIT_S", 60.0)
        yield


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Make a shell in an empty folder."""
    return Shell(tmp_path)
