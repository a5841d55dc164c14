"""`refold verify`: a defect is found."""

from __future__ import annotations

import json

from tests.refold.shell import Shell


def test_a_defect_is_found_by_verify_and_exits_with_1(shell: Shell) -> None:
    import sqlite3

    session = shell.said("Oslo?")
    assert shell("verify", session).exit_code == 0
    path = shell.folder / "refold.db"
    connection = sqlite3.connect(path)
    triggers = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    for name in triggers:
        connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute("UPDATE events SET body = replace(body, 'Oslo?', 'Rome?') WHERE body LIKE '%Oslo?%'")
    connection.commit()
    connection.close()
    result = shell("verify", session)
    assert result.exit_code == 1
    assert "defect" in result.stdout
    report = json.loads(shell("verify", "--json").stdout)
    assert report["ok"] is False
