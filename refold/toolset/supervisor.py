"""The program around a command: ends everything that the command has started; needs nothing else from here.

Its stdin is a socket. A byte asks that all ends; so does its closing, when whoever started this is no more.
At the end it writes there the command's exit code, and the numbers of the processes that could not be ended.

Source: docs/decisions/0104-a-command-has-a-supervisor.md
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NoReturn

_POLITE_S = 0.3  # for what is asked to end, before it is ended
_PATIENCE_S = 5.0  # for what is killed: a process that waits for a disk goes later
_LOOK_S = 1.0
SET_PDEATHSIG, SET_DUMPABLE, CAPBSET_DROP, SET_CHILD_SUBREAPER = 1, 4, 24, 36  # linux/prctl.h
_CAP_SYS_PTRACE = 19  # linux/capability.h


def control(operation: int, value: int) -> bool:
    """Ask something of Linux for this process; False where it cannot be had."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(operation, value, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def descendants(tops: Sequence[int]) -> list[int]:
    """List the processes that descend from some, the living ones; the latter are not among them."""
    parents = dict(_parents())
    found: list[int] = []
    known = set(tops)
    grown = True
    while grown:
        new = [number for number, parent in parents.items() if parent in known and number not in known]
        grown = bool(new)
        known.update(new)
        found += new
    return found


def marked_processes(mark: str) -> list[int]:
    """List the processes that have a mark in their environment."""
    return [number for number in _numbers() if mark.encode() in _read(f"/proc/{number}/environ").split(b"\0")]


def kill(numbers: Sequence[int]) -> None:
    """Stop these processes, so that none of them starts another one meanwhile, and kill them."""
    for number in numbers:
        send(number, signal.SIGSTOP)
    for number in numbers:
        send(number, signal.SIGKILL)


def send(number: int, what: signal.Signals) -> None:
    """Send a signal, also to what may have ended or belong to somebody else."""
    try:
        os.kill(number, what)
    except OSError:
        pass


def _parents() -> Iterator[tuple[int, int]]:
    for number in _numbers():
        state, _, rest = _read(f"/proc/{number}/stat").rpartition(b")")[2].strip().partition(b" ")
        if rest and state not in (b"Z", b"X"):
            yield number, int(rest.split()[0])


def _numbers() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:  # another system, or one without it
        return []


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


class _Command:
    """The command, and all that it has started."""

    def __init__(self, words: Sequence[str]) -> None:
        self.code: int | None = None
        self.childless = False
        parent = os.getpid()
        self._number = os.fork()
        if not self._number:
            _become(words, parent)

    def reap(self) -> None:
        """Take note of what has ended; of processes that lost their parent too, which come to this one."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._number:
                    self.code = os.waitstatus_to_exitcode(ended[1])
        except ChildProcessError:
            self.childless = True

    def ask(self) -> None:
        """Ask all of it to end."""
        self._signal_group(signal.SIGTERM)
        for number in descendants([os.getpid()]):
            send(number, signal.SIGTERM)
            send(number, signal.SIGCONT)

    def kill(self) -> None:
        """Kill all of it that is there now."""
        self._signal_group(signal.SIGKILL)
        self.reap()
        if not self.childless:
            kill(descendants([os.getpid()]))

    def _signal_group(self, what: signal.Signals) -> None:
        try:
            os.killpg(self._number, what)
        except OSError:  # macOS says of zombies that they are not ours
            pass


def _become(words: Sequence[str], parent: int) -> NoReturn:
    """Go on as the command, in a session of its own; it ends if this program is killed."""
    try:
        os.setsid()
        control(SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        control(CAPBSET_DROP, _CAP_SYS_PTRACE)  # else root reads the memory of any process
        for what in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(what, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.execvp(words[0], list(words))
    except OSError as error:
        os.write(2, f"{words[0]}: {(error.strerror or str(error)).lower()}\n".encode())
    finally:
        os._exit(127)


def _until(command: _Command, woken: int, until_s: float, *, ask: bool) -> bool:
    """Wait until the command is over, or for so long. With `ask`: also until it is to end. Returns: is it to end?"""
    parent = os.getppid()
    while True:
        command.reap()
        left = until_s - time.monotonic()
        if left <= 0 or command.childless or (ask and command.code is not None):
            return False
        ready, _, _ = select.select([woken, *([0] if ask else [])], [], [], min(left, _LOOK_S))
        signals = os.read(woken, 4096) if woken in ready else b""
        if ask and (0 in ready or os.getppid() != parent or set(signals) - {signal.SIGCHLD}):
            return True


def main() -> None:
    """Run the command that the argument says, until it is over, or is to end."""
    control(SET_DUMPABLE, 0)  # the command reads neither its environment nor its memory
    control(SET_CHILD_SUBREAPER, 1)
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    for what in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(what, _noted)
    command = _Command(json.loads(sys.argv[1]))
    if _until(command, woken, float("inf"), ask=True):
        command.ask()
        _until(command, woken, time.monotonic() + _POLITE_S, ask=False)
    end_s = time.monotonic() + _PATIENCE_S
    while not command.childless and time.monotonic() < end_s:
        command.kill()
        _until(command, woken, time.monotonic() + 0.02, ask=False)
    left = [] if command.childless else descendants([os.getpid()])
    try:
        os.write(
            0, json.dumps({"code": -signal.SIGKILL if command.code is None else command.code, "left": left}).encode()
        )
    except OSError:  # nobody is there
        pass


def _noted(number: int, frame: FrameType | None) -> None:
    """Leave it to the wakeup descriptor."""


if __name__ == "__main__":
    main()
