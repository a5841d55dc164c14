"""Where a command writes: data on stdout, messages on stderr, one JSON document instead of the data if asked."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

import click
import msgspec
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from eventsource.signs import escaped_json, one_line, plain

from ...config import LogFile

_LEAST = 8  # columns that are left of a text

_ENDLESS = 1 << 20  # columns of an output that no terminal shows: nothing is cut or wrapped


class _Console(Console):
    def print(self, *objects: object, **how: Any) -> None:
        """Print texts whose signs are shown, not sent, whoever made them."""
        super().print(*(_shown(one) for one in objects), **how)

    def on_broken_pipe(self) -> NoReturn:
        """Raise BrokenPipeError, which ends the command."""
        raise BrokenPipeError


def _console(file: IO[str], *, terminal: bool | None = None) -> Console:
    bare = bool(os.environ.get("NO_COLOR"))
    console = _Console(
        file=file,
        force_terminal=terminal,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        color_system=None if bare else "auto",
    )
    if not console.is_terminal:
        console.width = _ENDLESS
    return console


class Screen:
    """The output of one command."""

    def __init__(self, log: LogFile, *, as_json: bool, terminal: IO[str] | None = None) -> None:
        """Write to stdout and stderr, or all of it to a terminal."""
        self.log, self.as_json = log, as_json
        self.out = _console(sys.stdout) if terminal is None else _console(terminal, terminal=True)
        self.err = _console(sys.stderr) if terminal is None else self.out

    @property
    def width(self) -> int:
        """How many columns text may take."""
        return min(self.out.width, 120) if self.out.is_terminal else _ENDLESS

    def json(self, value: object) -> None:
        """Print the one JSON document."""
        self.raw_json(msgspec.json.format(msgspec.json.encode(value), indent=2))

    def raw_json(self, data: bytes, *, end: str = "\n") -> None:
        """Print JSON, or lines of JSON, as they are, but for signs that would steer a terminal: these are escaped."""
        click.echo(escaped_json(data.decode("utf-8", "replace")).encode() + end.encode(), nl=False)

    def line(self, *parts: str | tuple[str, str]) -> None:
        """Print a line of data: texts, or (text, style); signs that steer a terminal are shown, not sent."""
        self.out.print(_styled(parts), soft_wrap=True)

    def cut_line(self, *parts: str | tuple[str, str]) -> None:
        """Print a line of data, which on a terminal is cut to fit."""
        text = _styled(parts)
        if self.out.is_terminal:
            text.truncate(self.out.width, overflow="ellipsis")
        self.out.print(text, soft_wrap=True)

    def folded_line(self, text: str, style: str = "") -> None:
        """Print a line of data, which on a terminal goes on below itself, at its own indent, where it is too long."""
        indent = " " * (len(text) - len(text.lstrip()) + 2)
        whole = len(text) <= self.width
        pieces = (
            [text]
            if whole
            else textwrap.wrap(
                text, max(self.width, 20), subsequent_indent=indent, replace_whitespace=False, break_on_hyphens=False
            )
        )
        for piece in pieces:
            self.line((piece, style))

    def note(self, *parts: str | tuple[str, str]) -> None:
        """Print a message."""
        self.err.print(_styled(parts), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
        """Print rows under headings. A terminal gets lines that fit it, without columns that say nothing.

        There the widest columns of text are cut first, the last one before others of its width; figures (`right`) and
        the first column, which names things, never unless they alone are too wide. Elsewhere nothing is cut.
        """
        cells = [[plain(" ".join(cell.split())) for cell in row] for row in rows]
        kept = list(range(len(columns)))
        if self.out.is_terminal:
            kept = [place for place in kept if not rows or any(row[place] for row in cells)]
        columns, cells = [columns[place] for place in kept], [[row[place] for place in kept] for row in cells]
        widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
        movable = [place for place, name in enumerate(columns) if place and name not in right] or [len(widths) - 1]
        room = _fit(widths, movable, self.out.width)
        for number, row in enumerate([columns, *cells]):
            line = [
                _cut(cell, width).rjust(len(_cut(cell, width)) + width - cell_len(_cut(cell, width)))
                if name in right
                else set_cell_size(_cut(cell, width), width)
                for name, cell, width in zip(columns, row, room, strict=True)
            ]
            self.out.print(Text("  ".join(line).rstrip(), style="" if number else "dim"), soft_wrap=True)

    def command(self, *words: str) -> str:
        """Return a command that works on this log, so that it can be copied."""
        named = ["--db", str(self.log.path)] if self.log.named_by == "option" else []
        return " ".join([_program(), *map(shlex.quote, [*words[:1], *named, *words[1:]])])

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Show a spinner on a terminal."""
        if not self.err.is_terminal:
            yield
            return
        with self.err.status(Text(plain(doing), style="dim")):
            yield


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


def write(text: str, *, error: bool = False) -> None:
    """Write a line to stdout, or stderr, where there is no `Screen`."""
    click.echo(plain(text), err=error)


def print_error(text: str) -> None:
    """Write an error of the program itself."""
    name = click.style("refold:", fg="red", bold=True) if not os.environ.get("NO_COLOR") else "refold:"
    click.echo(f"{name} {plain(text)}", err=True)


def confirm(question: str) -> bool:
    """Ask on the terminal, in one line whatever stands in the question."""
    return click.confirm(one_line(question), err=True)


def stream(console: Console, text: str) -> None:
    """Write a piece of a text that goes on, without a style."""
    console.file.write(plain(text))
    console.file.flush()


def _shown(value: object) -> object:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Text) and not value.plain.isprintable():
        return value if plain(value.plain) == value.plain else Text(plain(value.plain), style=value.style)
    return value


def _styled(parts: Sequence[str | tuple[str, str]]) -> Text:
    pairs = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((plain(text), style) for text, style in pairs))


def _program() -> str:
    """Return how this program can be called from here."""
    called = Path(sys.argv[0])
    found = shutil.which("refold")
    if called.name != "refold" or (found is not None and Path(found).resolve() == called.resolve()):
        return "refold"
    return shlex.quote(os.path.relpath(called))
