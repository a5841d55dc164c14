"""The read side: pure folds of events into what people, programs and models want to see."""

from typing import TYPE_CHECKING

from eventsource.lazy_names import load_when_asked

if TYPE_CHECKING:
    from .calls import CALLS, tool_calls
    from .context import CONTEXT, ContextView, convert, history, messages, parts, request
    from .lifecycle import Lifecycle, LifecycleEvent
    from .projection import Projection, project
    from .search import find_text
    from .selection import select
    from .timeline import TIMELINE, SpanReader, spans
    from .transcript import read_transcript, text_of
    from .tree import LABELS, fork_tree, tree_lines
    from .usage import USAGE

__all__ = [
    "CALLS",
    "CONTEXT",
    "ContextView",
    "LABELS",
    "Lifecycle",
    "LifecycleEvent",
    "Projection",
    "SpanReader",
    "TIMELINE",
    "USAGE",
    "convert",
    "find_text",
    "fork_tree",
    "history",
    "messages",
    "parts",
    "project",
    "read_transcript",
    "request",
    "select",
    "spans",
    "text_of",
    "tool_calls",
    "tree_lines",
]

load_when_asked(
    __name__,
    {
        ".calls": "CALLS tool_calls",
        ".context": "CONTEXT ContextView convert history messages parts request",
        ".lifecycle": "Lifecycle LifecycleEvent",
        ".projection": "Projection project",
        ".search": "find_text",
        ".selection": "select",
        ".timeline": "TIMELINE SpanReader spans",
        ".transcript": "read_transcript text_of",
        ".tree": "LABELS fork_tree tree_lines",
        ".usage": "USAGE",
    },
)
