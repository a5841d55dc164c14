"""Every example runs, and its log replays."""

from __future__ import annotations

import inspect
import runpy
from pathlib import Path

import pytest

from refold import open_log

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
async def test_the_example_runs_and_its_sessions_verify_and_replay(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(path))["main"]
    assert inspect.iscoroutinefunction(main)
    await main(str(tmp_path / "runs.db"))
    assert capsys.readouterr().out.strip()
    async with open_log(tmp_path / "runs.db") as log:
        sessions = await log.sessions()
        assert sessions
        for session in sessions:
            assert (await session.replay()).difference is None
        assert (await log.verify()).ok
