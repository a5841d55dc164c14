"""Where a command writes: data on stdout, messages on stderr, one JSON document instead of the data if asked."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
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

from ..config import LogFile

_ENDLESS = 1 << 20  # columns of an output that no terminal shows: nothing is cut or wrapped


class _Console(Console):
    def print(self, *objects: object, **how: Any) -> None:
        """Print texts whose signs are shown, not sent, whoever made them."""
        super().print(*(_shown(one) for one in objects), **how)

    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the command to end."""
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

    def note(self, *parts: str | tuple[str, str]) -> None:
        """Print a message."""
        self.err.print(_styled(parts), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
        """Print rows under headings; the last column is cut to what a terminal has room for, elsewhere nothing is."""
        cells = [[plain(" ".join(cell.split())) for cell in row] for row in rows]
        widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
        room = self.out.width - sum(widths[:-1]) - 2 * len(widths[:-1])
        for number, row in enumerate([columns, *cells]):
            line = [
                " " * (width - cell_len(cell)) + cell if name in right else cell + " " * (width - cell_len(cell))
                for name, cell, width in zip(columns, row, widths, strict=True)
            ]
            line[-1] = row[-1] if cell_len(row[-1]) <= room else set_cell_size(row[-1], max(room - 1, 1)) + "…"
            self.out.print(Text("  ".join(line), style="" if number else "dim"), soft_wrap=True)

    def command(self, *words: str) -> str:
        """Spell out a command that works on this log, so that it can be copied."""
        named = ["--db", str(self.log.path)] if self.log.named_by == "option" else []
        return " ".join([_program(), *map(shlex.quote, [*words[:1], *named, *words[1:]])])

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Show that something goes on, where somebody watches."""
        if not self.err.is_terminal:
            yield
            return
        with self.err.status(Text(plain(doing), style="dim")):
            yield


def write(text: str, *, error: bool = False) -> None:
    """Write a line to stdout, or stderr, where there is no `Screen`."""
    click.echo(plain(text), err=error)


def complain(text: str) -> None:
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
    """Say how this program can be called from here."""
    called = Path(sys.argv[0])
    found = shutil.which("refold")
    if called.name != "refold" or (found is not None and Path(found).resolve() == called.resolve()):
        return "refold"
    return shlex.quote(os.path.relpath(called))
