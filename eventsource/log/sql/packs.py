"""Updates as rows: packed as they come, sealed by reference into the message they made, dropped but counted.

A row holds updates without a gap. Its body is `[reach, at_us, runs]` as msgpack: in a packed row followed by its
CRC-32 (4 bytes, big-endian), in a sealed or dropped one as a zlib stream, followed by the CRC-32 of the row's last
seq and the stream: other streams say the same, so the checksum within is not enough. The stream's header says by its
level that the CRC follows; in rows of 0.1 it does not. `at_us` is the first update's time. `reach` says how many seqs
after the row's last one the `message_end` stands whose message holds the texts (0: the row holds them itself; -1:
dropped, and `runs` is a list of offsets). A run is

    [code, content index, text, lengths, offsets]   deltas of one block: their text joined, or the code point in the
                                                    message's block at which it begins; lengths in code points
    [code, content index, offset]                   one update that says nothing more (code + 16: whose other fields
                                                    are the message's block's; + 32: its arguments too)
    [64, offset, update as JSON]                    any other

where `code` counts the kinds of `message_update` in the order of `UpdateKind`, from 0, and an offset is the time since
the update before, in microseconds, signed (0 for a row's first). A sealed row is `[reach, at_us, runs, offsets]`: the
offsets of all its deltas stand together behind the runs, as planes of bytes, which compress better.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Sequence
from operator import ne
from typing import get_args

import msgspec
from msgspec import UNSET

from ...codec import decode, encode
from ...envelope import Recorded
from ...errors import CorruptLogError
from ...events import Event, MessageUpdate, UpdateKind
from ...messages import AssistantContent, ProviderContent, TextContent, ThinkingContent, ToolCall

PACKED, SEALED, DROPPED = 0, 1, 2
MAX_COUNT = 4096
MAX_TEXT = 2**18
KINDS: tuple[UpdateKind, ...] = get_args(UpdateKind)
CODES = {kind: code for code, kind in enumerate(KINDS)}
DELTAS = {
    CODES["text_delta"]: TextContent,
    CODES["thinking_delta"]: ThinkingContent,
    CODES["tool_call_delta"]: ToolCall,
}
DELTA_KINDS = frozenset(KINDS[code] for code in DELTAS)
FROM_BLOCK, ARGUMENTS, JSON = 16, 32, 64
_CRC_FOLLOWS = 1
"""The level (FLEVEL, two bits) in the header of a zlib stream that its CRC-32 follows; 0.1 wrote 0."""
_FEW_BYTES = 2
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(tuple[int, int, list[list[int | str | list[int]]]])
_SEALED = msgspec.msgpack.Decoder(tuple[int, int, list[list[int | str | list[int]]], bytes])
_DROPPED = msgspec.msgpack.Decoder(tuple[int, int, list[int]])


class Delta:
    """Deltas of one block, one after the other; `text` is theirs joined, or where it begins in the message's block."""

    __slots__ = ("code", "index", "lengths", "offsets", "text")

    def __init__(self, code: int, index: int, text: str | int, lengths: list[int], offsets: list[int]) -> None:
        self.code, self.index, self.text, self.lengths, self.offsets = code, index, text, lengths, offsets


class Single:
    """One update that is no plain delta; `event` is there where no message says it."""

    __slots__ = ("code", "event", "index", "offset")

    def __init__(self, code: int, index: int, offset: int, event: Event | None) -> None:
        self.code, self.index, self.offset, self.event = code, index, offset, event


class Pack:
    """One row of updates, taken apart; `end` is the seq of the message_end that holds its texts, or 0."""

    __slots__ = ("at_us", "count", "end", "first", "runs", "until_us")

    def __init__(self, first: int, at_us: int) -> None:
        self.first, self.count, self.end = first, 0, 0
        self.at_us = self.until_us = at_us
        self.runs: list[Delta | Single] = []

    @property
    def last(self) -> int:
        """Seq of its last update."""
        return self.first + self.count - 1

    def add(self, run: Delta | Single) -> None:
        """Take one more run; its first offset counts from the update before it."""
        if isinstance(run, Delta):
            self.count += len(run.lengths)
            self.until_us += sum(run.offsets)
        else:
            self.count += 1
            self.until_us += run.offset
        self.runs.append(run)


