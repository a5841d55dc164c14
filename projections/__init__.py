"""The read side: pure folds of events into what people, programs and models want to see."""

from .context import (
    CONTEXT,
    ContextView,
    Entry,
    convert,
    history,
    messages,
    parts,
    request,
)
from .custom import render
from .fold import Projection, Trail, project
from .pairing import ContextMessage, paired
from .selection import apply_selection, select

__all__ = [
    "CONTEXT",
    "ContextMessage",
    "ContextView",
    "Entry",
    "Projection",
    "Trail",
    "apply_selection",
    "convert",
    "history",
    "messages",
    "paired",
    "parts",
    "project",
    "render",
    "request",
    "select",
]
