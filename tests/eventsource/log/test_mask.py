"""An erased event keeps its shape and none of its content."""

from __future__ import annotations

import msgspec
import pytest

from eventsource import events as e, messages as m
from eventsource.codec import decode, encode
from eventsource.log.mask import mask

SECRET = "sup3r-s3cret"
RAW = msgspec.Raw(f'{{"x":"{SECRET}"}}'.encode())
CONTENT = (
    m.TextContent(text=SECRET, signature=SECRET, raw=RAW),
    m.ImageContent(data=SECRET, media_type="image/png", raw=RAW),
)
USER = m.UserMessage(content=CONTENT, raw=RAW)
ASSISTANT = m.AssistantMessage(
    content=(
        m.TextContent(text=SECRET, signature=SECRET, raw=RAW),
        m.ThinkingContent(thinking=SECRET, signature=SECRET, raw=RAW),
        m.ToolCall(id="c", name="n", arguments=SECRET, signature=SECRET, raw=RAW),
        m.ProviderContent(api="a", block=RAW),
    ),
    stop_reason="error",
    error=SECRET,
    usage=m.Usage(input_tokens=7),
    raw=RAW,
)
RESULT = m.ToolResultMessage(tool_call_id="c", tool_name="n", content=CONTENT, details=RAW, raw=RAW)
ORIGIN = e.Origin(source="pi")
TOLD: list[e.Event] = [
    e.QueuePush(queue="prompt", message=USER, key="k"),
    e.QueuePush(queue="prompt", message=m.UserMessage(content=SECRET)),
    e.MessageEnd(message=ASSISTANT),
    e.MessageAdopt(message=RESULT, origin=ORIGIN),
    e.MessageAdopt(message=m.CustomMessage(kind="k", body=RAW), origin=ORIGIN),
    e.ContextEdit(message_seq=3, replacement=USER),
    e.ModelRequest(attempt=1, request_sha256="0", selection=(e.SeqRange(first=1, last=2), e.Inserted(message=USER))),
    e.ToolExecutionStart(message_seq=1, content_index=0, name="n", arguments=SECRET, reason=SECRET),
    e.ToolExecutionEnd(message_seq=1, content_index=0, result=e.ToolResult(content=CONTENT, details=RAW)),
    e.ConfigChange(
        system_prompt=SECRET, options=RAW, tools=(e.ToolSpec(name="n", schema=msgspec.Raw(b"{}"), description=SECRET),)
    ),
    e.Compaction(summary=SECRET, details=RAW),
    e.Label(text=SECRET),
    e.AbortRequest(error=SECRET),
    e.AgentEnd(error=SECRET),
    e.Retry(cause=SECRET),
    e.TokenCreate(key="k", default=RAW),
    e.WaitStart(key="k", reason=SECRET),
    e.WaitEnd(key="k", outcome="completed", value=RAW, decided_by=SECRET),
    e.MetadataSet(name="n", value=RAW),
    e.StepEnd(key="k", result=RAW, error=SECRET),
    e.TaskStart(task="t", payload=RAW),
    e.TaskEnd(result=RAW, error=SECRET),
    e.ChildEnd(key="k", result=RAW),
    e.LoopContext(iteration=1, patch=msgspec.Raw(f'[{{"op":"add","path":"/x","value":"{SECRET}"}}]'.encode())),
    e.Custom(kind="k", data=RAW),
    e.Erase(target_seq=1, reason=SECRET),
]
NAMES = [type(event).__name__ for event in TOLD]


@pytest.mark.parametrize("event", TOLD, ids=NAMES)
def test_nothing_of_the_content_stays_and_the_shape_reads_again(event: e.Event) -> None:
    shape = mask(event)
    assert SECRET in encode(event).decode()
    assert SECRET not in encode(shape).decode()
    assert decode(encode(shape)) == shape
    assert type(shape) is type(event)
    assert mask(shape) == shape


def test_usage_stop_reason_and_names_stay() -> None:
    shape = mask(e.MessageEnd(message=ASSISTANT))
    assert isinstance(shape, e.MessageEnd)
    assert shape.message is not None
    assert (shape.message.usage, shape.message.stop_reason) == (ASSISTANT.usage, "error")
    assert [type(block) for block in shape.message.content] == [type(block) for block in ASSISTANT.content]
    assert shape.message.tool_calls[0].name == "n"


def test_every_event_is_either_masked_or_has_no_content() -> None:
    silent = {
        e.AgentStart, e.TurnStart, e.MessageStart, e.TurnEnd, e.QueueClear, e.Resume, e.Fork, e.StepStart, e.ChildStart,
        e.MessageUpdate, e.ToolExecutionUpdate, e.StreamUpdate,
    }  # fmt: skip
    assert {type(event) for event in TOLD} | silent == set(e.EVENT_TYPES)
