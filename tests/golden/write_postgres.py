"""Write a release's log in PostgreSQL: `python -m tests.golden.write_postgres 0.2.0`. A released one stays for ever.

It is a script for psql: the statements that made the tables then, and the rows of each as COPY takes them.
"""

from __future__ import annotations

import asyncio
import json
import lzma
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg

from eventsource.events import Custom
from eventsource.log import open_store
from eventsource.log.postgres.schema import schema
from refold import Log
from refold.tasks import TaskContext, task
from tests.golden.write_database import told, write
from tests.postgres import empty_log, server_of_this_run

FOLDER = Path(__file__).parent
TABLES = (
    "sessions", "events", "updates", "bodies", "refs", "keys", "snapshots", "frames", "search_texts", "search_tools",
)  # fmt: skip


@task(id="errand", payload=str, queue="errands")
async def errand(ctx: TaskContext, where: str) -> str:
    """Wait for a word of somebody."""
    return str((await ctx.wait(await ctx.create_token(key="go"))).value)


async def fill(place: str) -> dict[str, object]:
    """Write what a file can hold, and a closed session that is archived, and a task that is due in a queue."""
    await write(place)
    async with open_store(place) as store:
        log = Log(store)
        closed = await log.session("closed")
        await store.append(closed.id, [(1_700_000_000_000_000, Custom(kind="the end"))], key="once")
        assert await store.archive(closed.id, at_us=1_800_000_000_000_000)
        await errand.trigger(log, "Oslo")
        assert await store.search("coat")
        return await told(store)


def dumped(place: str) -> Iterator[bytes]:
    """Yield a log as a script."""
    yield schema().encode()
    with psycopg.connect(place) as connection, connection.cursor() as cursor:
        for table in TABLES:
            columns = ", ".join(one.name for one in cursor.execute(f"SELECT * FROM {table} LIMIT 0").description or ())
            yield f"\nCOPY {table} ({columns}) FROM stdin;\n".encode()
            with cursor.copy(f"COPY (SELECT * FROM {table} ORDER BY 1, 2) TO STDOUT") as rows:
                yield from map(bytes, rows)
            yield b"\\.\n"
        (last,) = cursor.execute("SELECT last_value FROM session_numbers").fetchone() or (1,)
        yield f"\nSELECT setval('session_numbers', {last});\n".encode()


def restore(script: bytes, place: str) -> None:
    """Run such a script, as psql does."""
    with psycopg.connect(place) as connection, connection.cursor() as cursor:
        lines = script.decode().split("\n")
        statements = list[str]()
        numbered = iter(lines)
        for line in numbered:
            if not (line.startswith("COPY ") and line.endswith(" FROM stdin;")):
                statements.append(line)
                continue
            cursor.execute("\n".join(statements).encode())
            statements.clear()
            with cursor.copy(line.removesuffix(";").encode()) as copy:
                for row in iter(lambda: next(numbered), "\\."):
                    copy.write(f"{row}\n")
        cursor.execute("\n".join(statements).encode())


def main(version: str) -> None:
    """Write both files."""
    with empty_log(server_of_this_run()) as place:
        rows = asyncio.run(fill(place))
        script = b"".join(dumped(place))
    (FOLDER / version).mkdir(exist_ok=True)
    (FOLDER / version / "postgres.sql.xz").write_bytes(lzma.compress(script))
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    (FOLDER / version / "postgres.json.xz").write_bytes(lzma.compress(text.encode()))


if __name__ == "__main__":
    main(sys.argv[1])
