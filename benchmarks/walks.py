"""How many files a prompt, a streamed delta and a fork pass through: `python -m benchmarks.walks [--files]`.

Counted are calls of functions of the project, in the order in which they happen, on every thread, but for those of the
scripted model. A change of file is a call in another file than the call before it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import refold
from eventsource.models.scripted import ScriptedModel
from refold import Agent, open_log

_ROOT = Path(refold.__file__).parents[1]
_PACKAGES = tuple(f"{_ROOT / name}/" for name in ("eventsource", "projections", "replay", "refold"))
_LEFT_OUT = "eventsource/models/script"
_SETTLE_S = 0.2


class Walk(NamedTuple):
    """The files of the calls that were made, one for each call."""

    name: str
    calls: list[str]

    @property
    def files(self) -> list[str]:
        """The files in the order in which they were first reached."""
        return list(dict.fromkeys(self.calls))

    @property
    def changes(self) -> int:
        """How often a call was in another file than the call before it."""
        return sum(a != b for a, b in zip(self.calls, self.calls[1:], strict=False))


@contextmanager
def traced() -> Iterator[list[str]]:
    """Record the file of each call of a function of the project, until the end."""
    calls: list[str] = []

    def called(frame: FrameType, event: str, _argument: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(_PACKAGES):
            file = path[len(str(_ROOT)) + 1 :]
            if not file.startswith(_LEFT_OUT):
                calls.append(file)

    threading.setprofile(called)
    sys.setprofile(called)
    try:
        yield calls
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def walks(folder: Path) -> list[Walk]:
    """Trace a prompt until the model is asked, a delta until it is shown and on disk, and a fork."""
    marks: list[int] = []

    async def settle() -> None:
        await asyncio.sleep(_SETTLE_S)

    with traced() as calls:

        def mark() -> None:
            marks.append(len(calls))

        steps: list[str | Callable[[], object]] = [mark, "one ", settle, "two ", settle, mark, "three ", settle, mark]
        agent = Agent(model=ScriptedModel([["warm"], steps]))
        async with open_log(folder / "walks.db") as log:
            session = await log.session("walks")
            async for _ in agent.stream("Nothing is done for the first time from here on.", session=session):
                pass
            await session.fork()
            began = len(calls)
            async for _ in agent.stream("Hello", session=session):
                pass
            forked_at = (await session.info()).head - 2
            forked = len(calls)
            await session.fork(at=forked_at)
            ended = len(calls)
    asked, before, after = marks
    return [
        Walk("a prompt, until the model is asked", calls[began:asked]),
        Walk("a delta, until it is shown and on disk", calls[before:after]),
        Walk("a fork", calls[forked:ended]),
    ]


def main() -> None:
    """Read the command line and print what was counted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.walks", description="Count the files of three walks.")
    parser.add_argument("--files", action="store_true", help="list the files too, in the order in which they come")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(walks(Path(folder)))
    for walk in found:
        print(f"{walk.name}: {len(walk.files)} files, {walk.changes} changes of file, {len(walk.calls)} calls")
        for file in walk.files if given.files else ():
            print(f"  {file}")


if __name__ == "__main__":
    main()
