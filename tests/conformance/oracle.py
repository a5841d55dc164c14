"""The founding loop's scenarios, played through Refold, in the founding loop's own words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from eventsource.assemble import same_arguments
from eventsource.codec import from_json, to_json
from eventsource.errors import MissingModelError
from eventsource.events import MessageUpdate, ModelRef, Policies, Resume, ToolResult
from eventsource.log.protocol import EventLog
from eventsource.machine.state import Phase
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    CustomMessage,
    ImageContent,
    Json,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserContent,
    UserMessage,
)
from eventsource.models.protocol import CallOptions, StreamEnd, StreamEvent, StreamStart
from eventsource.request import Request
from eventsource.runner.hooks import Hooks, ToolOutcomeShown, ToolRequest, ToolRevision, ToolVerdict
from eventsource.runner.loop import Loop, Program
from eventsource.runner.writer import Writer
from eventsource.tools.context import ToolContext
from eventsource.tools.results import TRACEBACK, ToolOutcome
from eventsource.tools.tool import Tool, json_tool, toolbox
from projections.lifecycle import LifecycleEvent
from refold.context_fold import CONTEXT
from refold.functional import AgentContext, AgentLoopConfig, agent_loop, agent_loop_continue

VARIANTS: dict[str, Policies] = {
    "seed": Policies(
        tools="sequential", steering="interrupt", steering_queue="all", follow_up_queue="all", length_calls="run"
    ),
    "current-sequential": Policies(
        tools="sequential", steering="after_batch", steering_queue="all", follow_up_queue="all", coerce=True
    ),
    "current-parallel": Policies(
        tools="parallel", steering="after_batch", steering_queue="all", follow_up_queue="all", coerce=True
    ),
}
STOPS = {"toolUse": "tool_use"}
KINDS = {"toolcall_start": "tool_call_start", "toolcall_delta": "tool_call_delta", "toolcall_end": "tool_call_end"}
REF = ModelRef(api="scripted", provider="scripted", model="scripted")


@dataclass
class Played:
    """What a scenario came to, in the founding words.

    The events, each model call, the calls that ran and with what, what callbacks were asked and answered, the messages
    that the run added, and the roles of the caller's own list when it was over.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    ran: list[dict[str, Any]] = field(default_factory=list)
    polls: list[tuple[str, object]] = field(default_factory=list)
    result: list[dict[str, Any]] | None = None
    caller: list[str] = field(default_factory=list)
    refused: bool = False
    session: str = ""


async def play(scenario: dict[str, Any], variant: str, log: EventLog) -> Played:
    """Run a scenario in a new session of the log."""
    played = Played()
    signal = asyncio.Event()
    script = _Script(scenario, signal, played)
    seen = 0

    def on_event(shown: LifecycleEvent) -> None:
        nonlocal seen
        played.events.append(founding_event(shown))
        if scenario.get("abort", {}).get("at_event") == seen:
            signal.set()
        seen += 1

    if scenario.get("abort", {}).get("before_start"):
        signal.set()
    messages = [read_message(message) for message in scenario.get("messages", ())]
    context = AgentContext(system_prompt=scenario.get("system_prompt", ""), messages=messages, tools=script.tools())
    config = AgentLoopConfig(
        model=REF,
        api_key=scenario.get("api_key"),
        policies=VARIANTS[variant],
        on_event=on_event,
        log=log,
        **script.hooks(),
    )
    try:
        if scenario["mode"] == "continue":
            stream = agent_loop_continue(context, config, signal, script.stream)
        else:
            prompts = [read_message(message) for message in scenario.get("prompts", ())]
            stream = agent_loop(prompts, context, config, signal, script.stream)
    except Exception:
        played.refused = True
    else:
        played.result = [write_message(message) for message in await stream.result()]
        played.session = stream.session
    played.caller = [write_message(message)["role"] for message in messages]
    return played


