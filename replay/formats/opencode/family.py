"""Sessions of opencode that were forked: each begins with copies of the messages of another one in the same database.

No row says of which. The copies have ids of their own, and say the same at the same time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from itertools import chain, islice

import msgspec

from ..fields import fields_of, text_of
from ..jsonl import Fields, Findings

Said = tuple[Fields, Sequence[object], float]
"""A message, its parts, and when either was changed last, in seconds."""
Messages = Callable[[Findings], Iterator[Said]]
_LIMIT = 100  # sessions in one line
_IDS = ("id", "sessionID", "messageID", "parentID", "tail_start_id")  # which are others in a copy
_LATER = ("summary", "metadata")  # what may come to a message after it was copied
_ENCODER = msgspec.json.Encoder(order="sorted")


def lines_of_forks(connection: sqlite3.Connection, sessions: Sequence[Fields]) -> Mapping[str, tuple[str, ...]]:
    """Find the sessions that each one goes on from, the first one first; those that go on from none are left out.

    It is one that was begun before, and whose messages came at the same times: of several the one that has most of
    them.
    """
    begun: dict[object, list[Fields]] = {}
    firsts = connection.execute("SELECT session_id, MIN(time_created) FROM message GROUP BY session_id").fetchall()
    first_of = {name: first for name, first in firsts if first}
    for one in sessions:
        first = first_of.get(text_of(one.get("id")))
        if first is not None and not one.get("parentID"):
            begun.setdefault(first, []).append(one)
    found: dict[str, tuple[str, ...]] = {}
    for same in begun.values():
        if len(same) > 1:
            found |= _lines(connection, [text_of(one["id"]) for one in sorted(same, key=_began)])
    return found


def _began(session: Fields) -> tuple[int, str]:
    created = fields_of(session.get("time")).get("created")
    return created if isinstance(created, int) else 0, text_of(session.get("id"))


def _lines(connection: sqlite3.Connection, names: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give the line of each of some sessions that begin alike, but of the first."""
    query = "SELECT time_created FROM message WHERE session_id = ? ORDER BY time_created, id"
    times = {name: [row[0] for row in connection.execute(query, (name,))] for name in names}
    line_of: dict[str, tuple[str, ...]] = {names[0]: ()}
    for place, name in enumerate(names[1:], 1):
        base = max(names[:place], key=lambda other: _count_same(times[other], times[name]))
        line_of[name] = (*line_of[base], base)[-_LIMIT:]
        yield name, line_of[name]


def _count_same(times: Sequence[object], others: Sequence[object]) -> int:
    pairs = zip(times, others, strict=False)
    return next((count for count, (one, other) in enumerate(pairs) if one != other), min(len(times), len(others)))


def begin_alike(own: Messages, base: Messages) -> bool:
    """Return whether the first messages of two sessions say the same."""
    firsts = [next(messages(Findings()), None) for messages in (own, base)]
    return len({_digest(one) for one in firsts if one is not None}) == 1 and None not in firsts


def joined(own: Messages, base: Messages) -> tuple[Messages, int]:
    """Make a reader of a session's messages behind those that it copied, which are read where they stood first.

    Returns: the reader, and how many those are.
    """
    pairs = zip(own(Findings()), base(Findings()), strict=False)
    taken = 0
    for one, other in pairs:
        if _digest(one) != _digest(other):
            break
        taken += 1
    return partial(_read, own, base, taken), taken


def _read(own: Messages, base: Messages, taken: int, findings: Findings) -> Iterator[Said]:
    return chain(islice(base(Findings()), taken), islice(own(findings), taken, None))


def _digest(message: Said) -> bytes:
    """Digest what a message says, without what is another one's in a copy, or comes later."""
    info, parts, _ = message
    said = [{name: value for name, value in info.items() if name not in (*_IDS, *_LATER)}]
    said += [_without_ids(fields_of(part)) for part in parts]
    return blake2b(_ENCODER.encode(said), digest_size=16).digest()


def _without_ids(part: Fields) -> dict[str, object]:
    kept = {name: value for name, value in part.items() if name not in _IDS}
    state = fields_of(kept.get("state"))
    if state:
        times = {name: value for name, value in fields_of(state.get("time")).items() if name != "compacted"}
        kept["state"] = {**state, "time": times}
    return kept
