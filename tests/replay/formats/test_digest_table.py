"""The table of digests is a dict that takes less room."""

from __future__ import annotations

import random

from hypothesis import given, strategies as st

from replay.formats.digest_table import DigestTable

DIGESTS = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 7).map(lambda low: low << 40), st.integers(0, 7))


@given(st.lists(st.tuples(DIGESTS, st.integers(0, 2**31 - 1))), st.lists(DIGESTS))
def test_it_gives_what_was_put(put: list[tuple[int, int]], asked: list[int]) -> None:
    table, wanted = DigestTable(), dict[int, int]()
    for digest, number in put:
        table.put(digest, number)
        wanted[digest] = number
    assert len(table) == len(wanted)
    assert [table.get(one) for one in asked] == [wanted.get(one, -1) for one in asked]
    assert {one: table.get(one) for one in wanted} == wanted


def test_it_grows() -> None:
    chance, table = random.Random(2), DigestTable()
    digests = [chance.getrandbits(64) for _ in range(20_000)]
    for number, digest in enumerate(digests):
        table.put(digest, number)
    assert [table.get(digest) for digest in digests] == list(range(20_000))