class _Script:
    """The scripted model, tools and callbacks of a scenario."""

    def __init__(self, scenario: dict[str, Any], signal: asyncio.Event, played: Played) -> None:
        self._scenario, self._signal, self._played = scenario, signal, played
        self._calls = iter(scenario.get("model_calls", ()))

    def hooks(self) -> dict[str, Any]:
        scenario = self._scenario
        hooks: dict[str, Any] = {
            "get_steering_messages": self._queue("steering"),
            "get_follow_up_messages": self._queue("follow_ups"),
        }
        if "convert_to_llm" in scenario:
            hooks["convert_to_llm"] = self._convert
        if "transform_context" in scenario:
            hooks["transform_context"] = self._transform
        if "get_api_key" in scenario:
            keys = iter(scenario["get_api_key"])
            hooks["get_api_key"] = lambda provider: next(keys, None)
        if "before_tool_call" in scenario:
            hooks["before_tool_call"] = self._before
        if "after_tool_call" in scenario:
            hooks["after_tool_call"] = self._after
        if "finish_turn" in scenario:
            turns = iter(scenario["finish_turn"])
            hooks["finish_turn"] = lambda ended: self._finish(next(turns, None))
        return hooks

    def _finish(self, answer: dict[str, Any] | None) -> Any:
        action = (answer or {}).get("action")
        self._played.polls.append(("finish_turn", action))
        return action

    def tools(self) -> list[Tool]:
        return [self._tool(spec) for spec in self._scenario.get("tools", ())]

    def _queue(self, name: str) -> Callable[[], Sequence[Message]] | None:
        if name in self._scenario and self._scenario[name] is None:
            return None
        answers = iter(self._scenario.get(name, ()))

        def poll() -> Sequence[Message]:
            answer = next(answers, ())
            if isinstance(answer, dict):
                raise RuntimeError(answer["throw"])
            self._played.polls.append((name, len(answer)))
            return [read_message(message) for message in answer]

        return poll

    def _convert(self, messages: list[Message]) -> list[Message]:
        how = self._scenario["convert_to_llm"]
        if "throw" in how:
            raise RuntimeError(how["throw"])
        roles = how.get("map_roles", {})
        kept = []
        for message in messages:
            written = write_message(message)
            role = roles.get(written["role"], written["role"])
            if role in ("user", "assistant", "toolResult"):
                kept.append(message if role == written["role"] else read_message({**written, "role": role}))
        return kept

    def _transform(self, messages: list[Message]) -> list[Message]:
        how = self._scenario["transform_context"]
        if "throw" in how:
            raise RuntimeError(how["throw"])
        if "mutate_in_place" in how:
            del messages[: -how["mutate_in_place"]]
        if "keep_last" in how:
            messages = messages[-how["keep_last"] :]
        return [*(read_message(message) for message in how.get("prepend", ())), *messages]

    def _before(self, asked: ToolRequest) -> ToolVerdict | None:
        verdict = self._scenario["before_tool_call"].get(asked.call.id)
        if verdict is None:
            return None
        if "throw" in verdict:
            raise RuntimeError(verdict["throw"])
        arguments = verdict.get("args", verdict.get("arguments"))
        return ToolVerdict(
            block=verdict.get("block", False),
            reason=verdict.get("reason", ""),
            arguments=json.dumps(arguments) if arguments is not None else None,
        )

    def _after(self, ended: ToolOutcomeShown) -> ToolRevision | None:
        revision = self._scenario["after_tool_call"].get(ended.call.id)
        if revision is None:
            return None
        result = msgspec.structs.replace(
            ended.result,
            **({"content": read_content(revision["content"])} if "content" in revision else {}),
            **({"details": to_json(revision["details"])} if "details" in revision else {}),
            **({"terminate": revision["terminate"]} if "terminate" in revision else {}),
        )
        return ToolRevision(result=result, is_error=revision.get("isError"))

    def _tool(self, spec: dict[str, Any]) -> Tool:
        runs = 0

        async def execute(arguments: dict[str, Any], context: ToolContext) -> ToolOutcome:
            nonlocal runs
            behaviours = spec.get("behaviours") or [{}]
            behaviour = behaviours[min(runs, len(behaviours) - 1)]
            runs += 1
            self._played.ran.append({"id": context.call.id, "name": spec["name"], "args": dict(arguments)})
            if behaviour.get("abort") == "start":
                self._signal.set()
            if "mutate_args" in behaviour:
                arguments.update(behaviour["mutate_args"])
            for update in behaviour.get("updates", ()):
                context.update(read_result(update))
            if "delay_ms" in behaviour:
                await asyncio.sleep(behaviour["delay_ms"] / 1000)
            if behaviour.get("throw_if_aborted"):
                context.raise_if_cancelled()
            if "late_update" in behaviour:
                late = read_result(behaviour["late_update"])
                asyncio.get_running_loop().call_later(0.005, context.update, late)
            if behaviour.get("abort") == "end":
                self._signal.set()
            if "throw" in behaviour or "throw_value" in behaviour:
                raise RuntimeError(behaviour.get("throw", behaviour.get("throw_value")))
            given = behaviour.get("result", {"content": [{"type": "text", "text": "ok"}], "details": {}})
            return ToolOutcome(read_result(given), is_error=given.get("isError", False))

        mode = spec.get("execution_mode", "parallel")
        return json_tool(spec["name"], spec["parameters"], execute, description=spec.get("description", ""), mode=mode)

    def stream(self, model: ModelRef, request: Request, options: CallOptions) -> Any:
        self._played.calls.append(
            {
                "system_prompt": request.system_prompt,
                "tools": [tool.name for tool in request.tools],
                "messages": [write_message(m) for m in request.messages],
                "api_key": options.api_key,
            }
        )
        call = next(self._calls, None)
        if call is None:
            return _stream([{"t": "error", "reason": "error", "message": "script exhausted"}], True, self._signal)
        if "throw_sync" in call:
            raise RuntimeError(call["throw_sync"])
        stream = _stream(call.get("events", ()), call.get("honour_abort", True), self._signal)
        if "reject" in call or call.get("async"):
            return _later(stream, call.get("reject"))
        return stream