def pack(first: int, updates: Sequence[tuple[int, Event]]) -> list[Pack]:
    """Pack updates without a gap, the first of which has seq `first`."""
    packs: list[Pack] = []
    n = size = 0
    while n < len(updates):
        if not packs or packs[-1].count >= MAX_COUNT or size > MAX_TEXT:
            previous, size = updates[n][0], 0
            packs.append(Pack(first + n, previous))
        row = packs[-1]
        previous, event = updates[n - 1][0] if row.count else row.at_us, updates[n][1]
        if isinstance(event, MessageUpdate) and _is_bare(event) and (event.kind in DELTA_KINDS or not event.delta):
            code = CODES[event.kind]
            if code in DELTAS:
                delta, length = _take_deltas(event, updates, n, min(len(updates), n + MAX_COUNT - row.count), previous)
                row.add(delta)
                n, size = n + len(delta.lengths), size + length
                continue
            row.add(Single(code, event.content_index, updates[n][0] - previous, None))
        else:
            row.add(Single(JSON, 0, updates[n][0] - previous, event))
            size += len(encode(event))
        n += 1
    return packs


def _take_deltas(
    first: MessageUpdate, updates: Sequence[tuple[int, Event]], n: int, stop: int, previous: int
) -> tuple[Delta, int]:
    """Take the deltas of one block from the n-th update, `first`, on. Returns: them, and how much text they hold."""
    texts, lengths, offsets, size = list[str](), list[int](), list[int](), 0
    kind, index = first.kind, first.content_index
    while n < stop and size <= MAX_TEXT:
        at_us, event = updates[n]
        if type(event) is not MessageUpdate or event.kind != kind or event.content_index != index:
            break
        # what `_is_bare` says, without the call: this is the hottest line of an append
        if event.signature or event.id or event.name or event.api or event.redacted or event.arguments is not None:
            break
        if event.block is not UNSET:
            break
        texts.append(event.delta)
        length = len(event.delta)
        lengths.append(length)
        offsets.append(at_us - previous)
        previous, size, n = at_us, size + length, n + 1
    return Delta(CODES[kind], index, "".join(texts), lengths, offsets), size


def _is_bare(event: MessageUpdate) -> bool:
    """Return whether an update has nothing but kind, index and delta."""
    return not (
        event.id
        or event.name
        or event.signature
        or event.api
        or event.redacted
        or event.arguments is not None
        or event.block is not UNSET
    )


def to_row(row: Pack) -> tuple[int, int, int, bytes]:
    """Write a row: (last seq, kind, count, body)."""
    runs: list[list[int | str | list[int]]] = []
    offsets: list[int] = []
    for run in row.runs:
        if isinstance(run, Single) and run.event is not None:
            runs.append([JSON, run.offset, encode(run.event).decode()])
        elif isinstance(run, Single):
            runs.append([run.code, run.index, run.offset])
        elif row.end:
            runs.append([run.code, run.index, run.text, run.lengths])
            offsets += run.offsets
        else:
            runs.append([run.code, run.index, run.text, run.lengths, run.offsets])
    if row.end:
        body = _ENCODER.encode((row.end - row.last, row.at_us, runs, _to_planes(offsets)))
        return row.last, SEALED, row.count, _compress(row.last, body)
    body = _ENCODER.encode((0, row.at_us, runs))
    return row.last, PACKED, row.count, body + _crc(body)


def dropped_row(last: int, times: Sequence[int]) -> tuple[int, int, int, bytes]:
    """Write a row of updates whose content is gone."""
    offsets = [at_us - before for before, at_us in zip((times[0], *times), times, strict=False)]
    return last, DROPPED, len(times), _compress(last, _ENCODER.encode((-1, times[0], offsets)))


def from_row(session: str, last: int, kind: int, count: int, body: bytes) -> Pack:
    """Take a row apart. Raises: CorruptLogError when it is not what was written."""
    row = Pack(last - count + 1, 0)
    try:
        if kind == SEALED:
            reach, row.at_us, runs, planes = _SEALED.decode(_decompress(last, body))
            _put_offsets(runs, planes)
        elif kind == PACKED:
            reach, row.at_us, runs = _DECODER.decode(_checked(body))
        else:
            raise ValueError(f"a row of kind {kind}")
        row.until_us = row.at_us
        for run in runs:
            row.add(_run(session, last, run))
    except (msgspec.DecodeError, zlib.error, ValueError, TypeError, IndexError) as error:
        raise CorruptLogError(session, last, "a row of updates", str(error)) from error
    if row.count != count or (reach > 0) != (kind == SEALED):
        raise CorruptLogError(session, last, f"{count} updates", f"{row.count} in the row")
    row.end = row.last + reach if reach else 0
    return row


