"""The strategies of `refold.testing`, its inner ones too."""

from refold.testing.event_strategies import AWKWARD, EVENTS, JSON_VALUES, RAW, TEXTS, events, of_type
from refold.testing.history_strategies import allowed, choices, choose, histories, walk

__all__ = [
    "AWKWARD",
    "EVENTS",
    "JSON_VALUES",
    "RAW",
    "TEXTS",
    "allowed",
    "choices",
    "choose",
    "events",
    "histories",
    "of_type",
    "walk",
]
