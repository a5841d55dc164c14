"""What tools, providers and callbacks say is kept without the secrets that the process knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, strategies as st
from msgspec import inspect
from msgspec.structs import replace

from eventsource.admission import Admitted, admit, redact_event, repair
from eventsource.codec import decode, encode, to_json
from eventsource.errors import InvalidTextError
from eventsource.events import (
    AbortRequest,
    ConfigChange,
    Event,
    Label,
    MessageEnd,
    MessageUpdate,
    ModelRequest,
    QueuePush,
    Retry,
    StepEnd,
    TaskEnd,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    ToolResult,
    WaitEnd,
)
from eventsource.log.encode import LIMIT_BYTES, Fact, Updates, encode_append
from eventsource.messages import AssistantMessage, TextContent, UserMessage
from eventsource.models.scripted.script import call
from eventsource.models.secrets import MARK, Secrets
from eventsource.tools.context import ToolContext
from eventsource.tools.tool import tool
from refold import Agent, Session, open_log
from tests.running import scripted
from tests.strategies import events

SECRET = "sk-0123456789"
TOLD = f"with {SECRET} in it"
RESULT = ToolResult(content=(TextContent(text=TOLD),), details=to_json({"deep": [{"in": TOLD}]}))


CASES: dict[str, Event] = {
    "a partial result": ToolExecutionUpdate(message_seq=8, content_index=1, partial=RESULT),
    "a result": ToolExecutionEnd(message_seq=8, content_index=1, result=RESULT),
    "why a call was refused": ToolExecutionStart(
        message_seq=8, content_index=1, name="read", refused="blocked", reason=TOLD
    ),
    "what a callback raised": AbortRequest(reason="error", cause="callback", error=TOLD),
    "what a step raised": StepEnd(key="s", error=TOLD),
    "what a task raised": TaskEnd(error=TOLD),
    "why a model is asked again": Retry(cause=TOLD),
    "a provider's error": MessageEnd(message=AssistantMessage(stop_reason="error", error=TOLD)),
}


def known() -> Secrets:
    secrets = Secrets()
    secrets.add(SECRET)
    return secrets


@pytest.mark.parametrize("event", CASES.values(), ids=CASES)
def test_a_secret_is_replaced_and_everything_else_stays(event: Event) -> None:
    written = encode(event)
    assert encode(redact_event(event, known().redact)) == written.replace(SECRET.encode(), MARK.encode())
    assert SECRET.encode() in written


@pytest.mark.parametrize("event", CASES.values(), ids=CASES)
def test_an_event_without_secrets_stays_as_it_is(event: Event) -> None:
    other = Secrets()
    other.add("sk-other-0123")
    harmless = decode(encode(event).replace(SECRET.encode(), b"sk-never-told"))
    assert redact_event(harmless, other.redact) == harmless


@pytest.mark.parametrize(
    "event",
    [
        ToolExecutionEnd(message_seq=8, content_index=1, is_error=True, decided="machine"),
        ToolExecutionStart(message_seq=8, content_index=1, name="read"),
        AbortRequest(),
        MessageEnd(),
        MessageEnd(message=AssistantMessage(content=(TextContent(text="fine"),))),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_that_says_nothing_is_let_through(event: Event) -> None:
    assert redact_event(event, known().redact) == event


async def test_what_a_tool_reports_and_returns_is_redacted_before_it_is_on_record() -> None:
    @tool
    async def leak(context: ToolContext) -> str:
        """Leak."""
        context.update(TOLD)
        return TOLD

    agent = Agent[object](scripted([call("leak")], "Done."), tools=[leak], api_key=SECRET)
    async with open_log() as log:
        session: Session = await log.session("oslo")
        await agent.run("Go.", session=session)
        events = [recorded.event for recorded in await session.events()]
    assert [e for e in events if isinstance(e, ToolExecutionUpdate)]
    assert SECRET not in "".join(encode(event).decode() for event in events)
    assert MARK in "".join(encode(event).decode() for event in events)


KEPT = {
    *("api", "provider", "model", "prices", "body_codec", "response_id", "signature", "data", "media_type", "kind"),
    *("id", "tool_call_id", "tool_name", "name", "key", "task", "child", "parent", "session", "runner"),
}
"""Fields that name something, or go back byte for byte: a secret in them stays, so that what they name is found."""


def filled(kind: inspect.Type, pick: int) -> object:
    """Make a value in which every text tells the secret; `pick` chooses among the types a field may have."""
    match kind:
        case inspect.StrType():
            return TOLD
        case inspect.IntType():
            return 1
        case inspect.BoolType():
            return True
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.RawType():
            return to_json({"deep": [TOLD]})
        case inspect.VarTupleType(item_type=item):
            return (filled(item, pick),)
        case inspect.TupleType(item_types=items):
            return tuple(filled(item, pick) for item in items)
        case inspect.StructType(cls=struct, fields=fields):
            return struct(**{field.name: filled(field.type, pick) for field in fields})
        case inspect.UnionType(types=types):
            empty = (inspect.NoneType, inspect.CustomType)
            some = [one for one in types if not isinstance(one, empty)]
            return filled(some[pick % len(some)], pick // len(some))
        case _:
            raise AssertionError(f"a field of a type that no test knows: {kind}")


def texts(value: object, field: str = "") -> Iterator[tuple[str, str]]:
    """List an event's texts with the names of the fields that hold them."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, msgspec.Raw):
        yield f"{field} as JSON", bytes(value).decode()
    elif isinstance(value, tuple):
        for item in value:
            yield from texts(item, field)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from texts(getattr(value, name), name)


