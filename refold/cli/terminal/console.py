"""What the screen writes to: consoles of rich, styled text, and tables that fit a width.

Only what prints imports it, when it does: rich is slow to load, and completion, `--help` and `--json` do without.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import IO, Any, NoReturn

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.status import Status
from rich.text import Text

from eventsource.control_characters import plain

ENDLESS = 1 << 20
"""Columns of an output that no terminal shows: nothing is cut or wrapped."""
_LEAST = 8  # columns that are left of a text
_LINES = 500  # that are written at a time


class TextConsole(Console):
    """A console of rich that prints texts, or (text, style); signs that steer a terminal are shown, not sent."""

    def print(self, *objects: object, **how: Any) -> None:
        """Print texts whose signs are shown, not sent, whoever made them."""
        super().print(*(_shown(one) for one in objects), **how)

    def on_broken_pipe(self) -> NoReturn:
        """Raise BrokenPipeError, which ends the command."""
        raise BrokenPipeError

    def print_parts(self, *parts: str | tuple[str, str], end: str = "\n", cut: bool = False) -> None:
        """Print the parts of a line, which is not wrapped; `cut`: on a terminal it is cut to fit."""
        if not self.is_terminal:  # the same without rich, which takes its time
            line = plain("".join(part if isinstance(part, str) else part[0] for part in parts))
            if "\t" not in line:
                self.file.write(line + end)
                self.file.flush()
                return
        text = _styled(parts)
        if cut and self.is_terminal:
            text.truncate(self.width, overflow="ellipsis")
        self.print(text, end=end, soft_wrap=True)

    def print_piece(self, text: str) -> None:
        """Print a piece of a text that goes on, without a style."""
        self.file.write(plain(text))
        self.file.flush()

    def print_table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str]) -> None:
        """Print rows under headings, as `Screen.table` says."""
        kept, widths = list(range(len(columns))), [cell_len(name) for name in columns]
        filled = [0] * len(columns)
        for some in _batches(rows):
            for place, cells in enumerate(zip(*some, strict=True)):
                filled[place] = max(filled[place], *map(_width, set(_clean(cells))))
        if self.is_terminal:
            kept = [place for place in kept if not any(filled) or filled[place]]
        columns, widths = [columns[place] for place in kept], [max(widths[place], filled[place]) for place in kept]
        movable = [place for place, name in enumerate(columns) if place and name not in right] or [len(widths) - 1]
        shape = list(zip((name in right for name in columns), _fit(widths, movable, self.width), strict=True))
        self.print_parts((next(_aligned([(name,) for name in columns], shape)), "dim"))
        for some in _batches(rows):
            cells_of = list(zip(*some, strict=True))
            self.print_lines(_aligned([_clean(cells_of[place]) for place in kept], shape))

    def print_lines(self, lines: Iterable[str], *, cut: bool = False) -> None:
        """Print lines, many at a time where no terminal shows them; `cut`: on a terminal they are cut to fit."""
        rest = iter(lines)
        while not self.is_terminal and (some := list(islice(rest, _LINES))):
            text = plain("\n".join(some))
            if "\t" in text:
                for line in some:
                    self.print_parts(line)
            else:
                self.file.write(text + "\n")
                self.file.flush()
        for line in rest:
            self.print_parts(line, cut=cut)

    def spinner(self, doing: str) -> Status:
        """Show that something goes on while the block lasts."""
        return self.status(_styled([(doing, "dim")]))


def open_console(file: IO[str], *, terminal: bool | None = None) -> TextConsole:
    """Open a console that writes to a file; `terminal`: whether it is one, where the file does not say."""
    bare = bool(os.environ.get("NO_COLOR"))
    console = TextConsole(
        file=file,
        force_terminal=terminal,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        color_system=None if bare else "auto",
    )
    if not console.is_terminal:
        console.width = ENDLESS
    return console


def _batches(rows: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    rest = iter(rows)
    while some := list(islice(rest, _LINES)):
        yield some


def _clean(cells: Sequence[str]) -> Sequence[str]:
    """Write cells of a column on one line each, without signs that steer a terminal; most columns need nothing."""
    text = "|".join(cells)
    if text.isprintable() and not any(space in text for space in ("  ", "| ", " |")) and text.strip(" ") == text:
        return cells
    return [plain(" ".join(cell.split())) for cell in cells]


def _width(cell: str) -> int:
    return len(cell) if cell.isascii() else cell_len(cell)


def _aligned(cells: Sequence[Sequence[str]], shape: Iterable[tuple[bool, int]]) -> Iterator[str]:
    """Write rows, given by their columns; `shape`: of each column whether it is aligned to the right, and its width."""
    columns = [
        map(str.rjust if is_right else str.ljust, column, repeat(width))
        if "".join(column).isascii() and max(map(len, column)) <= width
        else (_padded(cell, width, right=is_right) for cell in column)
        for column, (is_right, width) in zip(cells, shape, strict=True)
    ]
    return map(str.rstrip, map("  ".join, zip(*columns, strict=True)))


def _padded(cell: str, width: int, *, right: bool) -> str:
    cell = cell if _width(cell) <= width else _cut(cell, width)
    room = " " * (width - cell_len(cell))
    return room + cell if right else cell + room


def _shown(value: object) -> object:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Text) and not value.plain.isprintable():
        return value if plain(value.plain) == value.plain else Text(plain(value.plain), style=value.style)
    return value


def _styled(parts: Sequence[str | tuple[str, str]]) -> Text:
    pairs = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((plain(text), style) for text, style in pairs))


def _fit(widths: Sequence[int], movable: Sequence[int], room: int) -> list[int]:
    """Cut the widest of the columns that may be cut until all fit, or none has more than a few characters."""
    fitted = list(widths)
    over = sum(fitted) + 2 * (len(fitted) - 1) - room
    while over > 0 and fitted:
        place = max(movable, key=lambda one: (fitted[one], one))
        if fitted[place] <= _LEAST:
            break
        fitted[place] -= 1
        over -= 1
    return fitted


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"
