"""What its events come to in a session's row: which column holds what, written and read again."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import msgspec

from ..row import Folds
from .connection import Sql

SAME_COLUMNS = (
    "task", "queue", "messages", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
    "cache_write_1h_tokens", "reasoning_tokens", "cost_microusd", "inherited_input_tokens", "inherited_output_tokens",
    "inherited_cost_microusd", "turns", "errors", "labels", "first_seq", "model", "last", "agent", "folder", "branch",
)  # fmt: skip
"""Columns of a session's row that hold a member of `Folds` of the same name, as it is."""
FOLD_COLUMNS = ("title", "title_folded", "status", "open", "unfinished", "wake_at_us", *SAME_COLUMNS, "models", "folds")
FOLDS_SET = f"{', '.join(f'{name} = ?' for name in FOLD_COLUMNS)} WHERE number = ?"
_STORED = f"SELECT {', '.join(FOLD_COLUMNS)} FROM sessions WHERE number = ?"
_ENCODER = msgspec.json.Encoder()
FOLDS = msgspec.json.Decoder(Folds)
_MODELS = msgspec.json.Decoder(tuple[str, ...])
_same = attrgetter(*SAME_COLUMNS)
_REST = tuple(name for name in Folds.__struct_fields__ if name not in SAME_COLUMNS and name not in ("title", "models"))
"""Members of `Folds` without a column; they are kept together, where there is more to keep than the status says."""
_NOTHING = (Folds(), Folds(failed=True))


def folds_row(folds: Folds) -> tuple[object, ...]:
    """Return the columns of a session's row that its folds make, in the order of `FOLD_COLUMNS`."""
    kept = Folds(**{name: getattr(folds, name) for name in _REST})
    rest = None if kept in _NOTHING else _ENCODER.encode(kept).decode()
    models = _ENCODER.encode(folds.models).decode()
    title, opened, unfinished = folds.title, int(folds.open), int(folds.unfinished)
    return (title, title.casefold(), folds.status, opened, unfinished, folds.wake_at_us, *_same(folds), models, rest)


def folds_of(row: Sequence[object]) -> Folds:
    """Put a session's folds together from its row's `FOLD_COLUMNS`, read as text."""
    title, _, status, _, _, _, *same, models, rest = row
    folds = FOLDS.decode(str(rest)) if rest else Folds(failed=status == "failed")
    members = dict(zip(SAME_COLUMNS, same, strict=True))
    names = _MODELS.decode(str(models))
    return msgspec.structs.replace(folds, title=title, models=names, **members)


def stored_folds(connection: Sql, number: int) -> list[object]:
    """Read the columns of a session's row that its folds make."""
    return [bytes_text(value) for value in connection.execute(_STORED, (number,)).fetchone()]


def write_folds(connection: Sql, number: int, folds: Folds) -> None:
    """Write the folds into a session's row."""
    connection.execute(f"UPDATE sessions SET {FOLDS_SET}", (*folds_row(folds), number))


def bytes_text(value: object) -> object:
    """Read what SQLite gives as bytes, whatever is in them, as text; anything else as it is."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