@pytest.mark.parametrize("kind", [kind for kind in get_args(Event) if kind is not MessageUpdate])
def test_every_text_of_every_event_is_searched_but_names_and_what_goes_back_byte_for_byte(kind: type[Event]) -> None:
    for pick in range(16):
        event = filled(inspect.type_info(kind), pick)
        assert isinstance(event, kind)
        if isinstance(event, MessageEnd) and isinstance(event.message, AssistantMessage):
            event = MessageEnd(message=replace(event.message, content=()))  # what a model says is left as it is
        redacted = list(texts(redact_event(event, known().redact)))
        telling = {field for field, text in redacted if SECRET in text}
        assert {field for field in telling if field not in KEPT and not field.endswith("_sha256")} == set()
        assert {field for field, text in redacted if MARK in text} & KEPT == set()


def without(word: str) -> Callable[[str], str]:
    """Redact a word without telling the whole process of it."""
    return lambda text: text.replace(word, MARK)


def test_what_is_said_by_a_word_of_a_few_or_a_digest_stays() -> None:
    digest = "0123456789abcdef" * 4
    for event, word in (
        (WaitEnd(key="k", outcome="timed_out"), "timed_out"),
        (ModelRequest(attempt=1, request_sha256=digest), digest),
    ):
        assert redact_event(event, without(word)) == event


def test_arguments_are_searched_as_the_json_they_are_and_a_text_as_it_stands() -> None:
    escaped = f'{{"p": "\\u0073{SECRET[1:]}"}}'
    start = ToolExecutionStart(message_seq=8, content_index=1, name="read", arguments=escaped)
    redacted = redact_event(start, known().redact)
    assert isinstance(redacted, ToolExecutionStart)
    assert redacted.arguments == f'{{"p": "{MARK}"}}'
    for text in (
        QueuePush(queue="prompt", message=UserMessage(content=escaped)),
        TokenCreate(key="t", tags=(escaped,)),
    ):
        assert redact_event(text, known().redact) == text


@given(events())
def test_what_passed_the_door_is_stored_as_the_bytes_it_has_and_as_any_pair_would_be(event: Event) -> None:
    pair = admit(7, event)
    plain = encode_append("s", [(7, pair.event)], durable=True, limit_bytes=LIMIT_BYTES)

    assert encode_append("s", [pair], durable=True, limit_bytes=LIMIT_BYTES) == plain
    assert admit(7, pair.event) == pair
    assert decode(pair.body) == pair.event
    assert pair.body == encode(pair.event)


