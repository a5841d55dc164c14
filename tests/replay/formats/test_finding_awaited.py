"""Sessions of an agent that has not begun to keep any, while they are waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventsource.errors import TranscriptError
from replay.formats.finding import Finder
from tests.refold.cli.kept_sessions import claude


def test_an_agents_folder_that_is_not_there_is_an_error_but_where_it_is_awaited(tmp_path: Path) -> None:
    finder, environment = Finder(), {"CLAUDE_CONFIG_DIR": str(tmp_path / ".claude")}
    with pytest.raises(TranscriptError, match="it is not there"):
        finder.kept_by("claude-code", environment)
    folder, found = finder.kept_by("claude-code", environment, awaited=True)
    assert (folder, found) == (tmp_path / ".claude" / "projects", [])
    file = claude(tmp_path, "one", "Hello?")
    assert [getattr(one, "path", "") for one in finder.kept_by("claude-code", environment, awaited=True)[1]] == [file]
