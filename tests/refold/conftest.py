from __future__ import annotations

from pathlib import Path

import pytest

from tests.refold.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Make a shell in an empty folder."""
    return Shell(tmp_path)