def test_the_store_takes_the_bytes_of_what_passed_the_door_and_encodes_nothing_again() -> None:
    marked = Admitted(7, Label(text="x"), b'{"type":"label","text":"marked"}')
    (fact,) = encode_append("s", [marked], durable=True, limit_bytes=LIMIT_BYTES)

    assert isinstance(fact, Fact)
    assert fact.body == marked.body

    update = Admitted(7, MessageUpdate(kind="text_delta", content_index=0, delta="x"), b'{"marked":1}')
    (updates,) = encode_append("s", [update], durable=False, limit_bytes=LIMIT_BYTES)
    assert isinstance(updates, Updates)
    assert updates.lines == b'[7,{"marked":1}]\n'


@pytest.mark.parametrize("event", CASES.values(), ids=CASES)
def test_what_passed_the_door_holds_no_secret_and_says_that_one_was_replaced(event: Event) -> None:
    pair = admit(7, event, without(SECRET))
    assert SECRET.encode() not in pair.body
    assert pair.body == encode(pair.event)
    assert pair.redacted


def test_an_answer_that_told_no_secret_does_not_count_as_redacted() -> None:
    said = AssistantMessage(content=(TextContent(text="fine"),))
    assert not admit(7, MessageEnd(message=said), without(SECRET)).redacted


def again(text: str) -> Any:
    """Make a text that equals another and is not the same one."""
    return text.encode().decode()


def test_a_text_that_equals_a_default_is_left_out_whoever_made_it() -> None:
    stopped = AssistantMessage(stop_reason=again("stop"))
    for made, default in (
        (AbortRequest(reason=again("aborted")), AbortRequest()),
        (MessageEnd(message=stopped), MessageEnd(message=AssistantMessage())),
    ):
        assert encode(made) != encode(default), "the encoder alone tells them apart"
        assert admit(7, made).body == encode(default)


def test_what_a_replaced_secret_leaves_no_json_does_not_pass_the_door() -> None:
    """Python reads no number of so many digits, so what is secret beside it is replaced as in any text."""
    odd = msgspec.Raw(b'{"long":%s,"n":71000000000039}' % (b"1" * 5_000))
    assert admit(7, ConfigChange(options=odd)).event == ConfigChange(options=odd)
    with pytest.raises(InvalidTextError, match="cannot be read back"):
        admit(7, ConfigChange(options=odd), without("71000000000039"))


def test_what_cannot_be_read_back_is_shown_up_to_a_length() -> None:
    for told, shown in (("x" * 300, 200), ("x" * 20, None)):
        broken = WaitEnd(key="w", outcome="completed", value=msgspec.Raw(f"{{{told}".encode()))
        with pytest.raises(InvalidTextError) as found:
            admit(1, broken)
        said = found.value.args[1].removeprefix("cannot be read back from JSON: ")
        assert said.startswith("JSON is malformed")
        assert len(said) == shown if shown else said.endswith(f'"value":{{{told}}}')


def test_json_that_is_none_does_not_pass_the_door() -> None:
    broken: list[Event] = [
        WaitEnd(key="w", outcome="completed", value=msgspec.Raw(b"{")),
        MessageUpdate(content_index=0, kind="provider_block", block=msgspec.Raw(b"nul")),
    ]
    for event in broken:
        with pytest.raises(InvalidTextError, match="cannot be read back"):
            admit(1, event)


@given(st.text(st.characters()), st.text(st.sampled_from("a\ud83d\ude00\udc00")))
def test_a_text_is_repaired_at_the_door_and_comes_back_as_it_was_kept(text: str, broken: str) -> None:
    for event in (
        MessageUpdate(kind="text_delta", content_index=0, delta=text + broken),
        QueuePush(queue="prompt", message=UserMessage(content=text + broken)),
        StepEnd(key="s", error=broken + text),
        ToolExecutionEnd(message_seq=8, content_index=1, result=ToolResult(content=(TextContent(text=broken),))),
    ):
        pair = admit(7, event)
        assert decode(pair.body) == pair.event == repair(event)
        assert not pair.redacted


def test_json_that_is_no_utf_8_does_not_pass_the_door() -> None:
    for text in (b'"\xff"', f'"{SECRET}'.encode() + b'\xff"'):
        with pytest.raises(InvalidTextError, match="not UTF-8"):
            admit(1, WaitEnd(key="w", outcome="completed", value=msgspec.Raw(text)), without(SECRET))
