"""What a model is sent: the fold of events into the history and the next request."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, strategies as st

from eventsource.codec import to_json
from eventsource.envelope import Recorded
from eventsource.events import (
    Compaction,
    ConfigChange,
    ContextEdit,
    Event,
    Inserted,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRef,
    Origin,
    Place,
    Policies,
    QueuePush,
    SeqRange,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    ToolSpec,
)
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    Message,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from projections import CONTEXT, ContextView, history, messages, parts, project, request, select
from projections.context import Requests
from projections.pairing import HIDDEN_RESULT, NO_RESULT, Pairing
from projections.projection import AppendOnlyList
from projections.selection import apply_selection
from refold.testing import histories

ORIGIN = Origin(source="test")


def log(*events: Event) -> tuple[Recorded, ...]:
    return tuple(Recorded(seq, seq * 1_000_000, event) for seq, event in enumerate(events, 1))


def view(*events: Event) -> ContextView:
    return project(CONTEXT, log(*events))


def sent(seen: ContextView) -> list[Message]:
    return list(request(seen).messages)


def user(text: str) -> UserMessage:
    return UserMessage(content=text)


def says(text: str) -> AssistantMessage:
    return AssistantMessage(content=(TextContent(text=text),))


def calls(*ids: str, stop: str = "tool_use") -> AssistantMessage:
    content = tuple(ToolCall(id=one, name="look") for one in ids)
    return msgspec.structs.replace(AssistantMessage(content=content), stop_reason=stop)


def result(call_id: str, text: str = "found") -> ToolResultMessage:
    return ToolResultMessage(tool_call_id=call_id, tool_name="look", content=(TextContent(text=text),))


def adopt(message: Message, call: Place | None = None) -> MessageAdopt:
    return MessageAdopt(message=message, origin=ORIGIN, call=call)


def place(seq: int, index: int = 0) -> Place:
    return Place(message_seq=seq, content_index=index)


def text_of(message: Message) -> str:
    assert isinstance(message, ToolResultMessage)
    (block,) = message.content
    assert isinstance(block, TextContent)
    return block.text


RUN = (
    QueuePush(queue="prompt", message=user("go")),
    MessageStart(role="input", push_seq=1),
    MessageEnd(),
    MessageStart(role="assistant"),
    MessageUpdate(kind="tool_call_start", content_index=0, id="a", name="look"),
    QueuePush(queue="steering", message=user("wait")),
    MessageEnd(message=calls("a", "a")),
    ToolExecutionStart(message_seq=7, content_index=0, name="look"),
    ToolExecutionStart(message_seq=7, content_index=1, name="look", refused="skipped"),
    ToolExecutionEnd(message_seq=7, content_index=1, is_error=True, decided="machine"),
    ToolExecutionEnd(message_seq=7, content_index=0, result=ToolResult(content=(TextContent(text="first"),))),
    MessageStart(role="tool_result", call=place(7, 0)),
    MessageEnd(),
    MessageStart(role="tool_result", call=place(7, 1)),
    MessageEnd(),
    MessageStart(role="input", push_seq=6),
    MessageEnd(),
    MessageStart(role="assistant"),
    MessageEnd(message=says("done")),
)


def test_messages_are_named_by_the_seq_of_their_end() -> None:
    assert [part.seq for part in parts(view(*RUN))] == [3, 7, 13, 15, 17, 19]


def test_an_input_says_what_its_push_said_and_not_before_it_is_delivered() -> None:
    assert sent(view(*RUN[:2])) == []
    assert sent(view(*RUN[:3])) == [user("go")]
    assert [part.message for part in parts(view(*RUN))][4] == user("wait")


def test_results_of_calls_with_the_same_id_are_told_apart_by_their_place() -> None:
    first, second = (part.message for part in parts(view(*RUN))[2:4])
    assert isinstance(first, ToolResultMessage)
    assert isinstance(second, ToolResultMessage)
    assert (text_of(first), first.is_error) == ("first", False)
    assert (text_of(second), second.is_error, second.tool_call_id) == ("Skipped due to queued user message.", True, "a")


def test_the_source_of_a_message_is_the_event_that_holds_its_content() -> None:
    assert [entry.source_seq for entry in history(view(*RUN))] == [1, 7, 11, 10, 6, 19]


@pytest.mark.parametrize("stop", ["error", "aborted"])
def test_a_failed_message_is_kept_in_the_history_and_never_sent_nor_are_its_calls(stop: str) -> None:
    seen = view(adopt(user("a")), adopt(calls("x", stop=stop)), adopt(result("x")), adopt(user("b")))
    assert [part.seq for part in messages(seen)] == [1, 2, 3, 4]
    assert sent(seen) == [user("a"), user("b")]


def test_of_an_interrupted_message_only_the_text_of_a_kept_one_is_sent() -> None:
    cut = AssistantMessage(
        content=(ThinkingContent(thinking="hm"), TextContent(text="The an"), ToolCall(id="x", name="look")),
        stop_reason="aborted",
    )
    begun = MessageStart(role="assistant")
    dropped = view(begun, MessageEnd(message=cut, interrupted="dropped"))
    kept = view(begun, MessageEnd(message=cut, interrupted="kept"))
    assert (sent(dropped), [entry.message for entry in history(dropped)]) == ([], [cut])
    assert sent(kept) == [AssistantMessage(content=(TextContent(text="The an"),), stop_reason="stop")]


def test_a_call_without_a_result_gets_a_marked_one_right_after_the_results_of_its_message() -> None:
    seen = view(adopt(calls("x", "y", "z")), adopt(result("y")), adopt(user("go on")))
    ids = [message.tool_call_id for message in sent(seen)[1:4] if isinstance(message, ToolResultMessage)]
    assert ids == ["y", "x", "z"]
    assert all("no result on record" in text_of(message) for message in sent(seen)[2:4])
    assert sent(seen)[4] == user("go on")
    assert len(history(seen)) == 3


def test_a_result_without_its_call_is_not_sent() -> None:
    assert sent(view(adopt(result("x")), adopt(user("a")))) == [user("a")]


def test_a_call_id_that_comes_back_later_is_answered_where_it_was_called_last() -> None:
    seen = view(adopt(calls("x")), adopt(calls("x")), adopt(result("x", "late")))
    roles = [type(message).__name__ for message in sent(seen)]
    assert roles == ["AssistantMessage", "ToolResultMessage", "AssistantMessage", "ToolResultMessage"]
    assert text_of(sent(seen)[3]) == "late"


def test_an_adopted_result_answers_the_call_at_its_place() -> None:
    seen = view(adopt(calls("x")), adopt(calls("x")), adopt(result("x", "early"), place(1)))
    first, *_, last = (m for m in sent(seen) if isinstance(m, ToolResultMessage))
    assert text_of(first).startswith("[no result")
    assert text_of(last) == "early"


def compacted(*kept: int) -> ContextView:
    said: list[Event] = [adopt(user(f"q{n}")) for n in range(4)]
    for n, first in enumerate(kept):
        said += [Compaction(summary=f"s{n}", first_kept_seq=first), adopt(user(f"after {n}"))]
    return view(*said)


def test_a_compaction_puts_its_summary_before_what_it_kept() -> None:
    assert [part.seq for part in parts(compacted(3))] == [5, 3, 4, 6]
    assert [part.seq for part in parts(compacted(0))] == [5, 6]
    summary = "The conversation history before this point was compacted into the following summary:\n\n"
    text = TextContent(text=f"{summary}<summary>\ns0\n</summary>")
    assert sent(compacted(0))[0] == UserMessage(content=(text,))


def test_the_last_compaction_wins_and_an_earlier_one_that_it_kept_says_nothing() -> None:
    assert [part.seq for part in parts(compacted(2, 4))] == [7, 4, 6, 8]
    assert [part.seq for part in parts(compacted(4, 2))] == [7, 2, 3, 4, 6, 8]
    assert len(history(compacted(4, 2))) == 8


def test_an_edit_hides_or_replaces_a_message_for_the_model_and_the_last_edit_counts() -> None:
    said = (adopt(user("a")), adopt(user("b")), ContextEdit(message_seq=1))
    assert sent(view(*said)) == [user("b")]
    again = view(*said, ContextEdit(message_seq=1, replacement=user("A")))
    assert [(part.seq, part.message) for part in parts(again)] == [(1, user("A")), (2, user("b"))]
    assert [entry.message for entry in history(again)] == [user("a"), user("b")]


def test_an_edit_that_names_no_message_changes_nothing() -> None:
    edit = Recorded(1, 1, ContextEdit(message_seq=0, replacement=UserMessage(content="Never said.")))
    assert project(CONTEXT, [edit]) == CONTEXT.initial


def test_an_edit_of_a_result_keeps_it_with_its_call_and_hiding_it_leaves_a_marked_one() -> None:
    shorter = result("a", "shorter")
    assert sent(view(*RUN, ContextEdit(message_seq=13, replacement=shorter)))[2] == shorter
    hidden = sent(view(*RUN, ContextEdit(message_seq=13)))
    assert [isinstance(message, ToolResultMessage) for message in hidden] == [False, False, True, True, False, False]
    assert text_of(hidden[3]).startswith("[no result")


def hide(seq: int, replacement: Message | None = None) -> ContextEdit:
    return ContextEdit(message_seq=seq, replacement=replacement, says_hidden=True)


def test_a_hidden_result_reads_as_hidden_and_keeps_whether_it_was_an_error() -> None:
    for seen in (view(*RUN, hide(13)), view(*RUN, hide(13, user("other"))), view(*RUN, hide(13), hide(13))):
        hidden = sent(seen)[2]
        assert isinstance(hidden, ToolResultMessage)
        assert (hidden.tool_call_id, text_of(hidden), hidden.is_error) == ("a", HIDDEN_RESULT, False)
    failed = MessageAdopt(message=msgspec.structs.replace(result("a", "no"), is_error=True), origin=ORIGIN)
    calling = adopt(AssistantMessage(content=(ToolCall(id="a", name="look"),), stop_reason="tool_use"))
    hidden = sent(view(calling, failed, hide(2)))[1]
    assert isinstance(hidden, ToolResultMessage)
    assert (text_of(hidden), hidden.is_error) == (HIDDEN_RESULT, True)


def test_of_calls_beside_one_another_only_those_read_as_hidden_that_are() -> None:
    calls = tuple(ToolCall(id=name, name="look") for name in "abc")
    asked = adopt(AssistantMessage(content=calls, stop_reason="tool_use"))
    seen = view(asked, adopt(result("a", "A")), adopt(result("b", "B")), hide(3))
    texts = [text_of(message) for message in sent(seen)[1:]]
    assert texts == ["A", HIDDEN_RESULT, NO_RESULT]


def test_results_go_with_a_hidden_call_also_when_they_are_hidden_themselves() -> None:
    calls = tuple(ToolCall(id=name, name="look") for name in "ab")
    asked = adopt(AssistantMessage(content=calls, stop_reason="tool_use"))
    said = (adopt(user("hm")), asked, adopt(result("a", "A")), adopt(result("b", "B")))
    assert sent(view(*said, hide(2))) == [user("hm")]
    assert sent(view(*said, hide(3), hide(2))) == [user("hm")]


def test_a_result_that_a_compaction_kept_reads_as_hidden_and_one_that_it_did_not_says_nothing() -> None:
    asked = adopt(AssistantMessage(content=(ToolCall(id="a", name="look"),), stop_reason="tool_use"))
    said = (adopt(user("hm")), asked, adopt(result("a", "A")))
    kept = sent(view(*said, Compaction(summary="so", first_kept_seq=2), hide(3)))
    assert [text_of(message) for message in kept[2:]] == [HIDDEN_RESULT]
    before = sent(view(*said, hide(3), Compaction(summary="so", first_kept_seq=2)))
    assert [text_of(message) for message in before[2:]] == [HIDDEN_RESULT]
    assert len(sent(view(*said, Compaction(summary="so"), hide(3)))) == 1


def test_a_result_that_release_0_1_hid_reads_as_it_did_then() -> None:
    """The digest of each request that was sent is on record."""
    assert text_of(sent(view(*RUN, ContextEdit(message_seq=13)))[3]) == NO_RESULT


def test_a_summary_can_be_hidden_by_its_name() -> None:
    said = (adopt(user("a")), Compaction(summary="s"), adopt(user("b")), ContextEdit(message_seq=2))
    assert sent(view(*said)) == [user("b")]


def test_a_configuration_change_leaves_what_it_does_not_name() -> None:
    ref, tool = ModelRef(api="scripted", provider="p", model="m"), ToolSpec(name="look", schema=to_json({}))
    first = ConfigChange(model=ref, system_prompt="Be brief.", tools=(tool,), options=to_json({"temperature": 1}))
    seen = request(view(first, ConfigChange(system_prompt=""), ConfigChange(policies=Policies(retries=2))))
    assert (seen.model, seen.system_prompt, seen.tools) == (ref, "", (tool,))
    assert seen.options == to_json({"temperature": 1})


def test_custom_messages_stand_in_the_context_and_only_known_kinds_are_sent() -> None:
    known = CustomMessage(kind="custom", body=to_json({"customType": "note", "content": "remember X"}))
    unknown = CustomMessage(kind="dice", body=to_json({"eyes": 6}))
    seen = view(adopt(known), adopt(unknown))
    assert [part.message for part in messages(seen)] == [known, unknown]
    assert sent(seen) == [UserMessage(content=(TextContent(text="remember X"),))]


def test_every_request_holds_the_same_objects_for_the_same_messages() -> None:
    note = CustomMessage(kind="branchSummary", body=to_json({"summary": "dead end"}))
    seen = view(adopt(note), adopt(calls("x")), *RUN[:1], Compaction(summary="s", first_kept_seq=1))
    later = CONTEXT.step(seen, Recorded(5, 0, adopt(user("more"))))
    assert len(sent(seen)) == 4
    assert all(one is other for one, other in zip(sent(seen), sent(later), strict=False))


def test_a_view_does_not_change_when_the_fold_goes_on_from_it_twice() -> None:
    seen = view(adopt(user("a")))
    one = CONTEXT.step(seen, Recorded(2, 0, adopt(user("b"))))
    other = CONTEXT.step(seen, Recorded(2, 0, adopt(user("c"))))
    assert (sent(seen), sent(one), sent(other)) == (
        [user("a")],
        [user("a"), user("b")],
        [user("a"), user("c")],
    )


def test_folding_without_updates_gives_the_same_view() -> None:
    recorded = log(*RUN)
    facts = [one for one in recorded if not isinstance(one.event, MessageUpdate)]
    assert project(CONTEXT, recorded) == project(CONTEXT, facts)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers()), max_size=30))
def test_a_trail_holds_what_its_own_line_appended(steps: list[tuple[int, int]]) -> None:
    trails: list[tuple[AppendOnlyList[int], list[int]]] = [(AppendOnlyList(), [])]
    for line, item in steps:
        trail, model = trails[line % len(trails)]
        trails.append((trail.append(item), [*model, item]))
    assert all(list(trail) == model and len(trail) == len(model) for trail, model in trails)


SEEN = parts(
    view(
        adopt(user("same")),
        adopt(calls("x")),
        adopt(user("same")),
        adopt(user("two")),
        Compaction(summary="s", first_kept_seq=2),
        adopt(user("three")),
    )
)


@given(st.lists(st.one_of(st.integers(0, len(SEEN) - 1), st.sampled_from([user("same"), user("new")]))))
def test_a_selection_gives_back_exactly_what_the_hook_gave(chosen: list[int | UserMessage]) -> None:
    given = [SEEN[one].message if isinstance(one, int) else one for one in chosen]
    selection = select(SEEN, given)
    default = [part.message for part in SEEN]
    assert (selection is None) == (given == default)
    assert default == given if selection is None else list(apply_selection(SEEN, selection)) == given


def test_a_selection_names_what_it_can_and_is_as_short_as_ranges_allow() -> None:
    said = [part.message for part in parts(view(*(adopt(user(str(n))) for n in range(1, 10))))]
    named = parts(view(*(adopt(user(str(n))) for n in range(1, 10))))
    assert select(named, said[4:]) == (SeqRange(first=5, last=9),)
    new = user("new")
    given: Sequence[Message] = [new, *said[:2], *said[7:]]
    assert select(named, given) == (Inserted(message=new), SeqRange(first=1, last=2), SeqRange(first=8, last=9))
    assert select(named, []) == ()


def test_a_result_that_was_made_for_the_request_is_a_literal_in_a_selection() -> None:
    named = parts(view(adopt(calls("x")), adopt(user("a")), adopt(user("b"))))
    selection = select(named, [part.message for part in named[:3]])
    assert selection is not None
    assert [type(one) for one in selection] == [SeqRange, Inserted, SeqRange]


def test_a_range_does_not_take_in_a_summary_whose_name_lies_in_it() -> None:
    given = [part.message for part in SEEN if part.seq != 5]
    selection = select(SEEN, given)
    assert selection is not None
    assert list(apply_selection(SEEN, selection)) == given


def test_a_request_with_a_selection_is_the_one_that_was_sent() -> None:
    seen = view(adopt(user("a")), adopt(user("b")))
    assert request(seen, (SeqRange(first=2, last=2),)).messages == (user("b"),)


@given(history=histories(80), jumps=st.lists(st.integers(0, 80), max_size=20))
def test_requests_that_are_built_one_after_another_are_those_that_are_built_alone(
    history: tuple[Recorded, ...], jumps: list[int]
) -> None:
    views = [CONTEXT.initial]
    for recorded in history:
        views.append(CONTEXT.step(views[-1], recorded))
    requests = Requests()
    for seen in (*views, *(views[place % len(views)] for place in jumps)):
        assert requests.build(seen) == request(seen)
        selection = (Inserted(message=user("a hook's")), SeqRange(first=1, last=len(history) + 1))
        assert requests.build(seen, selection) == request(seen, selection)


@given(history=histories(80), at=st.integers(0, 80))
def test_a_copy_of_what_builds_requests_goes_on_by_itself(history: tuple[Recorded, ...], at: int) -> None:
    views = [CONTEXT.initial]
    for recorded in history:
        views.append(CONTEXT.step(views[-1], recorded))
    seen, requests = views[at % len(views)], Requests()
    requests.build(seen)
    copied = requests.copy()
    assert copied.build(views[-1]) == request(views[-1])
    assert copied.parts() == parts(views[-1])
    assert requests.build(seen) == request(seen)
    assert requests.parts() == parts(seen)


def test_a_request_costs_what_came_since_the_one_before_also_behind_a_compaction_and_an_edit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    added: list[int] = []

    def add(pairing: Pairing, one: object, add: object = Pairing.add) -> None:
        added.append(1)
        add(pairing, one)  # type: ignore[operator]  # the method itself

    monkeypatch.setattr(Pairing, "add", add)
    requests, seen = Requests(), CONTEXT.initial
    for number in range(1, 301):
        event: Event = adopt(user(str(number)))
        if number == 100:
            event = Compaction(summary="before", first_kept_seq=90, tokens_before=1)
        if number == 200:
            event = ContextEdit(message_seq=150, replacement=user("another"))
        seen = CONTEXT.step(seen, Recorded(number, number, event))
        requests.build(seen)
    assert len(added) < 600
