"""Reading a database again to find any changed, missing, swapped or added byte, and where."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256

import msgspec

from ...codec import decode, encode
from ...envelope import Finding, Recorded, TellVerified, VerifyReport, so_far
from ...errors import CorruptLogError, RefoldError
from ...events import Erase, Event, Fork, MessageUpdate
from ...messages import ImageContent
from ...values import MARKER
from ..allowed_gaps import Spans, droppable, named_shapes, shape_problem, within
from ..digest import ZERO, link, link_at_update, row_crc, update_lines
from ..encode import has_images, map_images
from ..lineage import MAX_SEQ
from ..row import Folds, as_0_1, as_format_1
from .append import stub
from .connection import Sql
from .folded_row import FOLD_COLUMNS, FOLDS, folds_row, stored_folds
from .frames import letters_in
from .packs import DROPPED, PACKED, dropped_times, from_row, is_as_compressed, unpack
from .reading import Page, digest_at, id_of, last_link, lineage, load_fact, start_digest
from .rebuild import all_numbers, first_words_at, is_stored, is_unfolded, own_folds
from .sessions import fixed_crc

_MAX_FINDINGS = 1_000
_TELL_FACTS = 1_000
_OWN_FRAMES = f"SELECT 1 FROM frames WHERE id BETWEEN number << 32 AND number << 32 | {MAX_SEQ}"


def verify(connection: Sql, session: str | None, progress: TellVerified | None = None) -> VerifyReport:
    """Check a session with what it inherits, or everything. Raises: UnknownSessionError."""
    if session is None:
        numbers = all_numbers(connection)
    else:
        numbers = sorted(number for number, _ in lineage(connection, session))
    findings = list[Finding]()
    facts = updates = 0
    suspects: set[int] = set()

    def tell(done: int, more_facts: int = 0, more_updates: int = 0) -> None:
        if progress is not None:
            progress(so_far(done, len(numbers), facts + more_facts, updates + more_updates, findings))

    tell(0)
    findings += [Finding(session="", seq=0, problem=line) for line in connection.file_problems()]
    if session is None:
        findings += _check_strays(connection)
    for done, number in enumerate(numbers):
        tell(done)
        if session is None and not _in_new_window(connection, number):
            continue
        one = _SessionCheck(connection, number, suspects, partial(tell, done))
        one.check()
        findings += one.findings[:_MAX_FINDINGS]
        facts += one.facts
        updates += one.updates
    tell(len(numbers))
    return VerifyReport(sessions=len(numbers), facts=facts, updates=updates, findings=tuple(findings))


def verify_own(connection: Sql, number: int) -> list[Finding]:
    """Check a session's own events, and that they go on where its parent says."""
    one = _SessionCheck(connection, number, set(), lambda facts, updates: None)
    one.check()
    return one.findings


def _in_new_window(connection: Sql, number: int) -> bool:
    """Read a session as it is now, if it is still there: no snapshot lasts longer than a session takes to check.

    A long one would keep the write-ahead file from beginning anew as long as others append.
    """
    connection.look_anew()
    return connection.execute("SELECT 1 FROM sessions WHERE number = ?", (number,)).fetchone() is not None


def _check_strays(connection: Sql) -> list[Finding]:
    """Find rows of no session, and bodies of no event."""
    findings: list[Finding] = []
    for table in ("events", "updates", "snapshots", "refs", "frames"):
        sql = f"SELECT DISTINCT id >> 32 FROM {table} WHERE id >> 32 NOT IN (SELECT number FROM sessions)"
        for (number,) in connection.execute(sql):
            findings.append(
                Finding(session="", seq=0, problem=f"{table} holds rows of session number {number}, which is none")
            )
    sql = "SELECT DISTINCT number FROM keys WHERE number NOT IN (SELECT number FROM sessions)"
    for (number,) in connection.execute(sql):
        findings.append(
            Finding(session="", seq=0, problem=f"keys holds rows of session number {number}, which is none")
        )
    sql = "SELECT number, archived_at_us FROM sessions WHERE (archived_at_us IS NULL) = EXISTS (" + _OWN_FRAMES + ")"
    for number, archived_at_us in connection.execute(sql):
        state = "has frames of one that is archived" if archived_at_us is None else "is archived, and has no frames"
        findings.append(Finding(session=id_of(connection, number), seq=0, problem=f"its row {state}"))
    sql = "SELECT sha256 FROM bodies WHERE sha256 NOT IN (SELECT sha256 FROM refs)"
    for (name,) in connection.execute(sql):
        findings.append(Finding(session="", seq=0, problem=f"body {name.hex()[:12]} belongs to no event"))
    return findings


