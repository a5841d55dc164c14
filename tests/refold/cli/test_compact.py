"""`refold compact`: a summary, and the history stays."""

from __future__ import annotations

import json

from tests.refold.shell import Shell


def test_compact_writes_a_summary_and_keeps_the_history(shell: Shell) -> None:
    one = shell.said("Oslo?")
    summary = shell.folder / "summary.json"
    summary.write_text(json.dumps([["Asked about Oslo."]]))
    result = shell("compact", one, "--keep", 0, "-m", f"scripted:{summary}")
    assert (result.exit_code, result.stdout) == (0, "Asked about Oslo.\n")
    assert "Oslo is cold and wet." in shell.good("show", one)
    assert "Oslo is cold and wet." not in shell.good("context", one)
    again = shell("compact", one, "--keep", 0, "-m", f"scripted:{summary}")
    assert (again.exit_code, again.stdout) == (1, "")
