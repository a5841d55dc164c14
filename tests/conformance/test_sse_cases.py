"""Every recorded parser case is read as its source says."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from eventsource.models.transport.sse import SseParser

DATA = Path(os.environ.get("REFOLD_DATA", Path(__file__).parents[2] / "../shared/data")) / "streams" / "sse"
CASES = sorted(DATA.glob("*.json"))


@pytest.mark.skipif(not CASES, reason="no recorded streams: set REFOLD_DATA")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
@pytest.mark.parametrize("single", [False, True], ids=["chunks", "bytes"])
def test_a_case_gives_its_expected_events(path: Path, single: bool) -> None:
    case = json.loads(path.read_text())
    chunks = [base64.b64decode(chunk) for chunk in case["chunks_base64"]]
    if single:
        chunks = [bytes([byte]) for byte in b"".join(chunks)]
    parser = SseParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    # eventsource-parser reports an event's own id, the others the id that holds
    own = path.stem.startswith("esp-")
    found = [{"event": e.event, "data": e.data, "id": e.id if own else e.last_id} for e in events]
    expected = case["expected"]
    assert found == expected["events"]
    assert parser.comments == expected.get("comments", parser.comments)
    if "last_retry" in expected:
        assert parser.retry_ms == expected["last_retry"]
