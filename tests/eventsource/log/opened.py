"""Another program that has a log open, and what whoever opens it then finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from eventsource.log import open_store

ROOT = Path(__file__).parents[3]
_CODE = """
import asyncio, sys
from eventsource.errors import RefoldError
from eventsource.events import Custom
from eventsource.log import open_store

async def main():
    try:
        async with open_store(sys.argv[1]) as log:
            print("open", flush=True)
            while sys.stdin.readline() == "append\\n":
                try:
                    print(await log.append("s", [(1, Custom(kind="x"))]), flush=True)
                except RefoldError as error:
                    print(0, error, flush=True)
    except RefoldError as error:
        print("refused", error, flush=True)
        while sys.stdin.readline() == "append\\n":
            print(0, error, flush=True)

asyncio.run(main())
"""


class Child:
    """A program with the log open; `append` says which head it was told, 0 when it was refused."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CODE, str(path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._line()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def append(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write("append\n")
        self.process.stdin.flush()
        return int(self._line().split()[0])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


async def heads(path: Path) -> dict[str, int]:
    """Open a log and say where its sessions end; everything in it must be right."""
    async with open_store(path) as log:
        assert (await log.verify()).findings == ()
        return {info.id: info.head for info in await log.sessions()}


def count(path: Path) -> int:
    """Say where the session ends for a program that opens the log now."""
    code = (
        "import asyncio, sys\n"
        "from eventsource.log import open_store\n"
        "async def main():\n"
        "    async with open_store(sys.argv[1]) as log:\n"
        "        assert (await log.verify()).ok\n"
        "        print((await log.info('s')).head)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)
