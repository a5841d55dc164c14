"""A program that a command runs in its own place: with its terminal, its signals and its exit code."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_OF_A_TERMINAL = (signal.SIGINT, signal.SIGQUIT)  # which tells all programs in its foreground
_KILLED = 128  # what a shell adds to the number of the signal that ended a program


def check_program(name: str) -> None:
    """Check that a program can be run. Raises: FileNotFoundError."""
    if shutil.which(name) is None:
        raise FileNotFoundError(2, "There is no such program here that can be run", name)


async def run_program(line: Sequence[str], *, environment: Mapping[str, str], folder: str | None = None) -> int:
    """Run a program until it ends, with the terminal and the streams of this one; signals are passed on to it.

    Returns: its exit code; 128 and the number of the signal, if one ended it.
    """
    child = await asyncio.create_subprocess_exec(*line, env=environment, cwd=folder)
    with _signals_for(child):
        code = await child.wait()
    return _KILLED - code if code < 0 else code


@contextmanager
def _signals_for(child: asyncio.subprocess.Process) -> Iterator[None]:
    """Pass signals on; what a terminal sends has reached the program already."""
    loop = asyncio.get_running_loop()

    def send(number: signal.Signals) -> None:
        if child.returncode is None and not (number in _OF_A_TERMINAL and _in_foreground()):
            child.send_signal(number)

    handlers = {number: signal.getsignal(number) for number in (*_PASSED_ON, *_OF_A_TERMINAL)}
    for number in handlers:
        loop.add_signal_handler(number, send, number)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Return whether a terminal sends its signals to this program."""
    try:
        with open("/dev/tty", "rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
