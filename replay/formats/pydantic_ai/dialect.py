"""Histories of Pydantic AI: a list of requests and responses; a request holds what was said and what tools returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from eventsource.codec import to_json
from eventsource.events import Compaction, ConfigChange, Event, MessageAdopt, MetadataSet, ModelRef, Origin
from eventsource.messages import AssistantMessage, ToolResultMessage, UserMessage
from eventsource.models.prices import priced

from ..dialect import InContext, PathState, Seqs, Told
from ..fields import fields_of, list_of, shown, text_of
from ..jsonl import Fields, Line
from ..outline import Placing
from ..times import read_time, write_exact_time
from .messages import APIS, read_answer, read_part, write_answer, write_part

FORMAT = "pydantic-ai"
_CARRIED = {
    "request": ("instructions", "run_id", "conversation_id", "metadata", "state"),
    "response": (
        *("model_id", "provider_url", "canonical_system", "provider_details", "run_id", "conversation_id", "metadata"),
        *("workspace_ref", "history_digest", "failed_attempts", "state"),
    ),
}
"""Fields that a message has like the one of its kind before it."""


class PydanticAIDialect:
    """How a history tells its session."""

    format = FORMAT
    version = 1
    begun: frozenset[str] = frozenset()
    first_words = ""
    unfinished = 0

    def __init__(self, children: Mapping[str, str]) -> None:
        self.header: Fields = {}
        self.session = ""
        self.began_us: int | None = None

    def place(self, line: Line) -> Placing | None:
        """Say where a message belongs: behind the one before it."""
        fields = line.fields
        self.session = self.session or text_of(fields.get("conversation_id"))
        if self.began_us is None:
            self.began_us = _time(fields)
        return Placing(speaks=is_message(fields))

    def is_header(self, line: Line) -> bool:
        """No message is a header."""
        return False

    def name(self, records: Sequence[Line], number: int) -> str:
        """Return what an entry is named by: its place in the list."""
        return f"message {records[0].number}"

    def opening(self) -> Sequence[Event]:
        """Return the agent, by which sessions are found."""
        return [MetadataSet(name="agent", value=to_json(FORMAT))]

    def read(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        """Read a message."""
        fields = records[0].fields
        at_us = _time(fields)
        origin = Origin(source=FORMAT, session=self.session, entry=name)
        if not is_message(fields):
            return Told(at_us=at_us, unclear=(f"of kind {shown(fields.get('kind'))}, which is no message",))
        if fields.get("kind") == "response":
            return self._read_answer(fields, origin, at_us, state, new=seqs.is_new)
        parts = list(map(fields_of, list_of(fields.get("parts"))))
        prompt = "" if state.settings.get("begun") else _prompt(parts)
        instructions = text_of(fields.get("instructions"))
        before = self._prompted(prompt, instructions, state)
        left = [part for part in parts if not (prompt and part.get("part_kind") == "system-prompt")]
        events = [
            self._adopt(message, part, origin, at_us, state)
            for part in left
            if (message := read_part(part)) is not None
        ]
        kinds = dict.fromkeys(shown(part.get("part_kind")) for part in parts if _is_unclear(part))
        unclear = tuple(f"with a part of kind {kind}, which no model is sent from here" for kind in kinds)
        return Told(at_us=at_us, events=tuple(events), before=tuple(before), unclear=unclear)

    def _prompted(self, prompt: str, instructions: str, state: PathState) -> list[Event]:
        """Say which system prompt is in force: what the first request says, and the instructions of this one."""
        prompt = prompt or state.settings.get("prompt", "")
        whole = "\n\n".join(text for text in (prompt, instructions) if text)
        changed = whole != state.settings.get("whole", "")
        state.settings = {**state.settings, "begun": "1", "prompt": prompt, "whole": whole}
        return [ConfigChange(system_prompt=whole)] if changed else []

    def _adopt(
        self,
        message: UserMessage | ToolResultMessage,
        part: Fields,
        origin: Origin,
        at_us: int | None,
        state: PathState,
    ) -> MessageAdopt:
        sent = read_time(part.get("timestamp")) or at_us or 0
        if not isinstance(message, ToolResultMessage):
            return MessageAdopt(message=message, origin=origin, sent_at_us=sent)
        found = state.call(message.tool_call_id)
        place, tool = found if found is not None else (None, message.tool_name)
        message = msgspec.structs.replace(message, tool_name=message.tool_name or tool)
        return MessageAdopt(message=message, origin=origin, sent_at_us=sent, call=place)

    def _read_answer(self, fields: Fields, origin: Origin, at_us: int | None, state: PathState, *, new: bool) -> Told:
        message = read_answer(fields)
        before: list[Event] = []
        if message.model:
            ref = ModelRef(api=api_of(message), provider=message.provider or "openai", model=message.model)
            if ref != state.model:
                state.model = ref
                before.append(ConfigChange(model=ref))
            message = msgspec.structs.replace(message, api=ref.api)
            if message.usage is not None and new:
                message = msgspec.structs.replace(message, usage=priced(message.usage, ref, at_us=at_us or 0))
        adopted = MessageAdopt(message=message, origin=origin, sent_at_us=at_us or 0)
        return Told(at_us=at_us, events=(adopted,), before=tuple(before))

    def write(self, events: Sequence[InContext], at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write a message as far as the log says it by itself."""
        first = events[0]
        time = write_exact_time(at_us)
        if isinstance(first, MessageAdopt) and isinstance(first.message, AssistantMessage):
            return [{**fields_of(state.before.get("response")), "timestamp": time, **write_answer(first.message)}]
        messages: list[UserMessage | ToolResultMessage] = []
        for event in events:
            if isinstance(event, Compaction):
                messages.append(UserMessage(content=event.summary))
            elif isinstance(event, MessageAdopt) and isinstance(event.message, UserMessage | ToolResultMessage):
                messages.append(event.message)
        parts = list(map(write_part, messages))
        carried = fields_of(state.before.get("request"))
        return [{**carried, "parts": parts, "timestamp": time, "kind": "request"}] if parts else []

    def passed(self, records: Sequence[Fields], name: str, state: PathState) -> None:
        """Keep what the next message of its kind has like this one."""
        kind = text_of(records[-1].get("kind"))
        if kind in _CARRIED:
            carried = {key: records[-1][key] for key in _CARRIED[kind] if key in records[-1]}
            state.before = {**state.before, kind: carried}


def is_message(fields: Fields) -> bool:
    """Return whether an object is a message of Pydantic AI."""
    return text_of(fields.get("kind")) in _CARRIED and isinstance(fields.get("parts"), list)


def api_of(message: AssistantMessage) -> str:
    """Return in which protocol a model answered, by its provider."""
    return APIS.get(message.provider, "openai-completions")


def _is_unclear(part: Fields) -> bool:
    """Return whether a part of a request is none that is known here, or holds what it should not."""
    return read_part(part) is None


def _prompt(parts: Sequence[Fields]) -> str:
    said = [text_of(part.get("content")) for part in parts if part.get("part_kind") == "system-prompt"]
    return "\n\n".join(text for text in said if text)


def _time(fields: Fields) -> int | None:
    """Return when a message was sent: what it says, or else its first part."""
    parts = map(fields_of, list_of(fields.get("parts")))
    times = [read_time(fields.get("timestamp")), *(read_time(part.get("timestamp")) for part in parts)]
    return next((time for time in times if time is not None), None)
