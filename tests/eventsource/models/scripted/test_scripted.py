"""The scripted model: short lists become streams, and the answer fits what is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, strategies as st

from eventsource.assemble import Assembler, content_differs
from eventsource.codec import to_json
from eventsource.errors import ArgumentError, InvalidTextError
from eventsource.events import MessageUpdate, ToolSpec
from eventsource.messages import (
    AssistantMessage,
    Message,
    StopReason,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from eventsource.models.protocol import CallOptions, Model, StreamEnd, StreamEvent, StreamRetry, StreamStart
from eventsource.models.scripted import ScriptedModel, rule, scripted
from eventsource.models.scripted.model import SCRIPTED
from eventsource.models.scripted.rules import ScriptEntry
from eventsource.models.scripted.script import Answer, call, cut, deaf, fail, pause, retry, say, stall, stop, think
from eventsource.request import Request

EMPTY = Request(model=SCRIPTED)


async def play(model: Model, request: Request = EMPTY, signal: asyncio.Event | None = None) -> list[StreamEvent]:
    return [event async for event in model.stream(request, CallOptions(signal=signal))]


async def end(model: Model, *history: Message) -> AssistantMessage:
    last = (await play(model, Request(model=SCRIPTED, messages=history)))[-1]
    assert isinstance(last, StreamEnd)
    return last.message


async def said(model: Model, *history: Message) -> str:
    message = await end(model, *history)
    return message.text or message.error or ",".join(block.name for block in message.tool_calls)


def text_start(n: int = 0) -> MessageUpdate:
    return MessageUpdate(kind="text_start", content_index=n)


def text_delta(delta: str, n: int = 0) -> MessageUpdate:
    return MessageUpdate(kind="text_delta", content_index=n, delta=delta)


def text_end(n: int = 0) -> MessageUpdate:
    return MessageUpdate(kind="text_end", content_index=n)


def ended(*texts: str, reason: StopReason = "stop", error: str = "") -> StreamEnd:
    content = tuple(TextContent(text=text) for text in texts)
    return StreamEnd(message=AssistantMessage(content=content, stop_reason=reason, error=error))


async def test_strings_side_by_side_are_deltas_of_one_block() -> None:
    assert await play(scripted(["Hello ", "world"])) == [
        StreamStart(),
        text_start(),
        text_delta("Hello "),
        text_delta("world"),
        text_end(),
        ended("Hello world"),
    ]


async def test_a_text_alone_is_an_answer_also_for_a_model_given_nothing_else() -> None:
    assert await said(scripted("Hello")) == "Hello"
    assert await said(ScriptedModel("Hello")) == "Hello"


async def test_blocks_come_with_signatures_ids_and_arguments_as_written() -> None:
    usage = Usage(input_tokens=3, output_tokens=5)
    model = scripted(
        [
            think("h", "m", signature="sig"),
            think(redacted=True, signature="opaque"),
            say("a", signature="t"),
            say("b"),
            call("weather", {"city": "Oslo"}),
            call("raw", '{"a": ', id="mine"),
            stop("tool_use", usage=usage, raw="tool_calls", response_id="r1"),
        ]
    )
    message = await end(model)
    assert message == AssistantMessage(
        content=(
            ThinkingContent(thinking="hm", signature="sig"),
            ThinkingContent(thinking="", signature="opaque", redacted=True),
            TextContent(text="a", signature="t"),
            TextContent(text="b"),
            ToolCall(id="call_1_4", name="weather", arguments='{"city":"Oslo"}'),
            ToolCall(id="mine", name="raw", arguments='{"a": '),
        ),
        stop_reason="tool_use",
        usage=usage,
        raw_stop_reason="tool_calls",
        response_id="r1",
    )


@pytest.mark.parametrize("wrapped", [False, True])
def test_arguments_that_are_no_json_are_refused_before_anybody_asks(wrapped: bool) -> None:
    asked = call("look", {"at": object()})
    with pytest.raises(InvalidTextError, match="object is not JSON serializable"):
        scripted(rule(["It is ", asked], said="sun") if wrapped else asked)


async def test_an_answer_ends_by_itself_as_what_it_holds_says() -> None:
    assert (await end(scripted(["x"]))).stop_reason == "stop"
    assert (await end(scripted([call("t"), "x"]))).stop_reason == "tool_use"
    assert (await end(scripted([call("t"), stop("length")]))).stop_reason == "length"
    assert await play(scripted([])) == [ended()]


async def test_arguments_that_differ_from_their_deltas_stand_in_the_end_of_the_call() -> None:
    events = await play(scripted([call("t", {"a": 1}, deltas=['{"a":', " 1}"]), call("t", deltas=["{", "}"])]))
    ends = [event.arguments for event in events if isinstance(event, MessageUpdate) and event.kind == "tool_call_end"]
    assert ends == ['{"a":1}', None]
    last = events[-1]
    assert isinstance(last, StreamEnd)
    assert [block.arguments for block in last.message.tool_calls] == ['{"a":1}', "{}"]


async def test_a_failure_ends_inside_the_block_it_interrupts() -> None:
    assert await play(scripted(["par", fail("overloaded")])) == [
        StreamStart(),
        text_start(),
        text_delta("par"),
        ended("par", reason="error", error="overloaded"),
    ]
    unfinished = await play(scripted([call("t", '{"a":', id="c", unfinished=True), fail("gone", "aborted")]))
    assert unfinished[-1] == StreamEnd(
        message=AssistantMessage(
            content=(ToolCall(id="c", name="t", arguments='{"a":'),), stop_reason="aborted", error="gone"
        )
    )
    assert not any(isinstance(event, MessageUpdate) and event.kind.endswith("_end") for event in unfinished)


async def test_a_failure_before_anything_is_said_comes_without_a_start() -> None:
    assert await play(scripted([fail("401")])) == [ended(reason="error", error="401")]
    assert await play(scripted([retry("529", not_before_us=5)])) == [StreamRetry(cause="529", not_before_us=5)]


async def test_a_whole_message_comes_unstreamed() -> None:
    message = AssistantMessage(content=(TextContent(text="whole"),), stop_reason="length")
    assert await play(scripted(message)) == [StreamEnd(message=message)]


async def test_a_cut_stream_has_no_terminal_event() -> None:
    assert await play(scripted(["x", cut(), "never"])) == [StreamStart(), text_start(), text_delta("x")]


async def test_a_stream_may_start_twice_or_before_its_start_or_go_on_after_its_end() -> None:
    assert await play(scripted([StreamStart(), say("x"), StreamStart()])) == [
        StreamStart(),
        text_start(),
        text_delta("x"),
        text_end(),
        StreamStart(),
        ended("x"),
    ]
    assert await play(scripted([text_delta("lost"), say("lost"), StreamStart(), "x"])) == [
        text_delta("lost"),
        text_start(),
        text_delta("lost"),
        text_end(),
        StreamStart(),
        text_start(),
        text_delta("x"),
        text_end(),
        ended("x"),
    ]
    late = await play(scripted(["x", stop(), say("late")]))
    assert late[5:] == [text_start(1), text_delta("late", 1), text_end(1)]


async def test_a_bare_update_that_no_message_can_hold_is_passed_on_and_left_out_of_the_message() -> None:
    assert await play(scripted([StreamStart(), text_delta("x", 4), stop()])) == [
        StreamStart(),
        text_delta("x", 4),
        ended(),
    ]


async def test_functions_are_called_and_awaited_in_their_turn() -> None:
    seen: list[str] = []

    async def wait() -> None:
        await asyncio.sleep(0)
        seen.append("awaited")

    stream = scripted(["a", lambda: seen.append("called"), "b", wait, "c"]).stream(EMPTY, CallOptions())
    deltas = [(event.delta, len(seen)) async for event in stream if isinstance(event, MessageUpdate)]
    assert deltas == [("", 0), ("a", 0), ("b", 1), ("c", 2), ("", 2)]
    assert seen == ["called", "awaited"]


async def test_a_function_that_raises_breaks_the_stream_as_no_real_model_does() -> None:
    def explode() -> None:
        raise ConnectionError("reset")

    stream = scripted(["a", explode]).stream(EMPTY, CallOptions())
    assert [await anext(stream) for _ in range(3)] == [StreamStart(), text_start(), text_delta("a")]
    with pytest.raises(ConnectionError):
        await anext(stream)


async def test_an_abort_ends_the_stream_with_what_was_said() -> None:
    signal = asyncio.Event()
    assert await play(scripted(["a", signal.set, "b"]), signal=signal) == [
        StreamStart(),
        text_start(),
        text_delta("a"),
        ended("a", reason="aborted", error="Request was aborted"),
    ]
    assert await play(scripted(["a"]), signal=signal) == [ended(reason="aborted", error="Request was aborted")]


async def test_a_deaf_model_goes_on_after_an_abort() -> None:
    signal = asyncio.Event()
    signal.set()
    assert (await play(scripted([StreamStart(), "a"]), signal=signal))[-1] == ended(
        reason="aborted", error="Request was aborted"
    )
    events = await play(scripted([deaf(), "a", "b"]), signal=signal)
    assert events[-1] == ended(reason="aborted", error="Request was aborted")
    signal.clear()
    assert (await play(scripted([deaf(), "a", signal.set, "b"]), signal=signal))[-1] == ended("ab")


async def test_a_stalled_stream_waits_for_the_abort() -> None:
    signal = asyncio.Event()
    stream = scripted(["a", stall()]).stream(EMPTY, CallOptions(signal=signal))
    events = [await anext(stream) for _ in range(3)]
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    assert (events[-1], waiting.done()) == (text_delta("a"), False)
    signal.set()
    assert await waiting == ended("a", reason="aborted", error="Request was aborted")


@pytest.mark.parametrize("answer", [[stall()], [deaf(), stall()]])
async def test_a_stalled_stream_ends_when_its_reader_is_cancelled(answer: Answer) -> None:
    task = asyncio.create_task(play(scripted(answer)))
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_time_passes_only_through_the_given_sleep() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    sleeping: Callable[[float], Awaitable[None]] = sleep
    await play(ScriptedModel([["a", pause(1500), "b", call("t", "{}")]], pace_ms=20, sleep=sleeping))
    assert slept == [0.02, 1.5, 0.02, 0.02]


async def test_by_call_the_answers_come_in_order_and_then_the_script_is_exhausted() -> None:
    model = scripted("one", [fail("529")], "two")
    assert [await said(model) for _ in range(5)] == ["one", "529", "two", "script exhausted", "script exhausted"]
    assert (await end(model)).stop_reason == "error"


async def test_a_function_may_answer_what_is_asked() -> None:
    model = ScriptedModel(lambda request: [f"{len(request.messages)} messages", call("t")])
    assert (await end(model, UserMessage(content="hi"))).text == "1 messages"
    assert (await end(model)).tool_calls[0].id == "call_2_1"


async def test_a_model_keeps_what_it_was_asked() -> None:
    model, options = scripted("x"), CallOptions(api_key="k")
    assert [event async for event in model.stream(EMPTY, options)]
    assert [(asked.request, asked.options) for asked in model.asked] == [(EMPTY, options)]
    assert (model.ref, model.encode(EMPTY)) == (SCRIPTED, None)


CHAPTERS: tuple[Answer, ...] = (
    ["Let me look.", call("weather", {"city": "Oslo"})],
    ["Rain", "."],
    [think("hm"), "Take a coat."],
)
YOU = UserMessage(content="?")
RESULT = ToolResultMessage(tool_call_id="call_1_1", tool_name="weather", content=(TextContent(text="rain"),))


async def heard(number: int) -> AssistantMessage:
    """What a context holds of an answer: as it was said."""
    return await end(ScriptedModel([CHAPTERS[number]]))


def process() -> ScriptedModel:
    """A model as a new process has it."""
    return ScriptedModel(CHAPTERS, by="request")


async def test_by_request_another_process_goes_on_where_the_history_stops() -> None:
    one, two, three = [await heard(number) for number in range(3)]
    assert await said(process(), YOU) == "Let me look."
    assert await said(process(), YOU, one, RESULT) == "Rain."
    assert await said(process(), YOU, one, RESULT, two, YOU) == "Take a coat."
    assert await said(process(), YOU, one, RESULT, two, YOU, three, YOU) == "script exhausted"


async def test_by_request_a_fork_gets_the_same_answer_again_and_asking_twice_changes_nothing() -> None:
    one, two, _ = [await heard(number) for number in range(3)]
    model = process()
    assert await said(model, YOU, one, RESULT, two, YOU) == "Take a coat."
    assert await said(model, YOU, one, RESULT) == "Rain."
    assert await said(model, YOU, one, RESULT) == "Rain."
    assert await said(model, YOU) == "Let me look."


async def test_by_request_a_history_from_elsewhere_or_a_shortened_one_finds_its_place() -> None:
    foreign: list[Message] = [YOU, AssistantMessage(content=(TextContent(text="I am another."),))]
    one, two, _ = [await heard(number) for number in range(3)]
    assert await said(process(), *foreign * 200, YOU) == "Let me look."
    assert await said(process(), *foreign * 200, YOU, one, RESULT) == "Rain."
    assert await said(process(), UserMessage(content="summary"), two, YOU) == "Take a coat."
    partial = AssistantMessage(content=(TextContent(text="Take a c"),), stop_reason="aborted")
    assert await said(process(), YOU, one, RESULT, two, YOU, partial) == "Take a coat."


async def test_by_request_an_answer_said_more_than_once_is_told_apart_by_what_came_before() -> None:
    texts = ["ok", "ok", "a", "ok", "b"]
    messages = [AssistantMessage(content=(TextContent(text=text),)) for text in texts]
    for number, text in enumerate(texts):
        model = ScriptedModel(texts, by="request")
        assert await said(model, *messages[:number]) == text, number


async def test_by_request_a_failure_is_given_once_and_then_the_answer_after_it() -> None:
    script: list[Answer] = ["one", [fail("529")], [retry("busy")], "two"]
    one = AssistantMessage(content=(TextContent(text="one"),))
    model = ScriptedModel(script, by="request")
    assert await said(model, YOU, one) == "529"
    assert await play(model, Request(model=SCRIPTED, messages=(YOU, one))) == [StreamRetry(cause="busy")]
    assert await said(model, YOU, one) == "two"
    assert await said(model, YOU, one) == "two"
    assert await said(ScriptedModel(script, by="request"), YOU, one) == "529"


def ask(*messages: Message, system: str = "", tools: tuple[str, ...] = (), **options: object) -> Request:
    """Make a request, by what rules look at."""
    specs = tuple(ToolSpec(name=name, description="", schema=to_json({})) for name in tools)
    return Request(model=SCRIPTED, system_prompt=system, tools=specs, options=to_json(dict(options)), messages=messages)


async def chosen(model: ScriptedModel, request: Request) -> str:
    last = (await play(model, request))[-1]
    assert isinstance(last, StreamEnd)
    return last.message.text or last.message.error


RULED = (
    rule("by prompt", said="sun", system="short"),
    rule("by system", system="a title"),
    rule("by tool", tool="look"),
    rule("by schema", schema="degrees"),
    rule("any schema", schema=""),
    rule("by said", said="sun"),
)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (ask(UserMessage(content="Is there sun?"), system="Be short."), "by prompt"),
        (ask(UserMessage(content="Is there sun?"), system="Write a title."), "by system"),
        (ask(YOU, tools=("see", "look")), "by tool"),
        (ask(YOU, tools=("looks",)), "one"),
        (ask(YOU, extra_body={"tools": [{"type": "custom", "name": "look"}]}), "by tool"),
        (ask(YOU, extra_body={"tools": [{"look": {}}]}), "by tool"),
        (ask(YOU, output_schema={"properties": {"degrees": {}}}), "by schema"),
        (ask(YOU, extra_body={"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}), "any schema"),
        (ask(YOU, extra_body={"response_format": {"type": "text"}}), "one"),
        (ask(YOU, extra_body={"text": {"format": {"type": "json_schema", "name": "degrees"}}}), "by schema"),
        (ask(YOU, extra_body={"generationConfig": {"responseSchema": {"type": "OBJECT"}}}), "any schema"),
        (ask(ToolResultMessage(tool_call_id="c", tool_name="t", content=(TextContent(text="sunny"),))), "by said"),
        (ask(UserMessage(content="sun"), AssistantMessage(content=(TextContent(text="yes"),)), YOU), "one"),
        (ask(UserMessage(content="sun"), AssistantMessage(content=(TextContent(text="{"),))), "by said"),
    ],
)
async def test_a_rule_answers_what_says_all_that_it_wants_since_the_last_answer(request_: Request, answer: str) -> None:
    assert await chosen(ScriptedModel([*RULED, "one"], by="request"), request_) == answer


async def test_the_first_that_fits_is_given_and_rules_take_nobodys_turn() -> None:
    script: list[ScriptEntry] = [rule("title", system="title"), "one", "two", rule("else")]
    one = AssistantMessage(content=(TextContent(text="one"),))
    title = AssistantMessage(content=(TextContent(text="title"),))
    two = AssistantMessage(content=(TextContent(text="two"),))
    model = ScriptedModel(script, by="request")
    assert await chosen(model, ask(YOU, system="title")) == "title"
    assert await said(model, YOU) == "one"
    assert await said(model, YOU, one, YOU, title, YOU) == "two"
    assert await said(model, YOU, one, YOU, two, YOU) == "else"
    counted = ScriptedModel(script)
    assert [await chosen(counted, ask(YOU, system=system)) for system in ("title", "", "title", "", "")] == [
        *("title", "one", "title", "two", "else")
    ]


async def test_a_rule_that_fails_is_given_once_and_one_that_calls_makes_new_ids() -> None:
    model = ScriptedModel([rule([fail("529")], said="?"), rule([call("look")], said="?")], by="request")
    assert await said(model, YOU) == "529"
    ids = [[block.id for block in (await end(model, YOU)).tool_calls] for _ in range(3)]
    assert ids == [["call_2_0"], ["call_2_2_0"], ["call_2_3_0"]]


async def test_a_script_of_rules_says_what_no_rule_fits() -> None:
    model = ScriptedModel([rule("x", said="sun")], by="request")
    assert await said(model, UserMessage(content="Rain?")) == (
        "script exhausted: no rule fits, and no answer is left by turn; what was said last begins with 'Rain?'"
    )
    assert (await said(model)).endswith("nothing was said")


def test_what_is_no_answer_of_a_rule_is_named() -> None:
    with pytest.raises(ArgumentError, match="answer 2, item 1"):
        scripted("x", rule([3], said="y"))  # type: ignore[list-item]  # the mistake


TEXTS = st.text(max_size=4)
BLOCKS = st.one_of(
    TEXTS,
    st.builds(lambda deltas, signature: say(*deltas, signature=signature), st.lists(TEXTS, max_size=3), TEXTS),
    st.builds(lambda deltas, signature: think(*deltas, signature=signature), st.lists(TEXTS, max_size=3), TEXTS),
    st.builds(lambda name, text, deltas: call(name, text, deltas=deltas), TEXTS, TEXTS, st.none() | st.lists(TEXTS)),
)


@given(st.lists(BLOCKS), st.sampled_from([stop(), fail("x"), None]))
async def test_the_deltas_of_any_script_join_to_its_message(blocks: list[str], last: object) -> None:
    events = await play(scripted([*blocks, last] if isinstance(last, type(stop()) | type(fail(""))) else blocks))
    assembler = Assembler()
    for event in events:
        if isinstance(event, MessageUpdate):
            assembler.add(event)
    final = events[-1]
    assert isinstance(final, StreamEnd)
    assert content_differs(assembler.content(), final.message.content) == ""
    assert sum(isinstance(event, StreamEnd) for event in events) == 1
    assert [n for n, event in enumerate(events) if isinstance(event, StreamStart)] == ([0] if blocks else [])
