"""Where a model has its words from."""

from __future__ import annotations

from hypothesis import given

from eventsource.envelope import Recorded
from eventsource.events import Compaction, ContextEdit, Event, MessageAdopt
from eventsource.message_text import whole_text
from eventsource.messages import AssistantMessage, TextContent, UserMessage
from eventsource.models.scripted import call, stop
from eventsource.models.scripted.script import Answer
from refold import Log
from refold.testing import histories
from refold.views.index import SessionIndex
from refold.views.requests import AskedRequest
from refold.views.said_where import MOST_TERMS, SaidWhere, said_where, terms_of

from .sessions import ORIGIN, CountingLog, agent, store


def test_terms_are_paths_identifiers_and_numbers() -> None:
    text = "Look at src/app/main.py, ~/notes.txt and ./run.sh: max_tokens of fooBar is 4096, or 1.5; it is a test."
    assert terms_of(text) == [
        ("src/app/main.py", "path"),
        ("~/notes.txt", "path"),
        ("./run.sh", "path"),
        ("max_tokens", "identifier"),
        ("fooBar", "identifier"),
        ("4096", "number"),
        ("1.5", "number"),
    ]


async def found(log: CountingLog, session: str, name: int, text: str) -> SaidWhere:
    return said_where(AskedRequest(await SessionIndex(log).at(session, name - 1)), name, text)


async def test_each_term_names_the_last_part_that_says_it() -> None:
    log = CountingLog()
    session = await Log(log, clock=lambda: 7).session("main")
    asks: Answer = [call("weather", {"city": "src/oslo.txt"}), stop("tool_use")]
    answers = agent(asks, "src/oslo.txt has 4711 lines, see max_lines and made/up.py", system="Mind max_lines.")
    await answers.run("How long is src/oslo.txt? 4711?", session=session)
    names = [entry.seq for entry in await session.history()]
    where = await found(log, session.id, names[-1], "src/oslo.txt has 4711 lines, see max_lines and made/up.py")
    told = {one.term: (one.what, one.place, one.source) for one in where.terms}
    assert told == {
        "src/oslo.txt": ("message", 2, "result"),
        "4711": ("message", 0, "prompt"),
        "max_lines": ("system_prompt", -1, "config"),
        "made/up.py": (None, None, None),
    }
    assert where.request_seq
    assert where.more == 0


async def test_what_was_taken_out_says_by_what() -> None:
    log = CountingLog()
    await log.create("s")
    events: list[Event] = [
        MessageAdopt(message=UserMessage(content="old/file.py"), origin=ORIGIN),
        MessageAdopt(message=UserMessage(content="hidden/file.py"), origin=ORIGIN),
        MessageAdopt(message=UserMessage(content="new/file.py"), origin=ORIGIN),
        Compaction(summary="so far", first_kept_seq=2),
        ContextEdit(message_seq=2),
        MessageAdopt(message=AssistantMessage(content=(TextContent(text="x"),)), origin=ORIGIN),
    ]
    await log.append("s", [(1, event) for event in events])
    where = await found(log, "s", 6, "old/file.py hidden/file.py new/file.py")
    assert [(one.term, one.left_out, one.name, one.seq) for one in where.terms] == [
        ("old/file.py", "compaction", 1, 4),
        ("hidden/file.py", "edit", 2, 5),
        ("new/file.py", None, 3, 3),
    ]


async def test_of_many_terms_the_first_are_looked_for_and_the_rest_counted() -> None:
    log = CountingLog()
    await log.create("s")
    await log.append("s", [(1, MessageAdopt(message=UserMessage(content="n7000"), origin=ORIGIN))])
    where = await found(log, "s", 2, " ".join(str(1_000 + n) for n in range(MOST_TERMS + 5)))
    assert (len(where.terms), where.more) == (MOST_TERMS, 5)


@given(histories())
async def test_what_is_named_holds_the_term(history: tuple[Recorded, ...]) -> None:
    log = CountingLog()
    await store(log, history)
    index = SessionIndex(log)
    asked = AskedRequest(await index.at("s", len(history)))
    whole = asked.between(0, len(asked))
    text = "\n".join(whole_text(part.message) for part in whole)
    for one in said_where(asked, len(history) + 1, text).terms:
        assert one.place is not None
        assert one.term in whole_text(whole[one.place].message)
        assert not any(one.term in whole_text(part.message) for part in whole[one.place + 1 :])
