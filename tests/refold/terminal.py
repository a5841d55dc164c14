"""A terminal in a test: what a person types into it and sees on it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # it has no types

COMMAND = (sys.executable, "-c", "from refold.cli import main; main()")
ROOT = Path(__file__).parents[2]


class Terminal:
    """Runs a command in a terminal of its own."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        own = {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self._process = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *words],
            env={**environment, **own},
            cwd=str(folder),
            encoding="utf-8",
            dimensions=(40, 120),
            timeout=60,
        )

    def sees(self, text: str) -> None:
        """Wait until a text comes."""
        self._process.expect_exact(text)

    def types(self, line: str) -> None:
        """Type a line and Enter; wait until it stands in the terminal for good."""
        self._process.send(f"{line}\r")
        self.sees(f"> {line}\r\n")

    def presses(self, key: str) -> None:
        """Press Ctrl and a letter."""
        self._process.sendcontrol(key)

    def ends(self) -> int:
        """Wait for the end; give the exit code."""
        self._process.expect_exact(pexpect.EOF)
        self._process.close()
        code: int = self._process.exitstatus
        return code

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._process.kill(9)
        self._process.expect_exact(pexpect.EOF)
        self._process.close()

    def close(self) -> None:
        """End it if it still runs."""
        self._process.close(force=True)
