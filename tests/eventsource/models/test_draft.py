"""What a draft hands out and what it ends with say the same."""

from __future__ import annotations

from hypothesis import given, strategies as st

from eventsource.assemble import Assembler, content_differs
from eventsource.codec import clean_text, encode
from eventsource.events import MessageUpdate
from eventsource.models.draft import Draft
from eventsource.models.protocol import StreamEnd

# characters, and halves of them
TEXT = st.text(st.sampled_from("aé😀\ud83d\ude00"), max_size=4)


@given(st.lists(TEXT, max_size=6))
def test_a_character_cut_between_deltas_is_whole_and_a_lone_half_is_repaired(deltas: list[str]) -> None:
    draft = Draft()
    index = draft.open_text()
    for delta in deltas:
        draft.add(index, delta)
    draft.end("stop")
    *updates, end = draft.take()[1:]
    assert isinstance(end, StreamEnd)
    assert end.message.text == clean_text("".join(deltas))
    assembler = Assembler()
    for update in updates:
        assert isinstance(update, MessageUpdate)
        assert encode(update)
        assembler.add(update)
    assert content_differs(assembler.content(), end.message.content) == ""


def test_arguments_are_repeated_only_when_they_differ_from_their_deltas() -> None:
    draft = Draft()
    for given_arguments in ('{"a":1}', '{"a":2}'):
        index = draft.open_call("id", "tool")
        draft.add(index, '{"a":1}')
        draft.close(index, arguments=given_arguments)
    ends = [event for event in draft.take() if isinstance(event, MessageUpdate) and event.kind == "tool_call_end"]
    assert [end.arguments for end in ends] == [None, '{"a":2}']


def test_a_name_that_comes_late_is_in_the_message() -> None:
    draft = Draft()
    index = draft.open_call("", "")
    draft.amend(index, call_id="c", name="tool")
    draft.end("tool_use")
    end = draft.take()[-1]
    assert isinstance(end, StreamEnd)
    assert [(call.id, call.name) for call in end.message.tool_calls] == [("c", "tool")]
