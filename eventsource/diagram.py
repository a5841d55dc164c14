"""The machine's table as a page: `python -m eventsource.diagram > docs/states.md` writes it anew."""

from __future__ import annotations

import sys

from .state import INPUTS, ROWS, Kind, Phase

_PAGE = """# States of a session

A session is always in one of these phases. An arrow names the events that lead from one phase to the next; an event
that no arrow of the phase names is refused, with the session, the seq, the phase and the reason. What a table cannot
see (a call's place, a queued message, an open block) is checked by the guards in `eventsource/guards.py`.

```mermaid
{diagram}
```

{inputs}

This page is made from the table in `eventsource/state.py` by `python -m eventsource.diagram > docs/states.md`; a test
says so when it is not up to date.
"""


def render() -> str:
    """Draw the table as a Mermaid state diagram: one arrow from each phase to each that follows it, in table order."""
    lines = ["stateDiagram-v2", "    [*] --> IDLE"]
    for phase, row in ROWS.items():
        arrows: dict[Phase, list[str]] = {}
        for kind, following in row.items():
            arrows.setdefault(following, []).append(_words(kind))
        lines += [f"    {phase.value} --> {following.value}: {', '.join(kinds)}" for following, kinds in arrows.items()]
    return "\n".join(lines)


def inputs_sentence() -> str:
    """Say which events come from outside and leave the phase as it is."""
    names = [f"`{kind.value}`" for kind in Kind if kind in INPUTS]
    return f"In every phase, these may come from outside, and the phase stays: {', '.join(names[:-1])} and {names[-1]}."


def page() -> str:
    """Write the whole page."""
    return _PAGE.format(diagram=render(), inputs=inputs_sentence())


def _words(kind: Kind) -> str:
    """Name a kind without a colon, which Mermaid takes for its own: `message_start (input)`."""
    name, _, role = kind.value.partition(":")
    return f"{name} ({role})" if role else name


if __name__ == "__main__":
    sys.stdout.write(page())
