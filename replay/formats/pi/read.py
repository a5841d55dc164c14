"""Sessions of pi: JSON Lines in versions 1, 2 and 3, a tree of entries, compactions, branch summaries, labels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path as FilePath

import msgspec

from eventsource.codec import clean_text, to_json
from eventsource.errors import TranscriptError
from eventsource.events import Compaction, ConfigChange, Custom, Event, Label, MessageAdopt, ModelRef, Place
from eventsource.first_words import title_of_first
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, Message, ToolCall, ToolResultMessage
from eventsource.models.options import ThinkingLevel

from ..jsonl import Fields, LineNote, Lines, read_lines
from ..planner import ImportPlan, ImportReport, PlannedBranch, PlannedEntry, runs, write_plan
from .entries import (
    BRANCH,
    ENTRY,
    HEADER,
    LOST,
    REST,
    differing_fields,
    origin_of,
    read_entry,
    read_time,
    with_call,
    write_entry,
)
from .tree import Node, Path, Tree, branches, is_above, is_record, read_tree

FORMAT = "pi"
_LOST_LIMIT = 200_000  # characters of a damaged line that are kept in the log
_LEVELS: tuple[str, ...] = ThinkingLevel.__args__  # type: ignore[attr-defined]  # a Literal has its values there
_APIS = {"anthropic": "anthropic-messages", "google": "google-generative-ai", "openai": "openai-responses"}
"""Wire protocol of a vendor, for a model that was chosen and never answered."""


async def import_pi(log: EventLog, path: str, *, session: str | None = None, title: str = "") -> ImportReport:
    """Write a pi session file into the log: the branch it ends in as a session, every other leaf as a fork.

    Raises: TranscriptError when the file cannot be read or holds no entry; SessionExistsError.
    """
    try:
        data = await asyncio.to_thread(FilePath(path).read_bytes)
    except OSError as error:
        raise TranscriptError(path, f"cannot be read: {error.strerror or error}") from error
    plan = plan_pi(data)
    if not plan.entries:
        raise TranscriptError(path, "holds no entry of a pi session")
    return await write_plan(log, plan, path=path, session=session, title=title or _title(plan, path))


def _title(plan: ImportPlan, path: str) -> str:
    """Make a title for a session whose file has none: its first words, or else the file's name."""
    return title_of_first(event for _, event in plan.branches[0].events) or clean_text(FilePath(path).stem)


def plan_pi(data: bytes) -> ImportPlan:
    """Compute the events of a whole file; at each seq of a branch the context is the one pi would build there."""
    lines = read_lines(data, is_record)
    tree = read_tree(lines)
    return _Planner(tree).plan(lines)


class _ModelSettings(msgspec.Struct, frozen=True):
    """The model and thinking level in force after an entry."""

    model: ModelRef | None = None
    thinking: str = ""


class _OpenBranch:
    """A branch being filled."""

    def __init__(self, number: int, parent: int | None, fork_seq: int) -> None:
        self.number, self.parent, self.fork_seq = number, parent, fork_seq
        self.events: list[tuple[int, Event]] = []

    @property
    def head(self) -> int:
        """Seq of the last event; a fork's own begin after its `fork` event."""
        return self.fork_seq + (self.parent is not None) + len(self.events)

    def add(self, at_us: int, *events: Event) -> None:
        self.events += [(at_us, event) for event in events]


class _Placed(msgspec.Struct, frozen=True, kw_only=True):
    """Where an entry went: first, naming and last seq, its time, and the settings after it."""

    branch: int
    first: int
    seq: int
    last: int
    at_us: int
    settings: _ModelSettings


