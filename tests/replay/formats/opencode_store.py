"""Rows of a database of opencode, and the database that they make."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

Record = dict[str, Any]
# Rows that opencode 1.18.33 wrote when it ran against a scripted provider: calls, a failing one, a sub-agent, an error,
# a compaction, an image, an abort and a revert. The folder was renamed, and headers of the failed response left out.
ROWS: dict[str, list[Record]] = json.loads((Path(__file__).parent / "fixtures" / "opencode.json").read_text())
MAIN = "ses_dde29a207ffejoYIsqXdCOaian"


def store(path: Path, rows: dict[str, list[Record]]) -> Path:
    """Write rows into a database as opencode lays it out."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    for table, own in rows.items():
        columns = sorted({name for row in own for name in row} | {"id", "time_created", "time_updated"})
        quoted = ", ".join('"' + one.replace('"', '""') + '"' for one in map(_stored, columns))
        connection.execute(f"CREATE TABLE {table} ({quoted})")
        for row in own:
            values = [_stored(row.get(one)) for one in columns]
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", values)
    connection.commit()
    connection.close()
    return path


def _stored(value: Any) -> Any:
    """Return a value as it can stand in a column."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    large = isinstance(value, int) and abs(value) >= 1 << 63
    return json.dumps(value) if large or isinstance(value, dict | list) else value
