"""Sessions of Claude Code: JSON Lines, a tree by names, one record for each block of an answer.

Parallel calls look like branches and are none: each call's record hangs from the one before it, and each result from
its call's. So what hangs from a batch of calls and its results goes on behind the last of these.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

import msgspec

from eventsource.codec import from_json, read_object, to_json
from eventsource.events import Compaction, ConfigChange, Event, Label, MessageAdopt, MetadataSet, ModelRef, Origin
from eventsource.first_words import title_of
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from eventsource.models.prices import priced
from eventsource.values import ToolSpec

from ..dialect import InContext, PathState, Seqs, Told
from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields, Line
from ..numbers import read_count
from ..outline import Placing
from ..times import read_time, write_time
from ..to_agent import fitted
from .messages import (
    API,
    PROVIDER,
    read_answer,
    read_result,
    read_shape,
    read_shown,
    write_answer,
    write_result,
    write_user,
)
from .unclear import unclear_in

FORMAT = "claude-code"
WITHIN = "within"
"""Says of a sub-agent's session that it stands in the file of the one that began it."""
_SHAPES = 16  # system prompts with tools that are remembered: a request names its own
_NEAR = 5_000  # records of answers and results that are remembered, to find what hangs from them
_CARRIED = (
    *("isSidechain", "userType", "cwd", "sessionId", "version", "gitBranch", "slug", "entrypoint", "agentId"),
    *("permissionMode", "sessionKind"),
)
"""Fields that a record has like the one before it."""
SYNTHETIC = "<synthetic>"
_COPIES_ANEW = ("1.", "2.0.")  # versions whose copies have new names: what is asked may be one until it is answered
_COMMAND = re.compile(r"<command-name>([^<]*)</command-name>")
_ARGUMENTS = re.compile(r"<command-args>([^<]*)</command-args>")
_NAMES = UUID("5a4b44f8-1ff4-4a8e-9a35-6c2b0c9b8b11")  # what is recorded here is named within this, by where it lies
_AGENT = re.compile(r"agentId: (\w+) ")  # begins the text that Claude Code adds to what a sub-agent answered
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")  # characters that names and ids of calls may not have
_NAME_CHARS = 128
_NOTICE: msgspec.Raw = to_json({"role": "system"})  # what the program says in its own name
_MODEL = ModelRef(api=API, provider=PROVIDER, model="")
_NOTIFIES = "task-notification"
_TAGS = ("<local-command", "<bash-", "<system-reminder>", f"<{_NOTIFIES}>", "[Request interrupted")


def is_record(fields: Fields) -> bool:
    """Return whether an object has the shape of a record."""
    return isinstance(fields.get("type"), str) and ("sessionId" in fields or "uuid" in fields or "messageId" in fields)


def is_claude_code(fields: Fields) -> bool:
    """Return whether an object is a record that only Claude Code writes."""
    match fields:
        case {"type": "user" | "assistant" | "system" | "attachment" | "progress", "uuid": str(), "sessionId": str()}:
            return True
        case {"type": "user" | "assistant", "uuid": str(), "message": {"role": str()}, "parentUuid": _}:
            return True
        case {"type": "summary", "summary": str(), "leafUuid": str()}:
            return True
        case {"type": "file-history-snapshot", "messageId": str(), "snapshot": dict()}:
            return True
        case {"type": "queue-operation", "operation": str(), "sessionId": str()}:
            return True
        case _:
            return False


class _Batch(msgspec.Struct):
    """An answer, the results of its calls and what stands beside them: the last of these records."""

    tail: str


