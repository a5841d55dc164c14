"""The page on the log's format is enough to write another reader: this is one, made of the page alone."""

from __future__ import annotations

import json
import lzma
import re
import sqlite3
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from eventsource.codec import decode, encode
from eventsource.events import UPDATE_TYPES, Custom, MessageUpdate, UpdateKind
from eventsource.log import open_store

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "log-format.md").read_text(encoding="utf-8")
LOGS = [*ROOT.glob("tests/golden/*/log.db"), *ROOT.glob("tests/golden/*/runs.db.xz")]
KINDS = PAGE.split("from 0: ")[1].split(".")[0].replace("\n", " ").split(", ")
SEQS = 2**32


def examples() -> list[str]:
    """Read the page's JSON of updates."""
    return PAGE.split("```json\n")[1].split("```")[0].splitlines()


def test_the_page_shows_the_bytes_of_each_kind_of_update() -> None:
    events = [decode(line) for line in examples()]
    assert [encode(event).decode() for event in events] == examples()
    assert {type(event) for event in events} == set(UPDATE_TYPES)
    assert {event.kind for event in events if isinstance(event, MessageUpdate)} == set(get_args(UpdateKind))


@pytest.mark.parametrize("kind", UPDATE_TYPES, ids=lambda kind: str(kind.__struct_config__.tag))
def test_the_page_names_every_member_of_an_update_in_its_order(kind: type) -> None:
    told = re.search(rf"^- `{kind.__struct_config__.tag}`:((?:.|\n  )*)", PAGE, re.MULTILINE)  # type: ignore[attr-defined]  # a struct
    assert told
    named = [word for word in re.findall(r"`(\w+)`", told[1]) if word in kind.__struct_fields__]  # type: ignore[attr-defined]  # as above
    assert tuple(dict.fromkeys(named)) == kind.__struct_fields__  # type: ignore[attr-defined]  # as above


class Reader:
    """Reads a log as the page says."""

    def __init__(self, path: Path) -> None:
        self.log = sqlite3.connect(path)
        self.bodies = dict(self.log.execute("SELECT sha256, body FROM bodies"))

    def line(self, number: int, upto: int = SEQS) -> list[tuple[int, int, int]]:
        """Walk to the root. Returns: (session, first seq, last seq), oldest first."""
        found: list[tuple[int, int, int]] = []
        at: int | None = number
        while at is not None:
            parent, fork_seq = self.log.execute(
                "SELECT parent, fork_seq FROM sessions WHERE number = ?", [at]
            ).fetchone()
            found.append((at, fork_seq + 1, upto))
            at, upto = parent, min(upto, fork_seq)
        return found[::-1]

    def digest(self, number: int, upto: int) -> bytes | None:
        """Digest a history up to a seq; None where updates that it ends in are gone."""
        link, found = b"\0" * 32, b""
        for session, first, last in self.line(number, upto):
            lines: list[bytes] = []
            for seq, at_us, update, fact in sorted(self.items(session, first, last), key=lambda item: item[0]):
                if fact is None:
                    lines.append(f"[{at_us},{update}]\n".encode() if update is not None else b"")
                    continue
                stored, b = fact
                u = stored or b"\0" * 32
                if b"" not in lines:  # nothing of them is gone
                    assert u == (sha256(b"".join(lines)).digest() if lines else b"\0" * 32), f"U at {seq}"
                link, lines = sha256(link + u + at_us.to_bytes(8, "big", signed=True) + b).digest(), []
            if b"" in lines:
                return None
            found = link = sha256(link + sha256(b"".join(lines)).digest()).digest() if lines else link
        return found

    def items(
        self, number: int, first: int, last: int
    ) -> Iterator[tuple[int, int, str | None, tuple[bytes | None, bytes] | None]]:
        """Give what a session recorded itself: (seq, time, an update's JSON or None, a fact's U and B or None)."""
        low, high = number * SEQS + first, number * SEQS + min(last, SEQS - 1)
        facts = self.log.execute("SELECT id, at_us, body, u, b FROM events WHERE id BETWEEN ? AND ?", [low, high])
        for key, at_us, body, u, b in facts:
            yield key % SEQS, at_us, None, (u, b[:32] if b else sha256(body.encode()).digest())
        rows = self.log.execute(
            "SELECT id, kind, count, body FROM updates WHERE id BETWEEN ? AND ?", [low, number * SEQS + SEQS - 1]
        )
        for key, kind, count, body in rows:
            for place, (at_us, update) in enumerate(self.row(key, kind, count, body)):
                seq = key % SEQS - count + 1 + place
                if first <= seq <= last:
                    yield seq, at_us, update, None

    def row(self, key: int, kind: int, count: int, body: bytes) -> Iterator[tuple[int, str | None]]:
        """Take a row of updates apart."""
        if kind == 2:
            for _ in range(count):
                yield 0, None
            return
        offsets: list[int] = []
        if kind == 0:
            assert zlib.crc32(body[:-4]).to_bytes(4, "big") == body[-4:]
            _, at_us, runs = msgspec.msgpack.decode(body[:-4])
        else:
            if body[1] >> 6:
                assert zlib.crc32((key % SEQS).to_bytes(4, "big") + body[:-4]).to_bytes(4, "big") == body[-4:]
                body = body[:-4]
            stream = zlib.decompressobj()
            reach, at_us, runs, planes = msgspec.msgpack.decode(stream.decompress(body))
            assert stream.eof
            assert not stream.unused_data
            deltas = sum(len(run[3]) for run in runs if len(run) == 4)
            size = len(planes) // deltas if deltas else 4
            cut = [bytes(planes[n::deltas]) for n in range(deltas)]
            offsets = [int.from_bytes(one, "little", signed=True) for one in cut]
            assert size in (4, 8)
        content = self.blocks(key + reach) if kind == 1 else []
        for run in runs:
            if run[0] == 64:
                at_us += run[1]
                yield at_us, run[2]
            elif len(run) == 3:
                at_us += run[2]
                yield at_us, written(run[0], run[1], content)
            else:
                code, index, text, lengths = run[:4]
                times = run[4] if kind == 0 else [offsets.pop(0) for _ in lengths]
                if isinstance(text, int):
                    block = content[index]
                    text = str(block.get({"text": "text", "thinking": "thinking"}.get(block["type"], "arguments"), ""))[
                        text:
                    ]
                for length, offset in zip(lengths, times, strict=True):
                    at_us += offset
                    yield (
                        at_us,
                        dumped(
                            {"type": "message_update", "kind": KINDS[code], "content_index": index}, delta=text[:length]
                        ),
                    )
                    text = text[length:]

    def blocks(self, key: int) -> list[dict[str, Any]]:
        """Find the content of the message that ends at a key."""
        body, b = self.log.execute("SELECT body, b FROM events WHERE id = ?", [key]).fetchone()
        whole = self.bodies[b].decode() if b and len(b) == 32 else body
        return list(json.loads(whole).get("message", {}).get("content", []))


