"""Sessions of pi: JSON Lines in versions 1, 2 and 3, a tree of entries, compactions, branch summaries, labels.

Since pi 1.0 what the system says is messages too, and an entry can change what the model reads of an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

import msgspec

from eventsource.codec import to_json
from eventsource.events import Compaction, ConfigChange, ContextEdit, Event, Label, MessageAdopt, MetadataSet, ModelRef
from eventsource.messages import AssistantMessage, Message, ProviderContent, ToolResultMessage, UserMessage
from eventsource.models.options import ThinkingLevel

from ..dialect import InContext, PathState, Seqs, Told
from ..fields import shown, text_of, unknown_type
from ..jsonl import Fields, Line
from ..outline import Placing
from ..times import read_time
from ..to_agent import bare
from .entries import origin_of, read_entry, with_call, write_entry
from .prompt import NOTHING, changed, patched

FORMAT = "pi"
_VERSIONS = (1, 2, 3)
_TYPES = frozenset(
    (
        *("message", "model_change", "thinking_level_change", "compaction", "branch_summary", "custom"),
        *("custom_message", "label", "session_info", "context_edit", "usage"),
    )
)
_ROLES = ("system", "user", "assistant", "toolResult", "bashExecution", "hookMessage", "custom")
_LEVELS: tuple[str, ...] = ThinkingLevel.__args__  # type: ignore[attr-defined]  # a Literal has its values there
_EDITS_NOTHING = ("with a change of what is nowhere before it or sent to no model",)
_APIS = {"anthropic": "anthropic-messages", "google": "google-generative-ai", "openai": "openai-responses"}
"""Wire protocol of a vendor, for a model that was chosen and never answered."""


def is_record(fields: Fields) -> bool:
    """Return whether an object has the shape of an entry or of a header."""
    return isinstance(fields.get("type"), str) and ("timestamp" in fields or fields["type"] == "session")


def is_pi(fields: Fields) -> bool:
    """Return whether an object is an entry or a header that only pi writes."""
    match fields:
        case {"type": "session", "id": str(), "timestamp": str()}:
            return True
        case {"type": "message", "timestamp": str(), "message": {"role": str()}}:
            return True
        case _:
            return False


class PiDialect:
    """How a session file of pi tells its session.

    Version 1 has no names: entries follow one another, and are named e00001 and so on. `named` says of a file without a
    header whether its entries name their parents, as those of version 3 do. `fork`: the session that goes on from
    another one, whose entries come first; its own header is an entry.
    """

    format = FORMAT
    first_words = ""
    begun: frozenset[str] = frozenset()  # pi has no sub-agents
    unfinished = 0  # pi writes a message when it is whole

    def __init__(self, *, named: bool, fork: str = "") -> None:
        self._named, self._fork = named, fork
        self.header: Fields = {}
        self._records = 0
        self._header_line = 0
        self._readable: list[str | None] = []  # what pi counts lines by: the name of the entry on each that is whole
        self._entries = 0
        self._apis: dict[tuple[str, str], str] = {}
        self._edited: dict[str, Fields] = {}  # entries that others change what the model reads of; empty: not read yet

    @property
    def version(self) -> int:
        """The version of the file, by its header."""
        given = self.header.get("version", 1) if self.header else 3 if self._named else 1
        return given if type(given) is int else 1

    @property
    def session(self) -> str:
        """What pi calls this session."""
        return str(self.header.get("id", ""))

    @property
    def began_us(self) -> int | None:
        """When the session began, by its header."""
        return read_time(self.header.get("timestamp"))

    def place(self, line: Line) -> Placing | None:
        """Say where an entry belongs; None: it is the header."""
        fields = line.fields
        self._records += 1
        if self._records == 1 and fields.get("type") == "session":
            self.header, self._header_line = fields, line.number
            self._readable.append(None)
            return None
        self._entries += 1
        name = self.name([line], self._entries)
        if line.whole:
            self._readable.append(name)
        message = fields.get("message")
        if isinstance(message, dict) and message.get("role") == "assistant":
            self._apis[str(message.get("provider")), str(message.get("model"))] = str(message.get("api", ""))
        if self._is_own_header(fields):
            return Placing(speaks=False)
        edits = fields.get("type") == "context_edit"
        if edits:
            self._edited[text_of(fields.get("targetId"))] = {}
        return Placing(name=name, after=self._after(fields), anew=edits)

    def _is_own_header(self, fields: Fields) -> bool:
        return bool(self._fork) and fields.get("type") == "session" and fields.get("id") == self._fork

    def _after(self, fields: Fields) -> str | msgspec.UnsetType | None:
        if self.version < 2 or "parentId" not in fields:
            return msgspec.UNSET if self._entries > 1 else None
        named = fields["parentId"]
        return None if named is None else str(named)

    def is_header(self, line: Line) -> bool:
        """Return whether a record is the header."""
        return line.number == self._header_line and line.fields == self.header

    def name(self, records: Sequence[Line], number: int) -> str:
        """Return what an entry is named by."""
        own = records[0].fields.get("id") if self.version > 1 else None
        return str(own) if isinstance(own, str | int) else f"e{number:05d}"

    def opening(self) -> Sequence[Event]:
        """Return the agent and its folder, by which sessions are found."""
        return [MetadataSet(name="agent", value=to_json(FORMAT)), *_where(self.header)]

    def read(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        """Read an entry; at each seq of a branch the context is the one that pi would build there."""
        fields = records[0].fields
        at_us = read_time(fields.get("timestamp"))
        if self._is_own_header(fields):
            return Told(at_us=None, after=tuple(one for one in _where(fields) if one not in _where(self.header)))
        before, after = list[Event](), list[Event]()
        if name in self._edited:
            self._edited[name] = fields
        event = read_entry(fields, origin_of(self._fork or self.session, name), self._kept(fields, seqs))
        if fields.get("type") == "context_edit":
            after = self._edit(fields, seqs)
        elif event is None:
            after = self._settings(fields, state)
        else:
            before = self._answered(event, state)
            if isinstance(event, Compaction) and isinstance(told := fields.get("systemMessage"), dict):
                after = self._told(patched(NOTHING, told), state)
            if isinstance(event, MessageAdopt) and isinstance(event.message, ToolResultMessage):
                found = state.call(event.message.tool_call_id)
                event = with_call(event, found[0] if found is not None else None)
        return Told(
            at_us=at_us,
            events=() if event is None else (event,),
            before=tuple(before),
            after=tuple(after),
            label=_label(fields),
            unclear=tuple(self._unclear(fields)) if after or fields.get("type") != "context_edit" else _EDITS_NOTHING,
        )

    def _edit(self, fields: Fields, seqs: Seqs) -> list[Event]:
        """Return what changes what the model reads of an entry before it; nothing if that is not there."""
        target, given = text_of(fields.get("targetId")), fields.get("replacement")
        edited, seq = self._edited.get(target, {}), seqs.message_seq(target)
        if isinstance(given, dict) and "content" in given:
            edited = _with_content(edited, given["content"])
        elif given is not None:
            return []
        event = read_entry(edited, origin_of(self._fork or self.session, target), 0)
        if not seq or not isinstance(event, MessageAdopt):
            return []
        return [ContextEdit(message_seq=seq, replacement=event.message if given is not None else None)]

    def _unclear(self, fields: Fields) -> Iterator[str]:
        """Say what is not understood of an entry."""
        kind = fields.get("type")
        if text_of(kind) not in _TYPES:
            yield unknown_type(kind)
        if self.version not in _VERSIONS:
            yield f"of version {self.version} of pi's format; {_VERSIONS[-1]} is the newest that is known here"
        if "timestamp" in fields and read_time(fields["timestamp"]) is None:
            yield "whose time cannot be read"
        if kind == "message":
            message = fields.get("message")
            role = message.get("role") if isinstance(message, dict) else None
            if not isinstance(message, dict):
                yield "of type 'message' without a message"
            elif role not in _ROLES:
                yield f"with a message of the role {shown(role)}, which is not known here"

    def _kept(self, fields: Fields, seqs: Seqs) -> int:
        """Find where the entry lies that a compaction keeps first (0: it keeps nothing)."""
        if fields.get("type") != "compaction":
            return 0
        index, named = fields.get("firstKeptEntryIndex"), fields.get("firstKeptEntryId")
        if self.version < 2 and type(index) is int:
            kept = self._readable[index] if 0 <= index < len(self._readable) else None
        else:
            kept = str(named) if isinstance(named, str | int) else None
        return seqs.first_seq(kept) if kept is not None else 0

    def write(self, events: Sequence[InContext], at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write an entry as far as the log says it by itself."""
        event = events[0]
        if isinstance(event, ContextEdit):  # its entry is kept whole, and it stands behind that
            return []
        fields = write_entry(event, at_us)
        if self.version > 1:
            fields["parentId"] = state.name or None
            fields["id"] = name
        return [fields]

    def new_name(self, session: str, seq: int) -> str:
        """Return what an entry is named by that was recorded here."""
        return sha256(f"{session}/{seq}".encode()).hexdigest()[:8]

    def fit(self, message: Message) -> Message:
        """Return a message without what only another agent can read; pi translates for its providers itself."""
        said = bare(message)
        if not isinstance(said, AssistantMessage):
            return said
        kept = tuple(block for block in said.content if not isinstance(block, ProviderContent))
        return msgspec.structs.replace(said, content=kept)

    def write_new(self, event: InContext, at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write the record of an entry that was recorded here; what its message has of another API stays here."""
        if isinstance(event, MessageAdopt) and isinstance(event.message, UserMessage):
            event = msgspec.structs.replace(event, message=bare(event.message))
        return self.write([event], at_us, name, state)

    def passed(self, records: Sequence[Fields], name: str, state: PathState) -> None:
        """Nothing of an entry is left out of those that follow it."""

    def _settings(self, fields: Fields, state: PathState) -> list[Event]:
        """Return what an entry that is no message changes: the model, the thinking level, the session's name."""
        match fields:
            case {"type": "model_change", "provider": str(provider), "modelId": str(model)}:
                api = self._apis.get((provider, model)) or _APIS.get(provider, "")
                return _model(ModelRef(api=api, provider=provider, model=model), state)
            case {"type": "thinking_level_change", "thinkingLevel": str(level)} if level in _LEVELS:
                return [ConfigChange(options=to_json({"thinking": level}))]
            case {"type": "session_info", "name": str(title)} if title:
                return [Label(text=title)]
            case {"type": "message", "message": dict(message)} if message.get("role") == "system":
                return self._told(patched(state.settings.get("system", NOTHING), message), state)
            case _:
                return []

    def _told(self, now: str, state: PathState) -> list[Event]:
        """Return what the system says otherwise than before."""
        before = state.settings.get("system", NOTHING)
        state.settings = {**state.settings, "system": now}
        return [*changed(before, now)]

    def _answered(self, event: InContext, state: PathState) -> list[Event]:
        """Return the model that answered, where it is not the one in force."""
        message = event.message if isinstance(event, MessageAdopt) else None
        if not isinstance(message, AssistantMessage) or not message.provider or not message.model:
            return []
        return _model(ModelRef(api=message.api, provider=message.provider, model=message.model), state)


def _where(header: Fields) -> list[Event]:
    """Return by what a session is found: its folder."""
    folder = header.get("cwd")
    return [MetadataSet(name="folder", value=to_json(folder))] if isinstance(folder, str) and folder else []


def _model(ref: ModelRef, state: PathState) -> list[Event]:
    changed = ref != state.model
    state.model = ref
    return [ConfigChange(model=ref)] if changed else []


def _with_content(entry: Fields, content: object) -> Fields:
    """Return a message's entry with another content; only a person's can be one text."""
    message = entry.get("message")
    if not isinstance(message, dict):
        return {**entry, "content": content}
    if isinstance(content, str) and message.get("role") in ("assistant", "toolResult"):
        content = [{"type": "text", "text": content}]
    return {**entry, "message": {**message, "content": content}}


def _label(fields: Fields) -> tuple[str, str] | None:
    match fields:
        case {"type": "label", "targetId": str() | int() as target}:
            text = fields.get("label")
            return text if isinstance(text, str) else "", str(target)
        case _:
            return None