async def _later(stream: AsyncIterator[StreamEvent], reject: str | None) -> AsyncIterator[StreamEvent]:
    if reject is not None:
        raise RuntimeError(reject)
    return stream


async def _stream(
    events: Sequence[dict[str, Any]], honour_abort: bool, signal: asyncio.Event
) -> AsyncIterator[StreamEvent]:
    content: list[dict[str, Any]] = []
    for event in events:
        kind = event["t"]
        if honour_abort and signal.is_set():
            yield StreamEnd(message=_final(content, "aborted", error="Request was aborted"))
            return
        if kind == "start":
            yield StreamStart()
        elif kind == "abort":
            signal.set()
        elif kind == "sleep":
            await asyncio.sleep(event["ms"] / 1000)
        elif kind == "done":
            yield StreamEnd(message=_final(content, event["reason"], usage=event.get("usage")))
        elif kind == "error":
            yield StreamEnd(message=_final(content, event["reason"], error=event.get("message", "")))
        elif kind == "end":
            if event.get("with_result"):
                yield StreamEnd(message=_final(content, event.get("reason", "stop")))
            return
        else:
            yield _update(event, content)


def _update(event: dict[str, Any], content: list[dict[str, Any]]) -> MessageUpdate:
    name, _, at = event["t"].partition("_")
    kind: Any = KINDS.get(event["t"], event["t"])
    if at == "start":
        content.append({"type": name, "text": "", **{k: event[k] for k in ("id", "name") if k in event}})
        index = len(content) - 1
        return MessageUpdate(kind=kind, content_index=index, id=event.get("id", ""), name=event.get("name", ""))
    index = max(i for i, block in enumerate(content) if block["type"] == name)
    block = content[index]
    if at == "delta":
        block["text"] += event["d"]
        return MessageUpdate(kind=kind, content_index=index, delta=event["d"])
    block["signature"] = event.get("signature", "")
    arguments = None
    if name == "toolcall":
        written = json.dumps(event["arguments"])
        arguments = None if same_arguments(block["text"], written) else written
        block["text"] = block["text"] if arguments is None else arguments
    return MessageUpdate(kind=kind, content_index=index, arguments=arguments, signature=block["signature"])


def _final(
    content: Sequence[dict[str, Any]], reason: str, *, error: str = "", usage: dict[str, int] | None = None
) -> AssistantMessage:
    blocks: list[AssistantContent] = []
    for block in content:
        signature = block.get("signature", "")
        if block["type"] == "text":
            blocks.append(TextContent(text=block["text"], signature=signature))
        elif block["type"] == "thinking":
            blocks.append(ThinkingContent(thinking=block["text"], signature=signature))
        else:
            blocks.append(ToolCall(id=block["id"], name=block["name"], arguments=block["text"]))
    stop: Any = STOPS.get(reason, reason)
    return AssistantMessage(
        content=tuple(blocks), stop_reason=stop, error=error, usage=read_usage(usage) if usage else None
    )


def read_usage(usage: dict[str, Any]) -> Usage:
    return Usage(
        input_tokens=usage.get("input", 0),
        output_tokens=usage.get("output", 0),
        cache_read_tokens=usage.get("cacheRead", 0),
        cache_write_tokens=usage.get("cacheWrite", 0),
    )


def read_content(content: Sequence[dict[str, Any]]) -> tuple[UserContent, ...]:
    return tuple(
        TextContent(text=block["text"])
        if block["type"] == "text"
        else ImageContent(data=block["data"], media_type=block["mimeType"])
        for block in content
    )