def dropped_times(session: str, last: int, count: int, body: bytes) -> list[int]:
    """Return the times of dropped updates. Raises: CorruptLogError."""
    try:
        reach, at_us, offsets = _DROPPED.decode(_decompress(last, body))
    except (msgspec.DecodeError, zlib.error, ValueError) as error:
        raise CorruptLogError(session, last, "a row of dropped updates", str(error)) from error
    if reach != -1 or len(offsets) != count:
        raise CorruptLogError(session, last, f"{count} dropped updates", f"{len(offsets)} in the row")
    times = []
    for offset in offsets:
        at_us += offset
        times.append(at_us)
    return times


def _to_planes(offsets: Sequence[int]) -> bytes:
    """Write integers of 4 bytes (8, if one does not fit): the lowest byte of each, then the next of each, and so on."""
    try:
        numbers = array("i", offsets)
    except OverflowError:
        numbers = array("q", offsets)
    if sys.byteorder == "big":
        numbers.byteswap()
    whole, width = numbers.tobytes(), numbers.itemsize
    return b"".join([whole[place::width] for place in range(width)])


def _put_offsets(runs: Sequence[list[int | str | list[int]]], planes: bytes) -> None:
    """Append to each run of deltas its offsets, which `_to_planes` wrote. Raises: ValueError."""
    counts = [len(run[3]) if len(run) == 4 and isinstance(run[3], list) else 0 for run in runs]
    count = sum(counts)
    numbers = array("i" if len(planes) == 4 * count else "q")
    if len(planes) != count * numbers.itemsize:
        raise ValueError(f"{len(planes)} bytes for the times of {count} deltas")
    whole, at = bytearray(len(planes)), 0
    for place in range(numbers.itemsize):
        whole[place :: numbers.itemsize] = planes[place * count : (place + 1) * count]
    numbers.frombytes(whole)
    if sys.byteorder == "big":
        numbers.byteswap()
    offsets = numbers.tolist()
    for run, size in zip(runs, counts, strict=True):
        if size:
            run.append(offsets[at : at + size])
            at += size


def _compress(last: int, body: bytes) -> bytes:
    """Compress a row's body, mark that its CRC-32 follows, and add that."""
    packed = _stream(body)
    head = packed[0] << 8 | _CRC_FOLLOWS << 6
    packed = (head + 31 - head % 31).to_bytes(2, "big") + packed[2:]
    return packed + _crc(last.to_bytes(4, "big") + packed)


def _stream(body: bytes) -> bytes:
    """Compress a small row with little memory: clearing the usual 256 kB would cost more than the rest."""
    stream = zlib.compressobj(1, zlib.DEFLATED, 12, 5)
    return stream.compress(body) + stream.flush()


def _decompress(last: int, body: bytes) -> bytes:
    """Undo `_compress`, or what 0.1 wrote. Raises: ValueError, zlib.error."""
    if body[1:2] and body[1] >> 6 == _CRC_FOLLOWS:
        if _crc(last.to_bytes(4, "big") + body[:-4]) != body[-4:]:
            raise ValueError("bytes that were changed")
        return zlib.decompress(body[:-4])
    stream = zlib.decompressobj()
    whole = stream.decompress(body)
    if not stream.eof or stream.unused_data or body[1] >> 6:
        raise ValueError("bytes that were changed, or more or fewer of them")
    return whole


def is_as_compressed(body: bytes) -> bool | None:
    """Compare a sealed or dropped row without a CRC-32, which 0.1 wrote, with what its content is compressed to.

    Returns: None when another zlib than this process's has compressed it, so that nothing can be said. Another zlib
    makes streams of other lengths; one that has the same and differs in a byte or two was changed.
    """
    if body[1] >> 6 == _CRC_FOLLOWS:
        return True
    again = _stream(zlib.decompress(body))
    if len(again) != len(body):
        return None
    differ = sum(map(ne, again, body))
    return not differ if differ <= _FEW_BYTES else None


