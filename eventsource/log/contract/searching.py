"""The contract's fourth part: finding what was said, and sessions by what they called, cost and came to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from msgspec import UNSET, Raw
from msgspec.structs import asdict

from ...envelope import Figure, SessionSort
from ...events import (
    AgentEnd,
    AgentStart,
    Compaction,
    Event,
    Label,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    Origin,
    QueuePush,
)
from ...messages import AssistantMessage, TextContent, ToolCall, Usage, UserMessage
from ..protocol import EventLog
from .histories import exchange, read_all, timed


def _answer(*content: TextContent | ToolCall) -> Event:
    return MessageAdopt(message=AssistantMessage(content=content), origin=Origin(source="elsewhere"))


def _calling(tool: str) -> Event:
    return _answer(ToolCall(id="call", name=tool, arguments="{}"))


class SearchContract(ABC):
    """Promises about `search`."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[EventLog]:
        """Open an empty store."""

    async def test_whatever_is_said_is_found_in_any_case(self) -> None:
        """Prompts, answers, thinking, calls and results, each by the seq of its message."""
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, timed(exchange("It is 12 degrees — ÆØ ☂.")))
            ends = [one.seq for one in await read_all(log, session) if isinstance(one.event, MessageEnd)]
            expected = {
                "NEED A coat": (ends[0], "user"),
                "let ME look": (ends[1], "assistant"),
                "hm, wea": (ends[1], "assistant"),
                'read {"city"': (ends[1], "assistant"),
                "two kb two": (ends[2], "tool_result"),
                "æø ☂": (ends[3], "assistant"),
            }
            for text, (seq, role) in expected.items():
                found = await log.search(text)
                assert [(one.session, one.seq, one.role) for one in found] == [(session, seq, role)], text
                assert text.split()[0].casefold() in found[0].excerpt.casefold()
            assert await log.search("nowhere at all") == ()
            assert await log.search("twelve") == ()

    async def test_one_and_two_letters_are_found_and_signs_mean_nothing_else(self) -> None:
        """Quotes, percent signs, stars and words of query languages are letters."""
        async with self.open() as log:
            session = (await log.create()).id
            for text in ("q", "qy", 'say "hello" AND goodbye', "100 % of a_b", "x* OR NOT y", "line\none", "🧥🧥🧥"):
                await log.append(session, [(1, QueuePush(queue="inbox", message=UserMessage(content=text)))])
            for text, seqs in {
                "q": [2, 1], "qy": [2], '"hello" and': [3], "0 % o": [4], "a_b": [4], "acb": [], "x* or not": [5],
                "line\none": [6], "🧥🧥": [7], "🧥🧥🧥🧥": [],
            }.items():  # fmt: skip
                assert [one.seq for one in await log.search(text)] == seqs, text

    async def test_what_a_fork_shares_is_found_in_its_parent(self) -> None:
        """In the fork only when it is asked for; what came later in the parent is not the fork's."""
        async with self.open() as log:
            parent = (await log.create()).id
            say = [(1, QueuePush(queue="inbox", message=UserMessage(content=f"coat {n}"))) for n in range(3)]
            await log.append(parent, say)
            fork = (await log.fork(parent, 2, at_us=2)).id
            await log.append(fork, say[:1])
            assert [(one.session, one.seq) for one in await log.search("coat")] == [
                (fork, 4), (parent, 3), (parent, 2), (parent, 1),
            ]  # fmt: skip
            assert [one.text_seq for one in await log.search("coat", session=fork)] == [4, 2, 1]
            assert [one.seq for one in await log.search("coat", session=parent)] == [3, 2, 1]

    async def test_what_is_found_comes_in_pages(self) -> None:
        """Each page goes on behind the last one found."""
        async with self.open() as log:
            for session in ("one", "two"):
                await log.create(session)
                for n in range(7):
                    await log.append(session, [(1, QueuePush(queue="inbox", message=UserMessage(content=f"coat {n}")))])
            whole = await log.search("coat")
            assert [(one.session, one.seq) for one in whole] == [
                (s, n) for s in ("two", "one") for n in range(7, 0, -1)
            ]
            for limit in (1, 3, 7, 14, 20):
                found = await log.search("coat", limit=limit)
                while page := await log.search("coat", after=found[-1], limit=limit):
                    found += page
                assert found == whole

    async def test_what_was_erased_or_deleted_is_found_no_more(self) -> None:
        """Nor what stood in a call or its result; what came meanwhile is found at once."""
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, timed(exchange("An answer.")))
            assert len(await log.search("two kb")) == len(await log.search("need a coat")) == 1
            texts = {one.text_seq for text in ("two kb", "need a coat", "let me") for one in await log.search(text)}
            for seq in texts:
                await log.erase(session, seq, at_us=5)
            for text in ("two kb", "need a coat", "let me", "oslo", "hm, w"):
                assert await log.search(text) == (), text
            assert len(await log.search("an answer")) == 1
            await log.delete(session)
            assert await log.search("an answer") == ()
            again = (await log.create(session)).id
            await log.append(again, [(1, QueuePush(queue="inbox", message=UserMessage(content="another answer")))])
            assert [one.session for one in await log.search("an")] == [again]

    async def test_sessions_are_found_by_the_tools_that_their_history_calls(self) -> None:
        """A name stands for itself in any case; a fork has its parent's calls up to where it begins."""
        async with self.open() as log:
            for name in ("plain", "shell", "mixed"):
                await log.create(name)
            await log.append("plain", [(1, Label(text="bash"))])
            await log.append(
                "shell",
                [(1, _answer(TextContent(text="I shall call Bash"))), (1, _calling("Bash")), (1, _calling("bash"))],
            )
            await log.append("mixed", [(1, _calling("read")), (1, _calling("50%_of")), (1, _calling("bash" * 9_000))])
            for name, parent, at in (("early", "shell", 1), ("late", "shell", 2), ("later", "late", 3)):
                await log.fork(parent, at, at_us=2, session=name)
            await log.append("early", [(3, _calling("read"))])

            async def calling(tool: str) -> list[str]:
                return sorted([one.id for one in await log.sessions(tool=tool)])

            async def check() -> None:
                assert await calling("bash") == ["late", "later", "shell"]
                assert await calling("READ") == ["early", "mixed"]
                assert await calling("50%_of") == await calling("bash" * 9_000) == ["mixed"]
                assert await calling("50__of") == await calling("bas") == await calling("") == []

            await check()
            await log.archive("shell", at_us=4)
            await log.archive("mixed", at_us=4)
            await check()
            await log.rebuild()
            await check()
            assert [one.id for one in await log.sessions(tool="bash", limit=1, after="later")] == ["late"]
            await log.erase("mixed", 1, at_us=5)
            await log.append("shell", [(5, _calling("read"))])
            await log.delete("early")
            assert await calling("read") == ["mixed", "shell"]
            await log.create("early")
            assert await calling("read") == ["mixed", "shell"]

    async def test_what_is_found_is_counted_in_each_session(self) -> None:
        """As often as asked; in those that were made last first, or in these, with what they inherit or without."""
        async with self.open() as log:
            said = [(1, _answer(TextContent(text=f"a coat {number}"))) for number in range(5)]
            for name in ("one", "two", "none"):
                await log.create(name)
            await log.append("one", said)
            await log.append("two", said[:2])
            await log.append("none", [(1, _answer(TextContent(text="a scarf")))])
            await log.fork("one", 3, at_us=2, session="fork")
            await log.append("fork", said[:1])

            async def counted(text: str, sessions: Sequence[str] | None = None, **how: int) -> list[tuple[str, int]]:
                found = await log.count_found(text, sessions=sessions, **how)  # type: ignore[arg-type]  # all numbers
                return [(one.session, one.hits) for one in found]

            for _ in range(2):
                assert await counted("COAT", most=9) == [("fork", 1), ("two", 2), ("one", 5)]
                assert await counted("coat", most=2) == [("fork", 1), ("two", 2), ("one", 2)]
                assert await counted("coat", limit=2) == [("fork", 1), ("two", 1)]
                assert await counted("coat", ["one", "nobody", "none", "two"], most=9) == [("one", 5), ("two", 2)]
                assert await counted("coat", ["fork"], most=9, inherited=True) == [("fork", 4)]
                assert await counted("coat", ["fork", "one"], most=3, inherited=True) == [("fork", 3), ("one", 3)]
                assert await counted("ar", most=9) == [("none", 1)]
                assert await counted("nowhere") == await counted("coat", []) == []
                await log.archive("one", at_us=4)

    async def test_what_a_fork_inherited_is_what_its_parent_had_used_there(self) -> None:
        """Of every kind of tokens, however far from the beginning; of no fork it is nothing."""
        async with self.open() as log:
            used = Usage(input_tokens=3, output_tokens=2, cache_read_tokens=5, cache_write_tokens=7, cost_microusd=11)
            said = AssistantMessage(content=(), usage=used, model="m")
            event = MessageAdopt(message=said, origin=Origin(source="elsewhere"))
            await log.create("root")
            await log.append("root", [(1, event)] * 150)
            for name, parent, at in (("early", "root", 1), ("late", "root", 140), ("later", "late", 143)):
                if parent == "late":
                    await log.append("late", [(2, event)] * 2)
                await log.fork(parent, at, at_us=2, session=name)
            for _ in range(2):
                names = ["later", "root", "early", "nobody", "late"]
                found = await log.inherited_usage(names)
                assert [one.cache_read_tokens // 5 for one in found] == [142, 0, 1, 0, 140]
                assert found[2] == Usage(**{**asdict(used), "prices": "", "raw": UNSET})
                for name, one in zip(names, found, strict=True):
                    if name != "nobody":
                        assert one.input_tokens == (await log.info(name)).inherited_input_tokens, name
                await log.archive("root", at_us=3)

    async def test_sessions_are_sorted_and_chosen_by_figures(self) -> None:
        """What is largest comes first, and of equal ones what was updated last; pages go on behind any session."""
        async with self.open() as log:
            for number, (cost, answers) in enumerate([(5, 1), (None, 3), (9, 2), (5, 2)]):
                name = f"s{number}"
                await log.create(name, created_at_us=100 - number)
                said = [AssistantMessage(content=(), usage=Usage(cost_microusd=cost), model="m")] * answers
                origin = Origin(source="elsewhere")
                await log.append(name, [(number, MessageAdopt(message=one, origin=origin)) for one in said])
            await log.append(
                "s0", [(9, MessageUpdate(kind="text_delta", content_index=0, delta="x"))] * 3, durable=False
            )
            orders: dict[SessionSort, list[str]] = {
                "updated": ["s3", "s2", "s1", "s0"],
                "created": ["s0", "s1", "s2", "s3"],
                "cost": ["s2", "s3", "s0", "s1"],
                "turns": ["s1", "s3", "s2", "s0"],
                "events": ["s0", "s1", "s3", "s2"],
                "errors": ["s3", "s2", "s1", "s0"],
            }
            for sort, order in orders.items():
                assert [one.id for one in await log.sessions(sort=sort)] == order, sort
                for limit in (1, 3):
                    page = await log.sessions(sort=sort, limit=limit)
                    rest = await log.sessions(sort=sort, limit=9, after=page[-1].id)
                    assert [one.id for one in (*page, *rest)] == order, sort
            for figures, expected in (
                ([Figure("cost_microusd", ">", 9)], ["s2", "s3"]),
                ([Figure("cost_microusd", "=", 0)], ["s1"]),
                ([Figure("head", ">", 3)], ["s0"]),
                ([Figure("turns", "<", 3), Figure("turns", ">", 1)], ["s2", "s3"]),
                ([Figure("updated_at_us", ">", 1), Figure("created_at_us", "<", 98)], ["s3"]),
                ([Figure("errors", ">", 0)], []),
            ):
                assert [one.id for one in await log.sessions(figures=figures, sort="cost")] == expected, figures
            assert [one.id for one in await log.sessions(among=["s1", "nobody", "s3"])] == ["s3", "s1"]
            assert await log.sessions(among=[]) == await log.sessions(status=[]) == await log.sessions(last=[]) == ()
            assert len(await log.sessions(last=["", "done"])) == 4
            assert await log.sessions(last=["aborted"]) == ()
            await log.append("s1", [(20, AgentStart())])
            assert [one.id for one in await log.sessions(status=["idle", "interrupted"])] == ["s1", "s3", "s2", "s0"]
            assert [one.id for one in await log.sessions(status=["interrupted", "failed"])] == ["s1"]
            await log.append("s1", [(21, AgentEnd(reason="aborted"))])
            assert [one.id for one in await log.sessions(last=["aborted", "limit"])] == ["s1"]

    async def test_sessions_are_chosen_by_the_format_that_they_were_imported_from(self) -> None:
        """A source says it before its first colon; a session without one was imported from nothing."""
        async with self.open() as log:
            for number, source in enumerate(("", "codex:a", "codex", "codex2:a", "cod:b", "codex:é:c", "Codex:x")):
                await log.create(f"s{number}", source=source, created_at_us=number)
            for format_, expected in (
                ("codex", ["s5", "s2", "s1"]),
                ("cod", ["s4"]),
                ("codex:a", []),
                ("", ["s6", "s5", "s4", "s3", "s2", "s1"]),
            ):
                assert [one.id for one in await log.sessions(imported_from=format_)] == expected, format_

    async def test_forks_of_some_sessions_are_listed_at_once(self) -> None:
        """In the order of all, and page by page; of none there are none."""
        async with self.open() as log:
            for name in ("one", "two", "three"):
                await log.create(name)
                await log.append(name, [(1, Label(target_seq=0, text="here"))])
            for at_us, (parent, fork) in enumerate((("one", "a"), ("two", "b"), ("one", "c"), ("a", "d")), start=5):
                await log.fork(parent, 1, at_us=at_us, session=fork)
            for parents, expected in (("one", ["c", "a"]), (["one", "a", "nobody"], ["d", "c", "a"]), ([], [])):
                assert [one.id for one in await log.sessions(parent=parents)] == expected, parents
            assert [one.id for one in await log.sessions(parent=["one", "two"], after="c", limit=1)] == ["b"]

    async def test_a_queued_text_has_the_seq_of_its_message_once_it_is_delivered(self) -> None:
        """Until then that of its push; summaries and adopted messages are found too."""
        async with self.open() as log:
            session = (await log.create()).id
            reminder = UserMessage(content="an old scarf", raw=Raw(b'{"role":"system"}'))
            events: list[Event] = [
                QueuePush(queue="steering", message=UserMessage(content="bring a scarf")),
                MessageAdopt(message=reminder, origin=Origin(source="elsewhere")),
                Compaction(summary="they spoke of scarfs"),
            ]
            await log.append(session, [(1, event) for event in events])
            assert [(one.seq, one.role) for one in await log.search("scarf")] == [
                (3, "summary"),
                (2, "system"),
                (1, "user"),
            ]
            await log.append(session, [(2, MessageStart(role="input", push_seq=1)), (2, MessageEnd())])
            assert [(one.seq, one.text_seq) for one in await log.search("bring a scarf")] == [(5, 1)]
