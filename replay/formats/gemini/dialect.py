"""Sessions of Gemini CLI: one JSON document, or JSON Lines in which messages come again and are taken back.

An answer stands there once its model has spoken, and again when its calls have been answered; it is one message. Where
it was imported before its calls came, these are a message of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

import msgspec

from eventsource.codec import to_json
from eventsource.events import (
    Compaction,
    ConfigChange,
    Event,
    Label,
    MessageAdopt,
    MetadataSet,
    ModelRef,
    Origin,
    Place,
)
from eventsource.first_words import title_of
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    CustomMessage,
    Message,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from eventsource.models.google_reader import API
from eventsource.models.prices import priced

from ..dialect import InContext, PathState, Seqs, Told
from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields, Line
from ..outline import Placing
from ..times import read_time, write_time
from ..to_agent import fitted
from .messages import (
    PROVIDER,
    CallResult,
    as_parts,
    read_answer,
    read_responses,
    read_results,
    read_user,
    role_of,
    said_by,
    unclear_in,
    write_answer,
    write_call,
    write_response,
    write_user,
)
from .reading import SNAPSHOT, GeminiLine

FORMAT = "gemini"
_MODEL = ModelRef(api=API, provider=PROVIDER, model="")
LIST = "list"
"""Says in the header of a document which of its members holds the messages (empty: it is a single message)."""
WHOLE = "[]"
"""Stands there for a document that is a list of messages."""
SETS_UP = ("<session_context>", "This is the Gemini CLI.", "Okay, just setting up the context")
"""Begins what Gemini CLI tells its model before a conversation."""
_OWN_WORDS = (*SETS_UP, "<hook_context>", "<state_snapshot>", "/")  # begin what no person wrote
KEPT = "$kept"
"""Holds the first seq that a compaction keeps, beside its summary, until the list of messages is written."""
RESULT = "$result"
"""Holds what a call came to, until it stands beside its call."""
_WHERE = re.compile(r"(?:Workspace Directories:\*\*\s+-|working in the directory:)\s*(\S[^\n]*)")
NAMES = UUID("7d0f5a52-6f0c-4a51-9a3c-2a5d8a5b1c77")  # what is recorded here is named within this, by where it lies


class GeminiDialect:
    """How a file of Gemini CLI tells its session.

    Args:
        children: sessions of sub-agents by their ids.
        header: of a document, its members without the messages.
        folder: where the agent worked, as its own folders say.
        session: what the file calls the session, if its records do not.
    """

    format = FORMAT
    version = 1

    def __init__(
        self, children: Mapping[str, str], *, header: Fields | None = None, folder: str = "", session: str = ""
    ) -> None:
        self.header: Fields = header or {}
        self.session = session
        self.began_us: int | None = None
        self._children, self._folder, self._told_folder = children, folder, ""
        self._title = self._typed = ""
        self._begins = self._asked = ""  # the first entry, and the one in which a person said something first
        self.begun: set[str] = set()
        self._tail, self._open = 0, False
        document = self.header.get("document")
        self._meet(fields_of(document), fields_of(document))

    @property
    def unfinished(self) -> int:
        """How many of the last records are of an answer whose calls may still come."""
        return self._tail if self._open else 0

    @property
    def first_words(self) -> str:
        """What the file calls the session, or what a person typed first."""
        return self._title or self._typed

    def _meet(self, fields: Fields, told: Fields) -> None:
        """Take note of what a record says of the whole session; `told` is what it sets."""
        self.session = self.session or text_of(told.get("sessionId"))
        self._title = title_of(text_of(told.get("summary"))) or self._title
        folders = [one for one in list_of(told.get("directories")) if isinstance(one, str)]
        self._told_folder = self._told_folder or (folders[0] if folders else "")
        if self.began_us is None:
            times = (fields.get("startTime"), fields.get("start_time"), fields.get("timestamp"))
            self.began_us = next((one for one in map(read_time, times) if one is not None), None)

    def place(self, line: Line) -> Placing | None:
        """Say where a record belongs, as it was found."""
        if not isinstance(line, GeminiLine):
            return Placing(speaks=False)
        fields, message = line.fields, line.message
        self._begins = self._begins or line.name
        self._meet(fields, fields_of(fields.get("$set")) or fields)
        if message and line.speaks and role_of(message) == "user":
            self._hear(said_by(message), line.name)
        self.begun |= {one.agent for one in read_results(message)} - {""}
        if line.speaks:
            self._open, self._tail = role_of(message) == "gemini" and not message.get("toolCalls"), 1
        elif message.get("toolCalls") or role_of(message) == "error":
            self._open = False
        else:
            self._tail += 1
        return Placing(name=line.name, after=line.after, speaks=line.speaks)

    @property
    def folder(self) -> str:
        """Where the agent worked, as the file says, or the folders that it lies in."""
        return self._told_folder or self._folder

    def _hear(self, text: str, name: str) -> None:
        """Look for the title, and for the folder, which the program tells its model."""
        if not text.startswith(_OWN_WORDS) and not self._typed:
            self._typed, self._asked = title_of(text), name
        where = _WHERE.search(text) if not self._told_folder else None
        if where is not None:
            self._told_folder = where[1].strip()

    def is_header(self, line: Line) -> bool:
        """No record is a header: that of a document stands around its messages."""
        return False

    def name(self, records: Sequence[Line], number: int) -> str:
        """Return what an entry is named by: its message, or the line."""
        line = records[0]
        message = line.message if isinstance(line, GeminiLine) else {}
        return text_of(message.get("id")) or f"line {line.number}"

    def opening(self) -> Sequence[Event]:
        """Return the agent and its folder, by which sessions are found."""
        named = [("agent", FORMAT), *([("folder", self.folder)] if self.folder else [])]
        return [MetadataSet(name=name, value=to_json(value)) for name, value in named]

    def read(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        """Read an entry; the context is the one that Gemini CLI would build there."""
        line = records[0]
        if not isinstance(line, GeminiLine):
            return Told(at_us=None)
        told = self._told(line, name, state, seqs)
        unclear = unclear_in(line.fields) if seqs.is_new else ()
        return msgspec.structs.replace(told, unclear=unclear) if unclear else told

    def _told(self, line: GeminiLine, name: str, state: PathState, seqs: Seqs) -> Told:
        at_us = read_time(line.message.get("timestamp") or line.fields.get("timestamp"))
        if line.summary:
            return Told(at_us=at_us, events=(Compaction(summary=line.summary, silent=True),))
        origin = Origin(source=FORMAT, session=self.session, entry=name)
        role = role_of(line.message)
        if role and line.first != line.name:
            return self._read_rest(line, origin, at_us, state, seqs)
        match role:
            case "user":
                events = tuple(self._read_user(line.message, origin, at_us, state))
                began = seqs.known_seq(self._begins) if line.name == self._asked and line.name != self._begins else 0
                late = began and seqs.is_new and not self._title  # the session was there before it could have a title
                return Told(at_us=at_us, events=events, after=(Label(text=self._typed),) if late else ())
            case "gemini" | "error":
                return self._read_answer(line, read_answer(line.message), origin, at_us, state, new=seqs.is_new)
            case _:
                return Told(at_us=at_us, after=tuple(self._titles(line.fields)))

    def _titles(self, fields: Fields) -> list[Event]:
        title = title_of(text_of(fields_of(fields.get("$set")).get("summary")))
        return [Label(text=title)] if title else []

    def _read_user(self, message: Fields, origin: Origin, at_us: int | None, state: PathState) -> list[InContext]:
        """Read what a person said, or results that stand in no call."""
        results, others = read_responses(message)
        events: list[InContext] = []
        for result in results:
            call = state.call(result.tool_call_id)
            answered = CallResult(message=result, at_us=at_us)
            events.append(self._adopt(answered, origin, call[0] if call is not None else None, at_us))
        if others or not events:
            said = read_user(message if not events else {"content": others})
            events.append(MessageAdopt(message=said, origin=origin, sent_at_us=at_us or 0))
        return events

    def _read_answer(
        self,
        line: GeminiLine,
        message: AssistantMessage,
        origin: Origin,
        at_us: int | None,
        state: PathState,
        *,
        new: bool,
    ) -> Told:
        before: list[Event] = []
        if message.model:
            ref = ModelRef(api=API, provider=PROVIDER, model=message.model)
            if ref != state.model:
                state.model = ref
                before.append(ConfigChange(model=ref))
            if message.usage is not None and new:
                message = msgspec.structs.replace(message, usage=priced(message.usage, ref, at_us=at_us or 0))
        if not line.counts:
            message = msgspec.structs.replace(message, usage=None)
        events: list[InContext] = [MessageAdopt(message=message, origin=origin, sent_at_us=at_us or 0)]
        events += [self._adopt(one, origin, None, at_us) for one in read_results(line.message)]
        return Told(at_us=at_us, events=tuple(events), before=tuple(before))

    def _read_rest(self, line: GeminiLine, origin: Origin, at_us: int | None, state: PathState, seqs: Seqs) -> Told:
        """Read what completes a message: told with it, unless that was imported before this came."""
        message, had = read_answer(line.message), read_answer(line.had)
        known = seqs.known_seq(line.after or "") if seqs.is_new else 0
        if not known and not line.late:
            return Told(at_us=at_us)
        there = read_results(line.had)
        told = {one.message.tool_call_id for one in there}
        results = [one for one in read_results(line.message) if one.message.tool_call_id not in told]
        rest = _rest(message, had) if known else None
        places: dict[str, Place] = {}
        if known and line.after == line.first:
            at = known - len(there)
            places = {
                block.id: Place(message_seq=at, content_index=index)
                for index, block in enumerate(had.content)
                if isinstance(block, ToolCall)
            }
        events: list[InContext] = []
        if rest is not None:
            if had.usage is not None or not line.counts:
                rest = msgspec.structs.replace(rest, usage=None)
            events.append(MessageAdopt(message=rest, origin=origin, sent_at_us=at_us or 0))
        for one in results:
            call_id = one.message.tool_call_id
            call = state.call(call_id) if rest is None else None
            events.append(
                self._adopt(one, origin, places.get(call_id) or (call[0] if call is not None else None), at_us)
            )
        return Told(at_us=at_us, events=tuple(events))

    def _adopt(self, result: CallResult, origin: Origin, call: Place | None, at_us: int | None) -> MessageAdopt:
        return MessageAdopt(
            message=result.message,
            origin=origin,
            sent_at_us=max(result.at_us or 0, at_us or 0),  # it is written a little before its answer is
            call=call,
            child=self._children.get(result.agent, ""),
        )

    def write(self, events: Sequence[InContext], at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write the record of an entry as far as the log says it by itself."""
        if isinstance(events[0], Compaction):
            return [{"$set": {"messages": []}}]
        adopted = [event for event in events if isinstance(event, MessageAdopt)]
        results = {
            one.message.tool_call_id: (one.message, one.sent_at_us)
            for one in adopted
            if isinstance(one.message, ToolResultMessage)
        }
        whole: dict[str, object] = {"id": name, "timestamp": write_time(at_us)}
        match adopted[0].message if adopted else None:
            case AssistantMessage() as answer:
                return [{**whole, **write_answer(answer), **_write_calls(answer, results)}]
            case UserMessage() as said:
                return [{**whole, "type": "user", "content": write_user(said)}]
            case _:
                parts = [write_response(message) for message, _ in results.values()]
                shown = [write_user(one.message) for one in adopted if isinstance(one.message, UserMessage)]
                parts += [dict(part) for one in shown for part in as_parts(one)]
                return [{**whole, "type": "user", "content": parts}]

    def new_name(self, session: str, seq: int) -> str:
        """Return what an entry is named by that was recorded here."""
        return str(uuid5(NAMES, f"{session}/{seq}"))

    def fit(self, message: Message) -> Message:
        """Return a message as Google's API takes it."""
        return fitted(message, _MODEL)

    def write_new(self, event: InContext, at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write the record of an entry that was recorded here; who writes the file joins results to their calls."""
        if isinstance(event, Compaction):
            said = event.summary if event.summary.startswith(SNAPSHOT) else f"{SNAPSHOT}\n{event.summary}"
            message = {"id": name, "timestamp": write_time(at_us), "type": "user", "content": said}
            return [{KEPT: event.first_kept_seq, "message": message}]
        if not isinstance(event, MessageAdopt) or isinstance(event.message, CustomMessage):
            return []
        if isinstance(event.message, ToolResultMessage):
            call = ToolCall(id=event.message.tool_call_id, name=event.message.tool_name)
            return [
                {RESULT: write_call(call, event.message, at_us), "message": self.write([event], at_us, name, state)[0]}
            ]
        return self.write([event], at_us, name, state)

    def passed(self, records: Sequence[Fields], name: str, state: PathState) -> None:
        """No record leaves out what the one before it says."""


def _write_calls(
    answer: AssistantMessage, results: Mapping[str, tuple[ToolResultMessage, int]]
) -> dict[str, list[dict[str, object]]]:
    calls = [
        write_call(call, *results.get(call.id, (None, 0))) for call in answer.content if isinstance(call, ToolCall)
    ]
    return {"toolCalls": calls} if calls else {}


def _rest(message: AssistantMessage, had: AssistantMessage) -> AssistantMessage | None:
    """Return what a message says beyond what was told of it; None: nothing."""
    thoughts = sum(isinstance(block, ThinkingContent) for block in had.content)
    calls = [block for block in had.content if isinstance(block, ToolCall)]
    told = had.text.strip()
    rest: list[AssistantContent] = []
    for block in message.content:
        if isinstance(block, ThinkingContent) and thoughts:
            thoughts -= 1
        elif isinstance(block, TextContent) and told:
            own, _, more = block.text.partition(told)
            told = "" if more or own != block.text else told
            if more.strip():
                rest.append(msgspec.structs.replace(block, text=more))
        elif block not in calls:
            rest.append(block)
    return msgspec.structs.replace(message, content=tuple(rest)) if rest else None
