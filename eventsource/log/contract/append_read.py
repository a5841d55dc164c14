"""What every store of events must do: subclass `LogContract`, say how to open your store, and run it with pytest."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import msgspec

from ...envelope import Recorded, Restored, VerifiedSoFar
from ...errors import (
    ConflictError,
    EventTooLargeError,
    FencedError,
    InvalidTextError,
    LeaseHeldError,
    SessionExistsError,
    UnknownSeqError,
    UnknownSessionError,
)
from ...events import (
    AgentEnd,
    AgentStart,
    Custom,
    Event,
    Fork,
    Label,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    MetadataSet,
    Origin,
    QueuePush,
    StreamUpdate,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from ...messages import AssistantMessage, ImageContent, UserMessage
from ..protocol import EventLog
from .archiving import ArchiveContract
from .fork_erase import LifeContract
from .histories import exchange, numbered, prompt, read_all, refused, streamed, timed
from .leases_due import DueContract
from .searching import SearchContract
from .waiting import WaitContract

LABEL = [(1, Label(text="a title"))]


class _EnoughError(Exception):
    """What somebody raises who has heard enough."""


class LogContract(LifeContract, DueContract, ArchiveContract, SearchContract, WaitContract, ABC):
    """Every promise of `EventLog`, one test each, those of forks, erasing, leases, due sessions and waiting included.

    The clock of the store must be real and `limit_bytes` 64 MiB.
    """

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[EventLog]:
        """Open an empty store; the subclass says how."""

    async def test_a_new_session_is_empty_and_has_a_short_id(self) -> None:
        """An id is lower case letters and digits."""
        async with self.open() as log:
            info = await log.create(title="oslo")
            assert info.head == 0
            assert (info.status, info.title, info.open) == ("empty", "oslo", False)
            assert len(info.id) >= 8
            assert info.id.isalnum()
            assert info.id == info.id.lower()
            assert await log.read(info.id) == ()
            assert await log.info(info.id) == info

    async def test_an_id_is_given_once(self) -> None:
        """A second session of the same id is refused."""
        async with self.open() as log:
            assert (await log.create("oslo")).id == "oslo"
            with refused(SessionExistsError):
                await log.create("oslo")
            for name in ("", "two words", "a\nb", "\ud800"):
                with refused(InvalidTextError):
                    await log.create(name)

    async def test_a_text_may_hold_any_sign(self) -> None:
        """In titles, keys, names and what is said; also NUL, which some databases do not keep."""
        odd = "\0a\x1a0\x1a\x1a\0\0 \x7f ☂"
        async with self.open() as log:
            session = (await log.create(title=odd)).id
            assert (await log.info(session)).title == odd
            assert await log.resolve(odd) == await log.named(odd) == session
            said = QueuePush(queue="prompt", message=UserMessage(content=odd))
            folder = MetadataSet(name="folder", value=msgspec.Raw(msgspec.json.encode(odd)))
            head = await log.append(session, [(1, said), (2, folder), (3, Label(text=f"2 {odd}"))], key=odd)
            assert await log.append(session, LABEL, key=odd) == head
            info = await log.info(session)
            assert (info.title, info.folder) == (f"2 {odd}", odd)
            assert [one.id for one in await log.sessions(title=odd)] == [session]
            assert [one.text_seq for one in await log.search(odd)] == [1]
            assert (await log.read(session))[0].event == said
            assert (await log.verify()).findings == ()
            assert await log.rebuild() == 0

    async def test_an_unknown_session_is_named(self) -> None:
        """Every method that takes a session says so when there is none."""
        async with self.open() as log:
            for call in (
                log.append("nobody", LABEL),
                log.read("nobody"),
                log.info("nobody"),
                log.dropped("nobody"),
                log.removed("nobody"),
                log.restore("nobody", [Restored(at_us=1, event=LABEL[0][1])]),
                log.fork("nobody", 0, at_us=1),
                log.cursor("nobody"),
                log.claim("nobody"),
                log.verify("nobody"),
                log.drop_updates("nobody"),
                log.erase("nobody", 1, at_us=1),
                log.delete("nobody"),
                log.resolve("nobody"),
            ):
                with refused(UnknownSessionError) as caught:
                    await call
                assert "nobody" in str(caught[0])

    async def test_what_was_appended_is_read_again(self) -> None:
        """Events of every kind come back equal, in any page size."""
        events = timed(exchange())
        async with self.open() as log:
            session = (await log.create()).id
            assert await log.append(session, events) == len(events)
            for limit in (1, 3, 50, 1000):
                assert await read_all(log, session, limit=limit) == numbered(events)
            facts = [one for one in numbered(events) if not isinstance(one.event, MessageUpdate)]
            page = await read_all(log, session, updates=False)
            assert [one for one in page if one.event in [fact.event for fact in facts]] == page
            assert all("Update" not in type(one.event).__name__ for one in page)
            assert await log.read(session, after=5, upto=9) == tuple(numbered(events)[5:9])
            assert await log.read(session, after=len(events)) == ()

    async def test_the_cut_of_appends_does_not_show(self) -> None:
        """However events are batched, events, digests and folds are the same."""
        events = timed(exchange())
        async with self.open() as log:
            whole = (await log.create()).id
            await log.append(whole, events)
            for size in (1, 2, 5, 13):
                session = (await log.create()).id
                for at in range(0, len(events), size):
                    part = events[at : at + size]
                    durable = not all(isinstance(event, MessageUpdate) for _, event in part)
                    await log.append(session, part, expected=at, durable=durable)
                assert await read_all(log, session) == numbered(events)
                for seq in range(len(events) + 1):
                    assert await log.cursor(session, seq) == await log.cursor(whole, seq)
                one, other = await log.info(session), await log.info(whole)
                same = {"id": "", "created_at_us": 0, "number": 0}
                assert msgspec.structs.replace(one, **same) == msgspec.structs.replace(other, **same)
            assert (await log.verify()).ok

    async def test_input_between_flushes_leaves_a_message_whole(self) -> None:
        """A message streamed in pieces, with outside input between them, reads as it was appended."""
        events: list[Event] = [*prompt("hello"), *streamed("A text of some length. " * 40, width=3, thinking="So, so.")]
        async with self.open() as log:
            session, history = (await log.create()).id, list[tuple[int, Event]]()
            stamped = timed(events)
            for at in range(0, len(stamped), 20):
                part = stamped[at : at + 20]
                facts = any(not isinstance(event, MessageUpdate) for _, event in part)
                outside: list[tuple[int, Event]] = [(5, Label(text=f"after {at}", target_seq=1))]
                await log.append(session, part, durable=facts)
                await log.append(session, outside)
                history += part + outside
            assert await read_all(log, session) == numbered(history)
            assert (await log.verify(session)).findings == ()

    async def test_of_two_writers_with_the_same_head_one_wins(self) -> None:
        """The loser is told both seqs, and nothing of it is stored."""
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, LABEL, expected=0)
            with refused(ConflictError) as caught:
                await log.append(session, [(2, Label(text="late"))], expected=0)
            error = caught[0]
            assert isinstance(error, ConflictError)
            assert (error.expected, error.head) == (0, 1)
            assert (await log.info(session)).head == 1
            assert await log.append(session, [(2, Label(text="now"))], expected=1) == 2

    async def test_an_append_may_follow_what_came_first(self) -> None:
        """`behind` is shown all that others appended after the expected head, and decides whether the events follow."""
        came = timed([Label(text="came first"), StreamUpdate(name="log", item=msgspec.Raw(b"1")), Label(text="more")])
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, LABEL)
            fork = (await log.fork(session, 1, at_us=1)).id
            for name, head in ((session, 1), (fork, 2)):
                await log.append(name, came[:2])
                await log.append(name, came[2:])
                seen: list[Recorded] = []

                def refuse(news: Sequence[Recorded], seen: list[Recorded] = seen) -> bool:
                    seen.extend(news)
                    return False

                with refused(ConflictError):
                    await log.append(name, LABEL, expected=head, behind=refuse)
                assert seen == [Recorded(head + n, *pair) for n, pair in enumerate(came, 1)]
                assert (await log.info(name)).head == head + 3
                assert await log.append(name, LABEL, expected=head, behind=lambda news: len(news) == 3) == head + 4
                assert await log.append(name, LABEL, expected=head + 4, behind=lambda news: False) == head + 5
                with refused(ConflictError):
                    await log.append(name, LABEL, expected=head + 6, behind=lambda news: True)
                with refused(FencedError):
                    await log.append(name, LABEL, expected=head, epoch=9, behind=lambda news: True)
                assert (await log.verify(name)).findings == ()

    async def test_appends_at_once_stay_dense(self) -> None:
        """Many tasks append to two sessions; nothing is lost, doubled or mixed."""
        async with self.open() as log:
            names = [(await log.create()).id for _ in range(2)]
            events = [(n, Custom(kind=str(n))) for n in range(60)]
            heads = await asyncio.gather(*(log.append(names[n % 2], [pair]) for n, pair in enumerate(events)))
            for which, session in enumerate(names):
                page = await log.read(session)
                assert [one.seq for one in page] == list(range(1, 31))
                assert {one.event for one in page} == {event for n, (_, event) in enumerate(events) if n % 2 == which}
                assert sorted(heads[which::2]) == list(range(1, 31))

    async def test_a_repeated_key_gets_the_first_answer(self) -> None:
        """Keys count per session, and a fork does not inherit them."""
        async with self.open() as log:
            one, other = (await log.create()).id, (await log.create()).id
            assert await log.append(one, LABEL, key="k") == 1
            await log.append(one, [(2, Label(text="more"))])
            assert await log.append(one, LABEL, key="k", expected=0, epoch=9) == 1
            assert (await log.info(one)).head == 2
            assert await log.append(other, LABEL, key="k") == 1
            fork = (await log.fork(one, 1, at_us=3)).id
            assert await log.append(fork, LABEL, key="k") == 3

    async def test_only_updates_and_the_start_before_them_may_be_lost(self) -> None:
        """`durable=False` with any other fact is a mistake of the caller."""
        async with self.open() as log:
            session = (await log.create()).id
            flush: list[tuple[int, Event]] = [
                (1, MessageStart(role="assistant")),
                (2, MessageUpdate(kind="text_start", content_index=0)),
            ]
            assert await log.append(session, flush, durable=False) == 2
            update = StreamUpdate(name="log", item=msgspec.Raw(b"1"))
            assert await log.append(session, [(3, update)], durable=False) == 3
            for event in (TurnStart(), MessageStart(role="input", push_seq=1), Label(text="x")):
                with refused(ValueError):
                    await log.append(session, [(4, event)], durable=False)
            assert (await log.info(session)).head == 3

    async def test_what_cannot_be_stored_is_refused_whole(self) -> None:
        """A lone surrogate, JSON that is none and an event beyond the limit leave nothing behind."""
        image = ImageContent(data="A" * (64 * 2**20 + 1), media_type="image/png")
        big = QueuePush(queue="prompt", message=UserMessage(content=(image,)))
        surrogate = MessageUpdate(kind="text_delta", content_index=0, delta="\udc00")
        async with self.open() as log:
            session = (await log.create()).id
            for kind, event in (
                (EventTooLargeError, big),
                (InvalidTextError, Label(text="\ud83d")),
                (InvalidTextError, surrogate),
                (InvalidTextError, Custom(kind="x", data=msgspec.Raw(b"{oops"))),
                (InvalidTextError, StreamUpdate(name="x", item=msgspec.Raw(b"nope"))),
            ):
                with refused(kind):
                    await log.append(session, [*LABEL, (1, event)])
            assert (await log.info(session)).head == 0
            assert await log.append(session, LABEL) == 1

    async def test_large_texts_and_images_come_back(self) -> None:
        """Bodies stored aside, also the same one twice, read like any other."""
        image = ImageContent(data="QUJD" * 20_000, media_type="image/png")
        large = QueuePush(queue="prompt", message=UserMessage(content=(image, image)))
        text = QueuePush(queue="steering", message=UserMessage(content="large " * 20_000))
        events = timed([large, text, large, *streamed("x" * 50_000, width=1000)])
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, events)
            assert await read_all(log, session) == numbered(events)
            assert (await log.verify(session)).findings == ()

    async def test_a_row_tells_what_its_events_say(self) -> None:
        """Title, status, open, wake-up, messages and tokens follow the events."""
        async with self.open() as log:
            session = (await log.create(title="given")).id
            await log.append(session, [(10, QueuePush(queue="prompt", message=UserMessage(content="x")))])
            info = await log.info(session)
            assert (info.status, info.open, info.updated_at_us) == ("queued", True, 10)
            await log.append(
                session, timed([AgentStart(), MessageStart(role="input", push_seq=1), *streamed("hi")[:1]])
            )
            await log.append(session, timed(streamed("hi")[1:]))
            await log.append(
                session, [(20, WaitStart(key="w", deadline_us=77)), (21, WaitStart(key="v", deadline_us=99))]
            )
            info = await log.info(session)
            assert (info.status, info.wake_at_us, info.messages) == ("waiting", 77, 1)
            assert (info.input_tokens, info.output_tokens) == (10, 3)
            ends = [WaitEnd(key="w", outcome="completed"), WaitEnd(key="v", outcome="cancelled")]
            await log.append(session, timed([*ends, AgentEnd(reason="error"), Label(text="renamed")]))
            info = await log.info(session)
            assert (info.status, info.open, info.wake_at_us, info.title) == ("failed", False, None, "renamed")
            assert await log.rebuild() == 0
            assert await log.info(session) == info

    async def test_whoever_verifies_hears_how_far_it_is_and_may_end_it(self) -> None:
        """Of sessions, facts and updates, to the end; what it raises is raised."""
        async with self.open() as log:
            for name in ("one", "two"):
                await log.create(name)
                await log.append(name, [(1, Label(text="x"))] * 1_200)
            heard: list[VerifiedSoFar] = []
            report = await log.verify(progress=heard.append)
            assert [one.sessions for one in heard] == sorted(one.sessions for one in heard)
            assert [one.facts for one in heard] == sorted(one.facts for one in heard)
            assert {1, 2} <= {one.sessions for one in heard}
            assert heard[0] == VerifiedSoFar(sessions=0, sessions_in_all=2)
            assert heard[-1] == VerifiedSoFar(sessions=2, sessions_in_all=2, facts=2_400, updates=0)
            assert (report.facts, report.updates) == (2_400, 0)
            heard.clear()
            await log.verify("two", progress=heard.append)
            assert (heard[-1].sessions, heard[-1].sessions_in_all) == (1, 1)

            def enough(so_far: VerifiedSoFar) -> None:
                raise _EnoughError(so_far)

            with refused(_EnoughError):
                await log.verify(progress=enough)
            assert (await log.verify()).ok

    async def test_sessions_are_listed_found_and_filtered(self) -> None:
        """Latest updated first, in pages, by open, status, parent and a part of the title."""
        async with self.open() as log:
            names = [(await log.create(f"session{n}", title=f"Tour {n}")).id for n in range(5)]
            far = 4_000_000_000_000_000
            for n, session in enumerate(names):
                await log.append(session, [(far + n, AgentStart() if n % 2 else Label(text=f"Reise Ä{n}"))])
            child = (await log.fork(names[0], 1, at_us=far + 9, title="branch")).id
            everything = [info.id for info in await log.sessions()]
            assert everything == [child, *reversed(names)]
            assert [info.id for info in await log.sessions(limit=2)] == everything[:2]
            assert [info.id for info in await log.sessions(limit=2, after=everything[1])] == everything[2:4]
            assert [info.id for info in await log.sessions(open=True)] == [names[3], names[1]]
            assert [info.id for info in await log.sessions(status="interrupted", limit=1)] == [names[3]]
            assert [info.id for info in await log.sessions(parent=names[0])] == [child]
            assert [info.id for info in await log.sessions(title="REISE ä")] == [names[4], names[2], names[0]]
            assert await log.resolve("branch") == child
            assert await log.resolve("session1") == "session1"
            assert await log.resolve(child[:9]) == child
            with refused(UnknownSessionError) as caught:
                await log.resolve("session")
            assert "session0" in str(caught[0])

    async def test_sessions_are_found_by_where_an_agent_worked_and_which_model_answered(self) -> None:
        """By the agent, the folder or one above it, the branch, and a part of a model's name; a fork has them too."""
        async with self.open() as log:
            for number, (agent, folder, branch, model) in enumerate(
                [
                    ("codex", "/code", "main", "gpt-5"),
                    ("codex", "/code_1", "dev", "o%"),
                    ("pi", "/code/App", "main", ""),
                ]
            ):
                said: dict[str, str] = {"agent": agent, "folder": folder, "branch": branch}
                await log.create(f"s{number}")
                await log.append(
                    f"s{number}",
                    timed([MetadataSet(name=name, value=msgspec.Raw(f'"{value}"')) for name, value in said.items()]),
                )
                if model:
                    message = AssistantMessage(content=(), model=model, provider="openai")
                    adopt = MessageAdopt(message=message, origin=Origin(source="test"))
                    await log.append(f"s{number}", timed([adopt]))
            fork = (await log.fork("s2", 3, at_us=9)).id
            await log.create("plain")

            async def found(**by: str) -> set[str]:
                return {info.id for info in await log.sessions(**by)}  # type: ignore[arg-type]  # texts, all of them

            assert await found(agent="codex") == {"s0", "s1"}
            assert await found(folder="/code") == await found(folder="/code/") == {"s0", "s2", fork}
            assert await found(folder="/code/app") == set()
            assert await found(folder="/") == {"s0", "s1", "s2", fork}
            assert await found(branch="main") == {"s0", "s2", fork}
            assert await found(model="GPT") == {"s0"}
            assert await found(model="%") == {"s1"}
            assert await found(model="openai/", branch="main") == {"s0"}

    async def test_a_session_is_still_found_by_the_title_it_was_made_with(self) -> None:
        """Where no session has that title now; never as a whole name, under which another one may be made."""
        async with self.open() as log:
            first = (await log.create("one", title="2026-01-01 draft")).id
            await log.append(first, [(1, Label(text="Coats"))])
            assert await log.resolve("2026-01-01 draft") == await log.resolve("Coats") == first
            with refused(UnknownSessionError):
                await log.resolve("2026-01-01 draft", prefix=False)
            other = await log.named("2026-01-01 draft")
            assert await log.resolve("2026-01-01 draft") == other != first

    async def test_a_whole_name_never_leads_to_another_session(self) -> None:
        """A title, or a whole id; the beginning of a stranger's id is neither, and what fits two is refused."""
        async with self.open() as log:
            for name in ("bob4k2j9x1zq", "alice", "third"):
                await log.create(name, title=f"customer {name}")
            bob = await log.named("bob")
            assert (await log.info(bob)).title == "bob"
            assert await log.named("bob") == await log.resolve("bob", prefix=False) == bob
            assert await log.named("alice") == await log.named("customer alice") == "alice"
            with refused(UnknownSessionError):
                await log.resolve("ali", prefix=False)
            assert await log.resolve("ali") == "alice"
            other = (await log.create(title="third")).id
            twin = (await log.create(title="bob")).id
            for name, both in (("third", {"third", other}), ("bob", {bob, twin})):
                with refused(UnknownSessionError) as caught:
                    await log.named(name)
                assert isinstance(caught[0], UnknownSessionError)
                assert set(caught[0].candidates) == both
            assert await log.resolve("third") == "third"

    async def test_who_asks_for_a_name_at_the_same_time_gets_the_same_session(self) -> None:
        """One is made, not one for each."""
        async with self.open() as log:
            found = await asyncio.gather(*(log.named("oslo") for _ in range(8)))
            assert len(set(found)) == 1
            assert [info.title for info in await log.sessions()] == ["oslo"]

    async def test_only_a_newer_epoch_fences(self) -> None:
        """A second claim is refused while the lease holds; a released one is free; a superseded writer must stop."""
        async with self.open() as log:
            session = (await log.create()).id
            lease = await log.claim(session)
            assert await log.append(session, LABEL, epoch=lease.epoch) == 1
            with refused(LeaseHeldError):
                await log.claim(session)
            again = await log.renew(lease, ttl_us=60_000_000)
            assert again.expires_at_us > lease.expires_at_us
            assert (await log.info(session)).expires_at_us == again.expires_at_us
            await log.release(again)
            assert await log.append(session, LABEL, epoch=lease.epoch) == 2
            second = await log.claim(session, ttl_us=0)
            assert second.epoch > lease.epoch
            with refused(FencedError):
                await log.append(session, LABEL, epoch=lease.epoch)
            with refused(FencedError):
                await log.renew(lease)
            await log.release(lease)
            assert await log.append(session, LABEL, epoch=second.epoch) == 3
            assert await log.append(session, LABEL) == 4
            third = await log.claim(session)
            assert third.epoch > second.epoch

    async def test_the_last_facts_of_many_sessions_are_read_at_once(self) -> None:
        """Of some types, in order, inherited ones too; neither updates nor forks are counted."""
        async with self.open() as log:
            parent = (await log.create()).id
            await log.append(parent, timed(exchange("Take a coat.")))
            head = (await log.info(parent)).head
            fork = (await log.fork(parent, head - 1, at_us=1)).id
            deep = (await log.fork(fork, head, at_us=1)).id
            await log.append(deep, [(2, Label(target_seq=1, text="first"))])
            facts = {name: await log.read(name, updates=False) for name in (parent, fork, deep)}
            for types in ((MessageEnd,), (MessageEnd, Label, TurnStart)):
                for limit in (1, 3, 64):
                    counted = {
                        name: [one for one in read if not isinstance(one.event, Fork)][-limit:]
                        for name, read in facts.items()
                    }
                    expected = {
                        name: tuple(one for one in read if isinstance(one.event, types))
                        for name, read in counted.items()
                    }
                    names = [deep, "nobody", parent, fork]
                    found = await log.last_facts(names, types, limit=limit)
                    assert found == tuple(expected.get(name, ()) for name in names)
            assert await log.last_facts([], (MessageEnd,)) == ()

    async def test_a_cursor_needs_a_seq_that_is_there(self) -> None:
        """The digest at 0 is that of nothing."""
        async with self.open() as log:
            session = (await log.create()).id
            assert (await log.cursor(session)).digest == "0" * 64
            await log.append(session, LABEL)
            assert (await log.cursor(session)).digest == (await log.info(session)).digest
            with refused(UnknownSeqError):
                await log.cursor(session, 2)