def _crc(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "big")


def _checked(body: bytes) -> bytes:
    whole = body[:-4]
    if _crc(whole) != body[-4:]:
        raise ValueError("bytes that were changed")
    return whole


def _run(session: str, last: int, run: list[int | str | list[int]]) -> Delta | Single:
    code, index, text = run[0], run[1], run[2]
    if isinstance(code, int) and isinstance(index, int) and not isinstance(text, list):
        if len(run) == 5:
            lengths, offsets = run[3], run[4]
            if isinstance(lengths, list) and isinstance(offsets, list) and len(lengths) == len(offsets):
                return Delta(code, index, text, lengths, offsets)
        elif len(run) == 3 and isinstance(text, int):
            return Single(code, index, text, None)
        elif len(run) == 3 and code == JSON and isinstance(text, str):
            return Single(JSON, 0, index, decode(text, session=session, seq=last))
    raise ValueError("a run of no known shape")


def unpack(row: Pack, content: Sequence[AssistantContent] = (), *, after: int = 0, upto: int = 2**32) -> list[Recorded]:
    """Build the updates of a row with `after < seq <= upto`.

    Args:
        content: of the message at `row.end`; nothing when the row is not sealed.
    Raises: CorruptLogError when the content is not what the row was sealed with.
    """
    found: list[Recorded] = []
    seq, at_us = row.first, row.at_us
    try:
        for run in row.runs:
            if seq > upto:
                break
            if isinstance(run, Single):
                at_us += run.offset
                if seq > after:
                    found.append(Recorded(seq, at_us, run.event or from_block(run, content)))
                seq += 1
                continue
            if seq + len(run.lengths) - 1 > after:
                _deltas(found, run, seq, at_us, content, after, upto)
            seq += len(run.lengths)
            at_us += sum(run.offsets)
    except (IndexError, AttributeError) as error:
        raise CorruptLogError(
            "", row.last, f"the message at seq {row.end} to hold these updates", str(error)
        ) from error
    return found


def _deltas(
    found: list[Recorded], run: Delta, seq: int, at_us: int, content: Sequence[AssistantContent], after: int, upto: int
) -> None:
    skip, stop = max(0, after - seq + 1), min(len(run.lengths), upto - seq + 1)
    text, at = (run.text, 0) if isinstance(run.text, str) else (block_text(content[run.index]), run.text)
    at += sum(run.lengths[:skip])
    at_us += sum(run.offsets[:skip])
    kind, index = KINDS[run.code], run.index
    for n in range(skip, stop):
        end = at + run.lengths[n]
        at_us += run.offsets[n]
        found.append(Recorded(seq + n, at_us, MessageUpdate(kind=kind, content_index=index, delta=text[at:end])))
        at = end


def from_block(run: Single, content: Sequence[AssistantContent]) -> MessageUpdate:
    """Build an update that says what the message's block says."""
    kind = KINDS[run.code & (FROM_BLOCK - 1)]
    if not run.code & FROM_BLOCK:
        return MessageUpdate(kind=kind, content_index=run.index)
    match content[run.index]:
        case ProviderContent(api=api, block=raw):
            return MessageUpdate(kind=kind, content_index=run.index, api=api, block=raw)
        case ThinkingContent(redacted=redacted) if kind == "thinking_start":
            return MessageUpdate(kind=kind, content_index=run.index, redacted=redacted)
        case ToolCall(id=call, name=name) if kind == "tool_call_start":
            return MessageUpdate(kind=kind, content_index=run.index, id=call, name=name)
        case ToolCall(arguments=arguments, signature=signature) if run.code & ARGUMENTS:
            return MessageUpdate(kind=kind, content_index=run.index, arguments=arguments, signature=signature)
        case block:
            return MessageUpdate(kind=kind, content_index=run.index, signature=block.signature)


def block_text(block: AssistantContent) -> str:
    """The text that a block's deltas come to."""
    match block:
        case TextContent(text=text) | ThinkingContent(thinking=text) | ToolCall(arguments=text):
            return text
        case ProviderContent():
            return ""
