"""Values cut to what is shown at once."""

from __future__ import annotations

import msgspec
from hypothesis import given, strategies as st

from refold.views.cutting import cut_json, cut_text

VALUES = st.recursive(
    st.none() | st.integers(0, 9) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=5), inner, max_size=30),
    max_leaves=60,
)


@given(VALUES, st.integers(4, 4_000))
def test_a_value_never_takes_more_and_says_what_it_is_cut_from(value: object, most: int) -> None:
    whole = msgspec.json.encode(value)
    found = cut_json(value, most)
    assert len(found.value) <= most
    assert found.size_bytes == len(whole)
    assert found.is_cut == (len(whole) > most)
    if not found.is_cut:
        assert bytes(found.value) == whole


def test_what_is_left_out_is_counted() -> None:
    found = cut_json({"text": "x" * 5_000, "list": list(range(3))}, 2_000)
    assert msgspec.json.decode(found.value) == {"text": "x" * 1_000 + "… [4,000 more characters]", "list": [0, 1, 2]}
    many = msgspec.json.decode(cut_json(list(range(5_000)), 400).value)
    assert many[-1] == f"… [{5_000 - len(many) + 1:,} more]"
    assert cut_text("words", 2).characters == 5