def written(code: int, index: int, content: list[dict[str, Any]]) -> str:
    """Write an update that stands by itself; with 16 added to its code, its members are the block's."""
    kind = KINDS[code & 15]
    told = {"type": "message_update", "kind": kind, "content_index": index}
    if code < 16:
        return dumped(told)
    block = content[index]
    members = {"tool_call_start": ("id", "name"), "thinking_start": ("redacted",), "provider_block": ("api",)}
    names = members.get(kind, ("arguments", "signature") if code & 32 else ("signature",))
    return dumped(told, **{name: block.get(name, "") for name in names})


def dumped(told: dict[str, Any], **more: Any) -> str:
    """Write JSON as the page says."""
    kept = {name: value for name, value in more.items() if value or name == "arguments"}
    return json.dumps({**told, **kept}, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_a_reader_made_of_the_page_alone_comes_to_every_digest(path: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    log.write_bytes(lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes())
    reader, known = Reader(log), 0
    for number, name, head, link in reader.log.execute("SELECT number, id, head, link FROM sessions").fetchall():
        found = reader.digest(number, head)
        if found is not None and link is not None:
            assert found == link, name
            known += 1
    assert known > reader.log.execute("SELECT count(*) FROM sessions").fetchone()[0] // 2
    reader.log.close()


async def test_a_fork_may_begin_below_its_parents_own_first_seq(tmp_path: Path) -> None:
    async with open_store(str(tmp_path / "log.db")) as store:
        root = (await store.create()).id
        await store.append(root, [(n, Custom(kind=f"fact {n}")) for n in range(9)])
        parent = await store.fork(root, 7, at_us=10)
        await store.append(parent.id, [(11, Custom(kind="the parent's own"))])
        below = await store.fork(parent.id, 3, at_us=12)
        own = await store.append(below.id, [(13, Custom(kind="the fork's own"))])
        kinds = [one.event.kind for one in await store.read(below.id) if isinstance(one.event, Custom)]
        assert (below.parent, below.fork_seq, own) == (parent.id, 3, 5)
        assert kinds == ["fact 0", "fact 1", "fact 2", "the fork's own"]
        digest = (await store.info(below.id)).digest
    reader = Reader(tmp_path / "log.db")
    found = reader.digest(3, 5)
    assert found is not None
    assert found.hex() == digest
    reader.log.close()


def test_the_type_of_an_event_is_a_column_of_the_views_alone(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    log.write_bytes((ROOT / "tests" / "golden" / "0.1.0" / "log.db").read_bytes())
    reader = Reader(log)

    def columns(name: str) -> set[str]:
        return {row[1] for row in reader.log.execute(f"PRAGMA table_info({name})")}

    assert columns("event") == columns("history") == {"session", "seq", "at", "type", "body"}
    assert not columns("events") & {"session", "seq", "at", "type"}
    reader.log.close()
