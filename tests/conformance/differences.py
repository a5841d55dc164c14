"""Where Refold differs from the founding loop on purpose: scenario (its number), variants, reason.

`docs/conformance.md` shows this table. A scenario that is not in it must come out equal.
"""

from __future__ import annotations

from typing import NamedTuple

ALL = ("seed", "current-sequential", "current-parallel")


class Difference(NamedTuple):
    scenario: str
    variants: tuple[str, ...]
    reason: str


NO_END = "the founding run never ends; here it ends with an error that carries the words of what was raised"
NO_MESSAGE_END = "the founding loop keeps a message without saying that it ended; here its start and end are events"
ABORT = "an abort is final here: no model is called, no callback asked, every open call gets a result"
UNANSWERED = (
    "a call that the given history leaves unanswered gets a marked result in the request; a provider would refuse it "
    "without"
)

DIFFERENCES: tuple[Difference, ...] = (
    Difference("033b", ("seed",), "the founding loop shows a tool's late update in a later turn; here it is dropped"),
    Difference("043", ("seed",), "a tool changes its arguments there and thereby the transcript; here it gets a copy"),
    Difference("060", ALL, NO_END),
    Difference("086", ALL, NO_END),
    Difference("087", ALL, NO_END),
    Difference("088", ("seed",), NO_MESSAGE_END),
    Difference("089", ALL, "the founding run hangs on a stream that just stops; here it is an error message"),
    Difference("090", ("seed",), NO_MESSAGE_END),
    Difference("091", ("seed",), NO_MESSAGE_END),
    Difference("092", ALL, NO_END),
    Difference("093", ALL, NO_END),
    Difference("102", ALL, ABORT),
    Difference("103", ALL, ABORT),
    Difference("105", ALL, ABORT),
    Difference("106", ALL, ABORT),
    Difference("109", ALL, ABORT),
    Difference("129", ALL, UNANSWERED),
)


def reason_for(scenario: str, variant: str) -> str | None:
    """Say why a scenario (its name begins with its number) may differ in a variant; None when it must not."""
    number = scenario.split("_")[0]
    return next((d.reason for d in DIFFERENCES if d.scenario == number and variant in d.variants), None)
