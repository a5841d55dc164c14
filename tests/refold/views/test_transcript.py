"""What was said, by windows around a seq."""

from __future__ import annotations

from hypothesis import given, strategies as st

from eventsource.envelope import Recorded
from projections import CALLS, CONTEXT, project, read_transcript, tool_calls
from projections.projection import AppendOnlyList
from refold.testing import histories
from refold.views.index import SessionIndex
from refold.views.transcript import transcript_window

from .sessions import CountingLog, adopted, eventful, store


@given(histories(), st.integers(0, 200), st.integers(0, 200), st.integers(0, 5), st.integers(0, 5))
async def test_a_window_is_cut_from_the_transcript_at_that_seq(
    history: tuple[Recorded, ...], pick: int, around: int, before: int, after: int
) -> None:
    log = CountingLog()
    await store(log, history)
    seq = pick % (len(history) + 1)
    at = await SessionIndex(log).at("s", seq)
    found = transcript_window(at, around, before, after)
    view = project(CONTEXT, history[:seq])
    said = {one.seq: one for one in read_transcript(view)}
    trail: AppendOnlyList[Recorded] = project(CALLS, history[:seq])
    calls = {(call.place.message_seq, call.place.content_index): call for call in tool_calls(trail)}
    for one in found.messages:
        whole = said[one.seq]
        assert (one.role, one.text.text, one.note, one.images) == (whole.role, whole.text, whole.note, whole.images)
        assert (one.not_read is None) == whole.seen
        for call in one.calls:
            was = calls[call.place.message_seq, call.place.content_index]
            assert (call.name, call.status, call.arguments.text) == (was.name, was.status, was.arguments)
            assert call.decided == (was.decided.words if was.decided is not None else "")
    shown = len(found.messages) + sum(bool(call.result_seq) for one in found.messages for call in one.calls)
    assert found.before + shown + found.after == len(said)


async def test_results_stand_with_their_calls() -> None:
    log = CountingLog()
    await adopted(log, 50)
    at = await SessionIndex(log).at("long")
    found = transcript_window(at, 101, 4, 4)
    assert [(one.seq, one.role) for one in found.messages] == [
        (97, "user"),
        (98, "assistant"),
        (100, "assistant"),
        (101, "user"),
        (102, "assistant"),
        (104, "assistant"),
    ]
    [call] = found.messages[1].calls
    assert call.result is not None
    assert (call.result.text, call.result_seq, call.status) == ("result 24", 99, "done")
    assert (found.before, found.after) == (96, 96)
    alone = transcript_window(at, 99, 0, 1)
    assert [(one.seq, one.role, one.tool) for one in alone.messages] == [(99, "tool_result", "bash")]


async def test_what_no_model_reads_says_why() -> None:
    log = CountingLog()
    session = await eventful(log)
    found = transcript_window(await SessionIndex(log).at(session.id), 1, 0, 100)
    why = {one.seq: (one.not_read, one.not_read_seq) for one in found.messages if one.not_read is not None}
    assert why == {6: ("compaction", 70), 12: ("compaction", 70), 78: ("failed", 78)}
    replaced = next(one for one in found.messages if one.seq == 24)
    assert (replaced.text.text, replaced.instead) == ("Take a coat.", "Wear a coat.")


async def test_long_texts_share_the_room_of_a_window() -> None:
    log = CountingLog()
    await adopted(log, 2_00)
    at = await SessionIndex(log).at("long")
    assert all(one.text.characters == len(one.text.text) for one in transcript_window(at, 400, 200, 200).messages)
