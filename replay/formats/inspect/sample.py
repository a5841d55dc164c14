"""A sample of an Inspect log, whatever shape of the log it is kept in: its messages, events and what they refer to.

A log is one JSON document, or a ZIP file with a member for each sample, or with several (their lists in chunks).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from eventsource.errors import TranscriptError

from ..document import document_from
from ..fields import fields_of, list_of
from ..jsonl import Fields
from .archive import Archive

_REFERENCES = ("attachment://", "tc://")  # the latter until November 2024
_WHOLE = re.compile(r"samples/(?:[^/]+|.+_epoch_\d+)\.json", re.DOTALL)  # an id may have slashes
_SHELL = re.compile(r"(samples/.+)/sample\.json", re.DOTALL)
_SUMMARIES, _JOURNAL = "summaries.json", "_journal/summaries/"  # the latter of a log that has not ended
_LISTS = ("messages", "events", "calls", "attachments")
_HEAD = ("header.json", "_journal/start.json")
_TOLD = ("messages", "events", "attachments", "events_data", "transcript", "scores", "error", "limit")
_GAP = 1_000_000  # items of a list that may be missing
_DEPTH = 60  # of values in which attachments are looked for


class Sample(NamedTuple):
    """One sample. `rest`: what it says besides; `problems`: what of it could not be read."""

    rest: Fields
    messages: Sequence[Fields]
    events: Sequence[Fields]
    attachments: Mapping[str, str]
    pools: Mapping[str, Sequence[object]]
    outcome: Fields
    problems: Sequence[tuple[str, str]]

    def text(self, text: str) -> str:
        """Return the attachment that a text refers to; of any other the text."""
        if not text.startswith(_REFERENCES):
            return text
        return self.attachments.get(text.partition("://")[2], text)

    def resolved(self, value: object, depth: int = 0) -> object:
        """Put attachments where a value refers to them."""
        if isinstance(value, str):
            return self.text(value)
        if depth > _DEPTH:
            return value
        if isinstance(value, dict):
            return {name: self.resolved(one, depth + 1) for name, one in value.items()}
        return [self.resolved(one, depth + 1) for one in value] if isinstance(value, list) else value

    def input_of(self, event: Fields) -> Sequence[Fields]:
        """Return the messages that a model was given."""
        refs = event.get("input_refs")
        given = list_of(event.get("input")) if refs is None else picked(self.pools.get("messages", ()), refs)
        return [one for one in given if isinstance(one, dict)]


def sample_of(value: Fields, problems: Sequence[tuple[str, str]] = ()) -> Sample:
    """Read a sample as it is kept whole."""
    transcript = fields_of(value.get("transcript"))  # until 0.3.46
    events = value.get("events", transcript.get("events"))
    attachments = fields_of(value.get("attachments") or transcript.get("content"))
    pools = fields_of(value.get("events_data"))
    return Sample(
        rest={name: one for name, one in value.items() if name not in _TOLD},
        messages=[one for one in list_of(value.get("messages")) if isinstance(one, dict)],
        events=[one for one in list_of(events) if isinstance(one, dict)],
        attachments={name: one for name, one in attachments.items() if isinstance(one, str)},
        pools={name: list_of(pools.get(name)) for name in ("messages", "calls") if name in pools},
        outcome={name: value[name] for name in ("scores", "error", "limit") if name in value},
        problems=problems,
    )


class Members(NamedTuple):
    """The members of an archive that hold one sample: one, or those of a folder."""

    name: str
    in_chunks: bool

    def read(self, archive: Archive) -> Sample:
        """Read the sample. Raises: TranscriptError when what it is about cannot be read."""
        if not self.in_chunks:
            return sample_of(object_of(archive, self.name))
        value = dict(object_of(archive, f"{self.name}/sample.json"))
        problems: list[tuple[str, str]] = []
        lists = {kind: self._list(archive, kind, problems) for kind in _LISTS}
        told = {"messages": lists["messages"], "calls": lists["calls"]}
        value |= {"events": lists["events"], "events_data": told}
        value["messages"] = picked(lists["messages"], value.pop("message_refs", None))
        value["attachments"] = {str(number): text for number, text in enumerate(lists["attachments"])}
        if f"{self.name}/metadata.json" in archive.members:
            value["metadata"] = object_of(archive, f"{self.name}/metadata.json")
        return sample_of(value, problems)

    def _list(self, archive: Archive, kind: str, problems: list[tuple[str, str]]) -> list[object]:
        """Read a list that is kept in pieces, which are named by the place of their first item."""
        pattern = re.compile(rf"{re.escape(self.name)}/{kind}/(\d{{1,12}})\.json")
        found: list[object] = []
        starts = {int(match[1]): name for name in archive.members if (match := pattern.fullmatch(name))}
        for start, name in sorted(starts.items()):
            try:
                items = list_of(document_from(archive.read(name), name).value)
            except TranscriptError as error:
                problems.append((name, error.problem))
                continue
            found += [None] * min(_GAP, start - len(found))  # what refers to the items counts those that are lost
            found += items
        return found


def samples_of(archive: Archive) -> Iterator[Members]:
    """Find the samples of a log, in the order in which they stand in it."""
    for name in archive.members:
        if _WHOLE.fullmatch(name):
            yield Members(name, in_chunks=False)
        elif match := _SHELL.fullmatch(name):
            yield Members(match[1], in_chunks=True)


def missing_of(archive: Archive) -> Iterator[str]:
    """Name the samples that a log's summaries speak of and that it does not hold."""
    held = {one.name.removesuffix(".json") for one in samples_of(archive)}
    for summary in _summaries(archive):
        name = f"samples/{summary.get('id')}_epoch_{summary.get('epoch')}"
        if "id" in summary and "epoch" in summary and name not in held:
            held.add(name)
            yield f"{name}.json"


def _summaries(archive: Archive) -> Iterator[Fields]:
    """Read the summaries of all samples: in one list, or in pieces where the log has not ended or that is damaged."""
    journal = [name for name in archive.members if name.startswith(_JOURNAL)]
    for names in ([_SUMMARIES] if _SUMMARIES in archive.members else [], journal):
        read = [one for name in names for one in _list_of_member(archive, name)]
        yield from (one for one in read if isinstance(one, dict))
        if read:
            return


def _list_of_member(archive: Archive, name: str) -> Sequence[object]:
    try:
        return list_of(document_from(archive.read(name), name).value)
    except TranscriptError:
        return ()


def log_of(archive: Archive) -> Fields:
    """Return what a log says of the whole evaluation; of one that was cut short, what it said at its beginning."""
    for name in _HEAD:
        if name in archive.members:
            try:
                return object_of(archive, name)
            except TranscriptError:
                continue
    return {}


def object_of(archive: Archive, name: str) -> Fields:
    """Read a member that is a JSON object. Raises: TranscriptError when it is none."""
    value = document_from(archive.read(name), str(archive.path)).value
    if not isinstance(value, dict):
        raise TranscriptError(str(archive.path), f"{name} is no JSON object")
    return value


def picked(items: Sequence[object], refs: object) -> list[object]:
    """Return the items in ranges [first, end)."""
    found: list[object] = []
    for ref in list_of(refs):
        match ref:
            case [int(first), int(end)] if 0 <= first <= end:
                found += items[first:end]
            case _:
                continue
    return found
