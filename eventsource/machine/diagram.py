"""The machine's table as a page: `python -m eventsource.machine.diagram > docs/states.md` writes it anew."""

from __future__ import annotations

import sys

from .roles import ROLES, Role
from .state import INPUTS, ROWS, Kind, Phase

_PAGE = """# States of a session

A session is always in one of these phases. An arrow names the events that lead from one phase to the next; an event
that no arrow of the phase names is refused, with the session, the seq, the phase and the reason. What a table cannot
see (a call's place, a queued message, an open block) is checked by the guards in `eventsource/machine/guards.py`.

```mermaid
{diagram}
```

{inputs}

## Who says an event

An input comes from outside, an outcome came of an effect; a replay takes both from the record. A decision is the
machine's own: a replay predicts it, and finds where it stands otherwise.

{roles}

This page is made from the tables in `eventsource/machine/state.py` and `eventsource/machine/roles.py` by
`python -m eventsource.machine.diagram > docs/states.md`; a test says so when it is not up to date.
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
    """List in a sentence which events come from outside and leave the phase as it is."""
    names = [f"`{kind.value}`" for kind in Kind if kind in INPUTS]
    return f"In every phase, these may come from outside, and the phase stays: {', '.join(names[:-1])} and {names[-1]}."


def roles_table() -> str:
    """Write who says which kind: one line for each role, and one for each kind whose role is told by a rule."""
    lines = ["| role | events |", "| --- | --- |"]
    for role in Role:
        named = ", ".join(
            f"`{_words(kind)}`" for kind, said in ROLES.items() if said is role and kind is not Kind.END_STRAY
        )
        lines.append(f"| {role.value} | {named} |")
    for kind, rule in ROLES.items():
        if not isinstance(rule, Role):
            lines.append(f"| {' '.join((rule.__doc__ or '').split()).rstrip('.').lower()} | `{_words(kind)}` |")
    return "\n".join(lines)


def page() -> str:
    """Write the whole page."""
    return _PAGE.format(diagram=render(), inputs=inputs_sentence(), roles=roles_table())


def _words(kind: Kind) -> str:
    """Name a kind without a colon, which Mermaid takes for its own: `message_start (input)`."""
    name, _, role = kind.value.partition(":")
    return f"{name} ({role})" if role else name


if __name__ == "__main__":
    sys.stdout.write(page())
