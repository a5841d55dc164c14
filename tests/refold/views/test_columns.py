"""The rows of a session's list, its model calls, and the seqs that a reader jumps to."""

from __future__ import annotations

from bisect import bisect_right

import msgspec
from hypothesis import given

from eventsource.codec import to_json
from eventsource.envelope import Recorded
from eventsource.events import (
    UPDATE_TYPES,
    AgentEnd,
    Compaction,
    ContextEdit,
    MessageAdopt,
    MessageEnd,
    ModelRequest,
    QueuePush,
    ToolExecutionEnd,
    TurnStart,
)
from eventsource.messages import AssistantMessage, TextContent, ToolCall, ToolResultMessage, UserMessage
from eventsource.values import Origin, Place
from projections import CONTEXT, history as said, project, read_transcript
from refold import Agent, Log, tool
from refold.testing import call, histories, scripted
from refold.views.columns import ADOPTED, COMPACTED, ERROR, HIDDEN, NONE, OPEN, ROW_KINDS, before_and_after, fed
from refold.views.rows import preview, row_columns, some_rows

from .sessions import ORIGIN, CountingLog, adopted, eventful


def facts(history: tuple[Recorded, ...]) -> list[Recorded]:
    return [one for one in history if not isinstance(one.event, UPDATE_TYPES)]


@given(histories())
def test_every_message_has_one_row_and_every_seq_belongs_to_one(history: tuple[Recorded, ...]) -> None:
    columns = fed(facts(history))
    names = [entry.seq for entry in said(project(CONTEXT, history)) if entry.message is not None]
    assert sorted(name for name in columns.names if name) == names
    assert list(columns.seqs) == sorted(columns.seqs)
    for row, name in enumerate(columns.names):
        assert columns.seqs[row] <= columns.lasts[row]
        if name:
            assert columns.seqs[row] <= name <= columns.lasts[row]
            assert columns.row_at(name) == row == columns.row_named(name)
    for one in history:
        found = columns.row_at(one.seq, one.event)
        assert (found is None) == (not len(columns))
        if found is not None:
            assert columns.seqs[found] <= max(one.seq, columns.seqs[0])


@given(histories())
def test_what_is_jumped_to_is_what_happened(history: tuple[Recorded, ...]) -> None:
    columns, events = fed(facts(history)), {one.seq: one.event for one in history}
    marks = columns.marks
    assert list(marks.turns) == [seq for seq, event in events.items() if isinstance(event, TurnStart)]
    changes = [seq for seq, event in events.items() if isinstance(event, Compaction | ContextEdit)]
    assert list(marks.compactions) == changes
    failed = {
        seq
        for seq, event in events.items()
        if (isinstance(event, ToolExecutionEnd) and event.is_error)
        or (isinstance(event, AgentEnd) and event.reason == "error")
    }
    assert failed <= set(marks.errors)
    assert list(marks.errors) == sorted(set(marks.errors))


@given(histories())
def test_each_model_call_is_told_once_with_what_it_used(history: tuple[Recorded, ...]) -> None:
    calls = fed(facts(history)).calls
    asked = [one.seq for one in history if isinstance(one.event, ModelRequest)]
    assert set(asked) <= set(calls.seqs)
    used = [
        one.event.message.usage
        for one in history
        if isinstance(one.event, MessageEnd | MessageAdopt) and isinstance(one.event.message, AssistantMessage)
    ]
    ends = {one.seq for one in history if isinstance(one.event, MessageEnd | MessageAdopt)}
    told = [usage for usage, last in zip(calls.usages, calls.lasts, strict=True) if last in ends]
    assert [usage for usage in told if usage is not None] == [usage for usage in used if usage is not None]


