"""A terminal with a line to type in, above which text streams: whole lines scroll away, the last one grows in place."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from prompt_toolkit import ANSI, PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import StyleAndTextTuples, to_formatted_text
from prompt_toolkit.styles import Style

from eventsource.control_characters import plain

_STYLES = {"prompt": "bold ansigreen", "steer": "bold ansiyellow", "dim": "ansibrightblack"}


class OutputAbove(io.StringIO):  # not for its buffer, which stays empty: consoles want a text stream
    """What is written here appears above the line to type in."""

    def __init__(self, terminal: TextIO, changed: Callable[[], None]) -> None:
        super().__init__()
        self._terminal, self._changed = terminal, changed
        self._first, self._open = "", ""
        self._flushing: asyncio.Task[None] | None = None

    @property
    def pending(self) -> str:
        """What is not in the terminal's history yet: mostly a line that grows."""
        return self._open

    def isatty(self) -> bool:
        """Return True: it takes colours."""
        return True

    def write(self, text: str) -> int:
        """Add a piece of text; the beginning of a line that would fill the screen becomes a line of its own."""
        self._open += text
        size = shutil.get_terminal_size()
        room = size.columns * max(2, size.lines // 2)
        if "\n" not in self._open and len(self._open) > room:
            cut = self._open.rfind(" ", 0, room) + 1 or room
            self._open = f"{self._open[:cut]}\n{self._open[cut:]}"
        self._flush_soon() if "\n" in self._open else self._changed()
        return len(text)

    def insert(self, line: str) -> None:
        """Insert a whole line before the one that grows."""
        self._first += f"{line}\n"
        self._flush_soon()

    async def drained(self) -> None:
        """Wait until all whole lines are shown."""
        while self._flushing is not None:
            await self._flushing

    def _flush_soon(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush_lines())

    async def _flush_lines(self) -> None:
        try:
            while self._first or "\n" in self._open:
                await run_in_terminal(self._put)
        finally:
            self._flushing = None

    def _put(self) -> None:
        whole, end, self._open = self._open.rpartition("\n")
        shown, self._first = self._first + whole + end, ""
        self._terminal.write(shown)
        self._terminal.flush()


class Terminal:
    """Reads lines while text streams above. `working` says that what is typed now is heard by a run under way."""

    def __init__(self, words: Sequence[str], history: Sequence[str] = ()) -> None:
        """Offer `words` for completion, and lines that were typed before."""
        self.working = False
        self.above = OutputAbove(sys.stdout, self.redraw)
        style = None if os.environ.get("NO_COLOR") else Style.from_dict(_STYLES)
        self._prompt: PromptSession[str] = PromptSession(
            completer=WordCompleter(words, sentence=True), complete_while_typing=False, style=style
        )
        self._prompt.app.erase_when_done = True  # it is shown above, before the line that grows
        for line in history:
            self._prompt.history.append_string(plain(line))

    async def read_line(self) -> str:
        """Read a line. Raises: KeyboardInterrupt on Ctrl-C, EOFError on Ctrl-D."""
        text = await self._prompt.prompt_async(self._message, handle_sigint=False)
        if text.strip():
            self.above.insert(f"{self._prompt_text()}{plain(text)}")
        return text

    def redraw(self) -> None:
        """Draw the line to type in again."""
        self._prompt.app.invalidate()

    def _prompt_text(self) -> str:
        return "steer> " if self.working else "> "

    def _message(self) -> StyleAndTextTuples:
        grows: StyleAndTextTuples = []
        if self.above.pending:
            grows = [*to_formatted_text(ANSI(self.above.pending)), ("", "\n")]
        return [*grows, ("class:steer" if self.working else "class:prompt", self._prompt_text())]
