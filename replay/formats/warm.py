"""What a process keeps of session files that grow, so that of each only what is new is read the next time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from eventsource.log.protocol import EventLog

from .format import FileLines, SourceSession
from .reading import Reading

_ENTRIES = 500_000  # of all files together; each takes about 100 bytes


class Family:
    """A session and its children as they were read; `links`: their sessions, by what the file says of each."""

    def __init__(self) -> None:
        self.links: dict[str, str] = {}
        self.readings: dict[Path, Reading] = {}

    async def go_on(self, log: EventLog, source: SourceSession, *, growing: bool) -> Reading | None:
        """Go on with the reading of a source; None: there is none, or it takes the whole file."""
        reading = self.readings.pop(source.records.path, None) if isinstance(source.records, FileLines) else None
        if reading is None or not await reading.go_on(log, source, growing=growing):
            return None
        return reading


class WarmFiles:
    """What is kept of the files that were imported last, up to a number of entries.

    A file of JSON Lines that was only added to is read from where the last import ended; one that was written anew, and
    one whose sessions were gone on with here, is read whole. It is for one log.
    """

    def __init__(self, *, entries: int = _ENTRIES) -> None:
        self._limit, self._entries = entries, 0
        self._families: OrderedDict[Path, tuple[Family, int]] = OrderedDict()

    def take(self, main: SourceSession) -> Family:
        """Take what is kept of a session and its children out, to go on with it."""
        path = main.records.path if isinstance(main.records, FileLines) else None
        family, entries = self._families.pop(path, (None, 0)) if path is not None else (None, 0)
        self._entries -= entries
        return family or Family()

    async def keep(self, readings: Sequence[Reading], links: dict[str, str]) -> None:
        """Keep a session, the first one, and its children, as far as each can be gone on with."""
        family, entries = Family(), 0
        family.links = links
        for reading in readings:
            if reading.path is not None and await reading.keep():
                family.readings[reading.path] = reading
                entries += len(reading.outline.parents)
        main = readings[0].path
        if main is None or main not in family.readings:
            return
        self._families[main] = family, entries
        self._entries += entries
        while self._entries > self._limit:
            _, (_, left) = self._families.popitem(last=False)
            self._entries -= left