@given(histories())
def test_the_rows_that_changed_are_told_behind_any_seq(history: tuple[Recorded, ...]) -> None:
    told, cut = facts(history), len(history) // 2
    before, after = fed([one for one in told if one.seq <= cut]), fed(told)
    view = project(CONTEXT, history)
    shared = range(len(before))
    changed = {
        row
        for row, (old, new) in enumerate(
            zip(some_rows(before, view, shared), some_rows(after, view, shared), strict=True)
        )
        if (old.last_seq, old.name, old.flags & ~COMPACTED, old.duration_us, old.tokens)
        != (new.last_seq, new.name, new.flags & ~COMPACTED, new.duration_us, new.tokens)
    }
    assert changed | set(range(len(before), len(after))) <= set(after.touched_after(cut))


@given(histories())
def test_columns_are_steps_that_add_up_to_the_rows(history: tuple[Recorded, ...]) -> None:
    columns = fed(facts(history))
    whole = row_columns(columns)
    seq = at_us = 0
    for row in range(len(columns)):
        seq, at_us = seq + whole.seq[row], at_us + whole.at_us[row]
        assert (seq, at_us, seq + whole.last_seq[row]) == (columns.seqs[row], columns.at_us[row], columns.lasts[row])
        name = seq + whole.name[row] if whole.name[row] != NONE else 0
        assert name == columns.names[row]
        assert whole.kinds[whole.kind[row]] == ROW_KINDS[columns.kinds[row]]


@given(histories())
def test_neighbours_are_the_nearest_on_either_side(history: tuple[Recorded, ...]) -> None:
    turns = list(fed(facts(history)).marks.turns)
    for seq in range(len(history) + 2):
        before, after = before_and_after(turns, seq)
        assert before == max((turn for turn in turns if turn < seq), default=0)
        assert after == min((turn for turn in turns if turn > seq), default=0)
        assert bisect_right(turns, seq) - (seq in turns) == sum(turn < seq for turn in turns)


async def test_the_row_of_a_prompt_says_what_was_typed_not_what_a_program_put_around_it() -> None:
    session = await Log(CountingLog()).session()
    said = (
        "<system-reminder>\nThese files are there.\n</system-reminder>\n\nMend the <b>coat</b> of Ann, please.",
        "<system-reminder>Nothing else.</system-reminder>",
        "Is 1 < 2?",
    )
    for one in said:
        await Agent(scripted("Yes.")).run(one, session=session)
    history = await session.events()
    columns, view = fed(facts(history)), project(CONTEXT, history)
    told = [row.preview for row in some_rows(columns, view, range(len(columns))) if row.kind == "user"]
    assert told == [
        "Mend the <b>coat</b> of Ann, please.",
        "<system-reminder>Nothing else.</system-reminder>",
        "Is 1 < 2?",
    ]


async def test_an_eventful_session_reads_from_its_rows() -> None:
    log = CountingLog()
    session = await eventful(log)
    history = await session.events()
    columns, view = fed(facts(history)), project(CONTEXT, history)
    rows = some_rows(columns, view, range(len(columns)))
    told = [(row.kind, row.who, row.preview) for row in rows]
    asks = ("assistant", "scripted", 'calls weather({"city":"Oslo"})')
    assert told == [
        ("config", "", "model, system prompt, tools, policies"),
        ("user", "prompt", "Do I need a coat?"),
        asks,
        ("tool", "weather", '{"city":"Oslo"}'),
        ("assistant", "scripted", "Take a coat."),
        ("user", "prompt", "And now?"),
        asks,
        ("tool", "weather", '{"city":"Oslo"}'),
        ("assistant", "scripted", "Rain."),
        ("edit", "", "hides 6"),
        ("edit", "", "replaces 24"),
        ("config", "", "system prompt"),
        ("user", "prompt", "Well?"),
        ("assistant", "scripted", "Fine."),
        ("child", "s2", "compaction:s2"),
        ("compaction", "", "All of it."),
        ("user", "prompt", "Still there?"),
        ("assistant", "scripted", ""),
        ("end", "error", "overloaded"),
        ("resume", "continue", ""),
        ("assistant", "scripted", "Yes."),
    ]
    flags = {row.row: row.flags for row in rows if row.flags}
    assert flags == {1: HIDDEN | COMPACTED, 2: COMPACTED, 3: COMPACTED, 17: ERROR, 18: ERROR}
    assert all(row.duration_us >= 0 for row in rows if row.kind in ("assistant", "tool"))
    assert not any(row.flags & OPEN for row in rows)


