"""Messages of Gemini CLI: parts of Google's API or plain texts, with the calls and their results beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from eventsource.codec import from_json, read_object, to_json
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserContent,
    UserMessage,
)
from eventsource.models.google import answer_parts
from eventsource.models.google_reader import API

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields
from ..numbers import read_count
from ..times import read_time, write_time

PROVIDER = "google"
_UNSEEN = re.compile(r"[\u200b-\u200d\ufeff\u200e\u200f]|<!--.*?-->", re.DOTALL)  # what the program takes out of texts
_THOUGHT = re.compile(r"\*\*(.*?)\*\*(.*)", re.DOTALL)
_FAILED = ("error", "cancelled")
_TOLD = ("status", "resultDisplay", "displayName", "description", "agentId")


def role_of(message: Fields) -> str:
    """Return whose a message is: `user`, `gemini`, `error`, or empty where it is nobody's in the conversation."""
    kind = message.get("type") or message.get("role")
    match kind:
        case "user" | "gemini" | "error":
            return str(kind)
        case "model" | "assistant":
            return "gemini"
        case "info" if any("text" not in part for part in parts_of(message)):
            return "user"  # an image that a tool gave, which the model reads
        case _:
            return ""


_KNOWN = ("user", "gemini", "model", "info", "warning", "error")
_RECORDS = ("$set", "$rewindTo", "sessionId", "$again", "$later")
_PARTS = ("text", "inlineData", "functionCall", "functionResponse")


def unclear_in(record: Fields) -> tuple[str, ...]:
    """Say what is not understood of a record."""
    if not isinstance(record.get("id"), str):
        known = any(name in record for name in (*_RECORDS, "role", "type"))
        return () if known else ("neither a message nor what is said of the session",)
    kind = record.get("type") or record.get("role")
    found = [] if kind in _KNOWN else [f"of type {kind!r}, which is not known here"]
    if read_time(record.get("timestamp")) is None and "timestamp" in record:
        found.append("with a time that cannot be read")
    strange = [part for part in parts_of(record) if not any(name in part for name in _PARTS)]
    return (*found, *(("with a part that is kept and not sent",) if strange else ()))


def parts_of(message: Fields) -> list[Fields]:
    """Return the parts of a message; a text is one part."""
    return as_parts(message["content"] if "content" in message else message.get("parts"))


def as_parts(content: object) -> list[Fields]:
    """Return content as parts: a text is one, what is none is left out."""
    items = content if isinstance(content, list) else [content]
    return [{"text": one} if isinstance(one, str) else one for one in items if isinstance(one, str | dict) and one]


def calls_of(message: Fields) -> list[Fields]:
    """Return what a message says of its calls, each once: beside it, or in its parts."""
    beside = [one for one in map(fields_of, list_of(message.get("toolCalls"))) if one]
    named = {text_of(one.get("id")) for one in beside} - {""}
    within = [fields_of(part.get("functionCall")) for part in parts_of(message) if "functionCall" in part]
    return beside + ([one for one in within if text_of(one.get("id")) not in named] if within and beside else within)


def said_by(message: Fields) -> str:
    """Return the text of a message as the program compares it."""
    texts = [text_of(part.get("text")) for part in parts_of(message) if part.get("thought") is not True]
    return _UNSEEN.sub("", "".join(texts)).strip()


def responses_of(message: Fields) -> list[Fields] | None:
    """Return the results that a message gives; None when it gives none, or something else than images as well."""
    parts = parts_of(message)
    found = [fields_of(part.get("functionResponse")) for part in parts if "functionResponse" in part]
    others = [part for part in parts if "functionResponse" not in part and "inlineData" not in part]
    return found if found and not others else None


def answered_in(message: Fields) -> set[str]:
    """Return the ids of the calls of a message whose results stand beside them."""
    beside = map(fields_of, list_of(message.get("toolCalls")))
    return {text_of(one.get("id")) for one in beside if one.get("result")}


def read_user(message: Fields) -> UserMessage:
    """Read what a person, or the program in their place, said."""
    content = message.get("content")
    if isinstance(content, str):
        return UserMessage(content=content)
    return UserMessage(content=_shown(parts_of(message)))


def _shown(parts: Sequence[Fields]) -> tuple[UserContent, ...]:
    return tuple(one for one in map(_read_part, parts) if one is not None)


