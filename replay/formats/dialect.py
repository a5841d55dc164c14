"""What a format has to say of its session files, so that they are planned, written and read by the same code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Protocol

import msgspec

from eventsource.events import Compaction, ContextEdit, Event, MessageAdopt, ModelRef, Place
from eventsource.messages import AssistantMessage, Message, ToolCall, ToolResultMessage

from .jsonl import Fields, Line
from .outline import Placing

InContext = MessageAdopt | Compaction | ContextEdit
"""What an entry can come to that the model reads, or that changes what it reads."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry comes to.

    `at_us`: its time (None: it has none, and takes the one of the entry before). `events`: what stands in the context,
    adopted messages with the origin of this entry; none: the entry is kept as it is. `before`, `after`: what else
    follows from it, in the log before and after `events`. `label`: a bookmark, and the name of the entry where it
    belongs. `unclear`: what is not understood of it, as "of type 'x', which is not known here"; it is kept as it is.
    """

    at_us: int | None
    events: tuple[InContext, ...] = ()
    before: tuple[Event, ...] = ()
    after: tuple[Event, ...] = ()
    label: tuple[str, str] | None = None
    unclear: tuple[str, ...] = ()


class _Calls(msgspec.Struct):
    """The calls of one id in one message, and how many of them have been answered."""

    message_seq: int
    places: tuple[int, ...]
    names: tuple[str, ...]
    answered: int = 0


class PathState:
    """What holds at an entry, by all that stands before it on its branch.

    `model`, `settings`: in force. `before`: the entry before, as records; `name`: what it is named by.
    """

    def __init__(self) -> None:
        self.model: ModelRef | None = None
        self.settings: Mapping[str, str] = {}
        self.before: Fields = {}
        self.name: str = ""
        self.at_us = 0
        self._calls: dict[str, _Calls] = {}

    def copy(self) -> PathState:
        """Make another one, to go on with on another branch."""
        other = PathState()
        other.model, other.settings, other.before, other.name = self.model, self.settings, self.before, self.name
        other.at_us = self.at_us
        other._calls = {name: msgspec.structs.replace(calls) for name, calls in self._calls.items()}
        return other

    def call(self, call_id: str) -> tuple[Place, str] | None:
        """Find the call that a result answers, and its tool: the next one of its id in the latest message with such."""
        calls = self._calls.get(call_id)
        if calls is None or calls.answered >= len(calls.places):
            return None
        return Place(message_seq=calls.message_seq, content_index=calls.places[calls.answered]), calls.names[
            calls.answered
        ]

    def said(self, message: Message, seq: int) -> None:
        """Take note of a message that stands at a seq: of its calls, or of the call that it answers."""
        match message:
            case AssistantMessage(content=content):
                places: dict[str, list[int]] = {}
                for place, block in enumerate(content):
                    if isinstance(block, ToolCall):
                        places.setdefault(block.id, []).append(place)
                for call_id, found in places.items():
                    names = tuple(block.name for place in found if isinstance(block := content[place], ToolCall))
                    self._calls[call_id] = _Calls(seq, tuple(found), names)
            case ToolResultMessage(tool_call_id=call_id) if call_id in self._calls:
                calls = self._calls[call_id]
                calls.answered += 1
                if calls.answered >= len(calls.places):
                    del self._calls[call_id]
            case _:
                pass


class Seqs(Protocol):
    """Where entries lie that were placed before, and what becomes of the one that is being read."""

    @property
    def is_new(self) -> bool:
        """Whether the entry will be written; else it is there already, and only what it says to others counts."""
        ...

    def first_seq(self, name: str) -> int:
        """Return the seq that an entry begins with, if it lies on the path of the one being read; else 0."""
        ...

    def message_seq(self, name: str) -> int:
        """Return the seq of an entry's last message, if it lies on the path of the one being read; else 0."""
        ...

    def known_seq(self, name: str) -> int:
        """Return the seq that names an entry which was imported before; 0: it is new."""
        ...


class Dialect(Protocol):
    """How one session is told by its file: it is given every record twice, first to place it, then to read it.

    Made for one source session. Nothing here raises for what a file may hold.
    """

    format: str

    @property
    def version(self) -> int:
        """The version of the format that the file has; known when all was placed."""
        ...

    @property
    def first_words(self) -> str:
        """What a person said first, as far as the format tells that from other words; known when all was read."""
        ...

    @property
    def begun(self) -> Set[str]:
        """Links of the sessions that this one began, as far as its results name them; known when all were placed."""
        ...

    @property
    def unfinished(self) -> int:
        """How many of the last records are of an answer that may not have come whole; known when all were placed."""
        ...

    @property
    def header(self) -> Fields:
        """What the file says of the whole session; known when all records were placed."""
        ...

    @property
    def session(self) -> str:
        """What the source calls this session (empty: it does not say); known when all records were placed."""
        ...

    @property
    def began_us(self) -> int | None:
        """When the session began, by its header."""
        ...

    def place(self, line: Line) -> Placing | None:
        """Say where a record belongs; None: it is the header."""
        ...

    def is_header(self, line: Line) -> bool:
        """Return whether a record is the header; known when all records were placed."""
        ...

    def opening(self) -> Sequence[Event]:
        """Return what is recorded of the whole session where it begins, besides its header."""
        ...

    def read(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        """Read an entry."""
        ...

    def name(self, records: Sequence[Line], number: int) -> str:
        """Return what an entry is named by; `number` counts the entries of the file, from 1."""
        ...

    def write(self, events: Sequence[InContext], at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write the records that the events of an entry say by themselves; what they lack is kept beside them."""
        ...

    def passed(self, records: Sequence[Fields], name: str, state: PathState) -> None:
        """Take note of an entry that was read or written, for those that follow it."""
        ...
