"""Sessions of Codex: JSON Lines, one record after the other, many of them twice (for the model and for the screen).

An answer is the items between two that are not the model's, and the count of tokens that follows them. In early
versions the count comes before them, and a result before the next call of the same answer. What was rolled back is a
branch that the file goes on beside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from uuid import UUID, uuid5

import msgspec

from eventsource.codec import read_object, to_json
from eventsource.events import Compaction, ConfigChange, Event, Label, MessageAdopt, MetadataSet, ModelRef, Origin
from eventsource.first_words import title_of
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    Message,
    TextContent,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from eventsource.models.options import ThinkingLevel
from eventsource.models.prices import priced
from projections.custom_messages import COMPACTION_SUMMARY, render

from ..dialect import InContext, PathState, Seqs, Told
from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields, Line
from ..numbers import read_count
from ..outline import Placing
from ..times import read_time, write_time
from ..to_agent import fitted
from .compacted import TOLD, rebuilt
from .envelope import enveloped, is_bare, is_bare_header, is_state, payload_of
from .items import (
    API,
    as_item,
    is_result,
    is_said_by_model,
    read_answer,
    read_result,
    read_said,
    write_answer,
    write_result,
    write_said,
)
from .unclear import unclear_in

FORMAT = "codex"
_LEVELS: tuple[str, ...] = ThinkingLevel.__args__  # type: ignore[attr-defined]  # a Literal has its values there
_TYPES = ("session_meta", "turn_context", "response_item", "event_msg", "compacted")
_AGENT, _SPAWN = '"agent_id"', "spawnagent"  # what the call of a sub-agent gives; how the tool is called
_REQUEST = "## My request for Codex:"  # ends what an editor says before it
_MODEL = ModelRef(api=API, provider="openai", model="")
_NAMES = UUID("3c1f4f0e-0a53-4d0e-9a4c-6b7c1c52f9a1")  # what is recorded here is named within this


def is_record(fields: Fields) -> bool:
    """Return whether an object has the shape of a record."""
    typed = isinstance(fields.get("type"), str) and ("payload" in fields or "timestamp" in fields)
    return typed or is_bare(fields) or is_state(fields)


def is_codex(fields: Fields) -> bool:
    """Return whether an object is a record that only Codex writes."""
    match fields:
        case {"type": str(kind), "payload": dict(), "timestamp": str()} if kind in _TYPES:
            return True
        case {"timestamp": str(), "type": "tool_call" | "tool_result"}:
            return True
        case _:
            return is_bare_header(fields) or is_state(fields)


def spawned(fields: Fields) -> tuple[str, str]:
    """Return the call that began a sub-agent, and that one's session, if a record tells of it; else empty texts."""
    match payload_of(fields):
        case {"type": "collab_agent_spawn_end", "call_id": str(call), "new_thread_id": str(session)}:
            return call, session
        case {"type": "sub_agent_activity", "event_id": str(call), "agent_thread_id": str(session)}:
            return call, session
        case {
            "type": "item_completed",
            "item": {"id": str(call), "tool": str(tool), "receiver_thread_ids": [str(one)]},
        }:
            return (call, one) if tool.lower().replace("_", "") == _SPAWN else ("", "")
        case {"type": "function_call_output", "call_id": str(call), "output": str(text)} if _AGENT in text:
            return call, _agent_in(text)
        case _:
            return "", ""


def _agent_in(output: str) -> str:
    try:
        return text_of(fields_of(json.loads(output)).get("agent_id"))
    except (ValueError, RecursionError):
        return ""