class _Planner:
    """Assigns every entry its place in a branch and its events."""

    def __init__(self, tree: Tree) -> None:
        self.tree, self.nodes = tree, tree.nodes
        self.session = str(tree.header.get("id", ""))
        self.placed: dict[int, _Placed] = {}
        self.branches: list[_OpenBranch] = []
        self.messages: dict[int, Message] = {}
        self.names = {node.name: index for index, node in enumerate(tree.nodes)}
        self.elsewhere: list[tuple[int, int, str]] = []  # bookmarks on other branches: entry, time, text
        self.title = ""
        models = [node.fields.get("message") for node in tree.nodes]
        self.apis = {
            (str(message.get("provider")), str(message.get("model"))): str(message.get("api", ""))
            for message in models
            if isinstance(message, dict) and message.get("role") == "assistant"
        }

    def plan(self, lines: Lines) -> ImportPlan:
        paths = branches(self.nodes)
        for number, path in enumerate(paths or [Path((), None)]):
            self._open(number, path, lines.lost)
            for index in path.nodes:
                self._place(index, self.branches[number])
        for target, at_us, text in self.elsewhere:
            placed = self.placed[target]
            self.branches[placed.branch].add(at_us, Label(text=text, target_seq=placed.seq))
        return ImportPlan(
            format=FORMAT,
            version=self.tree.version,
            source_session=self.session,
            title=self.title,
            branches=tuple(map(self._planned, self.branches, paths)),
            entries=tuple(self._entries()),
            recovered=(*lines.recovered, *self.tree.notes),
            lost=lines.lost,
        )

    def _planned(self, branch: _OpenBranch, path: Path) -> PlannedBranch:
        return PlannedBranch(
            events=tuple(branch.events),
            leaf=self.nodes[path.nodes[-1]].name if path.nodes else "",
            parent=branch.parent,
            fork_seq=branch.fork_seq,
            messages=sum(isinstance(event, MessageAdopt) for _, event in branch.events),
        )

    def _entries(self) -> Iterator[PlannedEntry]:
        for index, node in enumerate(self.nodes):
            at = self.placed[index]
            yield PlannedEntry(entry=node.name, line=node.line, branch=at.branch, seq=at.seq, last_seq=at.last)

    def _open(self, number: int, path: Path, lost: tuple[LineNote, ...]) -> None:
        """Open a branch with what is known of its file."""
        parent = None if path.parent is None else self.placed[path.parent]
        lines = runs([self.nodes[index].line for index in path.nodes])
        if number:
            branch = _OpenBranch(number, parent.branch if parent else 0, parent.last if parent else 1)
            time = self._time(self.nodes[path.nodes[0]], parent)
            branch.add(time, Custom(kind=BRANCH, data=to_json({"lines": lines})))
        else:
            branch = _OpenBranch(number, None, 0)
            time = read_time(self.tree.header.get("timestamp")) or 0
            said = {"header": dict(self.tree.header), "lines": lines}
            branch.add(time, Custom(kind=HEADER, data=to_json(said)))
            for note in lost:
                cut = {"line": note.number, "text": note.text[:_LOST_LIMIT]}
                branch.add(time, Custom(kind=LOST, data=to_json(cut)))
        self.branches.append(branch)

    def _time(self, node: Node, parent: _Placed | None) -> int:
        time = read_time(node.fields.get("timestamp"))
        return time if time is not None else parent.at_us if parent else 0

    def _place(self, index: int, branch: _OpenBranch) -> None:
        node = self.nodes[index]
        parent = self.placed[node.parent] if node.parent is not None else None
        at_us, settings = self._time(node, parent), parent.settings if parent else _ModelSettings()
        first = branch.head + 1
        kept_seq = self.placed[node.kept].first if node.kept >= 0 else 0
        event = read_entry(node.fields, origin_of(self.session, node.name), kept_seq)
        if event is None:
            branch.add(at_us, Custom(kind=ENTRY, data=to_json({"id": node.name, "entry": dict(node.fields)})))
            seq = branch.head
            settings = self._settings(node.fields, settings, branch, at_us)
        else:
            if isinstance(event, MessageAdopt):
                settings = self._answered(event, settings, branch, at_us)
                event = with_call(event, self._call(event, node.parent))
                self.messages[index] = event.message
            difference = differing_fields(node.fields, self.written(event, at_us, node))
            if difference or isinstance(event, Compaction):
                branch.add(at_us, Custom(kind=REST, data=to_json({"id": node.name, **difference})))
            branch.add(at_us, event)
            seq = branch.head
        self.placed[index] = _Placed(
            branch=branch.number, first=first, seq=seq, last=seq, at_us=at_us, settings=settings
        )
        self._label(node, branch, at_us)
        self.placed[index] = msgspec.structs.replace(self.placed[index], last=branch.head)

    def written(self, event: MessageAdopt | Compaction, at_us: int, node: Node) -> Fields:
        """Write an event back as its entry, as far as the log says it by itself."""
        fields = write_entry(event, at_us)
        if self.tree.version > 1:
            fields["parentId"] = None if node.parent is None else self.nodes[node.parent].name
            fields["id"] = node.name
        return fields

    def _settings(self, fields: Fields, before: _ModelSettings, branch: _OpenBranch, at_us: int) -> _ModelSettings:
        """Record a change of the model or the thinking level."""
        match fields:
            case {"type": "model_change", "provider": str(provider), "modelId": str(model)}:
                api = self.apis.get((provider, model)) or _APIS.get(provider, "")
                return self._model(ModelRef(api=api, provider=provider, model=model), before, branch, at_us)
            case {"type": "thinking_level_change", "thinkingLevel": str(level)} if level in _LEVELS:
                branch.add(at_us, ConfigChange(options=to_json({"thinking": level})))
                return _ModelSettings(before.model, level)
            case _:
                return before

    def _answered(self, event: MessageAdopt, before: _ModelSettings, branch: _OpenBranch, at_us: int) -> _ModelSettings:
        """Record the model that answered, where it is not the one in force."""
        message = event.message
        if not isinstance(message, AssistantMessage) or not message.provider or not message.model:
            return before
        ref = ModelRef(api=message.api, provider=message.provider, model=message.model)
        return self._model(ref, before, branch, at_us)

    def _model(self, ref: ModelRef, before: _ModelSettings, branch: _OpenBranch, at_us: int) -> _ModelSettings:
        if ref != before.model:
            branch.add(at_us, ConfigChange(model=ref))
        return _ModelSettings(ref, before.thinking)

    def _call(self, event: MessageAdopt, at: int | None) -> Place | None:
        """Find the call that a result answers: the next one of its id, in the latest message that made such a call."""
        result = event.message
        if not isinstance(result, ToolResultMessage):
            return None
        answered = 0
        while at is not None:
            match self.messages.get(at):
                case ToolResultMessage(tool_call_id=other) if other == result.tool_call_id:
                    answered += 1
                case AssistantMessage(content=content):
                    calls = [n for n, block in enumerate(content) if _calls(block, result.tool_call_id)]
                    if calls:
                        index = calls[answered] if answered < len(calls) else -1
                        return Place(message_seq=self.placed[at].seq, content_index=index) if index >= 0 else None
                case _:
                    pass
            at = self.nodes[at].parent
        return None

    def _label(self, node: Node, branch: _OpenBranch, at_us: int) -> None:
        """Record a bookmark or a title; a bookmark on another branch is set there."""
        match node.fields:
            case {"type": "session_info", "name": str(name)} if name:
                branch.add(at_us, Label(text=name))
                self.title = name if branch.number == 0 else self.title
            case {"type": "label", "targetId": str() | int() as target} if str(target) in self.names:
                wanted, text = self.names[str(target)], node.fields.get("label")
                text = text if isinstance(text, str) else ""
                if wanted in self.placed and is_above(wanted, node.parent, self.nodes):
                    branch.add(at_us, Label(text=text, target_seq=self.placed[wanted].seq))
                else:
                    self.elsewhere.append((wanted, at_us, text))
            case _:
                pass


def _calls(block: object, call_id: str) -> bool:
    return isinstance(block, ToolCall) and block.id == call_id
