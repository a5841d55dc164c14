"""Messages of opencode: each has parts, and those of an assistant are one step or several, each a call of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from eventsource.codec import from_json, read_object, to_json
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
from ..numbers import read_count, read_millionths

SAID = ("text", "reasoning", "tool")
"""The types of parts of an answer that its model or a tool said."""
_APIS = MappingProxyType(
    {
        "anthropic": "anthropic-messages",
        "openai": "openai-responses",
        "google": "google-generative-ai",
    }
)
_STOPS: Mapping[str, StopReason] = MappingProxyType(
    {"stop": "stop", "length": "length", "tool-calls": "tool_use", "content-filter": "refusal", "error": "error"}
)
_COMPACTION = "What did we do so far?"  # what opencode asks in place of a compaction
_SUBTASK = "The following tool was executed by the user"
_WITHIN = ("text/plain", "application/x-directory")  # files whose content stands in a text beside them


_PARTS = (*SAID, "file", "compaction", "subtask", "agent", "step-start", "step-finish", "snapshot", "patch", "retry")


def unclear_in(info: Fields, parts: Sequence[object]) -> tuple[str, ...]:
    """Say what is not understood of a message."""
    role, kinds = info.get("role"), [fields_of(part).get("type") for part in parts]
    found = [] if role in ("user", "assistant") else [f"of the role {role!r}, which is not known here"]
    strange = dict.fromkeys(repr(kind) for kind in kinds if kind not in _PARTS)
    return (*found, *(f"with a part of type {kind}, which is not known here" for kind in strange))


def api_of(provider: str) -> str:
    """Return the protocol that a provider is spoken to in, as far as it is known."""
    return _APIS.get(provider, "openai-completions")


def folder_of(info: Fields) -> str:
    """Return the folder in which a message was answered."""
    return text_of(fields_of(info.get("path")).get("cwd"))


def is_said(part: object, *, by_user: bool) -> bool:
    """Return whether a part is content of its message; others stand beside it."""
    kind = text_of(fields_of(part).get("type"))
    if not by_user:
        return kind in SAID
    return _read_part(fields_of(part)) is not None


def read_user(parts: Sequence[object]) -> UserMessage:
    """Read what a person, or opencode in their place, said."""
    shown = (_read_part(fields_of(part)) for part in parts)
    return UserMessage(content=tuple(one for one in shown if one is not None))


def _read_part(part: Fields) -> UserContent | None:
    match part:
        case {"type": "text", "text": str(text)} if part.get("ignored") is not True:
            return TextContent(text=text)
        case {"type": "file", "mime": str(mime), "url": str(url)} if mime not in _WITHIN:
            head, _, data = url.partition(";base64,")
            if mime.startswith("image/") and head.startswith("data:") and data:
                return ImageContent(data=data, media_type=mime)
            return TextContent(text=f"[Attached {mime}: {text_of(part.get('filename')) or 'file'}]")
        case {"type": "compaction"}:
            return TextContent(text=_COMPACTION)
        case {"type": "subtask"}:
            return TextContent(text=_SUBTASK)
        case _:
            return None


def write_user(message: UserMessage) -> list[dict[str, object]]:
    """Write the parts of what a person said."""
    content = message.content
    shown: Sequence[UserContent] = (TextContent(text=content),) if isinstance(content, str) else content
    return [_write_part(part) for part in shown]


def _write_part(part: UserContent) -> dict[str, object]:
    if isinstance(part, TextContent):
        return {"type": "compaction"} if part.text == _COMPACTION else {"type": "text", "text": part.text}
    return {"type": "file", "mime": part.media_type, "url": f"data:{part.media_type};base64,{part.data}"}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What a model said at once, and the results of its calls with their times and the sessions that made them."""

    answer: AssistantMessage
    results: tuple[tuple[ToolResultMessage, int | None, str], ...]


def read_steps(info: Fields, parts: Sequence[object]) -> list[Step]:
    """Read an answer: its steps, of which there is at least one."""
    steps: list[list[Fields]] = [[]]
    begins = False
    for part in map(fields_of, parts):
        said = part.get("type") in SAID
        if said and begins and any(one.get("type") in SAID for one in steps[-1]):
            steps.append([])
        begins = part.get("type") == "step-start" or (begins and not said)
        steps[-1].append(part)
    finished = [next((one for one in step if one.get("type") == "step-finish"), None) for step in steps]
    told = any(one is not None for one in finished)
    found: list[Step] = []
    for place, (step, finish) in enumerate(zip(steps, finished, strict=True)):
        last = place == len(steps) - 1
        counted = finish if finish is not None else info if last and not told else {}
        found.append(_read_step(info, step, counted, last=last))
    return found