async def test_a_session_from_elsewhere_has_its_rows_too() -> None:
    log = CountingLog()
    await adopted(log, 3)
    history = await log.read("long")
    columns, view = fed(history), project(CONTEXT, history)
    rows = some_rows(columns, view, range(4))
    assert [(row.kind, row.who, row.preview) for row in rows] == [
        ("user", "test", "question 0"),
        ("assistant", "m", 'calls bash({"n": 0})'),
        ("tool", "bash", '{"n": 0}'),
        ("assistant", "m", "answer 0"),
    ]
    assert all(row.flags == ADOPTED for row in rows)
    assert preview(columns, view, 7) == "answer 1"
    assert list(columns.calls.seqs) == [2, 4, 6, 8, 10, 12]


async def test_an_adopted_call_without_a_result_is_told_by_the_row_of_its_answer() -> None:
    """As long as there is none: its result, or a tool that is run for it here, changes the row."""
    log = CountingLog()
    calls = tuple(ToolCall(id=f"c{n}", name=name, arguments="{}") for n, name in enumerate(("bash", "read", "bash")))
    asks = AssistantMessage(content=(TextContent(text="I look " + "and look " * 20), *calls), model="m")
    result = ToolResultMessage(tool_call_id="c0", tool_name="bash", content=(TextContent(text="ok"),))
    await log.create("cut")
    await log.append("cut", [(1, MessageAdopt(message=asks, origin=ORIGIN))])

    async def words() -> str:
        history = await log.read("cut")
        return preview(fed(history), project(CONTEXT, history), 0)

    assert (await words()).endswith("look a… · no result of bash, read")
    assert len(await words()) == 80
    for seq, place in enumerate((1, 2, 3), start=2):
        event = MessageAdopt(message=result, origin=ORIGIN, call=Place(message_seq=1, content_index=place))
        await log.append("cut", [(seq, event)])
        assert 0 in fed(await log.read("cut")).touched_after(seq - 1)
    assert (await words()).startswith("I look and look")
    assert "no result" not in await words()


async def test_a_wait_for_a_call_says_which_call_and_its_answer_what_it_says() -> None:
    @tool(approval="always")
    def remove(path: str) -> str:
        """Remove."""
        raise AssertionError(path)

    session = await Log(CountingLog(), clock=lambda: 7).session("main")
    asks = scripted(["I remove it. ", call("remove", {"path": "build"})])
    await Agent(asks, tools=[remove]).run("Clean up.", session=session)
    history = await session.events()
    columns, view = fed(facts(history)), project(CONTEXT, history)
    rows = some_rows(columns, view, range(len(columns)))
    told = [(row.kind, row.who, row.preview, row.flags) for row in rows if row.kind in ("assistant", "wait")]
    assert told == [("assistant", "scripted", "I remove it.", 0), ("wait", "approval", 'remove {"path":"build"}', OPEN)]


async def test_what_a_program_said_in_its_own_name_is_no_prompt_of_a_person() -> None:
    session = await Log(CountingLog()).session()
    await Agent(scripted("Yes.")).run("Is it blue?", session=session)
    for raw in (None, {"role": "system"}, {"role": "user", "name": "ann"}):
        said = UserMessage(content="Well?", raw=to_json(raw) if raw is not None else msgspec.UNSET)
        await session.append(
            [QueuePush(queue="prompt", message=said), MessageAdopt(message=said, origin=Origin(source="elsewhere"))]
        )
    await Agent(scripted("Yes.")).run("And now?", session=session)
    history = await session.events()
    columns, view = fed(facts(history)), project(CONTEXT, history)
    told = [(row.kind, row.who) for row in some_rows(columns, view, range(len(columns))) if row.preview == "Well?"]
    assert told.count(("custom", "system")) == 2
    assert len(told) == 6
    assert [one.role for one in read_transcript(view) if one.text == "Well?"].count("system") == 2
    assert len(columns.marks.prompts) == 6
