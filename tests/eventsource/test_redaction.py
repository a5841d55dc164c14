"""What tools, providers and callbacks say is kept without the secrets that the process knows."""

from __future__ import annotations

import pytest

from eventsource.codec import decode, encode, to_json
from eventsource.events import (
    AbortRequest,
    Event,
    MessageEnd,
    Retry,
    StepEnd,
    TaskEnd,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    ToolResult,
)
from eventsource.messages import AssistantMessage, TextContent
from eventsource.models.redact import MARK, Secrets
from eventsource.models.script import call
from eventsource.redaction import redact_event
from eventsource.tool_context import ToolContext
from eventsource.tools import tool
from refold import Agent, Session, open_log
from tests.running import scripted

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