def _read_part(part: Fields) -> UserContent | None:
    match part:
        case {"text": str(text)}:
            return TextContent(text=text)
        case {"inlineData": {"mimeType": str(media_type), "data": str(data)}} if media_type.startswith("image/"):
            return ImageContent(data=data, media_type=media_type)
        case _:
            return None


def write_user(message: UserMessage) -> object:
    """Write what a person said."""
    content = message.content
    return content if isinstance(content, str) else [_write_part(part) for part in content]


def _write_part(part: UserContent) -> dict[str, object]:
    if isinstance(part, TextContent):
        return {"text": part.text}
    return {"inlineData": {"mimeType": part.media_type, "data": part.data}}


def read_answer(message: Fields) -> AssistantMessage:
    """Read an answer, without the results of its calls."""
    if role_of(message) == "error":
        said = "".join(text_of(part.get("text")) for part in parts_of(message))
        return AssistantMessage(stop_reason="error", error=said or "an error", api=API, provider=PROVIDER)
    parts = parts_of(message)
    content: list[AssistantContent] = []
    if not any("functionCall" in part or part.get("thought") is True for part in parts):
        content += [_read_thought(fields_of(one)) for one in list_of(message.get("thoughts"))]
    content += [_read_reply(part) for part in parts]
    known = {block.id for block in content if isinstance(block, ToolCall)}
    calls = [_read_call(one) for one in calls_of(message)]
    content += [call for call in calls if call.id not in known or not known]
    called = any(isinstance(block, ToolCall) for block in content)
    return AssistantMessage(
        content=tuple(content),
        stop_reason="tool_use" if called else "stop",
        usage=_read_usage(message.get("tokens")),
        api=API,
        provider=PROVIDER,
        model=text_of(message.get("model")),
    )


def _read_reply(part: Fields) -> AssistantContent:
    signature = text_of(part.get("thoughtSignature"))
    match part:
        case {"text": str(text)} if part.get("thought") is True:
            return ThinkingContent(thinking=text, signature=signature)
        case {"text": str(text)}:
            return TextContent(text=text, signature=signature)
        case {"functionCall": {"name": str()}}:
            return msgspec.structs.replace(_read_call(fields_of(part["functionCall"])), signature=signature)
        case _:
            return ProviderContent(api=API, block=msgspec.Raw(to_json(part)))


def _read_call(call: Fields) -> ToolCall:
    args = call.get("args")
    arguments = bytes(to_json(args)).decode() if args else ""
    return ToolCall(id=text_of(call.get("id")), name=text_of(call.get("name")), arguments=arguments)


def _read_thought(thought: Fields) -> ThinkingContent:
    subject, description = text_of(thought.get("subject")), text_of(thought.get("description"))
    return ThinkingContent(thinking=f"**{subject}** {description}" if subject else description)


def _read_usage(tokens: object) -> Usage | None:
    if not isinstance(tokens, dict):
        return None
    cached, thoughts = read_count(tokens.get("cached")), read_count(tokens.get("thoughts"))
    return Usage(
        input_tokens=max(0, read_count(tokens.get("input")) + read_count(tokens.get("tool")) - cached),
        output_tokens=read_count(tokens.get("output")) + thoughts,
        cache_read_tokens=cached,
        reasoning_tokens=thoughts,
        raw=to_json(tokens),
    )


def write_answer(message: AssistantMessage) -> dict[str, object]:
    """Write an answer, without its calls, as the program records it."""
    if message.stop_reason == "error" and not message.content:
        return {"type": "error", "content": message.error}
    thoughts = [_write_thought(block) for block in message.content if isinstance(block, ThinkingContent)]
    written: dict[str, object] = {"type": "gemini", "content": _write_content(message), "thoughts": thoughts}
    if message.usage is not None:
        written["tokens"] = _write_usage(message.usage)
    written["model"] = message.model
    return written


def _write_content(message: AssistantMessage) -> object:
    """Write the text, or all parts where one is signed or no text: these must stay as they came."""
    signed = [block for block in message.content if isinstance(block, ProviderContent) or block.signature]
    return [part for block in message.content for part in answer_parts(block)] if signed else message.text


def _write_thought(block: ThinkingContent) -> dict[str, object]:
    found = _THOUGHT.fullmatch(block.thinking)
    subject, description = (found[1], found[2].strip()) if found is not None else ("", block.thinking)
    return {"subject": subject, "description": description}