def read_result(result: dict[str, Any]) -> ToolResult:
    return ToolResult(
        content=read_content(result["content"]),
        details=to_json(result["details"]) if "details" in result else msgspec.UNSET,
        terminate=result.get("terminate", False),
    )


def read_message(message: dict[str, Any]) -> Message:
    content = message.get("content", "")
    match message["role"]:
        case "user":
            return UserMessage(content=content if isinstance(content, str) else read_content(content))
        case "assistant":
            blocks = [{**b, "text": b.get("text", b.get("thinking", ""))} for b in content]
            for block in blocks:
                if block["type"] == "toolCall":
                    block.update(type="toolcall", text=json.dumps(block["arguments"]))
                block["signature"] = block.get("thinkingSignature", "")
            stop = message.get("stopReason", "stop")
            return _final(blocks, stop, error=message.get("errorMessage", ""), usage=message.get("usage"))
        case "toolResult":
            return ToolResultMessage(
                tool_call_id=message["toolCallId"],
                tool_name=message["toolName"],
                content=read_content(content),
                details=to_json(message["details"]) if message.get("details") else msgspec.UNSET,
                is_error=message["isError"],
            )
        case role:
            return CustomMessage(kind=role, body=to_json({k: v for k, v in message.items() if k != "role"}))


def write_message(message: Message, *, whole: bool = True) -> dict[str, Any]:
    """Write a message in the founding words; without `whole`, arguments that are still being streamed are left out."""
    match message:
        case UserMessage():
            content = message.content
            return {"role": "user", "content": content if isinstance(content, str) else _write_content(content)}
        case AssistantMessage():
            written = {
                "role": "assistant",
                "content": [_write_block(block, whole) for block in message.content],
                "stopReason": next((k for k, v in STOPS.items() if v == message.stop_reason), message.stop_reason),
            }
            usage = message.usage or Usage()
            tokens = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
            return {**written, "tokens": tokens, **({"errorMessage": message.error} if message.error else {})}
        case ToolResultMessage():
            return {
                "role": "toolResult",
                "toolCallId": message.tool_call_id,
                "toolName": message.tool_name,
                "content": _write_content(message.content),
                "details": _write_details(message.details),
                "isError": message.is_error,
            }
        case CustomMessage():
            body = from_json(message.body)
            return {"role": message.kind, **(body if isinstance(body, dict) else {})}


