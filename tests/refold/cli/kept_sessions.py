"""Session files as agents keep them, for the tests of what is imported."""

from __future__ import annotations

import json
from pathlib import Path


def claude(folder: Path, session: str, *texts: str, where: str = "/work") -> Path:
    """Write a session of Claude Code as it keeps them. Returns: its file."""
    path = folder / ".claude" / "projects" / where.replace("/", "-") / f"{session}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, text in enumerate(texts):
        shared = {"sessionId": session, "cwd": where, "version": "2.1.14", "timestamp": "2026-01-01T00:00:00.000Z"}
        named = {
            "type": "user",
            "uuid": f"{session}-{number}",
            "parentUuid": f"{session}-{number - 1}" if number else None,
        }
        lines.append(json.dumps({**shared, **named, "message": {"role": "user", "content": text}}) + "\n")
    path.write_text("".join(lines))
    return path
