"""Sessions of Inspect: a sample, once for each epoch, and what its agents and scorers said beside it.

A record is a message, an event, or something that these refer to. Messages follow one another; the rest stands beside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from eventsource.codec import to_json
from eventsource.events import Compaction, ConfigChange, ContextEdit, Event, MessageAdopt, MetadataSet, Origin, ToolSpec
from eventsource.first_words import title_of
from eventsource.messages import AssistantMessage, CustomMessage, TextContent, UserMessage
from eventsource.models.prices import priced

from ..dialect import InContext, PathState, Seqs, Told
from ..fields import fields_of, list_of, shown, text_of
from ..jsonl import Fields, Line
from ..model_names import model_of
from ..outline import Placing
from ..times import read_time
from .conversations import Conversation, Step
from .messages import read_answer, read_content, read_result, write_message
from .sample import Sample, sample_of

FORMAT = "inspect"
_NOTHING: Fields = MappingProxyType({})
_NO_LINKS: Mapping[str, str] = MappingProxyType({})
_NO_SAMPLE = sample_of(_NOTHING)
_NO_CONVERSATION = Conversation("", "", [])
_ENCODER = msgspec.json.Encoder(order="sorted")
_PARTS = ("text", "image", "reasoning", "tool_use")  # of a message; a model's own tools are kept with its answer
_SHOWN = 200  # characters of a score or an error in a bookmark


class InspectDialect:
    """How a sample of a log tells one of its conversations.

    Args:
        children: sessions of the agents that calls began, by what the log says of each.
        log: what the log says of the whole evaluation.
        sample: the sample.
        links: by the id of a call, what the log says of the agent that it began.
        told: the conversation, one of the sample's.
    """

    format = FORMAT
    version = 2
    unfinished = 0

    def __init__(
        self,
        children: Mapping[str, str],
        *,
        log: Fields = _NOTHING,
        sample: Sample = _NO_SAMPLE,
        links: Mapping[str, str] = _NO_LINKS,
        told: Conversation = _NO_CONVERSATION,
    ) -> None:
        self._children, self._log, self._sample, self._links, self._told = children, log, sample, links, told
        head = {name: one for name, one in log.items() if name not in ("samples", "reductions")}
        rest = {name: one for name, one in sample.rest.items() if not told.name or name in ("id", "epoch", "target")}
        self.header: Fields = {"log": head, "sample": rest, **({"within": told.name} if told.name else {})}
        self._eval = fields_of(log.get("eval"))
        self.session = _name_of(self._eval, sample.rest)
        self.began_us = read_time(sample.rest.get("started_at")) or read_time(self._eval.get("created"))
        beside = bool(sample.outcome) + len(sample.attachments) + sum(map(len, sample.pools.values()))
        self._before = 0 if told.name else beside  # records that stand before the first step
        self._last: str | None = None
        self._shown: dict[str, Fields] = {}  # what the model reads of the messages, by the names of their records
        self._words = ""
        calls = [text_of(fields_of(step.value).get("tool_call_id")) for step in told.steps if step.kind == "message"]
        self.begun = frozenset(links[call] for call in calls if call in links) - {told.link}

    @property
    def first_words(self) -> str:
        """Return the task and the sample, and what was asked first."""
        label = f"{text_of(self._eval.get('task')) or 'sample'} {self._sample.rest.get('id')}"
        epochs = fields_of(self._eval.get("config")).get("epochs")
        if self._sample.rest.get("epoch") != 1 or (isinstance(epochs, int) and epochs > 1):
            label += f" epoch {self._sample.rest.get('epoch')}"
        if self._told.name:
            label += f", {self._told.name.partition('-')[2]}"
        return title_of(f"{label}: {self._words}" if self._words else label)

    def place(self, line: Line) -> Placing | None:
        """Say where a record belongs."""
        step = self._step(line)
        if step is None:
            return Placing(after=None, speaks=False)
        if step.kind == "event":
            return Placing(after=self._last, speaks=False)
        if step.kind == "message" and step.value.get("role") == "user" and not self._words:
            said = read_content(self._sample.resolved(step.value.get("content")))
            parts = [said] if isinstance(said, str) else [one.text for one in said if isinstance(one, TextContent)]
            self._words = title_of(" ".join(parts))
        name = f"{line.number}"
        placing = Placing(name=name, after=self._last)
        self._last = name
        return placing

    def _step(self, line: Line) -> Step | None:
        """Return the step of a record; None: it is something that others refer to, or the outcome."""
        number = line.number - 1 - self._before
        return self._told.steps[number] if 0 <= number < len(self._told.steps) else None

    def is_header(self, line: Line) -> bool:
        """No record is a header."""
        return False

    def name(self, records: Sequence[Line], number: int) -> str:
        """Return what an entry is named by: its id, or else its place."""
        fields = records[0].fields
        value = fields_of(fields.get("message") or fields.get("event"))
        return text_of(value.get("id")) or text_of(value.get("uuid")) or f"record {records[0].number}"

    def opening(self) -> Sequence[Event]:
        """Return the agent, the task and the sample."""
        said = [("agent", FORMAT), ("task", self._eval.get("task")), ("sample", self._sample.rest.get("id"))]
        said.append(("epoch", self._sample.rest.get("epoch")))
        return [MetadataSet(name=name, value=to_json(value)) for name, value in said if value is not None]

    def read(self, records: Sequence[Line], name: str, state: PathState, seqs: Seqs) -> Told:
        """Read an entry."""
        step = self._step(records[0])
        origin = Origin(source=FORMAT, session=self.session, entry=name)
        if step is None:
            return self._read_outcome(fields_of(records[0].fields.get("outcome")))
        match step.kind:
            case "message":
                return self._read_message(step, origin, state, f"{records[0].number}", new=seqs.is_new)
            case "failed":
                said = text_of(step.value.get("error")) or "the model did not answer"
                answer = AssistantMessage(stop_reason="error", error=said)
                adopted = MessageAdopt(message=answer, origin=origin, sent_at_us=step.at_us or self.began_us or 0)
                return Told(at_us=step.at_us, events=(adopted,), before=tuple(self._settings(step.call, state)))
            case "compacted":
                return self._read_compaction(step, origin, state, seqs)
            case _:
                return Told(at_us=step.at_us)

    def _read_message(self, step: Step, origin: Origin, state: PathState, name: str, *, new: bool) -> Told:
        message = fields_of(self._sample.resolved(step.value))
        if message.get("role") == "system" and state.settings.get("said") is None:
            text = "\n\n".join(filter(None, (state.settings.get("system"), _text(message.get("content")))))
            state.settings = {**state.settings, "system": text}
            return Told(at_us=step.at_us, after=(ConfigChange(system_prompt=text),))
        state.settings = {**state.settings, "said": "1"}
        self._shown[name] = message
        before = self._settings(step.call, state) if step.call else []
        adopted = self._adopt(message, step, origin, state)
        if new and isinstance(adopted.message, AssistantMessage) and adopted.message.usage is not None and state.model:
            usage = adopted.message.usage
            if usage.cost_microusd is None:
                usage = priced(usage, state.model, at_us=step.at_us or 0)
            answer = msgspec.structs.replace(adopted.message, usage=usage)
            adopted = msgspec.structs.replace(adopted, message=answer)
        odd = [text_of(part.get("type")) for part in map(fields_of, list_of(message.get("content")))]
        unclear = tuple(f"with a part of type {shown(one)}, which no model is sent" for one in odd if one not in _PARTS)
        return Told(at_us=step.at_us, events=(adopted,), before=tuple(before), unclear=unclear)

    def _adopt(self, message: Fields, step: Step, origin: Origin, state: PathState) -> MessageAdopt:
        sent = step.at_us or self.began_us or 0
        match message.get("role"):
            case "assistant":
                ref = model_of(text_of(step.call.get("model"))) if step.call else state.model
                answer = read_answer(message, step.call)
                if ref is not None:
                    answer = msgspec.structs.replace(answer, provider=ref.provider, model=ref.model)
                return MessageAdopt(message=answer, origin=origin, sent_at_us=sent)
            case "tool":
                call_id = text_of(message.get("tool_call_id"))
                found = state.call(call_id)
                result = read_result(message, found[1] if found is not None else "")
                link = self._links.get(call_id, "")
                child = self._children.get(link, "") if link in self.begun else ""
                call = found[0] if found is not None else None
                return MessageAdopt(message=result, origin=origin, sent_at_us=sent, call=call, child=child)
            case role:
                raw = msgspec.UNSET if role == "user" else to_json({"role": role})
                said = UserMessage(content=read_content(message.get("content")), raw=raw)
                return MessageAdopt(message=said, origin=origin, sent_at_us=sent)

    def _settings(self, call: Fields, state: PathState) -> list[Event]:
        """Return what a model's call shows to have changed: the model and its tools."""
        changes: list[Event] = []
        name = text_of(call.get("model"))
        ref = model_of(name) if name else state.model
        if ref is not None and ref != state.model:
            state.model = ref
            changes.append(ConfigChange(model=ref))
        offered = [one for one in list_of(self._sample.resolved(call.get("tools"))) if isinstance(one, dict)]
        named = bytes(to_json(offered)).decode()
        if offered and named != state.settings.get("tools"):
            state.settings = {**state.settings, "tools": named}
            tools = tuple(map(_tool, offered))
            changes.append(ConfigChange(tools=tools))
        return changes

    def _read_compaction(self, step: Step, origin: Origin, state: PathState, seqs: Seqs) -> Told:
        """Read a compaction: what the model was given after it is the whole context."""
        given = [fields_of(self._sample.resolved(one)) for one in step.given if one.get("role") != "system"]
        if step.value.get("type") in ("edit", "trim"):
            edits = self._edits(given, origin, seqs)
            if edits is not None:
                return Told(at_us=step.at_us, after=edits)
        self._shown = {}
        tokens = step.value.get("tokens_before")
        before = tokens if type(tokens) is int and tokens >= 0 else 0
        adopted = [self._adopt(one, Step("message", one, step.at_us), origin, PathState()) for one in given]
        return Told(at_us=step.at_us, events=(Compaction(summary="", tokens_before=before, silent=True), *adopted))

    def _edits(self, given: Sequence[Fields], origin: Origin, seqs: Seqs) -> tuple[ContextEdit, ...] | None:
        """Say what a compaction hid or changed of the messages so far; None when it added others."""
        left = [one for one in self._shown.items() if seqs.message_seq(one[0])]
        edits: list[ContextEdit] = []
        shown: dict[str, Fields] = {}
        for message in given:
            place = next((at for at, (_, own) in enumerate(left) if _is_same(own, message)), None)
            if place is None:
                return None
            name, own = left[place]
            shown[name] = message
            edits += [ContextEdit(message_seq=seqs.message_seq(hidden)) for hidden, _ in left[:place]]
            if own.get("content") != message.get("content"):
                instead = self._adopt(message, Step("message", message), origin, PathState()).message
                edits.append(ContextEdit(message_seq=seqs.message_seq(name), replacement=instead))
            left = left[place + 1 :]
        self._shown = shown
        return (*edits, *(ContextEdit(message_seq=seqs.message_seq(hidden)) for hidden, _ in left))

    def _read_outcome(self, outcome: Fields) -> Told:
        """Read how the sample ended: its scores, its error, its limit; they are a bookmark at its last message."""
        scores = {name: fields_of(one).get("value") for name, one in fields_of(outcome.get("scores")).items()}
        told = [f"{name}: {_short(value)}" for name, value in scores.items()]
        error, limit = fields_of(outcome.get("error")), fields_of(outcome.get("limit"))
        told += [f"error: {_short(error.get('message'))}"] if error else []
        told += [f"limit: {_short(limit.get('type'))} {_short(limit.get('limit'))}"] if limit else []
        after = [MetadataSet(name=f"score.{name}", value=to_json(value)) for name, value in scores.items()]
        label = ("; ".join(told)[:_SHOWN], self._last) if told and self._last is not None else None
        return Told(at_us=None, after=tuple(after), label=label)

    def write(self, events: Sequence[InContext], at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write records as far as the log says them by itself."""
        messages = [write_message(event.message) for event in events if isinstance(event, MessageAdopt)]
        return [{"message": {**messages[0], "id": name}}] if len(events) == len(messages) == 1 else []

    def new_name(self, session: str, seq: int) -> str:
        """Return what an entry is named by that was recorded here."""
        return f"{session}-{seq}"

    def write_new(self, event: InContext, at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write the records of an entry that was recorded here."""
        if isinstance(event, Compaction):
            return [{"message": {"id": name, "role": "user", "content": event.summary}}]
        if not isinstance(event, MessageAdopt) or isinstance(event.message, CustomMessage):
            return []
        return self.write([event], at_us, name, state)

    def passed(self, records: Sequence[Fields], name: str, state: PathState) -> None:
        """No record leaves out what the one before it says."""


def lines_of_sample(sample: Sample, told: Conversation) -> Iterator[Line]:
    """Give the records of a conversation; before those of the main one stands what they refer to."""
    records: list[Fields] = []
    if not told.name:
        records += [{"outcome": sample.outcome}] if sample.outcome else []
        places = {_ENCODER.encode(message): number for number, message in enumerate(sample.messages)}
        records += [{"attachment": name, "text": text} for name, text in sample.attachments.items()]
        for kind, items in sample.pools.items():
            same = [places.get(_ENCODER.encode(item)) for item in items]
            records += [
                {"pool": kind, "item": item} if place is None else {"pool": kind, "message": place}
                for item, place in zip(items, same, strict=True)
            ]
    records += [{step.kind: step.value} for step in told.steps]
    yield from (Line(number, fields) for number, fields in enumerate(records, 1))


def _name_of(eval_: Fields, rest: Fields) -> str:
    """Return what a sample is called, in whatever file it stands."""
    own = text_of(rest.get("uuid"))
    if own:
        return own
    run = text_of(eval_.get("eval_id")) or text_of(eval_.get("run_id")) or text_of(eval_.get("created"))
    return f"{run}/{text_of(eval_.get('task_id'))}/{rest.get('id')}/{rest.get('epoch')}"


def _tool(tool: Fields) -> ToolSpec:
    parameters = fields_of(tool.get("parameters")) or {"type": "object", "properties": {}}
    return ToolSpec(
        name=text_of(tool.get("name")), description=text_of(tool.get("description")), schema=to_json(parameters)
    )


def _text(content: object) -> str:
    read = read_content(content)
    return read if isinstance(read, str) else "\n".join(one.text for one in read if isinstance(one, TextContent))


def _is_same(one: Fields, other: Fields) -> bool:
    """Return whether two messages are one, of which the content may have changed."""
    names = (one.get("id"), other.get("id"))
    if one.get("role") != other.get("role"):
        return False
    if one.get("role") == "tool":
        return one.get("tool_call_id") == other.get("tool_call_id")
    return (names[0] is not None and names[0] == names[1]) or one.get("content") == other.get("content")


def _short(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = value if isinstance(value, str) else bytes(to_json(value)).decode()
    return " ".join(text.split())[:_SHOWN]
