"""What a model was sent at any seq, by windows: a page of a request's parts costs the page, not the context."""

from __future__ import annotations

from array import array

from msgspec.structs import replace

from .compaction import message_tokens
from .context import ContextView, Entry, in_force
from .pairing import ContextMessage, PairedParts, Pairing

MOST = 4
"""Stretches that are kept: each takes a few words for each message of its context."""
_RECENT = 4  # parts of a stretch that are kept: of a request, of the one before it, and of two that are compared


class PartWindows:
    """The parts of the requests of one session, at any seq; what was paired once is not paired again.

    A stretch goes from a compaction or an edit to the next. Within one the context only grows, so one pairing says how
    it stood after each message. The views that are given share their lists (`AppendOnlyList.first`).
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._stretches: dict[int, _Stretch] = {}

    def at(self, view: ContextView) -> PairedParts:
        """Return the parts that `parts` lists of a view."""
        return self._stretch(view).at(view)

    def tokens(self, view: ContextView) -> int:
        """Estimate the tokens of the parts of a view by their length, those of results that were made left out."""
        return self._stretch(view).tokens(view)

    def _stretch(self, view: ContextView) -> _Stretch:
        stretch = self._stretches.pop(view.changed, None)
        if stretch is None or not stretch.holds(view):
            stretch = _Stretch(view)
        self._stretches[view.changed] = stretch  # the one that was used last stands last
        while len(self._stretches) > self._most:
            del self._stretches[next(iter(self._stretches))]
        return stretch


class _Stretch:
    """A pairing that begins with a compaction or an edit (or the session), and how it grew."""

    def __init__(self, view: ContextView) -> None:
        self._begin = view.changed + 1
        self._pairing, self._tokens = Pairing(), array("q", [0])
        for entry in in_force(replace(view, entries=view.entries.first(self._begin))):
            self._add(entry)
        self._lengths = array("q", [len(self._pairing)])
        self._taken = view.entries.first(self._begin)
        self._recent: dict[int, PairedParts] = {}

    def holds(self, view: ContextView) -> bool:
        """Return whether the view is of the history that was taken here, and not of another one."""
        both = min(len(view.entries), len(self._taken))
        return both == 0 or view.entries[both - 1] is self._taken[both - 1]

    def at(self, view: ContextView) -> PairedParts:
        """Return the parts of a view; an answer asks for them several times."""
        length = self._length(view)
        found = self._recent.get(length)
        if found is None:
            while len(self._recent) >= _RECENT:
                del self._recent[next(iter(self._recent))]
            found = self._recent[length] = self._pairing.parts_after(length)
        return found

    def tokens(self, view: ContextView) -> int:
        """Estimate the tokens of the parts of a view."""
        return self._tokens[self._length(view)]

    def _length(self, view: ContextView) -> int:
        """Return how many messages of a view are kept, taking first what of it was not taken yet."""
        if len(view.entries) > len(self._taken):
            for entry in view.entries.between(len(self._taken)):
                self._add(entry)
                self._lengths.append(len(self._pairing))
            self._taken = view.entries
        return self._lengths[len(view.entries) - self._begin]

    def _add(self, entry: Entry) -> None:
        if entry.sent is not None:
            self._pairing.add(ContextMessage(entry.seq, entry.sent, entry.call))
            if len(self._pairing) == len(self._tokens):
                self._tokens.append(self._tokens[-1] + message_tokens(entry.sent))
