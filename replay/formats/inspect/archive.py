"""ZIP files as Inspect writes them, also cut ones: members are stored, deflated or compressed with Zstandard."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile

import msgspec

from eventsource.errors import TranscriptError

from ..format import unreadable

MAGIC = b"PK\x03\x04"
_HEADER = struct.Struct("<4s2xHH4xIIIHH")  # magic, flags, method, checksum, two sizes, lengths of name and extra
_LONG_SIZES = struct.Struct("<HHQQ")  # the extra field of a member of 4 GB or more
_SIZES_FOLLOW = 0x08
_STORED, _DEFLATED, _ZSTANDARD = 0, 8, 93
_ALWAYS_BYTES, _MOST_BYTES, _RATIO = 64 << 20, 2 << 30, 250  # JSON is seldom compressed to less than a hundredth
_MEMBERS = 1_000_000


class Member(msgspec.Struct, frozen=True):
    """Where the bytes of a member lie, how they are compressed, and the checksum of what they are."""

    method: int
    start: int
    size: int
    checksum: int


class Archive(msgspec.Struct, frozen=True):
    """The members of a ZIP file by their names; `problem`: why some may be missing (empty: none is)."""

    path: Path
    members: Mapping[str, Member]
    problem: str = ""

    def read(self, name: str) -> bytes:
        """Unpack a member. Raises: TranscriptError when it cannot be read, is damaged or is far too large."""
        member = self.members[name]
        try:
            with self.path.open("rb") as file:
                file.seek(member.start)
                data = file.read(member.size)
        except OSError as error:
            raise unreadable(self.path, error) from error
        if len(data) < member.size:
            raise TranscriptError(str(self.path), f"{name} is cut off")
        most = min(_MOST_BYTES, max(_ALWAYS_BYTES, _RATIO * len(data)))
        try:
            whole = _unpacked(data, member.method, most)
        except _ZstandardMissingError as error:
            raise TranscriptError(
                str(self.path),
                f"{name} is compressed with Zstandard, which takes a package: pip install 'refold[inspect]'",
            ) from error
        except Exception as error:  # each library has errors of its own
            raise TranscriptError(
                str(self.path), f"{name} cannot be unpacked: {str(error) or type(error).__name__}"
            ) from error
        if len(whole) > most:
            raise TranscriptError(str(self.path), f"{name} unpacks to more than {most >> 20} MB, which no log does")
        if zlib.crc32(whole) != member.checksum:
            raise TranscriptError(str(self.path), f"{name} is damaged: its checksum is not that of what it holds")
        return whole


def archive_of(path: Path) -> Archive:
    """List the members of a ZIP file; of one without its table of contents those that stand whole in it.

    Raises: TranscriptError when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            try:
                return Archive(path, _listed(file))
            except (BadZipFile, ValueError, struct.error, EOFError, RuntimeError):
                return Archive(path, dict(_found(file)), "its table of contents is missing: it is cut off or damaged")
    except OSError as error:
        raise unreadable(path, error) from error


def _listed(file: BinaryIO) -> Mapping[str, Member]:
    """Read the table of contents."""
    found: dict[str, Member] = {}
    with ZipFile(file) as archive:
        for one in archive.infolist():
            header = _header(file, one.header_offset)
            if header is None:
                raise BadZipFile
            found[one.filename] = Member(one.compress_type, header[1], one.compress_size, one.CRC)
    return found


def _found(file: BinaryIO) -> Iterator[tuple[str, Member]]:
    """Go through the members one after the other."""
    at = 0
    for _ in range(_MEMBERS):
        header = _header(file, at)
        if header is None or header[2].size < 0:
            return
        name, at, member = header
        yield name, member
        at += member.size


def _header(file: BinaryIO, at: int) -> tuple[str, int, Member] | None:
    """Read what stands before a member. Returns: its name, where it begins, and what it is (size -1: unsaid)."""
    file.seek(at)
    data = file.read(_HEADER.size)
    if len(data) < _HEADER.size or data[:4] != MAGIC:
        return None
    _, flags, method, checksum, size, whole, name_size, extra_size = _HEADER.unpack(data)
    name = file.read(name_size).decode("utf-8", "replace")
    extra = file.read(extra_size)
    if size == whole == 0xFFFFFFFF and len(extra) >= _LONG_SIZES.size:
        size = _LONG_SIZES.unpack_from(extra)[3]
    start = at + _HEADER.size + name_size + extra_size
    return name, start, Member(method, start, -1 if flags & _SIZES_FOLLOW else size, checksum)


class _ZstandardMissingError(Exception):
    """Neither the standard library nor a package reads Zstandard here."""


def _unpacked(data: bytes, method: int, most: int) -> bytes:
    """Unpack bytes, but for one byte no more than the most."""
    if method == _STORED:
        return data
    if method == _DEFLATED:
        reader = zlib.decompressobj(-zlib.MAX_WBITS)
        whole = reader.decompress(data, most + 1)
        if not reader.eof and len(whole) <= most:
            raise ValueError("it is cut off")
        return whole
    if method == _ZSTANDARD:
        return _zstandard(data, most)
    raise ValueError(f"its compression, number {method}, is not known")


def _zstandard(data: bytes, most: int) -> bytes:
    try:  # of the standard library since Python 3.14
        open_frames = import_module("compression.zstd").ZstdFile
    except ImportError:
        try:
            reading = import_module("zstandard").ZstdDecompressor().stream_reader
        except ImportError as error:
            raise _ZstandardMissingError from error
        open_frames = partial(reading, read_across_frames=True)
    with open_frames(BytesIO(data)) as reader:
        return bytes(reader.read(most + 1))
