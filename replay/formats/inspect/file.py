"""Logs of Inspect: how they are told from others, and the sessions that one holds: one for each sample and epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from eventsource.errors import TranscriptError

from ..document import document_of
from ..fields import fields_of, list_of
from ..format import Format, Head, Home, SourceSession
from ..jsonl import Fields, Findings, Line
from .archive import MAGIC, archive_of
from .conversations import Conversation, Told, conversations
from .dialect import FORMAT, InspectDialect, lines_of_sample
from .sample import Sample, log_of, missing_of, sample_of, samples_of

_MEMBERS = (b"_journal/", b"samples/", b"header.json", b"summaries.json")


def _fits(head: Head) -> bool:
    if head.data.startswith(MAGIC):
        name = head.data[30 : 30 + int.from_bytes(head.data[26:28], "little")]
        return name.startswith(_MEMBERS)
    match head.document:
        case {"eval": {"task": str(), "created": str()} | {"task": str(), "run_id": str()}}:
            return True
        case _:
            return False


class _Loaded:
    """A sample that is read when it is first asked for, and its conversations; and what is wrong with its log."""

    def __init__(self, read: Callable[[], Sample], problem: str, missing: Sequence[str]) -> None:
        self._read, self._problem, self._missing = read, problem, missing
        self._sample: Sample | None = None
        self._told: Told | None = None

    @property
    def sample(self) -> Sample:
        """The sample. Raises: TranscriptError when it cannot be read."""
        if self._sample is None:
            self._sample = self._read()
        return self._sample

    @property
    def told(self) -> Told:
        """Its conversations, the main one first. Raises: TranscriptError when it cannot be read."""
        if self._told is None:
            self._told = conversations(self.sample)
        return self._told

    def records(self, number: int, findings: Findings) -> Iterator[Line]:
        """Read the records of a conversation."""
        if number == 0:
            for name, problem in self.sample.problems:
                findings.lose(0, f"{name}: {problem}", "")
            for name in self._missing:
                findings.lose(0, f"{name}: the summaries name it, and the archive does not hold it", "")
            if self._problem:
                findings.recover(0, self._problem)
        yield from lines_of_sample(self.sample, self.told.all[number])

    def dialect(self, children: Mapping[str, str], *, log: Fields, number: int) -> InspectDialect:
        """Make the dialect of a conversation."""
        told = self.told
        return InspectDialect(children, log=log, sample=self.sample, links=told.links, told=told.all[number])


class _Log(NamedTuple):
    """What a log says of the evaluation, how its samples are read, what is wrong with it, which samples it lacks."""

    value: Fields
    samples: Iterator[Callable[[], Sample]]
    problem: str
    missing: Sequence[str]


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    log, samples, problem, missing = _read_log(path)
    for read in samples:
        loaded = _Loaded(read, problem, missing)
        problem, missing = "", ()
        yield _source(loaded, log, 0, Conversation("", "", []))
        try:
            others = loaded.told.all[1:]
        except TranscriptError:  # as the session itself says when it is its turn
            continue
        for number, told in enumerate(others, 1):
            yield _source(loaded, log, number, told)


def _source(loaded: _Loaded, log: Fields, number: int, told: Conversation) -> SourceSession:
    return SourceSession(
        dialect=partial(loaded.dialect, log=log, number=number),
        records=partial(loaded.records, number),
        name=told.name,
        links=(told.link,) if told.link else (),
    )


def _read_log(path: Path) -> _Log:
    try:
        with path.open("rb") as file:
            is_archive = file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise TranscriptError(str(path), f"cannot be read: {error.strerror or error}") from error
    if is_archive:
        archive = archive_of(path)
        found = list(samples_of(archive))
        if not found:
            raise TranscriptError(str(path), f"holds no sample{f'; {archive.problem}' if archive.problem else ''}")
        reads = (partial(one.read, archive) for one in found)
        return _Log(log_of(archive), reads, archive.problem, tuple(missing_of(archive)))
    document = document_of(path)
    value = fields_of(document.value)
    samples = [one for one in list_of(value.get("samples")) if isinstance(one, dict)]
    if not samples:
        raise TranscriptError(str(path), "holds no sample")
    repaired = "characters or numbers that JSON cannot hold were replaced" if document.repaired else ""
    problem = "; ".join(filter(None, (document.problem, repaired)))
    return _Log(value, (partial(sample_of, one) for one in samples), problem, ())


def _folder(head: Head) -> str:
    return ""


INSPECT = Format(
    name=FORMAT,
    what="logs of Inspect (.eval, .json)",
    fits=_fits,
    sessions=_sessions,
    owner=lambda _: None,
    beside=lambda _: (),
    folder=_folder,
    home=lambda environment: Home(Path(environment.get("INSPECT_LOG_DIR") or "logs"), "**/*.eval"),
)
