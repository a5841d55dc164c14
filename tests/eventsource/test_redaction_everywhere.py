"""A known secret is in no event, wherever an event holds text; JSON stays JSON; the rest stays as it is."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil

import msgspec
import pytest
from hypothesis import given, strategies as st

from eventsource.admission import redact_event
from eventsource.codec import decode, encode
from eventsource.events import EVENT_TYPES, Custom, Event, MessageEnd, MessageUpdate, QueuePush, ToolExecutionStart
from eventsource.log import open_store
from eventsource.messages import AssistantMessage, TextContent, UserMessage
from eventsource.models.protocol import CallOptions
from eventsource.models.secrets import MARK, Secrets, know_environment, redact_json, redact_known
from eventsource.models.transport.http import Access
from eventsource.runner.loop import Program
from eventsource.session import SessionHandle
from projections.context import ContextView
from refold import Agent
from refold.context_fold import CONTEXT
from refold.functional import AgentLoopConfig
from tests.strategies import events

KEY = "sk-test-0123456789-abcdef"
ODD = 'p"a\\ss/wörd-0123'
NAMES = {
    *("key", "task", "child", "parent", "session", "runner", "name", "tool_name", "id", "tool_call_id", "kind"),
    *("api", "provider", "model", "response_id", "body_codec", "prices", "media_type", "data", "signature"),
}


def known(*values: str) -> Secrets:
    secrets = Secrets()
    for value in values:
        secrets.add(value)
    return secrets


def filled(kind: msgspec.inspect.Type, text: str, name: str = "") -> object:
    """Build a value of a type that holds a text wherever it can."""
    match kind:
        case msgspec.inspect.StrType():
            return "x" if name in NAMES or name.endswith("sha256") else f"see: {text}!"
        case msgspec.inspect.RawType():
            return msgspec.Raw(json.dumps({text: [text, 1.50], "é": {"a": f"-{text}-"}}).encode())
        case msgspec.inspect.LiteralType(values=values):
            return values[0]
        case msgspec.inspect.UnionType(types=types):
            return filled(next(one for one in types if not isinstance(one, msgspec.inspect.NoneType)), text, name)
        case msgspec.inspect.VarTupleType(item_type=item):
            items = item.types if isinstance(item, msgspec.inspect.UnionType) else (item,)
            return tuple(filled(one, text, name) for one in items)
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            return cls(**{field.name: filled(field.type, text, field.name) for field in fields})
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.IntType():
            return 1
        case _:
            raise AssertionError(kind)


def every_event(text: str) -> list[Event]:
    return [filled(msgspec.inspect.type_info(kind), text) for kind in EVENT_TYPES]  # type: ignore[misc]  # by type


@pytest.mark.parametrize("text", [KEY, ODD])
def test_a_known_key_is_in_no_event_of_any_kind(text: str) -> None:
    secrets = known(text)
    forms = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    held = 0
    for event in every_event(text):
        if isinstance(event, MessageUpdate):
            continue
        if isinstance(event, MessageEnd):
            event = msgspec.structs.replace(
                event, message=AssistantMessage(error=text, raw=msgspec.Raw(b'"%b"' % KEY.encode()))
            )
            secrets.add(KEY)
        before, after = encode(event).decode(), encode(redact_event(event, secrets.redact))
        held += any(form in before for form in forms)
        for form in forms:
            assert form.encode() not in after, type(event)
            assert json.dumps(form)[1:-1].encode() not in after, type(event)
        decode(after)
    assert held > 20


@pytest.mark.parametrize(
    "said", [KEY, KEY.replace("s", "\\u0073"), KEY.replace("-", "\\u002d"), json.dumps(json.dumps(KEY))[1:-1]]
)
def test_events_are_looked_at_one_by_one_wherever_a_secret_may_be_written(said: str) -> None:
    secrets = known(KEY)
    for event in (*every_event(KEY), Custom(kind="k", data=msgspec.Raw(b'{"a": "%b"}' % said.encode()))):
        body = encode(event)
        assert not secrets.are_absent(body) or KEY.encode() not in body, type(event)
    assert not secrets.are_absent(b'{"a": "%b"}' % said.encode())
    assert not known(ODD).are_absent(b'{"a": "b"}'), "it may be written in several ways"
    assert Secrets().are_absent(b'{"a": "%b"}' % said.encode())


@given(events(), st.sampled_from([KEY, "a", "abcdefgh", "00000000"]))
def test_where_no_secret_can_be_nothing_is_replaced(event: Event, secret: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eventsource.models.secrets._KNOWN", Secrets())  # else every later test would know these
        secrets = known(secret)
        if secrets.are_absent(encode(event)):
            assert redact_event(event, secrets.redact) == redact_event(event, lambda text: text) == event


@given(events())
def test_an_event_without_secrets_stays_the_same_object(event: Event) -> None:
    assert redact_event(event, known("never-in-any-event-42").redact) is event or redact_event(event) == event


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.just(ODD),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just(ODD), inner),
        max_leaves=8,
    ),
    st.booleans(),
)
def test_json_stays_json(value: object, ascii_only: bool) -> None:
    secrets = known(ODD)
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert json.loads(redact_json(text, secrets.redact)) == json.loads(
        json.dumps(value, ensure_ascii=False).replace(json.dumps(ODD, ensure_ascii=False)[1:-1], MARK)
    )


def test_numbers_spaces_and_escapes_of_json_stay_and_a_number_may_be_a_secret() -> None:
    secrets = known("1234567890123", KEY)
    escaped = "".join(f"\\u{ord(sign):04x}" for sign in KEY)
    text = f'{{ "a" : 1.0e+2,\n "b": "{escaped}", "c": 1234567890123, "d": "\\u00e9" }}'
    assert (
        redact_json(text, secrets.redact) == '{ "a" : 1.0e+2,\n "b": "[redacted]", "c": "[redacted]", "d": "\\u00e9" }'
    )
    assert redact_json(f'{{"cut": "{KEY}', secrets.redact) == '{"cut": "[redacted]'


def test_arguments_that_are_json_text_stay_json() -> None:
    event = ToolExecutionStart(message_seq=1, content_index=0, name="t", arguments=json.dumps({"a": ODD}))
    redacted = redact_event(event, known(ODD).redact)
    assert isinstance(redacted, ToolExecutionStart)
    assert redacted.arguments is not None
    assert json.loads(redacted.arguments) == {"a": MARK}


def test_what_a_model_says_is_left_as_it_streams() -> None:
    secrets = known(KEY)
    message = AssistantMessage(content=(TextContent(text=KEY),), error=KEY)
    event = redact_event(MessageEnd(message=message), secrets.redact)
    assert event == MessageEnd(message=AssistantMessage(content=(TextContent(text=KEY),), error=MARK))
    update = MessageUpdate(kind="text_delta", content_index=0, delta=KEY)
    assert redact_event(update, secrets.redact) is update


def test_keys_in_the_environment_are_known_and_words_are_not() -> None:
    secret = {
        "OTHER_VENDOR_API_KEY": "ov_live_4f9a8b7c6d5e",
        "GH_TOKEN": "ghp_0a1b2c3d4e5f6g",
        "MY_SECRET": "abcdefghijklmnopqrst",
    }
    harmless = {
        *(
            ("SSH_KEY", "/home/me/.ssh/id_rsa_2024"),
            ("A_TOKEN", "true"),
            ("B_SECRET", "production"),
            ("C_KEY", "us-east"),
        ),
        *(("D_PASSWORD", "correct-horse-battery"), ("E_KEY", "20260101000000"), ("F_TOKEN", "https://host/path/1")),
        *(("TOKEN_COUNT", "ov_live_aaaa8b7c6d5e"), ("KEYBOARD", "pc105-layout-0123"), ("G_KEY", "two words 123456")),
    }
    know_environment(secret | dict(harmless))
    for value in secret.values():
        assert redact_known(f"<{value}>") == f"<{MARK}>"
    for _, value in harmless:
        assert redact_known(value) == value


async def test_what_is_said_to_a_session_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_OF_TEST_API_KEY", KEY)
    async with open_store() as log:
        await log.create("s")
        session = SessionHandle(log, "s", clock=lambda: 1)
        await session.push("prompt", f"use {KEY}", UserMessage(content=(TextContent(text=KEY),)))
        await session.label(KEY)
        await session.append([Custom(kind="app", data=msgspec.Raw(json.dumps([KEY]).encode()))])
        found = await log.read("s")
    assert all(KEY.encode() not in encode(one.event) for one in found)
    assert found[0].event == QueuePush(queue="prompt", message=UserMessage(content=f"use {MARK}"))


def test_no_repr_shows_a_key() -> None:
    """Neither these, nor any class of the packages that has a field for one."""
    agent = Agent("openai:gpt-5", api_key=KEY)
    held = [
        agent,
        agent.replace(system="x"),
        CallOptions(api_key=KEY),
        Access(base_url=f"https://u:{KEY}@host/v1", api_key=KEY, headers={"authorization": KEY}),
        Program[ContextView](model=None, context=CONTEXT, clock=lambda: 1, api_key=KEY, secrets=known(KEY)),
        known(KEY),
        AgentLoopConfig(model=agent.model, api_key=KEY),
    ]
    for one in held:
        assert KEY not in f"{one!r} {one!s}"
    names = {type(one).__name__ for one in held} | {"ModelArguments"}
    for package in ("eventsource", "projections", "replay", "refold"):
        root = importlib.import_module(package)
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if "__main__" in found.name:
                continue
            module = importlib.import_module(found.name)
            for kind in vars(module).values():
                if isinstance(kind, type) and kind.__module__ == found.name and kind.__name__ not in names:
                    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
                    shown = {field.name for field in fields if field.repr}
                    if issubclass(kind, msgspec.Struct):
                        shown |= set(kind.__struct_fields__)
                    assert not shown & {"api_key", "headers", "password"}, kind