class _SessionCheck:
    """The check of one session's own rows."""

    def __init__(self, connection: Sql, number: int, suspects: set[int], tell: Callable[[int, int], None]) -> None:
        """Prepare.

        Args:
            suspects: numbers of sessions with a defect, in whose forks the digest cannot be right either.
            tell: hears of the session's own facts and updates, how many have been read.
        """
        self._tell = tell
        self._connection, self._number, self._base = connection, number, number << 32
        self._suspects = suspects
        self.session = id_of(connection, number)
        self.findings: list[Finding] = []
        self.facts = self.updates = 0
        self._next = self._link_seq = 0
        self._link = ZERO
        self._lines = sha256()
        self._pending = 0
        self._whole, self._is_fork, self._by_other_zlib = True, False, False
        self._dropped_here: list[tuple[int, int]] = []
        self._left_here: list[Recorded] = []
        self._named: dict[int, str] = {}
        self._messages: Spans = ()
        self._calls: Spans = ()
        self._refs: set[tuple[bytes, int]] = set()

    def check(self) -> None:
        """Check everything; what goes wrong becomes a finding."""
        if self._goes(self._check_frames):  # else there are no rows
            for part in (self._check_events, self._check_row, self._check_refs, self._check_folds):
                self._goes(part)

    def _goes(self, part: Callable[[], None]) -> bool:
        try:
            part()
            return True
        except CorruptLogError as error:
            self._find(error.seq, f"expected {error.expected}, found {error.found}")
        except (RefoldError, self._connection.fault, ValueError, TypeError, LookupError, RecursionError) as error:
            self._find(self._next, f"it cannot be checked: {str(error).partition(chr(10))[0]}")
        return False

    def _check_frames(self) -> None:
        """Unpack an archived session, and compare what the search keeps of it."""
        sql = "SELECT archived_at_us FROM sessions WHERE number = ?"
        if self._connection.execute(sql, (self._number,)).fetchone()[0] is None:
            return
        self._connection.unpack([self._number])
        sql = "SELECT id, letters FROM frames WHERE id BETWEEN ? AND ? ORDER BY id"
        for key, letters in self._connection.execute(sql, (self._base, self._base | MAX_SEQ)).fetchall():
            if letters != (b"" if key & MAX_SEQ else letters_in(self._connection, self._number)):
                self._find(0, f"what the search keeps of frame {key & MAX_SEQ} was changed")

    def _find(self, seq: int, problem: str, *, note: bool = False) -> None:
        if not note:
            self._suspects.add(self._number)
        self.findings.append(Finding(session=self.session, seq=seq, problem=problem, note=note))

    def _check_events(self) -> None:
        row = self._connection.execute(
            "SELECT parent, fork_seq, link, head FROM sessions WHERE number = ?", (self._number,)
        )
        parent, fork_seq, _, _ = row.fetchone()
        self._is_fork = parent is not None
        if parent is not None:
            self._check_parent(int(parent), int(fork_seq))
        self._next = self._link_seq = int(fork_seq) + 1
        self._link = start_digest(self._connection, self._number)
        if parent is not None and not self._link:
            self._find(self._next, "the digest at which the fork begins cannot be computed: updates are gone")
        self._check_base()
        page = Page(self._connection, self.session)
        self._learn_what_is_gone(page)
        first, last = self._base, self._base | MAX_SEQ
        sql = "SELECT id, kind, count, body FROM updates WHERE id BETWEEN ? AND ? ORDER BY id"
        rows = self._connection.execute(sql, (first, last))
        sql = "SELECT id, at_us, body, u, link, b FROM events WHERE id BETWEEN ? AND ? ORDER BY id"
        waiting = rows.fetchone()
        for key, at_us, body, u, stored, b in self._connection.execute(sql, (first, last)):
            while waiting is not None and waiting[0] < key:
                self._check_updates(page, *waiting)
                waiting = rows.fetchone()
            self._place(key & MAX_SEQ, key & MAX_SEQ)
            self._check_fact(key & MAX_SEQ, at_us, body, u, stored, b)
        while waiting is not None:
            self._check_updates(page, *waiting)
            waiting = rows.fetchone()
        self._judge_dropped()

    def _learn_what_is_gone(self, page: Page) -> None:
        """Read what the session's own facts let be missing, if anything is."""
        sql = (
            "SELECT EXISTS (SELECT 1 FROM updates WHERE id BETWEEN ? AND ? AND kind = 2)"
            " OR EXISTS (SELECT 1 FROM events WHERE id BETWEEN ? AND ? AND"
            ' (length(b) = 64 OR body LIKE \'{"type":"erase"%\'))'
        )
        if not self._connection.execute(sql, (self._base, self._base | MAX_SEQ) * 2).fetchone()[0]:
            return
        after = page.chain[0][1]
        try:
            own = page.read(after, MAX_SEQ, MAX_SEQ, updates=False)
        except RefoldError:
            return  # what cannot be read is found where it stands, and excuses nothing
        self._named = named_shapes(own)
        sql = "SELECT id FROM events WHERE id BETWEEN ? AND ? AND length(b) = 64"
        erased = {key & MAX_SEQ for (key,) in self._connection.execute(sql, (self._base, self._base | MAX_SEQ))}
        self._messages, self._calls = droppable(
            own, lambda seq: seq in erased and seq in self._named, self._named, after
        )

    def _check_base(self) -> None:
        """Check the digest that a fork kept of the updates it began among, which were erased since."""
        sql = "SELECT parent, fork_seq, base FROM sessions WHERE number = ?"
        parent, fork_seq, base = self._connection.execute(sql, (self._number,)).fetchone()
        if base is None:
            return
        if parent is None:
            self._find(0, "a session without a parent keeps the digest of one")
            return
        known = digest_at(self._connection, int(parent), int(fork_seq))
        if not known and len(base) == 64:
            known = link_at_update(last_link(self._connection, int(parent), int(fork_seq)), base[32:])
        if known:
            if known != base[:32] and parent not in self._suspects:
                self._find(fork_seq, "the digest at which the fork begins, or what it inherits, was changed")
            return
        if len(base) != 32 or self._all_erases_told(int(parent), int(fork_seq)):
            self._find(fork_seq, "the digest at which the fork begins was changed")
            return
        self._find(fork_seq, "what the fork inherits is not covered by its digest: updates are gone", note=True)

    def _all_erases_told(self, parent: int, fork_seq: int) -> bool:
        """Return whether each erase where a seq was recorded says what it left; then forks keep whole digests."""
        owner = next((one for one, first in lineage(self._connection, parent) if first < fork_seq), parent)
        page = Page(self._connection, id_of(self._connection, owner))
        own = page.read(page.chain[0][1], MAX_SEQ, MAX_SEQ, updates=False)
        erases = [one.event for one in own if isinstance(one.event, Erase)]
        return all(one.shape_sha256 for one in erases)

    def _judge_dropped(self) -> None:
        """Judge what is missing between two facts, and name what is left there and cannot be checked any more."""
        for first, last in self._dropped_here:
            in_calls = within(self._calls, first, last)
            if not within([*self._messages, *self._calls], first, last):
                self._find(first, f"the updates {first} to {last} are missing: no message that has ended held them")
            elif not in_calls and any(isinstance(one.event, MessageUpdate) for one in self._left_here):
                self._find(first, "a part of a message's updates is missing: they are dropped as a whole")
            elif self._left_here:
                problem = f"{len(self._left_here)} updates beside those that were dropped cannot be checked"
                self._find(self._left_here[0].seq, problem, note=True)
        self._dropped_here, self._left_here = [], []

    def _check_parent(self, parent: int, fork_seq: int) -> None:
        row = self._connection.execute("SELECT head FROM sessions WHERE number = ?", (parent,)).fetchone()
        if row is None or parent >= self._number:
            self._find(fork_seq, f"its parent, session number {parent}, is not there")
        first = self._connection.execute(
            "SELECT body FROM events WHERE id = ?", (self._base | fork_seq + 1,)
        ).fetchone()
        if first is None or not isinstance(decode(first[0], session=self.session, seq=fork_seq + 1), Fork):
            self._find(fork_seq + 1, "a fork must begin with the event `fork`")

    def _place(self, first: int, last: int) -> None:
        if first > self._next:
            self._find(self._next, f"seqs {self._next} to {first - 1} are missing")
        elif first < self._next:
            self._find(first, f"seq {first} is there twice, or before the session's first")
        self._next = last + 1

    def _check_updates(self, page: Page, key: int, kind: int, count: int, body: bytes) -> None:
        last = key & MAX_SEQ
        self._place(last - count + 1, last)
        self._pending += count
        self.updates += count
        if kind == DROPPED:
            self._whole = False
            dropped_times(self.session, last, count, body)
            self._check_stream(last, body)
            self._dropped_here.append((last - count + 1, last))
            self._find(last - count + 1, f"{count} updates were dropped", note=True)
            return
        try:
            row = from_row(self.session, last, kind, count, body)
            updates = unpack(row, page.content(self._base | row.end) if row.end else ())
        except CorruptLogError as error:
            self._whole = False
            self._find(last, f"the updates up to here cannot be read: expected {error.expected}, found {error.found}")
            return
        if kind != PACKED:
            self._check_stream(last, body)
        self._left_here += updates
        self._lines.update(update_lines((one.at_us, one.event) for one in updates))

    def _check_stream(self, last: int, body: bytes) -> None:
        """Compare the bytes of a compressed row: a changed one may still say the same updates."""
        alike = is_as_compressed(body)
        if alike is None and not self._by_other_zlib:
            self._by_other_zlib = True
            self._find(
                last, "release 0.1 and another zlib compressed updates: only what they say is checked", note=True
            )
        elif alike is False:
            self._find(last, "the bytes of the updates up to here were changed, though they still say the same")

    def _check_fact(
        self, seq: int, at_us: int, body: bytes, u: bytes | None, stored: bytes | None, b: bytes | None
    ) -> None:
        self.facts += 1
        if self.facts % _TELL_FACTS == 0:
            self._tell(self.facts, self.updates)
        self._judge_dropped()
        expected = self._lines.digest() if self._pending else None
        if (self._whole and expected != u) or (not self._whole and u is None):
            self._find(seq, f"the updates before it, from seq {seq - self._pending}, or their digest were changed")
        self._lines, self._pending, self._whole = sha256(), 0, True
        self._link = link(self._link, u or ZERO, at_us, self._body_digest(seq, body, b))
        if stored is None:
            return
        if stored != self._link and self._excused(seq):
            self._suspects.add(self._number)
            self._link = stored
        if stored != self._link:
            between = f"one of the facts {self._link_seq} to {seq}" if self._link_seq < seq else "the fact"
            self._find(seq, f"the digest chain is broken: {between}, its time, or the link itself was changed")
            self._link = stored
        self._link_seq = seq + 1

    def _excused(self, seq: int) -> bool:
        """Return whether a fork's first digest is wrong because its parent was changed."""
        row = self._connection.execute(
            "SELECT parent, fork_seq FROM sessions WHERE number = ?", (self._number,)
        ).fetchone()
        return row[0] in self._suspects and seq == row[1] + 1

    def _body_digest(self, seq: int, body: bytes, b: bytes | None) -> bytes:
        """Check a fact's body. Returns: B."""
        if b is not None and len(b) == 64:
            self._find(seq, "its content was erased", note=True)
            event = self._decode(seq, body)
            problem = "" if event is None else shape_problem(event, body, self._named.get(seq))
            if sha256(body).digest() != b[32:]:
                problem = problem or "what was left of the erased event was changed"
            if problem:
                self._find(seq, problem)
            return b[:32]
        if b is not None:
            body = self._aside(seq, b, body)
        self._decode(seq, body)
        if self._named.get(seq):
            whole = encode(load_fact(self._connection, self.session, seq, body, None))
            if sha256(whole).hexdigest() != self._named[seq]:
                self._find(seq, "an `erase` names it, and what stands there is not what it left")
        return sha256(body).digest()

    def _aside(self, seq: int, name: bytes, in_its_place: bytes) -> bytes:
        row = self._connection.execute("SELECT body FROM bodies WHERE sha256 = ?", (name,)).fetchone()
        self._refs.add((name, self._base | seq))
        body = bytes(row[0]) if row else b""
        if sha256(body).digest() != name:
            self._find(seq, f"its body {name.hex()[:12]} is missing or was changed")
        elif stub(body) != in_its_place:
            self._find(seq, "what stands for its body was changed")
        return body

    def _decode(self, seq: int, body: bytes) -> Event | None:
        try:
            event = decode(body, session=self.session, seq=seq)
        except CorruptLogError as error:
            self._find(seq, f"the event cannot be read: {error.found}")
            return None
        if has_images(event, body):
            map_images(event, lambda image: self._image(seq, image))
        return event

    def _image(self, seq: int, image: ImageContent) -> ImageContent:
        try:
            name = bytes.fromhex(image.data) if image.data != MARKER else b""
        except ValueError:
            name = b"?"
        if not name:
            return image
        row = self._connection.execute("SELECT body FROM bodies WHERE sha256 = ?", (name,)).fetchone()
        self._refs.add((name, self._base | seq))
        if row is None or sha256(row[0]).digest() != name:
            self._find(seq, f"its image {name.hex()[:12]} is missing or was changed")
        return image

    def _check_row(self) -> None:
        """Compare the session's row with its events."""
        sql = "SELECT head, link, mark, updated_at_us FROM sessions WHERE number = ?"
        head, stored, mark, updated = self._connection.execute(sql, (self._number,)).fetchone()
        there = self._next - 1
        if head > there:
            self._find(there + 1, f"the row says the head is {head}; what comes after seq {there} is missing")
        if stored != self._link and not (stored is None and self._is_fork and self.facts == 1):
            self._find(there, "the row's digest is not that of the last fact")
        if mark is not None:
            self._find(0, f"the row is marked for {mark.decode('utf-8', 'replace')}")
        sql = "SELECT id, at_us, link FROM events WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
        last = self._connection.execute(sql, (self._base, self._base | MAX_SEQ)).fetchone()
        if last is not None and (head < last[0] & MAX_SEQ or updated != last[1] or last[2] is None):
            self._find(last[0] & MAX_SEQ, "the row's head or time, or the last link, was changed")
        sql = """SELECT id, parent, fork_seq, given, created_at_us, started_by, source, crc, root
            FROM sessions WHERE number = ?"""
        *fixed, crc, root = map(_told, self._connection.execute(sql, (self._number,)).fetchone())
        if fixed_crc(self._number, fixed) != crc:
            self._find(0, "the row's id, parent, fork seq, title, time or source, or who started it, was changed")
        self._check_root(root, fixed[1], fixed[5])
        sql = "SELECT key, head, crc FROM keys WHERE number = ?"
        for key, head, crc in self._connection.execute(sql, (self._number,)):
            if head > there or row_crc(self._number, _told(key), head) != crc:
                self._find(head, f"the answer to the key {_told(key)!r} was changed")

    def _check_root(self, root: object, parent: object, started_by: object) -> None:
        above = ("number", parent) if parent is not None else ("id", started_by)
        sql = f"SELECT root FROM sessions WHERE {above[0]} = ?"
        found = self._connection.execute(sql, above[1:]).fetchone()
        if root != (found[0] if found else self._number) and not (found is None and started_by):  # which was deleted
            self._find(0, "the row says that the session belongs to another tree")

    def _check_refs(self) -> None:
        sql = "SELECT sha256, id FROM refs WHERE id BETWEEN ? AND ?"
        stored = set(self._connection.execute(sql, (self._base, self._base | MAX_SEQ)))
        for name, key in stored ^ self._refs:
            self._find(key & MAX_SEQ, f"body {name.hex()[:12]} is named in refs or in the event, not in both")

    def _check_folds(self) -> None:
        sql = "SELECT id, folds FROM snapshots WHERE id BETWEEN ? AND ?"
        rows = self._connection.execute(sql, (self._base, self._base | MAX_SEQ))
        snapshots = {}
        for key, folds in rows:
            snapshots[key & MAX_SEQ] = FOLDS.decode(folds)
            if msgspec.json.encode(snapshots[key & MAX_SEQ]) != folds:
                self._find(key & MAX_SEQ, "the bytes of a snapshot of the folds were changed")
        stored, last = stored_folds(self._connection, self._number), None
        of_format_1 = is_unfolded(stored)
        for last in own_folds(self._connection, self._number):
            snapshot = snapshots.pop(last.seq, None)
            folds = as_format_1(last.folds) if of_format_1 else last.folds
            untitled = msgspec.structs.replace(folds, title="")
            if snapshot is not None and of_format_1:
                snapshot = as_format_1(snapshot)
            if snapshot is not None and snapshot not in (untitled, as_0_1(untitled)):
                self._find(last.seq, "a snapshot of the folds is not what its events come to")
        for seq in snapshots:
            self._find(seq, "a snapshot of the folds belongs to no fact")
        if last is not None and not is_stored(self._connection, self._number, last.folds):
            self._find(last.seq, "title, status, counts or wake-up in the row are not what its events come to")
        if last is None:
            self._check_empty()
        elif not of_format_1:
            self._check_words(last.folds.first_seq)

    def _check_words(self, seq: int) -> None:
        """Compare the first words in the row with the message, unless something is known to be wrong there."""
        if {number for number, _ in lineage(self._connection, self._number)} & self._suspects:
            return
        sql = "SELECT first_words FROM sessions WHERE number = ?"
        (words,) = self._connection.execute(sql, (self._number,)).fetchone()
        if _told(words) != first_words_at(self._connection, self._number, seq):
            self._find(seq, "the row's first words are not those of the message that it names")

    def _check_empty(self) -> None:
        """Check the row of a session that holds no fact."""
        sql = "SELECT given, created_at_us, updated_at_us FROM sessions WHERE number = ?"
        given, created, updated = self._connection.execute(sql, (self._number,)).fetchone()
        folds = Folds(title=given.decode("utf-8", "replace"))
        expected = list(folds_row(folds))
        expected[FOLD_COLUMNS.index("status")] = "empty"
        stored = stored_folds(self._connection, self._number)
        if is_unfolded(stored):
            expected = [*expected[:1], stored[1], *expected[2:]]
            expected[FOLD_COLUMNS.index("first_seq")] = -1
        if updated != created or stored != expected:
            self._find(0, "the row of a session that holds nothing says that it holds something")


def _told(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