class ClaudeCodeDialect:
    """How a session file of Claude Code tells its session.

    Args:
        children: sessions of sub-agents, by what the file says of each: the agent's id, or the call that began it.
        within: it is a sub-agent's, told in the file of the session that began it.
        fork: the session that goes on from another one, whose records come first; empty: it goes on from none.
    """

    format = FORMAT
    version = 1

    def __init__(self, children: Mapping[str, str], *, within: bool = False, fork: str = "") -> None:
        self.header: Fields = {WITHIN: True} if within else {}
        self._fork, self._parted = fork, False
        self.session = ""
        self.began_us: int | None = None
        self._children = children
        self._first: Fields = {}
        self._batches: OrderedDict[str, _Batch] = OrderedDict()
        self._answers: OrderedDict[str, _Batch] = OrderedDict()
        self._commands: set[str] = set()
        self._locals: set[str] = set()  # what commands put out, by name; and what of it the conversation goes on from
        self._heard: set[str] = set()
        self._kept: dict[
            str, str
        ] = {}  # the last message that a compaction keeps, and the summary that it is read behind
        self.begun: set[str] = set()
        self._named = False
        self._typed = self._command = ""
        self._tail, self._tail_of = 0, ""
        self._begun, self._unbegun = False, 0
        self._shapes: OrderedDict[str, tuple[str, tuple[ToolSpec, ...]]] = OrderedDict()

    def place(self, line: Line) -> Placing | None:
        """Say where a record belongs."""
        fields = line.fields
        self._meet(fields)
        self._watch(fields)
        name = text_of(fields.get("uuid"))
        if not name:
            return Placing(speaks=False)
        if "parentUuid" not in fields:  # written by other programs
            return Placing(name=name, speaks=fields.get("type") in ("user", "assistant"))
        parent = fields["parentUuid"]
        after = parent if isinstance(parent, str) else None
        if fields.get("subtype") == "compact_boundary":
            logical, last = fields.get("logicalParentUuid"), self._keep(fields_of(fields.get("compactMetadata")))
            logical = last if last and logical in self._locals else logical
            return Placing(name=name, after=logical if isinstance(logical, str) else msgspec.UNSET)
        match fields:
            case {"type": "assistant", "message": dict(message)}:
                return self._place_answer(name, after, text_of(message.get("id")))
            case {"type": "user"}:
                return self._place_said(name, after, answers=_answers(fields))
            case _:
                return self._place_beside(name, after, speaks=_is_queued(fields))

    def _meet(self, fields: Fields) -> None:
        """Take note of what a record says of the whole session."""
        if not self.session and isinstance(fields.get("sessionId"), str):
            agent = text_of(fields.get("agentId"))
            self.session = f"{fields['sessionId']}/{agent}" if agent else str(fields["sessionId"])
        if self.began_us is None:
            self.began_us = read_time(fields.get("timestamp"))
        if not self._first and "cwd" in fields:
            self._first = fields
        if fields.get("type") == "user":
            blocks = map(fields_of, list_of(fields_of(fields.get("message")).get("content")))
            named = {_agent_of(block, fields.get("toolUseResult")) for block in blocks}
            self.begun |= named - {""}
        if fields.get("subtype") == "local_command":
            self._locals.add(text_of(fields.get("uuid")))
        if (parent := text_of(fields.get("parentUuid"))) in self._locals:
            self._heard.add(parent)
        attachment = fields_of(fields.get("attachment"))
        if attachment.get("type") == "queued_command":
            self._commands.add(text_of(attachment.get("prompt")))

    def _watch(self, fields: Fields) -> None:
        """Count the records at the end that are of one answer, which may go on: each may say why it stopped.

        And those before any, which do not tell yet whether a session goes on from another one.
        """
        message = fields_of(fields.get("message"))
        answer = text_of(message.get("id")) if fields.get("type") == "assistant" else ""
        copies = text_of(fields.get("version")).startswith(_COPIES_ANEW) or fields.get("type") == "summary"
        self._begun |= bool(self.session and fields.get("uuid") and (answer or not copies))
        self._unbegun += not self._begun
        done = self._tail and _answers(fields)  # the first call may be done before the last is written
        if not answer and (done or copies):
            self._tail += 1
        elif not answer:
            self._tail, self._tail_of = 0, ""
        elif answer == self._tail_of:
            self._tail += 1
        else:
            self._tail, self._tail_of = 1, answer

    def _place_answer(self, name: str, after: str | None, answer: str) -> Placing:
        """Place a record of an answer: with the others of that answer, if it hangs from them."""
        batch = self._answers.get(answer) if answer else None
        if batch is not None and self._batches.get(after or "") is batch:
            self._remember(name, batch)
            return Placing(name=name, after=after, key=answer, begins=False)
        placing = Placing(name=name, after=self._behind(after), key=answer)
        batch = _Batch(tail=name)
        self._remember(name, batch)
        if answer:
            self._answers[answer] = batch
            if len(self._answers) > _NEAR:
                self._answers.popitem(last=False)
        return placing

    def _place_said(self, name: str, after: str | None, *, answers: bool) -> Placing:
        """Place what a person said, or what a tool answered."""
        batch = self._batches.get(after or "")
        placing = Placing(name=name, after=self._behind(after))
        if answers and batch is not None:
            batch.tail = name
            self._remember(name, batch)
        return placing

    def _place_beside(self, name: str, after: str | None, *, speaks: bool) -> Placing:
        """Place a record beside the conversation: what follows it follows what it hangs from."""
        batch = self._batches.get(after or "")
        placing = Placing(name=name, after=self._behind(after), speaks=speaks)
        if batch is not None:
            batch.tail = name
            self._remember(name, batch)
        return placing

    def _behind(self, after: str | None) -> str | None:
        batch = self._batches.get(after or "")
        last = batch.tail if batch is not None else after
        return self._kept.get(last or "", last)

    def _keep(self, compaction: Fields) -> str:
        """Take note of what a compaction keeps: what is said behind that is said behind the summary.

        Returns: the last message of it that was said.
        """
        kept = fields_of(compaction.get("preservedSegment"))
        tail, summary = text_of(kept.get("tailUuid")), text_of(kept.get("anchorUuid"))
        uuids = map(text_of, list_of(fields_of(compaction.get("preservedMessages")).get("uuids")))
        said = [one for one in uuids if one and one not in self._locals]  # what a command put out may be named last
        for last in {tail, *said[-1:]} if tail and summary else ():
            batch = self._batches.get(last)
            self._kept[last] = self._kept[batch.tail if batch is not None else last] = summary
        return said[-1] if said else ""

    def _remember(self, name: str, batch: _Batch) -> None:
        self._batches[name] = batch
        if len(self._batches) > _NEAR:
            self._batches.popitem(last=False)

    def _steers(self, fields: Fields) -> bool:
        """Return whether a record without a name is what the user said while the agent worked, told nowhere else."""
        match fields:
            case {"type": "queue-operation", "operation": "remove", "content": str(text)} if text:
                return text not in self._commands
            case _:
                return False

    @property
    def unfinished(self) -> int:
        """How many of the last records are of an answer that may go on: nothing follows it yet.

        All of them, until one says which session that is, and whether it goes on from another one: what it is known by
        would be another one then.
        """
        return self._tail if self._begun else self._unbegun

    @property
    def first_words(self) -> str:
        """What a person typed first, or else the first command."""
        return self._typed or self._command

    def is_header(self, line: Line) -> bool:
        """No record is a header."""
        return False

    def name(self, records: Sequence[Line], number: int) -> str:
        """Return what an entry is named by."""
        own = records[0].fields.get("uuid")
        return own if isinstance(own, str) and own else f"e{number:05d}"

    def opening(self) -> Sequence[Event]:
        """Return the agent, its folder and its Git branch, by which sessions are found."""
        return [MetadataSet(name="agent", value=to_json(FORMAT)), *_where(self._first)]

    def _is_own(self, fields: Fields) -> bool:
        """Return whether a record is one of the session's own, of one that goes on from another session."""
        return bool(self._fork) and fields.get("sessionId") == self._fork

    def read(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        """Read an entry; the context is the one that Claude Code would build there."""
        told = self._told(records, name, state, seqs)
        if self._is_own(records[0].fields) and not self._parted and "cwd" in records[0].fields:
            self._parted = True
            before = _where(self._first)
            changed = [one for one in _where(records[0].fields) if one not in before]
            told = msgspec.structs.replace(told, after=(*told.after, *changed))
        unclear = tuple(dict.fromkeys(what for line in records for what in unclear_in(line.fields)))
        return msgspec.structs.replace(told, unclear=unclear) if unclear and seqs.is_new else told

    def _told(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        fields = records[0].fields
        at_us = read_time(fields.get("timestamp"))
        origin = Origin(source=FORMAT, session=self._fork or self.session, entry=name)
        match fields:
            case {"type": "assistant", "message": dict()}:
                return self._read_answer([line.fields for line in records], origin, at_us, state, new=seqs.is_new)
            case {"type": "user", "isCompactSummary": True, "message": dict(message)}:
                return self._read_summary(message, at_us, state, seqs)
            case {"type": "user", "message": dict(message)} if fields.get("isVisibleInTranscriptOnly") is not True:
                return self._read_user(fields, message, origin, at_us, state)
            case {"type": "attachment", "attachment": {"type": "queued_command", "prompt": str(text)}} if text:
                own = fields_of(fields["attachment"]).get("commandMode") == _NOTIFIES
                return _said(UserMessage(content=text, raw=_NOTICE if own else msgspec.UNSET), origin, at_us)
            case {"subtype": "local_command", "content": str(text), "uuid": str(own)} if own in self._heard:
                return _said(UserMessage(content=text), origin, at_us)
            case {"type": "queue-operation", "content": str(text)} if self._steers(fields):
                own = text.startswith(f"<{_NOTIFIES}>")
                return _said(UserMessage(content=text, raw=_NOTICE if own else msgspec.UNSET), origin, at_us)
            case _:
                return Told(at_us=at_us, after=tuple(self._beside(fields, state)))

    def _read_answer(
        self, records: Sequence[Fields], origin: Origin, at_us: int | None, state: PathState, *, new: bool
    ) -> Told:
        message = read_answer(records)
        times = [read_time(fields.get("timestamp")) for fields in records]
        ended = next((time for time in reversed(times) if time is not None), at_us)
        before: list[Event] = []
        if message.model and message.model != SYNTHETIC:
            ref = ModelRef(api=API, provider=PROVIDER, model=message.model)
            if ref != state.model:
                state.model = ref
                before.append(ConfigChange(model=ref))
            if message.usage is not None and new:
                usage = priced(message.usage, ref, at_us=ended or 0, answered_by=message.model)
                message = msgspec.structs.replace(message, usage=usage)
        adopted = MessageAdopt(message=message, origin=origin, sent_at_us=ended or 0)
        return Told(at_us=at_us, events=(adopted,), before=tuple(before))

    def _read_summary(self, message: Fields, at_us: int | None, state: PathState, seqs: Seqs) -> Told:
        """Read the summary that stands for what was said before; what it keeps is named at the boundary before it."""
        boundary = read_object(msgspec.Raw(state.settings.get("boundary", "{}").encode()))
        kept = fields_of(boundary.get("preservedSegment")).get("headUuid")
        uuids = list_of(fields_of(boundary.get("preservedMessages")).get("uuids"))
        kept = next((one for one in uuids if isinstance(one, str)), kept)
        compaction = Compaction(
            summary="\n".join(block.text for block in read_shown(message.get("content")) if hasattr(block, "text")),
            first_kept_seq=seqs.first_seq(kept) if isinstance(kept, str) else 0,
            tokens_before=read_count(boundary.get("preTokens")),
            details=to_json(boundary) if boundary else msgspec.UNSET,
        )
        return Told(at_us=at_us, events=(compaction,))

    def _read_user(self, fields: Fields, message: Fields, origin: Origin, at_us: int | None, state: PathState) -> Told:
        content = message.get("content")
        if not self._typed and fields.get("isMeta") is not True and (not self._fork or self._is_own(fields)):
            typed, command = _words(content)
            self._typed, self._command = typed, self._command or command
        raw = _NOTICE if fields_of(fields.get("origin")).get("kind") == _NOTIFIES else msgspec.UNSET
        if isinstance(content, str):
            return _said(UserMessage(content=content, raw=raw), origin, at_us)
        details = fields.get("toolUseResult", msgspec.UNSET)
        events: list[InContext] = []
        for block in list_of(content):
            if fields_of(block).get("type") == "tool_result":
                events.append(self._read_result(fields_of(block), details, origin, at_us, state, len(events)))
        shown = read_shown(content)
        if shown or not events:
            events.append(_adopt(UserMessage(content=shown, raw=raw), origin, at_us))
        return Told(at_us=at_us, events=tuple(events))

    def _read_result(
        self, block: Fields, details: object, origin: Origin, at_us: int | None, state: PathState, place: int
    ) -> MessageAdopt:
        found = state.call(text_of(block.get("tool_use_id")))
        place_of, tool = found if found is not None else (None, "")
        result = read_result(block, tool, details if place == 0 else msgspec.UNSET)
        child = self._children.get(_agent_of(block, details)) or self._children.get(result.tool_call_id, "")
        return MessageAdopt(message=result, origin=origin, sent_at_us=at_us or 0, call=place_of, child=child)

    def _beside(self, fields: Fields, state: PathState) -> list[Event]:
        """Return what a record beside the conversation changes: a compaction's boundary, the session's title."""
        match fields:
            case {"subtype": "compact_boundary"}:
                said = to_json(fields.get("compactMetadata") or {})
                state.settings = {**state.settings, "boundary": bytes(said).decode()}
            case {"type": "custom-title", "customTitle": str(title)} if title:
                self._named = True
                return [Label(text=title)]
            case {"type": "ai-title", "aiTitle": str(title)} if title and not self._named:
                return [Label(text=title)]
            case {"type": "api-request-shape", "shapeHash": str(shape), "shape": dict(said)}:
                self._shapes[shape] = read_shape(said)
                if len(self._shapes) > _SHAPES:
                    self._shapes.popitem(last=False)
            case {"type": "api-request", "shapeHash": str(shape)} if shape in self._shapes:
                return _changed(*self._shapes[shape], state)
            case _:
                pass
        return []

    def write(self, events: Sequence[InContext], at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write records as far as the log says them by itself."""
        whole = {key: state.before[key] for key in _CARRIED if key in state.before}
        whole |= {"parentUuid": state.before.get("uuid"), "uuid": name, "timestamp": write_time(at_us)}
        first = events[0]
        if isinstance(first, Compaction):
            message = {"role": "user", "content": first.summary}
            return [{**whole, "type": "user", "message": message, "isCompactSummary": True}]
        messages = [event.message for event in events if isinstance(event, MessageAdopt)]
        if messages and isinstance(messages[0], AssistantMessage):
            return [{**whole, "type": "assistant", "message": one} for one in write_answer(messages[0])]
        return [{**whole, "type": "user", **_write_said(messages)}]

    def new_name(self, session: str, seq: int) -> str:
        """Return what an entry is named by that was recorded here."""
        return str(uuid5(_NAMES, f"{session}/{seq}"))

    def fit(self, message: Message) -> Message:
        """Return a message with names and ids that the Anthropic API takes."""
        message = fitted(message, _MODEL)
        match message:
            case AssistantMessage(content=content):
                calls = [
                    msgspec.structs.replace(
                        block, id=_ILLEGAL.sub("_", block.id), name=_ILLEGAL.sub("_", block.name)[:_NAME_CHARS]
                    )
                    if isinstance(block, ToolCall)
                    else block
                    for block in content
                ]
                return msgspec.structs.replace(message, content=tuple(calls))
            case ToolResultMessage(tool_call_id=call_id):
                return msgspec.structs.replace(message, tool_call_id=_ILLEGAL.sub("_", call_id))
            case _:
                return message

    def write_new(self, event: InContext, at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write the records of an entry that was recorded here: each follows the one before it."""
        records: list[dict[str, object]] = []
        if isinstance(event, Compaction):
            said = {"trigger": "manual", "preTokens": event.tokens_before}
            boundary = {"subtype": "compact_boundary", "content": "Conversation compacted", "compactMetadata": said}
            (summary,) = self.write([event], at_us, name, state)
            behind = {"parentUuid": None, "logicalParentUuid": state.before.get("uuid")}
            shared = {key: value for key, value in summary.items() if key not in ("message", "isCompactSummary")}
            records = [{**shared, **behind, "type": "system", "level": "info", **boundary}, summary]
        elif isinstance(event, MessageAdopt) and not isinstance(event.message, CustomMessage):
            records = self.write([event], at_us, name, state)
            for record in records:
                if record["type"] == "assistant":  # Claude Code needs an id and counts
                    answer = fields_of(record["message"])
                    usage = answer.get("usage", {"input_tokens": 0, "output_tokens": 0})
                    record["message"] = {**answer, "id": answer.get("id") or f"msg_{name}", "usage": usage}
        for place, record in enumerate(records[1:], 1):
            record["parentUuid"] = records[place - 1]["uuid"]
            record["uuid"] = str(uuid5(_NAMES, f"{name}/{place}"))
        for record in records:
            record.setdefault("isSidechain", False)
            record.setdefault("userType", "external")
        return records

    def passed(self, records: Sequence[Fields], name: str, state: PathState) -> None:
        """Keep what the next record has like this one."""
        if isinstance(records[-1].get("uuid"), str):
            state.before = {key: records[-1][key] for key in (*_CARRIED, "uuid") if key in records[-1]}


def _where(fields: Fields) -> list[Event]:
    """Return by what a session is found: its folder and its branch."""
    said = (("folder", fields.get("cwd")), ("branch", fields.get("gitBranch")))
    return [MetadataSet(name=name, value=to_json(value)) for name, value in said if isinstance(value, str) and value]


def _words(content: object) -> tuple[str, str]:
    """Return the first words of what a person typed, or the command that they gave; a program's words are neither."""
    blocks = [content] if isinstance(content, str) else [fields_of(block).get("text") for block in list_of(content)]
    text = next((one for one in map(text_of, blocks) if one.strip()), "")
    command = _COMMAND.search(text)
    if command is not None:
        arguments = _ARGUMENTS.search(text)
        return "", title_of(f"{command[1]} {arguments[1] if arguments is not None else ''}".strip())
    return "" if text.lstrip().startswith(_TAGS) else title_of(text), ""


def _write_said(messages: Sequence[object]) -> dict[str, object]:
    if len(messages) == 1 and isinstance(messages[0], UserMessage):
        return {"message": {"role": "user", "content": write_user(messages[0])}}
    blocks: list[object] = []
    details: dict[str, object] = {}
    for message in messages:
        if isinstance(message, ToolResultMessage):
            blocks.append(write_result(message))
            if not isinstance(message.details, msgspec.UnsetType):
                details["toolUseResult"] = from_json(message.details)
        elif isinstance(message, UserMessage):
            said = write_user(message)
            blocks.extend([{"type": "text", "text": said}] if isinstance(said, str) else said)
    return {"message": {"role": "user", "content": blocks}, **details}


def _changed(prompt: str, tools: tuple[ToolSpec, ...], state: PathState) -> list[Event]:
    """Return what a request has of system prompt and tools that was not in force."""
    offered = bytes(msgspec.json.encode(tools)).decode()
    before = state.settings
    new_prompt, new_tools = prompt != before.get("prompt", ""), offered != before.get("tools", "[]")
    if not new_prompt and not new_tools:
        return []
    state.settings = {**before, "prompt": prompt, "tools": offered}
    return [ConfigChange(system_prompt=prompt if new_prompt else None, tools=tools if new_tools else None)]


def _adopt(message: UserMessage, origin: Origin, at_us: int | None) -> MessageAdopt:
    return MessageAdopt(message=message, origin=origin, sent_at_us=at_us or 0)


def _said(message: UserMessage, origin: Origin, at_us: int | None) -> Told:
    return Told(at_us=at_us, events=(_adopt(message, origin, at_us),))


def _agent_of(block: Fields, details: object) -> str:
    """Return the id of the sub-agent that made a result: what is kept beside it says so, or its own last words."""
    if block.get("type") != "tool_result":
        return ""
    told = text_of(fields_of(details).get("agentId"))
    texts = [text_of(fields_of(part).get("text")) for part in list_of(block.get("content"))]
    found = _AGENT.match(texts[-1]) if texts and not told else None
    return found[1] if found is not None else told


def _answers(fields: Fields) -> bool:
    """Return whether a record holds what a tool answered."""
    blocks = list_of(fields_of(fields.get("message")).get("content"))
    return any(fields_of(block).get("type") == "tool_result" for block in blocks)


def _is_queued(fields: Fields) -> bool:
    return fields_of(fields.get("attachment")).get("type") == "queued_command"
