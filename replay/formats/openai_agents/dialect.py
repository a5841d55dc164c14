"""Sessions of the OpenAI Agents SDK: a row for each item of the Responses API; the items of one answer follow another.

With an `AdvancedSQLiteSession` they have branches, and turns have their usage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from eventsource.codec import to_json
from eventsource.events import ConfigChange, Event, MessageAdopt, MetadataSet, ModelRef, Origin
from eventsource.messages import AssistantMessage, TextContent, ToolResultMessage, UserMessage
from eventsource.models.prices import priced

from ..codex.items import (
    API,
    is_readable,
    read_answer,
    read_parts,
    read_said,
    write_answer,
    write_part,
    write_result,
    write_said,
)
from ..dialect import InContext, PathState, Seqs, Told
from ..fields import fields_of, list_of, shown, text_of
from ..jsonl import Fields, Line
from ..outline import Placing
from .rows import Rows

FORMAT = "openai-agents"
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_OPEN_ANSWERS = 1_000


class OpenAIAgentsDialect:
    """How a session is told by its rows."""

    format = FORMAT
    version = 1
    begun: frozenset[str] = frozenset()
    first_words = ""

    def __init__(self, children: Mapping[str, str], *, rows: Rows) -> None:
        self._rows = rows
        self.header: Fields = {"session_id": rows.name, "created_at": rows.created}
        self.session = f"{rows.name} {rows.created}".strip()
        self.began_us = rows.time(1) if rows.ids else None
        self._answers: dict[str, str] = {}  # the answer that ends with a record, by the record's name
        self._last = ""
        self._tail = 0

    @property
    def unfinished(self) -> int:
        """How many of the last records are of an answer whose turn may yet be counted."""
        return self._tail if self._rows.branched else 0

    def place(self, line: Line) -> Placing | None:
        """Say where a record belongs."""
        number = self._rows.id(line.number)
        name, above = str(number), self._rows.parent(line.number)
        before = self._last if above is None else str(above) if above else ""
        self._last = name
        after = msgspec.UNSET if above is None else before or None
        if not is_said_by_model(line.fields):
            self._tail = 0
            return Placing(name=name, after=after, speaks=_speaks(line.fields))
        key = self._answers.pop(before, "")
        self._answers[name] = key or name
        if len(self._answers) > _OPEN_ANSWERS:
            del self._answers[next(iter(self._answers))]
        self._tail = 0 if number in self._rows.usage else self._tail + 1
        return Placing(name=name, after=after, key=key or name, begins=not key)

    def is_header(self, line: Line) -> bool:
        """No record is a header."""
        return False

    def name(self, records: Sequence[Line], number: int) -> str:
        """Return what an entry is named by: the row of its first record."""
        return f"message {self._rows.id(records[0].number)}"

    def opening(self) -> Sequence[Event]:
        """Return the agent, by which sessions are found."""
        return [MetadataSet(name="agent", value=to_json(FORMAT))]

    def read(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        """Read an entry."""
        fields = records[0].fields
        at_us = self._rows.time(records[0].number)
        origin = Origin(source=FORMAT, session=self._rows.name, entry=name)
        if is_said_by_model(fields):
            return self._read_answer(records, origin, at_us, state, new=seqs.is_new)
        if fields.get("type") in _OUTPUTS:
            found = state.call(text_of(fields.get("call_id")))
            place, tool = found if found is not None else (None, "")
            result = ToolResultMessage(
                tool_call_id=text_of(fields.get("call_id")), tool_name=tool, content=read_parts(fields.get("output"))
            )
            adopted = MessageAdopt(message=result, origin=origin, sent_at_us=at_us or 0, call=place)
            return _told(adopted, at_us, fields.get("output"))
        if _speaks(fields):
            text = fields.get("content")
            plain = fields.get("role") == "user" and isinstance(text, str)
            said = UserMessage(content=text_of(text)) if plain else read_said(fields)
            return _told(MessageAdopt(message=said, origin=origin, sent_at_us=at_us or 0), at_us, text)
        what = "with encrypted content" if fields.get("__enc__") == 1 else "with neither a message nor a result"
        return Told(at_us=at_us, unclear=(what,))

    def _read_answer(
        self, records: Sequence[Line], origin: Origin, at_us: int | None, state: PathState, *, new: bool
    ) -> Told:
        said = [fields_of(line.fields.get("provider_data")).get("model") for line in records]
        model = next((one for one in said if isinstance(one, str)), "")
        counted = [self._rows.usage.get(self._rows.id(line.number)) for line in records]
        usage = next((one for one in counted if one is not None), None)
        before: list[Event] = []
        if model:
            ref = ModelRef(api=API, provider="openai", model=model)
            if ref != state.model:
                state.model = ref
                before.append(ConfigChange(model=ref))
            if usage is not None and new:
                usage = priced(usage, ref, at_us=at_us or 0)
        message = read_answer([_whole(line.fields) for line in records], model, usage)
        ended = self._rows.time(records[-1].number)
        adopted = MessageAdopt(message=message, origin=origin, sent_at_us=ended or at_us or 0)
        return Told(at_us=at_us, events=(adopted,), before=tuple(before))

    def write(self, events: Sequence[InContext], at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write the items that an entry's events say by themselves."""
        message = events[0].message if isinstance(events[0], MessageAdopt) else None
        match message:
            case AssistantMessage():
                return write_answer(message)
            case ToolResultMessage(content=content) if all(isinstance(part, TextContent) for part in content):
                return [write_result(message, custom=False)]
            case ToolResultMessage(content=content):
                output = [write_part(part) for part in content]
                return [{"type": _OUTPUTS[0], "call_id": message.tool_call_id, "output": output}]
            case UserMessage(content=str(text)):
                return [{"content": text, "role": "user"}]
            case UserMessage():
                item = write_said(message)
                return [{"role": item["role"], "content": item["content"]}]
            case _:
                return []

    def passed(self, records: Sequence[Fields], name: str, state: PathState) -> None:
        """No record leaves out what the one before it says."""


def is_said_by_model(item: Fields) -> bool:
    """Return whether an item is a piece of an answer: all are that say a type, but for other messages and results."""
    if item.get("role") == "assistant":
        return True
    return isinstance(item.get("type"), str) and item["type"] != "message" and item["type"] not in _OUTPUTS


def _speaks(item: Fields) -> bool:
    return "role" in item or item.get("type") in ("message", *_OUTPUTS)


def _whole(item: Fields) -> Fields:
    """Write what an assistant said as the API does: the SDK takes shorter forms too."""
    if item.get("role") != "assistant" or item.get("type", "message") != "message":
        return item
    content = item.get("content")
    parts = [{"type": "output_text", "text": content}] if isinstance(content, str) else content
    return {**item, "type": "message", "content": parts}


def _told(event: MessageAdopt, at_us: int | None, content: object) -> Told:
    """Tell of a message; parts that no model is sent from here are named."""
    kinds = [part.get("type") for part in map(fields_of, list_of(content)) if not is_readable(part)]
    unclear = tuple(dict.fromkeys(f"with a part of type {shown(kind)}, which no model is sent" for kind in kinds))
    return Told(at_us=at_us, events=(event,), unclear=unclear)
