"""Sessions and their forks as a tree."""

from __future__ import annotations

from eventsource.envelope import Recorded, SessionInfo
from eventsource.events import Label
from projections import LABELS, fork_tree, project, tree_lines

ROWS = (
    SessionInfo(id="c", parent="a", fork_seq=30, head=41, status="idle"),
    SessionInfo(id="a", title="oslo", head=40, status="idle"),
    SessionInfo(id="d", parent="b", fork_seq=12, head=13, status="running"),
    SessionInfo(id="b", parent="a", fork_seq=10, head=20, status="failed"),
    SessionInfo(id="z", parent="gone", fork_seq=3, head=9, status="idle"),
)


def test_forks_hang_below_their_parents_in_the_order_of_their_seqs() -> None:
    own = {"a": ((7, "asked"),), "b": ((7, "asked otherwise"), (15, "here"))}
    assert list(tree_lines(fork_tree(ROWS, own))) == [
        "a  oslo  40 events  idle  [7 asked]",
        "├─ at 10  b  20 events  failed  [7 asked otherwise]  [15 here]",
        "│  └─ at 12  d  13 events  running",
        "└─ at 30  c  41 events  idle",
        "at 3  z  9 events  idle",
    ]


def test_a_chain_of_a_thousand_forks_can_be_drawn() -> None:
    rows = [SessionInfo(id=str(n), parent=str(n - 1) if n else None, fork_seq=n, head=n + 1) for n in range(3000)]
    assert len(list(tree_lines(fork_tree(rows)))) == 3000


def test_a_bookmark_can_be_changed_and_removed() -> None:
    said = [
        Label(text="b", target_seq=9),
        Label(text="a", target_seq=3),
        Label(text="title"),
        Label(text="", target_seq=9),
    ]
    recorded = [Recorded(seq, 0, label) for seq, label in enumerate(said, 10)]
    assert project(LABELS, recorded[:3]) == ((3, "a"), (9, "b"))
    assert project(LABELS, recorded) == ((3, "a"),)