def _write_usage(usage: Usage) -> object:
    if not isinstance(usage.raw, msgspec.UnsetType) and "total" in read_object(usage.raw):
        return from_json(usage.raw)
    return {
        "input": usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
        "output": usage.output_tokens - usage.reasoning_tokens,
        "cached": usage.cache_read_tokens,
        "thoughts": usage.reasoning_tokens,
        "tool": 0,
        "total": usage.total_tokens,
    }


class CallResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a call came to: the message, when it came, and the session that made it (empty: none)."""

    message: ToolResultMessage
    at_us: int | None
    agent: str = ""


def read_results(message: Fields) -> list[CallResult]:
    """Read the results that stand beside the calls of an answer."""
    return [_read_result(one) for one in calls_of(message) if one.get("result")]


def _read_result(call: Fields) -> CallResult:
    call_id = text_of(call.get("id"))
    given = call.get("result")
    parts = [{"functionResponse": {"response": {"output": given}}}] if isinstance(given, str) else as_parts(given)
    own = _own_parts(parts, call_id) or parts
    shown = [one for part in own for one in _told(part)]
    failed = call.get("status") in _FAILED or any("error" in fields_of(_response(part).get("response")) for part in own)
    told = {name: call[name] for name in _TOLD if name in call}
    return CallResult(
        message=ToolResultMessage(
            tool_call_id=call_id,
            tool_name=text_of(call.get("name")),
            content=tuple(shown),
            details=to_json(told) if told else msgspec.UNSET,
            is_error=failed,
        ),
        at_us=read_time(call.get("timestamp")),
        agent=text_of(call.get("agentId")),
    )


def _own_parts(parts: Sequence[Fields], call_id: str) -> list[Fields]:
    """Leave out the results of other calls, which stand beside a call's own once a session was resumed."""
    own: list[Fields] = []
    is_own = True
    for part in parts:
        if "functionResponse" in part:
            is_own = _response(part).get("id") in (call_id, None)
        own += [part] if is_own else []  # an image stands behind the result that it is of
    return own


def _response(part: Fields) -> Fields:
    return fields_of(part.get("functionResponse"))


def read_responses(message: Fields) -> tuple[list[ToolResultMessage], list[Fields]]:
    """Read the results that stand in a message of their own, with the images behind each.

    Returns: these, and the parts that are left.
    """
    found, rest = list[ToolResultMessage](), list[Fields]()
    for part in parts_of(message):
        response = _response(part)
        if "functionResponse" in part:
            result = ToolResultMessage(
                tool_call_id=text_of(response.get("id")),
                tool_name=text_of(response.get("name")),
                content=tuple(_told(part)),
                is_error="error" in fields_of(response.get("response")),
            )
            found.append(result)
        elif found and not rest and "inlineData" in part:
            found[-1] = msgspec.structs.replace(found[-1], content=(*found[-1].content, *_shown([part])))
        else:
            rest.append(part)
    return found, rest


def _told(part: Fields) -> Sequence[UserContent]:
    """Read a part of a result: what it puts out, or the object that it is, and the images within."""
    response = _response(part).get("response")
    if "functionResponse" not in part:
        return _shown([part])
    told = fields_of(response)
    said = next((told[name] for name in ("output", "error") if name in told), response)
    text = TextContent(text=said if isinstance(said, str) else bytes(to_json(said)).decode())
    return [text, *_shown(as_parts(_response(part).get("parts")))]


def write_call(call: ToolCall, result: ToolResultMessage | None, at_us: int) -> dict[str, object]:
    """Write a call with what it came to, as the program records it."""
    written: dict[str, object] = {"id": call.id, "name": call.name, "args": _arguments(call.arguments)}
    if result is None:
        return {**written, "result": None}
    details = result.details
    told: Mapping[str, object] = {} if isinstance(details, msgspec.UnsetType) else read_object(details)
    parts: list[dict[str, object]] = [write_response(result)]
    parts += [_write_part(part) for part in result.content if isinstance(part, ImageContent)]
    kept = {name: told[name] for name in _TOLD if name in told}
    status = "error" if result.is_error else "success"
    return {**written, "result": parts, "status": status, "timestamp": write_time(at_us), **kept}


def write_response(result: ToolResultMessage) -> dict[str, object]:
    """Write a result as the part that the model reads."""
    text = "\n".join(part.text for part in result.content if isinstance(part, TextContent))
    response = {"error" if result.is_error else "output": text}
    return {"functionResponse": {"id": result.tool_call_id, "name": result.tool_name, "response": response}}


def _arguments(text: str) -> object:
    try:
        found = from_json(msgspec.Raw(text.encode())) if text else {}
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
