"""What a type checker knows of an event: its class and its tag say the same, to people and to mypy."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventsource.codec import decode, encode
from eventsource.events import EVENT_TYPES, TurnEnd

ROOT = Path(__file__).parents[1]
SOURCE = """
from typing import assert_type

from eventsource.events import AgentEnd, Event, MessageUpdate


def look(event: Event) -> None:
    if event.type == "message_update":
        assert_type(event, MessageUpdate)
    match event:
        case MessageUpdate(delta=delta):
            assert_type(delta, str)
        case AgentEnd():
            assert_type(event.error, str)
        case _:
            pass
"""


def test_the_type_of_an_event_is_its_stored_tag_and_adds_nothing_to_what_is_stored() -> None:
    assert [kind.type for kind in EVENT_TYPES] == [kind.__struct_config__.tag for kind in EVENT_TYPES]  # type: ignore[attr-defined]  # each of them has one
    assert encode(TurnEnd()) == b'{"type":"turn_end"}'
    assert decode(b'{"type":"turn_end"}').type == "turn_end"


@pytest.mark.slow
def test_a_type_checker_tells_events_apart_by_class_and_by_type(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    for source, fails in ((SOURCE, False), (SOURCE.replace('"message_update"', '"turn_end"'), True)):
        (tmp_path / "look.py").write_text(source)
        cache = ROOT / ".mypy_cache"
        said, _, code = api.run(["--strict", "--cache-dir", str(cache), str(tmp_path / "look.py")])
        assert bool(code) == fails, said
