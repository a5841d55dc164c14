"""Where a command writes: data on stdout, messages on stderr, one JSON document instead of the data if asked."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
import msgspec

from eventsource.control_characters import escaped_json, one_line, plain

from ..arguments.log_file import LogFile

if TYPE_CHECKING:
    from .console import TextConsole


_ITEMS = 500  # of a JSON list that are printed at a time


class Screen:
    """The output of one command."""

    def __init__(self, log: LogFile, *, as_json: bool, terminal: IO[str] | None = None) -> None:
        """Write to stdout and stderr, or all of it to a terminal."""
        self.log, self.as_json = log, as_json
        self._terminal, self._stdout, self._stderr = terminal, sys.stdout, sys.stderr

    @cached_property
    def out(self) -> TextConsole:
        """The console for data."""
        from .console import open_console

        return open_console(self._stdout) if self._terminal is None else open_console(self._terminal, terminal=True)

    @cached_property
    def err(self) -> TextConsole:
        """The console for messages."""
        from .console import open_console

        return open_console(self._stderr) if self._terminal is None else self.out

    @property
    def width(self) -> int:
        """How many columns text may take."""
        return min(self.out.width, 120) if self.out.is_terminal else self.out.width

    def json(self, value: object) -> None:
        """Print the one JSON document."""
        self.raw_json(msgspec.json.format(msgspec.json.encode(value), indent=2))

    def json_list(self, items: Iterable[object]) -> None:
        """Print the one JSON document, a list, item by item."""
        first = True
        for some in _lists(items, _ITEMS):
            self.raw_json((b"[" if first else b"") + _joined(some, b"  ", first=first), end="")
            first = False
        self.raw_json(b"[]" if first else b"\n]")

    async def json_with_list(
        self, fields: Mapping[str, object], name: str, pages: AsyncIterator[Iterable[object]]
    ) -> None:
        """Print the one JSON document, an object whose last field is a list, which is printed page by page."""
        begun = msgspec.json.format(msgspec.json.encode({**fields, name: []}), indent=2)
        self.raw_json(begun.removesuffix(b"]\n}"), end="")
        first = True
        async for page in pages:
            for items in _lists(page, _ITEMS):
                self.raw_json(_joined(items, b"    ", first=first), end="")
                first = False
        self.raw_json(b"]\n}" if first else b"\n  ]\n}")

    def raw_json(self, data: bytes, *, end: str = "\n") -> None:
        """Print JSON, or lines of JSON, as they are, but for signs that would steer a terminal: these are escaped."""
        click.echo(escaped_json(data.decode("utf-8", "replace")).encode() + end.encode(), nl=False)

    def line(self, *parts: str | tuple[str, str]) -> None:
        """Print a line of data: texts, or (text, style); signs that steer a terminal are shown, not sent."""
        self.out.print_parts(*parts)

    def cut_line(self, *parts: str | tuple[str, str]) -> None:
        """Print a line of data, which on a terminal is cut to fit."""
        self.out.print_parts(*parts, cut=True)

    def cut_lines(self, lines: Iterable[str]) -> None:
        """Print many lines of data, each of which is cut to fit on a terminal."""
        self.out.print_lines(lines, cut=True)

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
        self.err.print_parts(*parts)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
        """Print rows, which are gone through twice, under headings.

        A terminal gets lines that fit it, without columns that say nothing. There the widest columns of text are cut
        first, the last one before others of its width; figures (`right`) and the first column, which names things,
        never unless they alone are too wide. Elsewhere nothing is cut.
        """
        self.out.print_table(columns, rows, right)

    def command(self, *words: str) -> str:
        """Return a command that works on this log, so that it can be copied."""
        named = ["--db", self.log.shown] if self.log.named_by == "option" else []
        return " ".join([_program(), *map(shlex.quote, [*words[:1], *named, *words[1:]])])

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Show a spinner on a terminal."""
        if not self.err.is_terminal:
            yield
            return
        with self.err.spinner(doing):
            yield


def _lists(items: Iterable[object], size: int) -> Iterator[list[object]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _joined(items: Iterable[object], indent: bytes, *, first: bool) -> bytes:
    """Write items of a list as JSON, each on lines of its own; `first`: none stands before them."""
    lines = (b"\n" + msgspec.json.format(msgspec.json.encode(item), indent=2) for item in items)
    return (b"" if first else b",") + b",".join(line.replace(b"\n", b"\n" + indent) for line in lines)


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


def _program() -> str:
    """Return how this program can be called from here."""
    called = Path(sys.argv[0])
    found = shutil.which("refold")
    if called.name != "refold" or (found is not None and Path(found).resolve() == called.resolve()):
        return "refold"
    return shlex.quote(os.path.relpath(called))
