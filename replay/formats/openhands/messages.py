"""Messages of OpenHands, read from the events that hold them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from eventsource.codec import to_json
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    StopReason,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserContent,
    UserMessage,
)

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields
from ..numbers import read_count
from .events import answer_of, name_of

_STOPS: dict[str, StopReason] = {"length": "length", "content_filter": "refusal"}
_UNKNOWN = -1  # the exit code of a command that has not ended
_NOT_ARGUMENTS = ("thought", "is_confirmed", "action_risk", "keep_prompt", "action", "source", "security_risk")


def read_system(fields: Fields) -> tuple[str, Sequence[Fields]]:
    """Read the system prompt and the tools."""
    if "action" in fields:
        args = fields_of(fields.get("args"))
        offered = [fields_of(fields_of(tool).get("function")) for tool in list_of(args.get("tools"))]
        return text_of(args.get("content")) or text_of(fields.get("content")), offered
    texts = [fields_of(fields.get(name)).get("text") for name in ("system_prompt", "dynamic_context")]
    prompt = "\n\n".join(text for text in map(text_of, texts) if text)
    return prompt, [_schema(fields_of(tool)) for tool in list_of(fields.get("tools"))]


def _schema(tool: Fields) -> Fields:
    """Read a tool as any version of the SDK writes it."""
    function = fields_of(tool.get("function")) or tool
    name = function.get("name") or function.get("title") or tool.get("kind")
    parameters = function.get("parameters") or function.get("input_schema")
    return {"name": name, "description": function.get("description"), "parameters": parameters}


def read_said(fields: Fields) -> UserMessage:
    """Read what a person, or the program in their place, said."""
    if isinstance(fields.get("kind"), str):
        parts = _parts(fields_of(fields.get("llm_message")).get("content")) + _parts(fields.get("extended_content"))
        return UserMessage(content=parts)
    args = fields_of(fields.get("args")) or fields
    text = text_of(args.get("content")) or text_of(args.get("command")) or text_of(fields.get("content"))
    if fields.get("action") == "run":
        text = f"User executed the command:\n{text}"
    images = [url for url in list_of(args.get("image_urls") or args.get("images_urls")) if isinstance(url, str)]
    return UserMessage(content=(TextContent(text=text), *map(_image, images)) if images else text)


def _parts(content: object) -> tuple[UserContent, ...]:
    if isinstance(content, str):
        return (TextContent(text=content),)
    found: list[UserContent] = []
    for part in map(fields_of, list_of(content)):
        if isinstance(part.get("text"), str):
            found.append(TextContent(text=text_of(part["text"])))
        else:
            found += [_image(url) for url in list_of(part.get("image_urls")) if isinstance(url, str)]
    return tuple(found)


def _image(url: str) -> UserContent:
    head, carried, data = url.partition(";base64,")
    if carried and head.startswith("data:"):
        return ImageContent(data=data, media_type=head.removeprefix("data:"))
    return TextContent(text=f"[image: {url}]")


def read_answer(records: Sequence[Fields]) -> AssistantMessage:
    """Read the events of one answer: its text, its thoughts and its calls."""
    first = records[0]
    if isinstance(first.get("kind"), str):
        return _read_sdk_answer(records)
    response = fields_of(fields_of(first.get("tool_call_metadata")).get("model_response"))
    choices = list_of(response.get("choices"))
    message = fields_of(fields_of(choices[0]).get("message")) if choices else {}
    if not message:
        return _read_bare_answer(records)
    calls = [_read_call(fields_of(call)) for call in list_of(message.get("tool_calls"))]
    named = {call.id for call in calls}
    for fields in records:
        told = fields_of(fields.get("tool_call_metadata"))
        if text_of(told.get("tool_call_id")) not in named:
            calls.append(_bare_call(fields, text_of(told.get("tool_call_id")), text_of(told.get("function_name"))))
    thought = text_of(message.get("reasoning_content"))
    thoughts: list[AssistantContent] = [ThinkingContent(thinking=thought)] if thought else []
    texts = [TextContent(text=part.text) for part in _parts(message.get("content")) if isinstance(part, TextContent)]
    stop = _STOPS.get(text_of(fields_of(choices[0]).get("finish_reason")), "tool_use" if calls else "stop")
    return AssistantMessage(
        content=(*thoughts, *(text for text in texts if text.text), *calls),
        stop_reason=stop,
        usage=_usage(fields_of(response.get("usage"))),
        model=text_of(response.get("model")),
        response_id=text_of(response.get("id")),
    )


def _read_bare_answer(records: Sequence[Fields]) -> AssistantMessage:
    """Read an action of an agent that does not say what the model answered."""
    fields = records[0]
    args = fields_of(fields.get("args")) or fields
    action = text_of(fields.get("action"))
    if action in ("message", "finish"):
        told = fields_of(args.get("outputs")).get("content")
        names = (
            ("content", "thought", "final_thought", "message") if action == "message" else ("final_thought", "thought")
        )
        text = next((text_of(args[name]) for name in names if text_of(args.get(name))), text_of(told))
        return AssistantMessage(content=(TextContent(text=text),) if text else ())
    thought = text_of(args.get("thought"))
    texts = (TextContent(text=thought),) if thought else ()
    return AssistantMessage(content=(*texts, _bare_call(fields, name_of(fields), action)), stop_reason="tool_use")


def _bare_call(fields: Fields, call_id: str, name: str) -> ToolCall:
    args = fields_of(fields.get("args")) or fields
    own = {key: value for key, value in args.items() if key not in _NOT_ARGUMENTS and key not in ("id", "timestamp")}
    return ToolCall(id=call_id, name=name, arguments=json.dumps(own, ensure_ascii=False) if own else "")


def _read_call(call: Fields) -> ToolCall:
    function = fields_of(call.get("function")) or call
    arguments = function.get("arguments")
    told = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False) if arguments else ""
    return ToolCall(id=text_of(call.get("id")), name=text_of(function.get("name")), arguments=told)


def _read_sdk_answer(records: Sequence[Fields]) -> AssistantMessage:
    first = records[0]
    said = fields_of(first.get("llm_message")) if first.get("kind") == "MessageEvent" else first
    content: list[AssistantContent] = []
    for block in map(fields_of, list_of(said.get("thinking_blocks"))):
        if block.get("type") == "redacted_thinking":
            content.append(ThinkingContent(thinking="", signature=text_of(block.get("data")), redacted=True))
        else:
            signature = text_of(block.get("signature"))
            content.append(ThinkingContent(thinking=text_of(block.get("thinking")), signature=signature))
    if not content and text_of(said.get("reasoning_content")):
        content.append(ThinkingContent(thinking=text_of(said.get("reasoning_content"))))
    for record in records:
        told = fields_of(record.get("llm_message")).get("content") if "llm_message" in record else record.get("thought")
        content += [part for part in _parts(told) if isinstance(part, TextContent) and part.text]
    calls = [_read_call(_call_of(record)) for record in records if record.get("kind") == "ActionEvent"]
    calls += [_read_call(fields_of(call)) for call in list_of(said.get("tool_calls"))]
    return AssistantMessage(
        content=(*content, *calls), stop_reason="tool_use" if calls else "stop", response_id=answer_of(first)
    )


def _call_of(record: Fields) -> Fields:
    call = fields_of(record.get("tool_call"))
    return {
        **call,
        "id": record.get("tool_call_id") or call.get("id"),
        "name": call.get("name") or record.get("tool_name"),
    }


def read_result(fields: Fields, call_id: str, tool: str) -> ToolResultMessage:
    """Read what a tool answered, or why it did not run."""
    details: object = msgspec.UNSET
    if isinstance(fields.get("kind"), str):
        observation = fields_of(fields.get("observation"))
        parts = _parts(observation.get("content")) or _parts(observation.get("output"))
        parts = _with_ending(parts, fields_of(observation.get("metadata")))
        parts += _parts(fields.get("extended_content"))
        failed = observation.get("is_error") is True
        rest = {name: value for name, value in observation.items() if name not in ("content", "output")}
        details = rest or msgspec.UNSET
        if fields.get("kind") == "AgentErrorEvent":
            parts, failed = (TextContent(text=text_of(fields.get("error"))),), True
        elif fields.get("kind") == "UserRejectObservation":
            reason = text_of(fields.get("rejection_reason"))
            parts, failed = (TextContent(text=f"Action rejected: {reason}"),), True
        tool = text_of(fields.get("tool_name")) or tool
    else:
        parts = _with_ending(_parts(fields.get("content")), fields_of(fields_of(fields.get("extras")).get("metadata")))
        failed = fields.get("success") is False or fields.get("observation") in ("error", "user_rejected")
        details = fields.get("extras", msgspec.UNSET)
        tool = text_of(fields_of(fields.get("tool_call_metadata")).get("function_name")) or tool
    return ToolResultMessage(
        tool_call_id=call_id,
        tool_name=tool,
        content=parts,
        details=details if isinstance(details, msgspec.UnsetType) else to_json(details),
        is_error=failed,
    )


def _with_ending(parts: tuple[UserContent, ...], metadata: Fields) -> tuple[UserContent, ...]:
    """Add to what a command put out how OpenHands tells its model that it ended, and where."""
    ending, texts = _ending(metadata), [part.text for part in parts if isinstance(part, TextContent)]
    if not ending or len(texts) != len(parts):
        return parts
    return (TextContent(text=f"{text_of(metadata.get('prefix'))}{''.join(texts)}{ending}"),)


def without_ending(text: str, details: Fields) -> str:
    """Take off again what was added to the output of a command, by the details of its result."""
    metadata = fields_of(details.get("metadata"))
    ending = _ending(metadata)
    return text.removeprefix(text_of(metadata.get("prefix"))).removesuffix(ending) if ending else text


def _ending(metadata: Fields) -> str:
    """Return how the end of a command is told, as both versions tell it; empty for what is no command."""
    code = metadata.get("exit_code")
    if type(code) is not int or "suffix" not in metadata:
        return ""
    told = (
        ("Current working directory: ", text_of(metadata.get("working_dir"))),
        ("Python interpreter: ", text_of(metadata.get("py_interpreter_path"))),
        ("Command finished with exit code ", str(code) if code != _UNKNOWN else ""),
    )
    lines = (f"\n[{what}{value}]" for what, value in told if value)
    return text_of(metadata.get("suffix")) + "".join(lines)


def read_usage(raw: Fields) -> Usage:
    """Read tokens as OpenHands counts them; what was read from a cache is part of the prompt's."""
    cached, written = read_count(raw.get("cache_read_tokens")), read_count(raw.get("cache_write_tokens"))
    return Usage(
        input_tokens=max(0, read_count(raw.get("prompt_tokens")) - cached - written),
        output_tokens=read_count(raw.get("completion_tokens")),
        cache_read_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=read_count(raw.get("reasoning_tokens")),
        raw=to_json(dict(raw)),
    )


def _usage(raw: Fields) -> Usage | None:
    """Read the usage in a model's response."""
    if not raw:
        return None
    details, done = fields_of(raw.get("prompt_tokens_details")), fields_of(raw.get("completion_tokens_details"))
    cached = read_count(raw.get("cache_read_input_tokens")) or read_count(details.get("cached_tokens"))
    written = read_count(raw.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=max(0, read_count(raw.get("prompt_tokens")) - cached - written),
        output_tokens=read_count(raw.get("completion_tokens")),
        cache_read_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=read_count(done.get("reasoning_tokens")),
        raw=to_json(dict(raw)),
    )