def _read_step(info: Fields, parts: Sequence[Fields], counted: Fields, *, last: bool) -> Step:
    content = tuple(one for one in map(_read_said, parts) if one is not None)
    calls = any(isinstance(one, ToolCall) for one in content)
    finish = text_of(info.get("finish")) if last else ""
    stop: StopReason = "tool_use" if calls else _STOPS.get(finish, "stop")
    failure = fields_of(info.get("error")) if last else {}
    error = ""
    if failure:
        name = text_of(failure.get("name"))
        stop = "aborted" if name == "MessageAbortedError" else "error"
        error = text_of(fields_of(failure.get("data")).get("message")) or name or "an error"
    answer = AssistantMessage(
        content=content,
        stop_reason=stop,
        raw_stop_reason="" if finish in _STOPS else finish,
        error=error,
        usage=_read_usage(counted),
        model=text_of(info.get("modelID")),
        provider=text_of(info.get("providerID")),
        api=api_of(text_of(info.get("providerID"))),
    )
    results = [_read_result(part) for part in parts if part.get("type") == "tool"]
    return Step(answer=answer, results=tuple(one for one in results if one is not None))


def _read_said(part: Fields) -> AssistantContent | None:
    match part:
        case {"type": "text", "text": str(text)}:
            return TextContent(text=text)
        case {"type": "reasoning", "text": str(text)}:
            signature = fields_of(fields_of(part.get("metadata")).get("anthropic")).get("signature")
            return ThinkingContent(thinking=text, signature=text_of(signature))
        case {"type": "tool"}:
            state = fields_of(part.get("state"))
            given = state.get("input")
            arguments = bytes(to_json(given)).decode() if given else text_of(state.get("raw"))
            return ToolCall(id=text_of(part.get("callID")), name=text_of(part.get("tool")), arguments=arguments)
        case _:
            return None


def _read_result(part: Fields) -> tuple[ToolResultMessage, int | None, str] | None:
    """Read what a call came to; None while it waits or runs."""
    state, metadata = fields_of(part.get("state")), fields_of(fields_of(part.get("state")).get("metadata"))
    failed = state.get("status") == "error"
    if not failed and state.get("status") != "completed":
        return None
    kept = metadata.get("output") if failed and metadata.get("interrupted") is True else None
    said = kept if isinstance(kept, str) else state.get("error" if failed else "output")
    shown: list[UserContent] = [TextContent(text=said if isinstance(said, str) else bytes(to_json(said)).decode())]
    images = [_read_part(fields_of(one)) for one in list_of(state.get("attachments"))]
    details = {name: state[name] for name in ("title", "metadata") if name in state}
    result = ToolResultMessage(
        tool_call_id=text_of(part.get("callID")),
        tool_name=text_of(part.get("tool")),
        content=(*shown, *(one for one in images if one is not None)),
        details=to_json(details) if details else msgspec.UNSET,
        is_error=failed,
    )
    child = text_of(metadata.get("sessionId")) or text_of(metadata.get("sessionID"))
    return result, read_ms(fields_of(state.get("time")).get("end")), child


def read_ms(value: object) -> int | None:
    """Read a time in milliseconds as microseconds; None for what is none."""
    count = read_count(value)
    return count * 1000 if 0 < count < 1 << 43 else None


def _read_usage(counted: Fields) -> Usage | None:
    tokens = fields_of(counted.get("tokens"))
    if not tokens:
        return None
    cache, thoughts = fields_of(tokens.get("cache")), read_count(tokens.get("reasoning"))
    usage = Usage(
        input_tokens=read_count(tokens.get("input")),
        output_tokens=read_count(tokens.get("output")) + thoughts,
        cache_read_tokens=read_count(cache.get("read")),
        cache_write_tokens=read_count(cache.get("write")),
        reasoning_tokens=thoughts,
        raw=to_json(tokens),
    )
    cost = counted.get("cost")
    spent = read_millionths(fields_of(cost).get("usd") if isinstance(cost, dict) else cost)
    return msgspec.structs.replace(usage, cost_microusd=spent, prices="opencode") if spent and spent > 0 else usage


def write_said(block: AssistantContent, result: ToolResultMessage | None, at_us: int) -> dict[str, object]:
    """Write a block as the part that it was, a call with what it came to."""
    match block:
        case TextContent(text=text):
            return {"type": "text", "text": text}
        case ThinkingContent(thinking=text):
            return {"type": "reasoning", "text": text}
        case ToolCall(id=call_id, name=name, arguments=arguments):
            state: dict[str, object] = {"input": _arguments(arguments)}
            if result is not None:
                text = next((part.text for part in result.content if isinstance(part, TextContent)), "")
                details = result.details
                told = {} if isinstance(details, msgspec.UnsetType) else read_object(details)
                said = (
                    {"status": "error", "error": text} if result.is_error else {"status": "completed", "output": text}
                )
                state |= {**said, **told, "time": {"end": at_us // 1000}}
            return {"type": "tool", "callID": call_id, "tool": name, "state": state}
        case _:
            return {}


def _arguments(text: str) -> object:
    try:
        return from_json(msgspec.Raw(text.encode())) if text else {}
    except (ValueError, RecursionError):
        return {}
