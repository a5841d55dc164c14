"""Which events hold the content of a request, so that what was erased of it is known by its seq, not by its words."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence

import msgspec

from eventsource.envelope import Recorded
from eventsource.events import ConfigChange, Event, Inserted, Place, SeqRange, ToolExecutionStart
from projections.context import ContextView, sent_entries

_CONFIG = ("model", "system_prompt", "tools", "options")


class Provenance:
    """Keeps, event by event, what a view does not hold: who set the configuration, and where calls began."""

    def __init__(self) -> None:
        self.config: Mapping[str, int] = {}
        self._starts: dict[Place, int] = {}

    def feed(self, recorded: Recorded) -> None:
        """Fold one event."""
        event: Event = recorded.event
        if isinstance(event, ConfigChange):
            self.config = config_seqs(self.config, recorded.seq, event)
        elif isinstance(event, ToolExecutionStart):
            place = Place(message_seq=event.message_seq, content_index=event.content_index)
            self._starts[place] = recorded.seq

    def has_erased(
        self,
        erased: Container[int],
        view: ContextView,
        request_seq: int,
        selection: Sequence[SeqRange | Inserted] | None,
        *,
        config: Mapping[str, int] | None = None,
    ) -> bool:
        """Return whether a request holds content of an event that was erased.

        Args:
            view: the context when the request was made.
            request_seq: the request's own seq; its selection may hold messages of a hook.
            config: who had set each part of the configuration then; by default, what was fed so far.
        """
        return bool(erased) and any(seq in erased for seq in self._seqs(view, request_seq, selection, config))

    def _seqs(
        self,
        view: ContextView,
        request_seq: int,
        selection: Sequence[SeqRange | Inserted] | None,
        config: Mapping[str, int] | None,
    ) -> Iterator[int]:
        yield from (self.config if config is None else config).values()
        ranges = None
        if selection is not None:
            yield request_seq
            ranges = [(one.first, one.last) for one in selection if isinstance(one, SeqRange)]
        for entry in sent_entries(view):
            if ranges is None or any(first <= entry.seq <= last for first, last in ranges):
                yield entry.source_seq
                if entry.call in self._starts:  # holds the words of a refusal
                    yield self._starts[entry.call]


def config_seqs(before: Mapping[str, int], seq: int, event: ConfigChange) -> Mapping[str, int]:
    """Return which event set each part of the configuration, once one more has changed it."""
    return {**before, **dict.fromkeys((name for name in _CONFIG if _is_set(getattr(event, name))), seq)}


def _is_set(value: object) -> bool:
    return value is not None and value is not msgspec.UNSET
