"""A child process that appends until it is stopped, and says what it was told: one line an answer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from eventsource.errors import ConflictError, OutcomeUnknownError, SessionExistsError, StoreError
from eventsource.log import open_store
from eventsource.log.protocol import EventLog

from .script import SESSION, append_of, expected


async def main(path: str, appends: int) -> None:
    async with open_store(path) as log:
        await ready(log)
        states = expected(appends)
        heads = [head for head, _ in states]
        number = heads.index((await log.info(SESSION)).head)
        while number < appends:
            events, durable = append_of(number)
            try:
                head = await log.append(SESSION, events, expected=heads[number], durable=durable)
                say(f"stored {number} {head}")
                note(f"{path}-acks", number, durable=durable)
            except OutcomeUnknownError:
                say(f"unknown {number}")
                if os.environ.get("DIE_WHEN_UNKNOWN"):
                    os.kill(os.getpid(), signal.SIGKILL)
            except StoreError as error:
                say(f"refused {number} {error}")
            except ConflictError as error:
                say(f"conflict {number} {error}")
            number = heads.index((await log.info(SESSION)).head)
        report = await log.verify()
        say(f"verified {report.ok} {[finding.problem for finding in report.findings]}")


async def ready(log: EventLog) -> None:
    try:
        await log.create(SESSION)
    except SessionExistsError:
        pass


def note(path: str, number: int, *, durable: bool) -> None:
    """Put what was acknowledged into a file of its own, so that the journal of writes has it in its place."""
    if os.environ.get("FAULT_LOG") and durable:
        file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        os.pwrite(file, f"{number:08}".encode(), 0)
        os.close(file)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
