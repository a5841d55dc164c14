"""Conversations of OpenHands: events one after the other, or (since its SDK forks) a tree by their parents.

The events of one response of the model are one answer. A condensation says which events the model reads no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from eventsource.codec import read_object, to_json
from eventsource.events import Compaction, ConfigChange, Event, MessageAdopt, MetadataSet, Origin, ToolSpec
from eventsource.first_words import first_words
from eventsource.messages import AssistantMessage, CustomMessage, TextContent, ToolResultMessage, Usage, UserMessage
from eventsource.models.prices import priced

from ..dialect import InContext, PathState, Seqs, Told
from ..fields import fields_of, text_of
from ..jsonl import Fields, Line
from ..model_names import model_of
from ..outline import Placing
from ..times import read_time, write_time
from .events import answer_of, forgotten, kind_of, name_of, summary_of, unclear
from .messages import read_answer, read_result, read_said, read_system, read_usage, without_ending

FORMAT = "openhands"
_ROOT = "__root__"  # the parent of an event that begins anew
_CONDENSER = "condenser"  # whose tokens are not the agent's
_FIELDS = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


class OpenHandsDialect:
    """How a list of events tells its conversation.

    Args:
        children: sessions of agents that work was delegated to, by the action that did.
        header: what is kept beside the events.
        name: what the conversation is called (empty: it does not say).
        label: what it was about, before the first words.
        title: what it is called, in place of the first words.
    """

    format = FORMAT
    version = 1
    unfinished = 0

    def __init__(
        self,
        children: Mapping[str, str],
        *,
        header: Fields | None = None,
        name: str = "",
        label: str = "",
        title: str = "",
    ) -> None:
        self._children, self._label, self._title = children, label, title
        self.begun = frozenset(children)
        self.header: Fields = header or {}
        self.session = name
        self.began_us: int | None = None
        self._words = ""
        self._last: str | None = None
        self._open = ""
        self._used: dict[str, Usage] = {}
        self._counted: dict[str, Fields] = {}
        self._waiting: Usage | None = None
        self._model = _model_in(self.header)
        self._view: list[tuple[str, Fields]] = []
        for metrics in fields_of(fields_of(self._state.get("stats")).get("usage_to_metrics")).values():
            for one in map(fields_of, _list(fields_of(metrics).get("token_usages"))):
                self._used[text_of(one.get("response_id"))] = read_usage(one)

    @property
    def _state(self) -> Fields:
        return fields_of(self.header.get("state"))

    @property
    def first_words(self) -> str:
        """What it is called, or what it was about and what a person said first."""
        if self._title:
            return self._title
        return f"{self._label}: {self._words}" if self._label and self._words else self._label or self._words

    def place(self, line: Line) -> Placing | None:
        """Say where an event belongs: behind its parent, or else the one before it."""
        fields, kind = line.fields, kind_of(line.fields)
        self._meet(fields)
        own = name_of(fields) or f"event {line.number}"
        parent = fields.get("parent_id")
        after = self._last
        if isinstance(parent, str):
            after = parent if parent != _ROOT else None
        answer = answer_of(fields) if kind == "answer" else ""
        if kind == "answer":
            begins = not answer or answer != self._open
            self._open = answer
            if begins:  # what goes on with an answer stands where that began, and results may have come since
                self._last = own
                self._count(answer or own)
            return Placing(name=own, after=after, key=f"answer {answer}" if answer else "", begins=begins)
        self._last = own
        if kind in ("user", "result"):
            self._open = self._open if kind == "result" and _is_v0(fields) else ""
        if kind == "user" and not self._words:
            self._words = first_words(read_said(fields))
        return Placing(name=own, after=after, speaks=kind not in ("other", "system"))

    def _meet(self, fields: Fields) -> None:
        """Take note of what an event says of the whole conversation: its time, its name, its tokens so far."""
        if self.began_us is None:
            self.began_us = read_time(fields.get("timestamp"))
        if fields.get("kind") != "ConversationStateUpdateEvent":
            return
        value = fields_of(fields.get("value"))
        stats = value if fields.get("key") == "stats" else fields_of(value.get("stats"))
        if fields.get("key") == "full_state":
            self.session = self.session or text_of(value.get("id"))
            self._model = self._model or _model_in({"state": value})
        for name, metrics in fields_of(stats.get("usage_to_metrics")).items():
            if name != _CONDENSER:
                self._model = self._model or text_of(fields_of(metrics).get("model_name"))
                self._add(name, fields_of(fields_of(metrics).get("accumulated_token_usage")))

    def _add(self, whose: str, total: Fields) -> None:
        """Take the tokens of all calls so far that were made for one use: what is new counts with the answer to come.

        So do those of agents that work was delegated to, of whom nothing else is kept (version 1).
        """
        counted = self._counted.get(whose, {})
        own = {name: _number(total.get(name)) - _number(counted.get(name)) for name in _FIELDS}
        if any(value > 0 for value in own.values()) and all(value >= 0 for value in own.values()):
            usage = read_usage(own)
            self._waiting = usage if self._waiting is None else self._waiting + usage
            self._counted[whose] = total

    def _count(self, answer: str) -> None:
        if self._waiting is not None:
            self._used.setdefault(answer, self._waiting)
            self._waiting = None

    def is_header(self, line: Line) -> bool:
        """No event is a header."""
        return False

    def name(self, records: Sequence[Line], number: int) -> str:
        """Return what an entry is named by: the id of its first event, or its place."""
        return name_of(records[0].fields) or f"event {records[0].number}"

    def opening(self) -> Sequence[Event]:
        """Return the agent, and the folder where it worked."""
        folder = text_of(fields_of(self._state.get("workspace")).get("working_dir"))
        said = (("agent", FORMAT), ("folder", folder))
        return [MetadataSet(name=name, value=to_json(value)) for name, value in said if value]

    def read(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        """Read an entry."""
        fields, kind = records[0].fields, kind_of(records[0].fields)
        at_us = read_time(fields.get("timestamp"))
        origin = Origin(source=FORMAT, session=self.session, entry=name)
        if kind in ("user", "answer", "result"):
            self._view += [(name_of(line.fields), line.fields) for line in records]
        match kind:
            case "system":
                self._view.append((name_of(fields), fields))
                return Told(at_us=at_us, after=tuple(_system(fields)))
            case "answer":
                return self._read_answer([line.fields for line in records], origin, at_us, state, new=seqs.is_new)
            case "user":
                return Told(at_us=at_us, events=(_adopt(read_said(fields), origin, at_us),))
            case "result":
                return Told(at_us=at_us, events=(self._read_result(fields, origin, at_us, state),))
            case "compaction":
                return self._read_condensation(fields, origin, at_us)
            case "error":
                said = text_of(fields.get("detail")) or text_of(fields.get("code"))
                return Told(
                    at_us=at_us, events=(_adopt(AssistantMessage(stop_reason="error", error=said), origin, at_us),)
                )
            case _:
                return Told(at_us=at_us, unclear=unclear(fields))

    def _read_answer(
        self, records: Sequence[Fields], origin: Origin, at_us: int | None, state: PathState, *, new: bool
    ) -> Told:
        message = read_answer(records)
        before: list[Event] = []
        ref = model_of(message.model or self._model) if message.model or self._model else state.model
        if ref is not None and ref != state.model:
            state.model = ref
            before.append(ConfigChange(model=ref))
        usage = message.usage or self._used.get(answer_of(records[0]) or name_of(records[0]))
        if ref is not None:
            if usage is not None and new:
                usage = priced(usage, ref, at_us=at_us or 0, answered_by=message.model)
            message = msgspec.structs.replace(message, provider=ref.provider, model=ref.model)
        message = msgspec.structs.replace(message, usage=usage)
        return Told(at_us=at_us, events=(_adopt(message, origin, at_us),), before=tuple(before))

    def _read_result(self, fields: Fields, origin: Origin, at_us: int | None, state: PathState) -> MessageAdopt:
        told = text_of(fields.get("tool_call_id")) or text_of(
            fields_of(fields.get("tool_call_metadata")).get("tool_call_id")
        )
        cause = fields.get("cause")
        call_id = told or (str(cause) if type(cause) is int else "")
        found = state.call(call_id)
        result = read_result(fields, call_id, found[1] if found is not None else "")
        if found is None and not told and type(cause) is int:  # of a command that a person ran
            return _adopt(UserMessage(content=result.content), origin, at_us)
        child = self._children.get(str(cause), "")
        call = found[0] if found is not None else None
        return MessageAdopt(message=result, origin=origin, sent_at_us=at_us or 0, call=call, child=child)

    def _read_condensation(self, fields: Fields, origin: Origin, at_us: int | None) -> Told:
        """Read a condensation: the events that are left, and its summary among them, are the whole context."""
        gone, (summary, offset) = forgotten(fields), summary_of(fields)
        self._view = [one for one in self._view if one[0] not in gone]
        if summary and offset is not None:
            said = {"kind": "CondensationSummaryEvent", "summary": summary}
            self._view.insert(offset, (f"{name_of(fields)}-summary", said))
        events: list[InContext] = [Compaction(summary=summary, silent=True)]
        answer: list[Fields] = []
        known = PathState()
        for _, one in [*self._view, ("", {})]:
            kind = kind_of(one)
            if answer and not (kind == "answer" and answer_of(one) and answer_of(one) == answer_of(answer[0])):
                message = msgspec.structs.replace(read_answer(answer), usage=None)
                events.append(_adopt(message, origin, at_us))
                known.said(message, 1)
                answer = []
            if kind == "answer":
                answer.append(one)
            elif kind == "user":
                events.append(_adopt(read_said(one), origin, at_us))
            elif kind == "result":
                adopted = self._read_result(one, origin, at_us, known)
                events.append(msgspec.structs.replace(adopted, call=None, child=""))
            elif kind == "summary":
                events.append(_adopt(UserMessage(content=text_of(one.get("summary"))), origin, at_us))
        return Told(at_us=at_us, events=tuple(events))

    def write(self, events: Sequence[InContext], at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write events as far as the log says them by itself: texts alone, the rest is kept beside them."""
        first = events[0]
        message = first.message if isinstance(first, MessageAdopt) else None
        if len(events) > 1 or isinstance(message, AssistantMessage):
            return []
        content = message.content if isinstance(message, UserMessage | ToolResultMessage) else ""
        parts = [TextContent(text=content)] if isinstance(content, str) else content
        texts = [{"type": "text", "text": part.text} for part in parts if isinstance(part, TextContent)]
        if isinstance(message, ToolResultMessage):
            details = {} if isinstance(message.details, msgspec.UnsetType) else read_object(message.details)
            texts = [{**one, "text": without_ending(one["text"], details)} for one in texts]
            return [{"content": texts[0]["text"] if texts else "", "observation": {"content": texts}}]
        return [{"args": {"content": texts[0]["text"] if texts else ""}, "llm_message": {"content": texts}}]

    def new_name(self, session: str, seq: int) -> str:
        """Return what an entry is named by that was recorded here."""
        return f"{session}-{seq}"

    def write_new(self, event: InContext, at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write the events of an entry that was recorded here, as those of version 1."""
        shared = {"id": name, "timestamp": write_time(at_us).removesuffix("Z")}
        message = event.message if isinstance(event, MessageAdopt) else None
        match message:
            case UserMessage():
                return [_said(shared, "user", message.content)]
            case AssistantMessage():
                texts = [part for part in message.content if isinstance(part, TextContent)]
                if not message.tool_calls:
                    return [_said(shared, "agent", tuple(texts))]
                return [
                    {
                        **shared,
                        "id": f"{name}-{place}" if place else name,
                        "source": "agent",
                        "thought": [] if place else [{"type": "text", "text": text.text} for text in texts],
                        "tool_name": call.name,
                        "tool_call_id": call.id,
                        "tool_call": {"id": call.id, "name": call.name, "arguments": call.arguments or "{}"},
                        "llm_response_id": name,
                        "kind": "ActionEvent",
                    }
                    for place, call in enumerate(message.tool_calls)
                ]
            case ToolResultMessage():
                content = [
                    {"type": "text", "text": one.text} for one in message.content if isinstance(one, TextContent)
                ]
                told = {"content": content, "is_error": message.is_error}
                named = {"tool_name": message.tool_name, "tool_call_id": message.tool_call_id}
                return [{**shared, "source": "environment", **named, "observation": told, "kind": "ObservationEvent"}]
            case CustomMessage() | None:
                return []

    def passed(self, records: Sequence[Fields], name: str, state: PathState) -> None:
        """No event leaves out what the one before it says."""


def _said(shared: Fields, source: str, content: object) -> dict[str, object]:
    parts = [TextContent(text=content)] if isinstance(content, str) else content if isinstance(content, tuple) else ()
    texts = [{"type": "text", "text": part.text} for part in parts if isinstance(part, TextContent)]
    message = {"role": "user" if source == "user" else "assistant", "content": texts}
    return {**shared, "source": source, "llm_message": message, "kind": "MessageEvent"}


def _adopt(message: UserMessage | AssistantMessage, origin: Origin, at_us: int | None) -> MessageAdopt:
    return MessageAdopt(message=message, origin=origin, sent_at_us=at_us or 0)


def _system(fields: Fields) -> list[Event]:
    prompt, tools = read_system(fields)
    specs = tuple(
        ToolSpec(
            name=text_of(tool.get("name")),
            description=text_of(tool.get("description")),
            schema=to_json(fields_of(tool.get("parameters")) or {"type": "object", "properties": {}}),
        )
        for tool in tools
        if text_of(tool.get("name"))
    )
    return [ConfigChange(system_prompt=prompt or None, tools=specs or None)] if prompt or specs else []


def _model_in(header: Fields) -> str:
    """Return the model that a header names."""
    state, line = fields_of(header.get("state")), fields_of(header.get("line"))
    own = fields_of(fields_of(state.get("agent")).get("llm")).get("model")
    return text_of(own) or text_of(fields_of(fields_of(line.get("metadata")).get("llm_config")).get("model"))


def _is_v0(fields: Fields) -> bool:
    return "kind" not in fields


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _number(value: object) -> int:
    return value if type(value) is int else 0
