"""JSON that is printed item by item has the bytes of JSON that is printed at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from refold.cli.arguments.log_file import LogFile
from refold.cli.terminal.screen import Screen

ITEMS: tuple[list[object], ...] = ([], [1], [{"a": [1, {"b": "x\ny"}]}, [], {}, "é\u202e"], list(range(1201)))


def printed(capsysbinary: pytest.CaptureFixture[bytes]) -> bytes:
    return capsysbinary.readouterr().out


@pytest.mark.parametrize("items", ITEMS, ids=len)
async def test_a_list_that_is_printed_in_parts_is_the_same(
    items: list[object], screen: Screen, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    screen.json(items)
    whole = printed(capsysbinary)
    screen.json_list(iter(items))
    assert printed(capsysbinary) == whole

    async def pages() -> AsyncIterator[list[object]]:
        for start in range(0, len(items), 7):
            yield items[start : start + 7]

    fields = {"id": "oslo", "fork": None}
    screen.json({**fields, "events": items})
    whole = printed(capsysbinary)
    await screen.json_with_list(fields, "events", pages())
    assert printed(capsysbinary) == whole
    assert msgspec.json.decode(whole)["events"] == items


@pytest.fixture
def screen() -> Screen:
    return Screen(LogFile(Path("x.db"), "nobody"), as_json=True)
