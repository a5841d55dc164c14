"""A session as a person reads it."""

from __future__ import annotations

from eventsource.codec import to_json
from eventsource.envelope import Recorded
from eventsource.events import Compaction, MessageEnd
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    ImageContent,
    ProviderContent,
    TextContent,
    UserMessage,
)
from projections import CONTEXT, project, read_transcript, text_of


def test_every_message_is_listed_in_order_with_who_said_it(run: tuple[Recorded, ...]) -> None:
    said = read_transcript(project(CONTEXT, run))
    assert [(one.seq, one.role, one.text) for one in said] == [
        (2, "custom", "It is winter."),
        (7, "user", "Do I need a coat?"),
        (10, "assistant", ""),
        (15, "assistant", ""),
        (21, "tool_result", "-5 C"),
        (23, "tool_result", "Tool wardrobe not found"),
        (28, "assistant", "Take the warm coat."),
    ]


def test_an_answer_shows_its_thinking_its_calls_and_how_it_failed(run: tuple[Recorded, ...]) -> None:
    said = {one.seq: one for one in read_transcript(project(CONTEXT, run))}
    assert said[15].calls == ((1, "weather", '{"city":"Oslo"}'), (2, "wardrobe", ""))
    assert (said[15].thinking, said[10].note, said[28].note) == ("Which coat?", "error: overloaded", "")
    assert (said[23].tool, said[23].is_error, said[21].is_error) == ("wardrobe", True, False)


def test_an_answer_shows_what_only_its_provider_reads() -> None:
    searched = ProviderContent(api="openai-responses", block=to_json({"type": "web_search_call", "query": "Oslo"}))
    other = ProviderContent(api="x", block=to_json([1]))
    answer = AssistantMessage(content=(searched, TextContent(text="Cold."), other))
    (said,) = read_transcript(project(CONTEXT, [Recorded(1, 1, MessageEnd(message=answer))]))
    assert said.own == ((0, "web_search_call", '{"type":"web_search_call","query":"Oslo"}'), (2, "x", "[1]"))


def test_a_message_from_elsewhere_has_its_own_time(run: tuple[Recorded, ...]) -> None:
    assert [one.at_us for one in read_transcript(project(CONTEXT, run))[:2]] == [5, 7_000_000]


def test_what_a_model_no_longer_sees_is_marked(run: tuple[Recorded, ...]) -> None:
    seen = project(CONTEXT, run)
    assert [one.seq for one in read_transcript(seen) if not one.seen] == [7, 10]
    later = CONTEXT.step(seen, Recorded(33, 33, Compaction(summary="coats", first_kept_seq=28)))
    assert [(one.seq, one.role) for one in read_transcript(later) if one.seen] == [(28, "assistant"), (33, "summary")]


def test_an_interrupted_answer_says_so() -> None:
    cut = AssistantMessage(content=(TextContent(text="Ta"),), stop_reason="aborted")
    view = project(CONTEXT, [Recorded(1, 1, MessageEnd(message=cut, interrupted="dropped"))])
    (said,) = read_transcript(view)
    assert (said.note, said.text, said.seen) == ("interrupted", "Ta", False)


def test_the_text_of_a_message_is_its_text_blocks_or_what_its_kind_shows() -> None:
    image = ImageContent(data="", media_type="image/png")
    assert text_of(UserMessage(content=(TextContent(text="a"), image, TextContent(text="b")))) == "a\nb"
    assert text_of(CustomMessage(kind="bashExecution", body=to_json({"command": "ls", "output": "a"}))) == "ls\na"
