"""JSON documents that are cut off, damaged or too deep: what stands before is read, and the rest is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.errors import TranscriptError
from replay.formats.document import beginning, document_of
from replay.formats.jsonl import Findings

TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def is_beginning(part: Any, whole: Any) -> bool:
    """Return whether a value is another one, of which something at the end is missing."""
    if isinstance(part, list) and isinstance(whole, list):
        same = all(one == other for one, other in zip(part[:-1], whole, strict=False))
        return len(part) <= len(whole) and same and (not part or is_beginning(part[-1], whole[len(part) - 1]))
    if isinstance(part, dict) and isinstance(whole, dict):
        names = list(part)
        same = all(part[name] == whole[name] for name in names[:-1])
        return (
            names == list(whole)[: len(names)]
            and same
            and (not names or is_beginning(part[names[-1]], whole[names[-1]]))
        )
    return bool(part == whole)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    whole=st.lists(VALUES, min_size=1, max_size=4) | st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4),
    data=st.data(),
)
def test_of_a_document_that_was_cut_off_the_beginning_is_read(tmp_path: Path, whole: Any, data: st.DataObject) -> None:
    path = tmp_path / "document.json"
    text = json.dumps(whole, ensure_ascii=False)
    path.write_text(text)
    assert (found := document_of(path)).value == whole
    assert not found.problem
    path.write_text(text[: data.draw(st.integers(0, len(text) - 1))])
    try:
        cut = document_of(path)
    except TranscriptError:
        return
    assert "breaks off" in cut.problem
    assert is_beginning(cut.value, whole)


@pytest.mark.parametrize(
    ("text", "value", "problem"),
    [
        ('[1, 2] {"a"', [1, 2], "something follows the document: 4 bytes cannot be read"),
        ('{"a": [1, x], "b": 2}', {"a": [1]}, "the document breaks off: 11 bytes cannot be read"),
        ('\ufeff[1, NaN, 1e999, "\\ud800"]', [1, None, None, "\ufffd"], ""),
    ],
)
def test_a_damaged_document_is_read_as_far_as_it_goes(tmp_path: Path, text: str, value: object, problem: str) -> None:
    (tmp_path / "document.json").write_text(text)
    found = document_of(tmp_path / "document.json")
    assert (found.value, found.problem) == (value, problem)
    assert found.repaired == (not problem)


@pytest.mark.parametrize("text", ["", "nothing", "[" * 100_000, '{"a":' * 300 + "1" + "}" * 300])
def test_what_holds_no_json_or_too_deep_a_one_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "document.json").write_text(text)
    with pytest.raises(TranscriptError, match=r"no JSON that can be read|deeper than is read"):
        document_of(tmp_path / "document.json")


def test_of_a_list_the_objects_are_records_and_the_others_are_named(tmp_path: Path) -> None:
    (tmp_path / "document.json").write_text('[{"a": 1}, 2, {"a": 3}, {"a"')
    document = document_of(tmp_path / "document.json")
    assert isinstance(document.value, list)
    findings = Findings()
    assert [(one.number, one.fields["a"]) for one in document.records(document.value)(findings)] == [(1, 1), (3, 3)]
    assert [(note.number, note.text) for note in findings.lost] == [(2, "2"), (0, '{"a"')]


@pytest.mark.parametrize(
    "text", ['[{"a": 1, "b": [1, 2, {"c"', '\n{"a": 1, "b": [1, 2', '{"a": 1, "b": [1, 2]}\n{"z": 1}']
)
def test_a_document_is_known_by_how_it_begins(text: str) -> None:
    assert beginning(text.encode()) == {"a": 1, "b": [1, 2]}
