"""Tables of tokens and money."""

from __future__ import annotations

from collections.abc import Sequence

from projections.usage import Spent, added, cost_text

from ...spending import Spending, SpendingEntry, summed
from .formatting import count
from .screen import Screen


def print_spending(screen: Screen, spent: Spending, by: str) -> None:
    """Print what a session used, and what counts elsewhere."""
    if spent.entries:
        print_entries(screen, spent.entries, by)
    else:
        screen.note("No answer of its own says what it used.")
    elsewhere = (
        ("inherited from its parent", spent.inherited),
        ("adopted from other sessions", spent.adopted),
        (f"used by its {count(len(spent.child_ids), 'child session')}", spent.children),
    )
    for what, other in elsewhere:
        if other.calls:
            tokens = f"{other.usage.total_tokens:,} tokens, {cost_text(other)}"
            screen.note((f"Not counted here: {tokens} {what}.", "dim"))


def print_entries(screen: Screen, entries: Sequence[SpendingEntry], by: str) -> None:
    """Print a table of what answers used, added up by model, day or session."""
    sums = summed(entries, by)
    names = (by, "answers", "input", "output", "cache read", "cache write", "cost")
    rows = [_row(name, spent) for name, spent in sums.items()]
    rows += [_row("all", added(sums.values()))] if len(rows) > 1 else []
    screen.table(names, rows, right=names[1:])
    unpriced: dict[str, int] = {}
    for entry in entries:
        if entry.spent.unpriced:
            unpriced[entry.model] = unpriced.get(entry.model, 0) + entry.spent.unpriced
    if unpriced:
        named = ", ".join(f"{name} ({count(number, 'answer')})" for name, number in unpriced.items())
        screen.note((f"No price is known for {named}.", "dim"))


def _row(name: str, spent: Spent) -> tuple[str, ...]:
    used = spent.usage
    tokens = (spent.calls, used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens)
    return (name, *(f"{number:,}" for number in tokens), cost_text(spent))
