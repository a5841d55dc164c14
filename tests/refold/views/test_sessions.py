"""The table of sessions: filters, families, hits."""

from __future__ import annotations

import pytest

from eventsource.envelope import Figure, FoundText, SessionInfo
from eventsource.messages import Usage
from eventsource.models.scripted import stop
from refold import Log
from refold.status import find_statuses
from refold.views.sessions import FilterError, family, hit, read_filter, tree_rows

from .sessions import CountingLog, agent


def test_a_filter_is_read_word_by_word() -> None:
    found = read_filter('status:failed model:opus cost>1 after:2026-11-01 "exact words" flaky')
    assert (found.status, found.model, found.words) == ("failed", "opus", ("exact words", "flaky"))
    assert found.figures == (
        Figure("cost_microusd", ">", 1_000_000),
        Figure("updated_at_us", ">", 1_793_491_199_999_999),
    )
    assert read_filter("") == read_filter("   ")
    assert read_filter('"http://example.org/a:b" title:"two words"').words == ("http://example.org/a:b",)
    assert read_filter('title:"two words"').title == "two words"
    assert read_filter("source:claude-code").source == "claude-code"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour:red", "there is no field 'colour'"),
        ("cost>much", "cost takes a number, found 'much'"),
        ("cost>nan", "cost takes a number, found 'nan'"),
        ("after:2026-11-01 after:2026-11-02", "after is there twice"),
        ("tool:bash tool:read", "tool is there twice"),
        ("after:tomorrow", "after takes a day or a time"),
        ("model>opus", "model is compared by `:`"),
        ("status:fine", "there is no status 'fine'"),
        ('"open', "a quotation mark is open"),
    ],
)
def test_a_filter_that_is_none_says_why(text: str, says: str) -> None:
    with pytest.raises(FilterError, match=says):
        read_filter(text)


def test_figures_are_compared() -> None:
    info = SessionInfo(id="s", cost_microusd=2_000_000, turns=3, head=50, updated_at_us=10)
    for text, fits in (
        ("cost>1", True),
        ("cost>2", False),
        ("cost:2", True),
        ("cost<2.0000001", True),
        ("cost>1.9999999", True),
        ("cost:1.9999999", False),
        ("turns:3", True),
        ("turns:3.5", False),
        ("turns>2.5", True),
        ("turns<3.5", True),
        ("turns>1e300", False),
        ("turns<1e300", True),
        ("events<50", False),
        ("errors:0", True),
        ("after:2026-11-01", False),
        ("before:2026-11-01", True),
        ("cost>1 turns:4", False),
    ):
        assert all(figure.fits(info) for figure in read_filter(text).figures) is fits, text
    assert Figure("cost_microusd", "=", 0).fits(SessionInfo(id="s"))


async def test_a_family_counts_nothing_twice() -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    root = await log.session("root")
    used = Usage(input_tokens=3, output_tokens=2, cache_read_tokens=4, reasoning_tokens=1)
    await agent(["One.", stop(usage=used)]).run("First?", session=root)
    fork = await root.fork(title="fork")
    await agent(["Two.", stop(usage=used)]).run("Second?", session=fork)
    await fork.label("here", (await fork.info()).head)
    tree = await root.tree()
    rows = tree_rows(tree)
    inherited = await store.inherited_usage([info.id for info in rows])
    found = family(fork.id, tree, await find_statuses(store, rows), inherited)
    assert [(one.info.id, one.above, one.depth) for one in found.members] == [(root.id, "", 0), (fork.id, root.id, 1)]
    assert [text for _, text in found.members[1].labels] == ["here"]
    whole = await fork.info()
    assert found.used.input_tokens == whole.input_tokens
    assert found.members[1].used.input_tokens == whole.input_tokens - whole.inherited_input_tokens
    assert found.used.cache_read_tokens == whole.cache_read_tokens == 8
    assert [one.used.cache_read_tokens for one in found.members] == [4, 4]
    assert [one.used.reasoning_tokens for one in found.members] == [1, 1]


def test_a_hit_is_marked_in_its_excerpt() -> None:
    one = FoundText(session="s", seq=3, role="user", at_us=1, excerpt="…the Cat and the cat…", text_seq=3)
    assert hit(one, "title", "cat").marks == ((5, 8), (17, 20))
