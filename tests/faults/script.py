"""The appends that the fault tests make, the same in every process: the n-th one is known to all."""

from __future__ import annotations

from eventsource.events import Custom, Event, MessageEnd, MessageStart, MessageUpdate
from eventsource.messages import AssistantMessage, TextContent

SESSION = "faults"
_WORDS = [f"word {n} " for n in range(12)]


def append_of(number: int) -> tuple[list[tuple[int, Event]], bool]:
    """Give the events of an append (counted from 0), and whether it must be on disk when it returns."""
    at_us = 1_000_000 * (number + 1)
    match number % 4:
        case 0:
            return [(at_us, Custom(kind=f"fact {number}"))], True
        case 1:
            start: list[Event] = [
                MessageStart(role="assistant"),
                MessageUpdate(kind="text_start", content_index=0),
                *(MessageUpdate(kind="text_delta", content_index=0, delta=word) for word in _WORDS[:6]),
            ]
            return [(at_us, event) for event in start], False
        case 2:
            rest: list[Event] = [
                *(MessageUpdate(kind="text_delta", content_index=0, delta=word) for word in _WORDS[6:]),
                MessageUpdate(kind="text_end", content_index=0),
            ]
            return [(at_us, event) for event in rest], False
        case _:
            message = AssistantMessage(content=(TextContent(text="".join(_WORDS)),), response_id=str(number))
            return [(at_us, MessageEnd(message=message))], True


def expected(heads: int) -> list[tuple[int, list[tuple[int, Event]]]]:
    """List the state after each of the first appends: the head, and all events so far."""
    found: list[tuple[int, list[tuple[int, Event]]]] = [(0, [])]
    for number in range(heads):
        events = [*found[-1][1], *append_of(number)[0]]
        found.append((len(events), events))
    return found
