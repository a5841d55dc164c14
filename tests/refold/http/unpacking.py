"""Reads what is packed in a file of a session: its directory, with every list where it says that one stands."""

from __future__ import annotations

import gzip
import re
from base64 import b64decode
from itertools import accumulate
from typing import Any

import msgspec

from refold.http.page_file.archive import Archive
from refold.http.page_file.blocks import Blocks


def unpacked(page: bytes) -> Any:
    """Read a file as one object: what is of all sessions, and that of its own one."""
    directory, blocks = packed_in(page)
    return put_together(_read(directory), blocks)


def packed_in(page: bytes) -> tuple[bytes, list[bytes]]:
    """Find what is packed in a file: its directory, and its blocks."""
    (data,) = re.findall(rb'<script type="application/json" id="archive">([^<]*)</script>', page)
    directory, *blocks = data.split(b"\n")
    return directory, blocks


def blocks_of(page: bytes, name: str) -> list[int]:
    """Name the blocks in which a list of the file's own session stands."""
    directory, _ = packed_in(page)
    numbers: list[int] = _read(directory)["sessions"][0][name]["blocks"]
    return numbers


def unpacked_archive(archive: Archive, blocks: Blocks) -> Any:
    """Read what would be written into a file, as `unpacked` does."""
    return put_together(msgspec.json.decode(msgspec.json.encode(archive)), blocks.packed)


def put_together(directory: Any, blocks: list[bytes]) -> Any:
    """Put the lists of a directory into it, and the lines of each request beside it."""
    assert directory["blocks"] == len(blocks)
    whole = _filled(directory, blocks)
    for session in whole["sessions"]:
        for name in ("message_seqs", "source_rows", "seqs", "asked"):
            session[name] = list(accumulate(session[name]))
        for name in ("rows", "series", "spans"):
            [session[name]] = session[name]
    return {**whole, **whole["sessions"][0]}


def content_of(whole: Any, sha256: str) -> Any:
    """Find all of a part, by its hash."""
    (of,) = {one["of"] for one in whole["lines"] if one["line"]["sha256"] == sha256}
    return whole["lines"][of]["content"]


def _filled(value: Any, blocks: list[bytes]) -> Any:
    match value:
        case {"many": many, "blocks": numbers, "begins": begins}:
            lists = [_read(blocks[number]) for number in numbers]
            assert list(begins) == list(accumulate(map(len, lists), initial=0))[: len(lists)]
            found = [one for each in lists for one in each]
            assert len(found) == many
            return found
        case dict():
            return {name: _filled(one, blocks) for name, one in value.items()}
        case list():
            return [_filled(one, blocks) for one in value]
        case _:
            return value


def _read(packed: bytes) -> Any:
    return msgspec.json.decode(gzip.decompress(b64decode(packed)))
