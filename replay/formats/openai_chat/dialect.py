"""Conversations of Chat Completions: messages, the requests that were made with them, and answers to these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from eventsource.codec import to_json
from eventsource.events import Compaction, ConfigChange, Event, MessageAdopt, MetadataSet, ModelRef, Origin
from eventsource.messages import AssistantMessage, ToolResultMessage, UserMessage
from eventsource.models.openai.chat import API
from eventsource.models.prices import priced

from ..dialect import InContext, PathState, Seqs, Told
from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields, Line
from ..outline import Placing
from .conversations import Conversation
from .exchanges import is_message, read_created
from .messages import read_answer, read_result, read_said, read_tools, system_text, write_message

FORMAT = "openai-chat"
_PROMPTS = ("system", "developer")


class OpenAIChatDialect:
    """How a conversation is told by a file.

    Args:
        conversation: which record follows which; None: each follows the one before it.
    """

    format = FORMAT
    version = 1
    begun: frozenset[str] = frozenset()
    first_words = ""
    unfinished = 0

    def __init__(self, children: Mapping[str, str], *, conversation: Conversation | None, name: str = "") -> None:
        self._own = conversation or Conversation()
        self._linear = conversation is None
        self.header: Fields = {}
        self.session = name or self._own.name
        self.began_us = min(self._own.times.values(), default=None)
        self._placed = -1
        self._prompts: set[int] = set()  # at the beginning

    def place(self, line: Line) -> Placing | None:
        """Say where a record belongs."""
        self._placed += 1
        fields = line.fields
        parent = self._placed - 1 if self._linear else self._own.parents[self._placed]
        if fields.get("role") in _PROMPTS and (parent < 0 or parent in self._prompts):
            self._prompts.add(self._placed)
        silent = self._placed in self._prompts or self._placed in self._own.repeated
        speaks = (is_message(fields) or "answer" in fields) and not silent
        if self._linear:
            return Placing(speaks=speaks)
        return Placing(name=str(self._placed), after=str(parent) if parent >= 0 else None, speaks=speaks)

    def is_header(self, line: Line) -> bool:
        """No record is a header."""
        return False

    def name(self, records: Sequence[Line], number: int) -> str:
        """Return what an entry is named by: its number, and the line where it stands."""
        return f"{number}, line {records[0].number}"

    def opening(self) -> Sequence[Event]:
        """Return the agent, by which sessions are found."""
        return [MetadataSet(name="agent", value=to_json(FORMAT))]

    def read(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        """Read an entry."""
        fields = records[0].fields
        at_us = self._own.times.get(records[0].number)
        origin = Origin(source=FORMAT, session=self.session, entry=name)
        match fields:
            case {"answer": dict(message)}:
                if int(name.partition(",")[0]) - 1 in self._own.repeated:
                    return Told(at_us=at_us)
                return self._read_answer(message, fields, origin, at_us, state, new=seqs.is_new)
            case {"request": dict(request)}:
                return self._read_request(request, list_of(fields.get("body")), at_us, state)
            case {"role": "system" | "developer"} if not state.settings.get("begun"):
                prompts = [text for text in (state.settings.get("prompt", ""), system_text(fields)) if text]
                state.settings = {**state.settings, "prompt": "\n\n".join(prompts)}
                return Told(at_us=at_us, before=(ConfigChange(system_prompt="\n\n".join(prompts)),))
            case {"role": str()} if is_message(fields):
                state.settings = {**state.settings, "begun": "1"}
                return Told(at_us=at_us, events=(self._read_message(fields, origin, at_us, state),))
            case _:
                return Told(at_us=at_us, unclear=("that is no message of Chat Completions",))

    def _read_message(self, fields: Fields, origin: Origin, at_us: int | None, state: PathState) -> MessageAdopt:
        sent = at_us or 0
        match fields.get("role"):
            case "assistant":
                return MessageAdopt(message=read_answer(fields, {}, {}), origin=origin, sent_at_us=sent)
            case "tool" | "function":
                found = state.call(text_of(fields.get("tool_call_id")))
                place, tool = found if found is not None else (None, "")
                return MessageAdopt(message=read_result(fields, tool), origin=origin, sent_at_us=sent, call=place)
            case _:
                return MessageAdopt(message=read_said(fields), origin=origin, sent_at_us=sent)

    def _read_request(self, request: Fields, path: Sequence[object], at_us: int | None, state: PathState) -> Told:
        """Read which model was asked, and with which tools."""
        body = request
        for one in path:
            body = fields_of(body.get(text_of(one)))
        model = text_of(body.get("model")) or text_of(request.get("model"))
        changes: list[Event] = []
        ref = ModelRef(api=API, provider="openai", model=model)
        if model and ref != state.model:
            state.model = ref
            changes.append(ConfigChange(model=ref))
        tools = read_tools(body)
        said = bytes(msgspec.json.encode(tools)).decode()
        if tools and said != state.settings.get("tools"):
            state.settings = {**state.settings, "tools": said}
            changes.append(ConfigChange(tools=tools))
        return Told(at_us=at_us, after=tuple(changes))

    def _read_answer(
        self, message: Fields, fields: Fields, origin: Origin, at_us: int | None, state: PathState, *, new: bool
    ) -> Told:
        response = fields_of(fields.get("response"))
        answer = read_answer(message, fields_of(fields.get("choice")), response)
        made = read_created(response) or at_us
        before: list[Event] = []
        if state.model is None and answer.model:
            state.model = ModelRef(api=API, provider="openai", model=answer.model)
            before.append(ConfigChange(model=state.model))
        if answer.usage is not None and state.model is not None and new:
            usage = priced(answer.usage, state.model, at_us=made or 0, answered_by=answer.model)
            answer = msgspec.structs.replace(answer, usage=usage)
        adopted = MessageAdopt(message=answer, origin=origin, sent_at_us=made or 0)
        return Told(at_us=made, events=(adopted,), before=tuple(before))

    def write(self, events: Sequence[InContext], at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write a message as far as the log says it by itself."""
        first = events[0]
        if isinstance(first, Compaction):
            return [{"role": "user", "content": first.summary}]
        message = first.message if isinstance(first, MessageAdopt) else None
        if isinstance(message, UserMessage | AssistantMessage | ToolResultMessage):
            return [write_message(message)]
        return []

    def passed(self, records: Sequence[Fields], name: str, state: PathState) -> None:
        """No record leaves out what the one before it says."""
