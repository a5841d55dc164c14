"""Sessions of opencode: messages with their parts, one behind the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from eventsource.codec import from_json, to_json
from eventsource.events import Compaction, ConfigChange, Event, Label, MessageAdopt, MetadataSet, ModelRef, Origin
from eventsource.first_words import title_of
from eventsource.messages import AssistantMessage, ToolCall, ToolResultMessage, UserMessage
from eventsource.models.prices import priced

from ..dialect import InContext, PathState, Seqs, Told
from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields, Line
from ..outline import Placing
from .messages import (
    Step,
    api_of,
    folder_of,
    is_said,
    read_ms,
    read_steps,
    read_user,
    unclear_in,
    write_said,
    write_user,
)

FORMAT = "opencode"
_SYSTEM = "system prompt"  # the setting in which the last one is kept; no message is called so
_LATER = ("summary",)  # of what a person said opencode adds this once the answer is there


def _is_early_summary(info: Fields, state: PathState) -> bool:
    """Return whether a message is a summary that nobody asked for in a message of their own (until 1.0).

    It is the first one that the model is sent then.
    """
    ended = fields_of(info.get("time")).get("completed") is not None and not info.get("error")
    asked = text_of(info.get("parentID")) in state.settings
    return info.get("summary") is True and ended and "finish" not in info and not asked


class MessageLine(Line, frozen=True, kw_only=True):
    """A message with the parts that are its content; `parts` has the others as well."""

    parts: tuple[object, ...] = ()


def lines_of_messages(
    messages: Iterable[tuple[Fields, Sequence[object]]], title: str, fork: tuple[int, str] = (0, "")
) -> Iterator[Line]:
    """Make records of a session's title, and of each message: what it says, and what stands or comes beside it.

    What opencode changes after a message came is a record of its own, so that the message stays what it was.

    Args:
        fork: how many messages are of the session that it goes on from, whose title that is; and its own title.
    """
    (inherited, own_title), parted = fork, False
    if title:
        yield Line(0, {"title": title})
    for number, (info, parts) in enumerate(messages, 1):
        if own_title and number == inherited + 2:  # behind where it parts, with all that is beside its first message
            yield Line(0, {"title": own_title})
            own_title = ""
        by_user = info.get("role") == "user"
        later = {name: info[name] for name in _LATER if by_user and name in info}
        own = {name: value for name, value in info.items() if name not in later}
        kept = [_without_pruning(part) for part in parts]
        content = [part for part in kept if is_said(part, by_user=by_user)]
        beside = {str(place): part for place, part in enumerate(kept) if not is_said(part, by_user=by_user)}
        yield MessageLine(number, {"info": own, "parts": content}, parts=tuple(kept))
        if beside:
            yield Line(number, {"id": info.get("id"), "beside": beside})
        pruned = {str(place): part for place, part in enumerate(parts) if part is not kept[place]}
        if later or pruned:
            yield Line(
                number, {"id": info.get("id"), "later": {**later, **({"pruned": _times(pruned)} if pruned else {})}}
            )
        parted = number > inherited
    if own_title and parted:
        yield Line(0, {"title": own_title})


def _without_pruning(part: object) -> object:
    """Leave out that a result was taken from the context, which happens long after it came."""
    state = fields_of(fields_of(part).get("state"))
    time = fields_of(state.get("time"))
    if "compacted" not in time:
        return part
    rest = {name: value for name, value in time.items() if name != "compacted"}
    return {**fields_of(part), "state": {**state, "time": rest}}


def _times(parts: Mapping[str, object]) -> dict[str, object]:
    states = {place: fields_of(fields_of(part).get("state")) for place, part in parts.items()}
    return {place: fields_of(state.get("time")).get("compacted") for place, state in states.items()}


class OpencodeDialect:
    """How opencode tells a session.

    Args:
        children: sessions of sub-agents by their ids.
        info: what is said of the whole session; of a fork, of the one that it goes on from.
        fork: the session that goes on from another one, whose messages come first; empty: it goes on from none.
    """

    format = FORMAT
    version = 1
    unfinished = 0  # an answer that may go on is not read

    def __init__(self, children: Mapping[str, str], info: Fields, fork: str = "") -> None:
        self.header: Fields = {name: value for name, value in info.items() if name != "title"}
        self.session = text_of(info.get("id"))
        self.began_us = read_ms(fields_of(info.get("time")).get("created"))
        self.begun: set[str] = set()
        self._children, self._info, self._fork = children, info, fork
        self._typed = self._folder = ""
        self._last: str | None = None
        self._tail: str | None = None
        self._records = 0

    @property
    def first_words(self) -> str:
        """What a person typed first."""
        return self._typed

    def place(self, line: Line) -> Placing | None:
        """Say where a record belongs: a message behind the one before it."""
        self._records += 1
        name = f"e{self._records:05d}"
        if not isinstance(line, MessageLine):
            after, self._tail = self._tail, name
            return Placing(name=name, after=after, speaks=False)
        info = fields_of(line.fields.get("info"))
        if info.get("role") == "user" and not self._typed:
            own = [part for part in map(fields_of, line.parts) if part.get("synthetic") is not True]
            self._typed = title_of(" ".join(text_of(part.get("text")) for part in own))
        self._folder = self._folder or folder_of(info)
        if info.get("role") == "assistant":
            self.begun |= {child for step in read_steps(info, line.parts) for _, _, child in step.results} - {""}
        named = text_of(info.get("id")) or name
        placing = Placing(name=named, after=self._last)
        self._last = self._tail = named
        return placing

    def is_header(self, line: Line) -> bool:
        """No record is a header: that of a session stands elsewhere."""
        return False

    def name(self, records: Sequence[Line], number: int) -> str:
        """Return what an entry is named by: its message."""
        fields = records[0].fields
        return text_of(fields_of(fields.get("info")).get("id")) or f"message {records[0].number}"

    def opening(self) -> Sequence[Event]:
        """Return the agent and its folder, by which sessions are found."""
        folder = text_of(self._info.get("directory")) or self._folder
        named = [("agent", FORMAT), *([("folder", folder)] if folder else [])]
        return [MetadataSet(name=name, value=to_json(value)) for name, value in named]

    def read(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        """Read an entry; the context is the one that opencode would build there."""
        line = records[0]
        title = text_of(line.fields.get("title"))
        if not isinstance(line, MessageLine):
            return Told(at_us=None, after=(Label(text=title),) if title and line.number == 0 else ())
        told = self._told(line, name, state, seqs)
        unclear = unclear_in(fields_of(line.fields.get("info")), line.parts) if seqs.is_new else ()
        return msgspec.structs.replace(told, unclear=unclear) if unclear else told

    def _told(self, line: MessageLine, name: str, state: PathState, seqs: Seqs) -> Told:
        info = fields_of(line.fields.get("info"))
        at_us = read_ms(fields_of(info.get("time")).get("created"))
        origin = Origin(source=FORMAT, session=self._fork or self.session, entry=name)
        match info.get("role"):
            case "user":
                said = MessageAdopt(message=read_user(line.parts), origin=origin, sent_at_us=at_us or 0)
                if not said.message.content:  # type: ignore[union-attr]  # a message of the user has content
                    return Told(at_us=at_us)
                kept = next((part for part in map(fields_of, line.parts) if part.get("type") == "compaction"), {})
                if kept:
                    state.settings = {**state.settings, name: text_of(kept.get("tail_start_id")) or name}
                return Told(at_us=at_us, events=(said,))
            case "assistant":
                return self._read_answer(line, info, origin, at_us, state, seqs)
            case _:
                return Told(at_us=at_us)

    def _read_answer(
        self, line: MessageLine, info: Fields, origin: Origin, at_us: int | None, state: PathState, seqs: Seqs
    ) -> Told:
        before: list[Event] = []
        provider, model = text_of(info.get("providerID")), text_of(info.get("modelID"))
        ref = ModelRef(api=api_of(provider), provider=provider, model=model)
        if model and ref != state.model:
            state.model = ref
            before.append(ConfigChange(model=ref))
        before += self._prompted(info, state)
        ended = read_ms(fields_of(info.get("time")).get("completed"))
        events: list[InContext] = []
        steps = read_steps(info, line.parts)
        for place, step in enumerate(steps):
            events += self._adopt(step, ref, origin, at_us, ended if place == len(steps) - 1 else None, new=seqs.is_new)
        if _is_early_summary(info, state):
            summary = Compaction(summary="\n".join(step.answer.text for step in steps), silent=True)
            return Told(at_us=at_us, events=(summary, *events), before=tuple(before))
        compaction = self._compaction(info, steps, state, seqs)
        return Told(at_us=at_us, events=(*events, *compaction), before=tuple(before))

    def _prompted(self, info: Fields, state: PathState) -> Iterator[Event]:
        """Return the system prompt that an answer says it was asked with (until 1.0), if it is a new one."""
        texts = [text for text in map(text_of, list_of(info.get("system"))) if text]
        held = bytes(to_json(texts)).decode()
        if not texts or info.get("summary") is True or state.settings.get(_SYSTEM) == held:
            return
        state.settings = {**state.settings, _SYSTEM: held}
        yield ConfigChange(system_prompt="\n\n".join(texts))

    def _adopt(
        self, step: Step, ref: ModelRef, origin: Origin, at_us: int | None, ended: int | None, *, new: bool
    ) -> Iterator[MessageAdopt]:
        answer, times = step.answer, [time for _, time, _ in step.results if time is not None]
        sent = min(times) if times else ended if ended is not None else at_us
        if answer.usage is not None and answer.usage.cost_microusd is None and new:
            answer = msgspec.structs.replace(answer, usage=priced(answer.usage, ref, at_us=at_us or 0))
        yield MessageAdopt(message=answer, origin=origin, sent_at_us=sent or 0)
        for result, time, child in step.results:
            at = time if time is not None else at_us
            yield MessageAdopt(message=result, origin=origin, sent_at_us=at or 0, child=self._children.get(child, ""))

    def _compaction(self, info: Fields, steps: Sequence[Step], state: PathState, seqs: Seqs) -> tuple[InContext, ...]:
        """Return that a summary stands for what was said before what it keeps, or before who asked for it."""
        asked = state.settings.get(text_of(info.get("parentID")))
        if info.get("summary") is not True or not info.get("finish") or info.get("error") or asked is None:
            return ()
        kept = seqs.first_seq(asked) or seqs.first_seq(text_of(info.get("parentID")))
        summary = "\n".join(step.answer.text for step in steps)
        return (Compaction(summary=summary, first_kept_seq=kept, silent=True),)

    def write(self, events: Sequence[InContext], at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write the record of an entry as far as the log says it by itself."""
        adopted = [event for event in events if isinstance(event, MessageAdopt)]
        first = adopted[0].message if adopted else None
        role = "user" if isinstance(first, UserMessage) else "assistant"
        info: dict[str, object] = {"id": name, "role": role, "time": {"created": at_us // 1000}}
        if isinstance(first, UserMessage):
            return [{"info": info, "parts": write_user(first)}]
        if state.model is not None:
            info |= {"providerID": state.model.provider, "modelID": state.model.model}
        if _SYSTEM in state.settings:
            info["system"] = from_json(msgspec.Raw(state.settings[_SYSTEM].encode()))
        results = {
            one.message.tool_call_id: (one.message, one.sent_at_us)
            for one in adopted
            if isinstance(one.message, ToolResultMessage)
        }
        blocks = [
            block for one in adopted if isinstance(one.message, AssistantMessage) for block in one.message.content
        ]
        parts = [
            write_said(block, *results.get(block.id if isinstance(block, ToolCall) else "", (None, 0)))
            for block in blocks
        ]
        return [{"info": info, "parts": parts}]

    def passed(self, records: Sequence[Fields], name: str, state: PathState) -> None:
        """No record leaves out what the one before it says."""