def read_arguments(text: str) -> Any:
    """Read a call's arguments; cut ones read as none, as the founding loop leaves them."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return {}


def _write_content(content: Sequence[UserContent]) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": block.text}
        if isinstance(block, TextContent)
        else {"type": "image", "data": block.data, "mimeType": block.media_type}
        for block in content
    ]


def _write_details(details: Json) -> object:
    """Write a result's details; none, null and an empty object say the same.

    The type and traceback of what a tool raised are ours: the founding loop keeps its text alone.
    """
    found = (from_json(details) if details is not msgspec.UNSET else None) or {}
    if isinstance(found, dict) and TRACEBACK in found:
        return {name: value for name, value in found.items() if name not in ("type", TRACEBACK)}
    return found


def _write_block(block: AssistantContent, whole: bool) -> dict[str, Any]:
    match block:
        case TextContent():
            return {"type": "text", "text": block.text}
        case ThinkingContent():
            signature = {"thinkingSignature": block.signature} if block.signature else {}
            return {"type": "thinking", "thinking": block.thinking, **signature}
        case ToolCall():
            arguments = {"arguments": read_arguments(block.arguments)} if whole else {}
            return {"type": "toolCall", "id": block.id, "name": block.name, **arguments}
        case ProviderContent():
            return {"type": "provider"}


def founding_event(shown: LifecycleEvent) -> dict[str, Any]:
    """Write an event in the founding words, without what the comparison leaves out."""
    event: dict[str, Any] = {"type": shown.type}
    streaming = isinstance(shown.event, MessageUpdate)
    if shown.message is not None:
        event["message"] = write_message(shown.message, whole=shown.type not in ("message_update", "message_start"))
    if streaming:
        update: Any = shown.event
        kind = next((k for k, v in KINDS.items() if v == update.kind), update.kind)
        event["assistantMessageEvent"] = {"type": kind, "contentIndex": update.content_index}
        if kind.endswith("_delta"):
            event["assistantMessageEvent"]["delta"] = update.delta
    if shown.call is not None:
        event |= {"toolCallId": shown.call.id, "toolName": shown.call.name}
        event["args"] = read_arguments(shown.call.arguments)
    if shown.result is not None:
        ended = shown.type == "tool_execution_end"
        event["result" if ended else "partialResult"] = {
            "content": _write_content(shown.result.content),
            "details": _write_details(shown.result.details),
            "terminate": shown.result.terminate,
        }
        if ended:
            event["isError"] = getattr(shown.event, "is_error", False)
            event.pop("args")
    if shown.type == "turn_end":
        event["toolResults"] = [write_message(message) for message in shown.results]
    if shown.type == "agent_end":
        event["messages"] = [write_message(message) for message in shown.messages]
    return event


def expected_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield json.loads(line)


def comparable(value: Any, *, whole: bool = True) -> Any:
    """Bring an expected event or message into the form that `founding_event` writes."""
    if isinstance(value, list):
        return [comparable(item, whole=whole) for item in value]
    if not isinstance(value, dict):
        return value
    if "role" in value:
        return write_message(read_message(value), whole=whole)
    kind = value.get("type")
    if kind == "text" and value["text"].startswith("Validation failed for tool"):
        return {"type": "text", "text": value["text"].split("\n")[0]}
    kept = {k: v for k, v in value.items() if k not in ("partial", "content", "toolCall") or kind != k}
    if kind == "message_update":
        update = kept["assistantMessageEvent"]
        kept["assistantMessageEvent"] = {k: update[k] for k in ("type", "contentIndex", "delta") if k in update}
    partial = kind in ("message_update", "message_start")
    kept = {k: comparable(v, whole=whole and not partial) for k, v in kept.items()}
    for name in ("result", "partialResult"):
        if name in kept:
            result = kept[name]
            details = value[name].get("details") or {}
            kept[name] = {
                "content": result["content"],
                "details": details,
                "terminate": result.get("terminate", False),
            }
    return kept


def normal(value: Any) -> Any:
    """Shorten what is compared by its beginning only: the words of argument validation."""
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, dict):
        text = value.get("text")
        if isinstance(text, str) and text.startswith("Validation failed for tool"):
            return {**value, "text": text.split("\n")[0]}
        return {key: normal(item) for key, item in value.items()}
    return value


async def carry_on(scenario: dict[str, Any], variant: str, log: EventLog, session: str) -> None:
    """Continue a session as another process would: same tools and callbacks, a model that just answers."""
    signal = asyncio.Event()
    script = _Script(scenario, signal, Played())
    tools = toolbox(script.tools())
    writer = Writer(log, session, context=CONTEXT, clock=lambda: 1, on_commit=lambda recorded: None)
    await writer.load()
    if writer.head and writer.state.phase is not Phase.IDLE:
        writer.outcome(Resume(why="crash"))
    model = _Answering()
    program = Program(model=model, context=CONTEXT, clock=lambda: 1, tools=tools, hooks=Hooks(**script.hooks()))
    try:
        await Loop(writer, program, signal).run()
    except MissingModelError:
        if writer.state.config.model is not None:
            raise
    assert not model.faults, model.faults  # what a model raises is an outcome, and would not end this


class _Answering:
    """A model that says one word to everything, and keeps what is wrong with the requests."""

    ref = REF

    def __init__(self) -> None:
        self.faults: list[str] = []

    def encode(self, request: Request) -> None:
        return None

    async def stream(self, request: Request, options: CallOptions) -> AsyncIterator[StreamEvent]:
        self.faults += [f"a call without its result: {call_id}" for call_id in unanswered(request)]
        self.faults += [f"an answer that failed: {error}" for error in failed(request)]
        yield StreamStart()
        yield MessageUpdate(kind="text_start", content_index=0)
        yield MessageUpdate(kind="text_delta", content_index=0, delta="fine")
        yield MessageUpdate(kind="text_end", content_index=0)
        yield StreamEnd(message=AssistantMessage(content=(TextContent(text="fine"),)))


def failed(request: Request) -> list[str]:
    """Name the errors of a request's answers that failed or were aborted."""
    answers = [message for message in request.messages if isinstance(message, AssistantMessage)]
    return [answer.error for answer in answers if answer.stop_reason in ("error", "aborted")]


def unanswered(request: Request) -> list[str]:
    """Name the calls of a request that lack a result."""
    ids = [call.id for m in request.messages if isinstance(m, AssistantMessage) for call in m.tool_calls]
    for message in request.messages:
        if isinstance(message, ToolResultMessage):
            ids.remove(message.tool_call_id)
    return ids