class CodexDialect:
    """How a session file of Codex tells its session.

    Args:
        children: sessions of sub-agents, by what the file calls them.
        fork: the session that goes on from another one, whose records come first; empty: it goes on from none.
    """

    format = FORMAT
    version = 1

    def __init__(self, children: Mapping[str, str], *, fork: str = "") -> None:
        self.header: Fields = {}
        self._children, self._fork = children, fork
        self._spawned: dict[str, str] = {}
        self.session = ""
        self.began_us: int | None = None
        self._shown = self._typed = ""
        self._records = 0
        self._last: str | None = None
        self._turns: list[str | None] = []  # the entry before each turn
        self._answer = 0
        self._open = self._counted = False
        self._touched = False  # the last record that is not for the screen is a piece of an answer
        self._awaits = False  # a count stands before the answer that it counts
        self._leads = False  # counts do so in this file
        self._tail = 0
        self._total: object = None
        self._said: list[tuple[str, Fields]] = []  # each with the place of the one before it on its branch
        self._meta: Fields = {}
        self._custom: set[str] = set()

    @property
    def unfinished(self) -> int:
        """How many of the last records are of an answer that may go on: its tokens have not been counted."""
        return self._tail

    def place(self, line: Line) -> Placing | None:
        """Say where a record belongs: behind the one before it, but for what was rolled back."""
        fields, payload = enveloped(line.fields), payload_of(line.fields)
        self._records += 1
        name = f"e{self._records:05d}"
        if fields.get("type") == "session_meta" and not self._meta:
            self._meta = payload
            self.session = text_of(payload.get("id"))
            self.began_us = read_time(payload.get("timestamp")) or read_time(fields.get("timestamp"))
        elif fields.get("type") == "session_meta" and self._is_own(payload):
            self._shown = self._typed = ""
        elif self._records - 1 == self._meta.get("subagent_history_start_ordinal"):
            self._shown = self._typed = ""  # until here it was told what was said before
        call, agent = spawned(fields)
        if agent:
            self._spawned.setdefault(call, agent)
        if self.began_us is None:
            self.began_us = read_time(fields.get("timestamp"))
        if fields.get("type") == "response_item" and is_said_by_model(payload):
            return self._place_answer(name)
        if payload.get("type") == "token_count":
            return self._place_count(name, payload)
        beside = fields.get("type") == "event_msg"
        self._touched &= beside
        self._awaits &= beside
        if beside or (self._leads and self._open and is_result(payload)):
            self._tail += self._tail > 0
        else:
            self._open = False
            self._tail = 0
        if payload.get("type") == "user_message":
            self._shown = self._shown or title_of(_asked(text_of(payload.get("message"))))
        if fields.get("type") == "response_item" and payload.get("role") == "user":
            self._turns.append(self._last)
            self._meet(payload)
        if payload.get("type") == "thread_rolled_back":
            self._roll_back(payload.get("num_turns"))
        return self._placed(name, speaks=not beside)

    def _is_own(self, meta: Fields) -> bool:
        """Return whether it is said here how a fork begins."""
        return bool(self._fork) and meta.get("id") == self._fork

    @property
    def begun(self) -> Set[str]:
        """Sub-agents that the session began."""
        return set(self._spawned.values())

    def _meet(self, payload: Fields) -> None:
        """Take what a person said first for the title, where no event says that they typed it."""
        text = "".join(text_of(fields_of(part).get("text")) for part in list_of(payload.get("content")))
        if text.strip() and not text.lstrip().startswith(TOLD):
            self._typed = self._typed or title_of(_asked(text))

    @property
    def first_words(self) -> str:
        """What a person typed first."""
        return self._shown or self._typed

    def _placed(self, name: str, *, speaks: bool = True, key: str = "", begins: bool = True) -> Placing:
        placing = Placing(name=name, after=self._last, speaks=speaks, key=key, begins=begins)
        if begins:  # what goes on with an answer stands where that began, and others may have come since
            self._last = name
        return placing

    def _place_answer(self, name: str) -> Placing:
        begins, awaited = not self._open, self._awaits
        if begins:
            self._answer += 1
            self._open, self._counted, self._tail = True, awaited, self._tail if awaited else 0
            self._leads |= awaited
        self._touched, self._awaits = True, False
        self._tail += 1
        return self._placed(name, key=f"answer {self._answer}", begins=begins and not awaited)

    def _place_count(self, name: str, payload: Fields) -> Placing:
        """Place a count of tokens: with the answer before it, if it is the first that counts it, or with the next."""
        total = fields_of(payload.get("info")).get("total_token_usage")
        new = isinstance(total, dict) and total != self._total
        first = self._total is None
        self._total = total if isinstance(total, dict) else self._total
        if new and self._touched and self._leads:  # counts follow now: the one before it was not this answer's
            self._counted = self._leads = False
        if new and (self._leads or (first and self._answer == 0)):
            self._open, self._awaits, self._tail = False, True, 1
            return self._placed(name, speaks=False, key=f"answer {self._answer + 1}")
        if not new or self._answer == 0 or self._counted:
            self._tail += self._tail > 0
            return self._placed(name, speaks=False)
        self._counted, self._open, self._tail = True, False, 0
        return self._placed(name, key=f"answer {self._answer}", begins=False)

    def _roll_back(self, turns: object) -> None:
        for _ in range(turns if type(turns) is int else 0):
            if self._turns:
                self._last = self._turns.pop()
        self._open, self._counted, self._awaits = False, True, False

    def is_header(self, line: Line) -> bool:
        """No record is a header."""
        return False

    def name(self, records: Sequence[Line], number: int) -> str:
        """Return what an entry is named by: Codex has no names, so it is the line."""
        return f"line {_first(records).number}"

    def opening(self) -> Sequence[Event]:
        """Return the agent, its folder and its Git branch, by which sessions are found."""
        return [MetadataSet(name="agent", value=to_json(FORMAT)), *_named(self._meta)]

    def read(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        """Read an entry; the context is the one that Codex would build there."""
        told = self._told(records, name, state, seqs)
        unclear = tuple(dict.fromkeys(what for line in records for what in unclear_in(line.fields)))
        return msgspec.structs.replace(told, unclear=unclear) if unclear and seqs.is_new else told

    def _told(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        fields = enveloped(_first(records).fields)
        payload = fields_of(fields.get("payload"))
        at_us = read_time(fields.get("timestamp"))
        origin = Origin(source=FORMAT, session=self._fork or self.session, entry=name)
        match fields.get("type"):
            case "response_item" if is_said_by_model(payload):
                return self._read_answer(records, origin, at_us, state, new=seqs.is_new)
            case "response_item" if is_result(payload):
                found = state.call(text_of(payload.get("call_id")))
                result = read_result(payload, found[1] if found is not None else "")
                return _told(
                    result,
                    origin,
                    at_us,
                    MessageAdopt(
                        message=result,
                        origin=origin,
                        sent_at_us=at_us or 0,
                        call=found[0] if found is not None else None,
                        child=self._children.get(self._spawned.get(result.tool_call_id, ""), ""),
                    ),
                )
            case "response_item" if payload.get("type") == "message":
                said = read_said(payload)
                self._remember(payload, state)
                return _told(said, origin, at_us)
            case "compacted":
                return self._read_compaction(payload, origin, at_us, state)
            case _:
                return self._read_other(fields, payload, origin, at_us, state)

    def _read_answer(
        self, records: Sequence[Line], origin: Origin, at_us: int | None, state: PathState, *, new: bool
    ) -> Told:
        payloads = [payload_of(line.fields) for line in records]
        items = [payload for payload in payloads if payload.get("type") != "token_count"]
        counts = [payload for payload in payloads if payload.get("type") == "token_count"]
        usage = _usage(counts[-1]) if counts else None
        model = state.model.model if state.model is not None else ""
        message = read_answer(items, model, usage)
        if state.model is not None:
            message = msgspec.structs.replace(message, provider=state.model.provider)
            if usage is not None and new:
                message = msgspec.structs.replace(message, usage=priced(usage, state.model, at_us=at_us or 0))
        times = [read_time(line.fields.get("timestamp")) for line in records[: len(items)]]
        ended = next((time for time in reversed(times) if time is not None), at_us)
        return _told(message, origin, at_us, MessageAdopt(message=message, origin=origin, sent_at_us=ended or 0))

    def _remember(self, item: Fields, state: PathState) -> None:
        """Keep what was said to the model on this branch: a compaction may have to be computed from it."""
        self._said.append((state.settings.get("said", ""), item))
        state.settings = {**state.settings, "said": str(len(self._said) - 1)}

    def _said_before(self, state: PathState) -> list[Fields]:
        found: list[Fields] = []
        at = state.settings.get("said", "")
        while at:
            at, item = self._said[int(at)]
            found.append(item)
        return found[::-1]

    def _read_compaction(self, payload: Fields, origin: Origin, at_us: int | None, state: PathState) -> Told:
        """Read a compaction: the list that it gives, or that Codex would make, is the whole context."""
        summary = text_of(payload.get("message"))
        given = payload.get("replacement_history")
        whole = list_of(given) if isinstance(given, list) else rebuilt(self._said_before(state), summary)
        events: list[InContext] = [Compaction(summary=summary, silent=True)]
        items: list[Fields] = []
        model = state.model.model if state.model is not None else ""

        def answer() -> None:
            if items:
                message = read_answer(items, model, None)
                events.append(MessageAdopt(message=message, origin=origin, sent_at_us=at_us or 0))
                items.clear()

        state.settings = {**state.settings, "said": ""}
        for item in map(fields_of, whole):
            if is_said_by_model(item):
                items.append(item)
                continue
            answer()
            if is_result(item):
                result = read_result(item, "")
                events.append(MessageAdopt(message=result, origin=origin, sent_at_us=at_us or 0))
            elif item.get("type") == "message":
                events.append(MessageAdopt(message=read_said(item), origin=origin, sent_at_us=at_us or 0))
                if isinstance(given, list) or item is not whole[-1]:  # a summary is not what somebody said
                    self._remember(item, state)
        answer()
        return Told(at_us=at_us, events=tuple(events))

    def _read_other(self, fields: Fields, payload: Fields, origin: Origin, at_us: int | None, state: PathState) -> Told:
        match fields:
            case {"role": "user", "content": str(text)}:
                return _told(UserMessage(content=text), origin, at_us)
            case {"role": "assistant", "content": str(text)}:
                return _told(AssistantMessage(content=(TextContent(text=text),)), origin, at_us)
            case {"type": "session_meta"}:
                before = self._begins(payload, state)
            case {"type": "turn_context"}:
                before = self._settings(payload, state)
            case {"type": "event_msg", "payload": {"type": "thread_name_updated", "thread_name": str(title)}} if title:
                before = [Label(text=title)]
            case _:
                before = []
        return Told(at_us=at_us, after=tuple(before))

    def _begins(self, meta: Fields, state: PathState) -> list[Event]:
        """Return what is in force from the beginning; of a fork, what is not as in the session that it goes on from."""
        told = {"provider": text_of(meta.get("model_provider")), "prompt": _instructions(meta)}
        before, now = state.settings, {**state.settings, **{name: text for name, text in told.items() if text}}
        state.settings = now
        changes: list[Event] = []
        if now.get("prompt") != before.get("prompt"):
            changes.append(ConfigChange(system_prompt=now["prompt"]))
        if self._is_own(meta):
            changes += [one for one in _named(meta) if one not in _named(self._meta)]
        return changes

    def _settings(self, payload: Fields, state: PathState) -> list[Event]:
        changes: list[Event] = []
        model = text_of(payload.get("model"))
        provider = state.settings.get("provider") or "openai"
        ref = ModelRef(api=API, provider=provider, model=model)
        if model and ref != state.model:
            state.model = ref
            changes.append(ConfigChange(model=ref))
        level = text_of(payload.get("effort"))
        if level in _LEVELS and level != state.settings.get("thinking"):
            state.settings = {**state.settings, "thinking": level}
            changes.append(ConfigChange(options=to_json({"thinking": level})))
        return changes

    def write(self, events: Sequence[InContext], at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write records as far as the log says them by itself."""
        first = events[0]
        if isinstance(first, Compaction):
            payload: dict[str, object] = {"message": first.summary}
            if first.silent:
                payload["replacement_history"] = [item for event in events[1:] for item in _items(event)]
            return [{"timestamp": write_time(at_us), "type": "compacted", "payload": payload}]
        message = first.message if isinstance(first, MessageAdopt) else None
        records = [_record(item, at_us) for item in _items(first)]
        if isinstance(message, AssistantMessage) and message.usage is not None:
            info = {"last_token_usage": dict(read_object(message.usage.raw))}
            said = {"type": "token_count", "info": info}
            records.append({"timestamp": write_time(at_us), "type": "event_msg", "payload": said})
        return records

    def new_name(self, session: str, seq: int) -> str:
        """Return what an entry is named by that was recorded here."""
        return str(uuid5(_NAMES, f"{session}/{seq}"))

    def fit(self, message: Message) -> Message:
        """Return a message as the Responses API takes it."""
        return fitted(message, _MODEL)

    def write_new(self, event: InContext, at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write the records of an entry that was recorded here."""
        if isinstance(event, Compaction):
            return [_compacted(event, at_us)]
        message = event.message if isinstance(event, MessageAdopt) else None
        match message:
            case ToolResultMessage(tool_call_id=call_id):
                items = [write_result(message, custom=call_id in self._custom)]
            case _:
                items = _items(event)
        return [_record(item, at_us) for item in items]

    def passed(self, records: Sequence[Fields], name: str, state: PathState) -> None:
        """Take note of calls whose results have a type of their own."""
        payloads = [payload_of(record) for record in records]
        custom = {text_of(one.get("call_id")) for one in payloads if one.get("type") == "custom_tool_call"}
        self._custom |= custom


def _first(records: Sequence[Line]) -> Line:
    """Return the record that says what an entry is: a count may stand before its answer."""
    return next((line for line in records if payload_of(line.fields).get("type") != "token_count"), records[0])


def _compacted(event: Compaction, at_us: int) -> dict[str, object]:
    """Write a compaction that was recorded here: its list is what its summary reads as."""
    body = to_json({"summary": event.summary, "tokensBefore": event.tokens_before})
    read = render(CustomMessage(kind=COMPACTION_SUMMARY, body=body))
    history = [write_said(read)] if read is not None else []
    payload = {"message": event.summary, "replacement_history": history}
    return {"timestamp": write_time(at_us), "type": "compacted", "payload": payload}


def _items(event: InContext) -> list[dict[str, object]]:
    message = event.message if isinstance(event, MessageAdopt) else None
    match message:
        case UserMessage():
            return [write_said(message)]
        case AssistantMessage():
            return [as_item(item) for item in write_answer(message)]
        case ToolResultMessage():
            return [write_result(message, custom=False)]
        case _:
            return []


def _record(item: dict[str, object], at_us: int) -> dict[str, object]:
    return {"timestamp": write_time(at_us), "type": "response_item", "payload": item}


def _told(message: object, origin: Origin, at_us: int | None, event: MessageAdopt | None = None) -> Told:
    if event is None and isinstance(message, UserMessage | AssistantMessage | ToolResultMessage):
        event = MessageAdopt(message=message, origin=origin, sent_at_us=at_us or 0)
    return Told(at_us=at_us, events=() if event is None else (event,))


def _instructions(meta: Fields) -> str:
    return text_of(fields_of(meta.get("base_instructions")).get("text")) or text_of(meta.get("instructions"))


def _named(meta: Fields) -> list[Event]:
    """Return by what a session is found."""
    said = (("folder", meta.get("cwd")), ("branch", fields_of(meta.get("git")).get("branch")))
    return [MetadataSet(name=name, value=to_json(value)) for name, value in said if isinstance(value, str) and value]


def _usage(payload: Fields) -> Usage | None:
    raw = fields_of(fields_of(payload.get("info")).get("last_token_usage"))

    cached = read_count(raw.get("cached_input_tokens"))
    return Usage(
        input_tokens=max(0, read_count(raw.get("input_tokens")) - cached),
        output_tokens=read_count(raw.get("output_tokens")),
        cache_read_tokens=cached,
        reasoning_tokens=read_count(raw.get("reasoning_output_tokens")),
        raw=to_json(dict(raw)),
    )


def _asked(text: str) -> str:
    """Return what a person asked, without what an editor wrote before it: open files and the like."""
    return text.rpartition(_REQUEST)[2].strip() or text
