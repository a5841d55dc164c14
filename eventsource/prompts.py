"""What a caller may say: a text, content, messages of ours, and messages as chat APIs write them."""

from __future__ import annotations

import base64
from collections.abc import Coroutine, Mapping, Sequence
from typing import TypeAlias

import msgspec

from .admission import repair
from .codec import to_json
from .errors import ArgumentError, InvalidTextError
from .events import QueuePush
from .messages import (
    AssistantContent,
    AssistantMessage,
    CustomMessage,
    ImageContent,
    Message,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserContent,
    UserMessage,
)
from .tools.results import Image
from .user_code.argument_types import shown

Prompt: TypeAlias = str | Message | Mapping[str, object] | UserContent | Image | Sequence[object]
"""A text; a message; content (texts and images, also as parts of a chat API); or a list of messages of either form."""

EXPECTED = "a text, a message, or a list of messages or of texts and images"
_MESSAGES = (UserMessage, AssistantMessage, ToolResultMessage, CustomMessage)
_PARTS = (TextContent, ImageContent, Image)
_OURS: Mapping[str, type[Message]] = {
    "tool_result": ToolResultMessage,
    "custom": CustomMessage,
}
_TEXTS = ("text", "input_text", "output_text")


def as_messages(prompt: object, *, where: str, parameter: str = "prompt") -> tuple[Message, ...]:
    """Read what a caller says as messages, one at least.

    A list of messages stays one by one, texts among them are the user's; other lists are the content of one message.
    A message may be a dict as chat APIs take it (`role`, `content`, `tool_calls`, `tool_call_id`), a client library's
    object that becomes such a dict, or one of ours as JSON.

    Raises: ArgumentError, naming the item.
    """
    given = _plain(prompt)
    reader = _MessageReader(where, parameter)
    if not isinstance(given, Sequence) or isinstance(given, str | bytes | bytearray):
        return (repair(reader.message(given, "")),)
    if not given:
        raise reader.refuse(given, "", "the list is empty: there is nothing to say")
    items = [_plain(item) for item in given]
    if not any(_is_message(item) for item in items):
        return (repair(UserMessage(content=tuple(reader.part(item, f"[{at}]") for at, item in enumerate(items)))),)
    return tuple(repair(reader.message(item, f"[{at}]")) for at, item in enumerate(items))


def as_pushes(prompt: object, *, where: str) -> tuple[QueuePush, ...]:
    """Make of a prompt what a run is begun with. Raises: as `as_messages`."""
    return tuple(QueuePush(queue="prompt", message=message) for message in as_messages(prompt, where=where))


def as_message(prompt: object, *, where: str, parameter: str = "message") -> Message:
    """Read what a caller says as one message. Raises: ArgumentError when it is none, or several."""
    found = as_messages(prompt, where=where, parameter=parameter)
    if len(found) != 1:
        raise ArgumentError(where, parameter, "one message", f"a list of {len(found)}")
    return found[0]


def _plain(value: object) -> object:
    """Make a dict of a client library's message or part: pydantic's objects tell what they hold."""
    dump = getattr(value, "model_dump", None)
    if dump is None or isinstance(value, type) or not (hasattr(value, "role") or hasattr(value, "type")):
        return value
    return dump(exclude_none=True)


def _is_message(item: object) -> bool:
    return isinstance(item, _MESSAGES) or (isinstance(item, Mapping) and "role" in item)


class _MessageReader:
    """Reads messages for one parameter of one function."""

    def __init__(self, where: str, parameter: str) -> None:
        self._where, self._parameter = where, parameter

    def refuse(self, value: object, place: str, advice: str = "", expected: str = EXPECTED) -> ArgumentError:
        """Build the error: what is wrong, and at which item."""
        if isinstance(value, Coroutine):
            found, advice = shown(value), "await it first"
            value.close()  # nobody hears of it twice
            return ArgumentError(self._where, f"{self._parameter}{place}", expected, found, advice)
        return ArgumentError(self._where, f"{self._parameter}{place}", expected, shown(value), advice)

    def message(self, value: object, place: str) -> Message:
        """Read one message."""
        match value:
            case str():
                if not value.strip():
                    raise self.refuse(value, place, "there is nothing to say")
                return UserMessage(content=value)
            case UserMessage() | AssistantMessage() | ToolResultMessage() | CustomMessage():
                return value
            case Mapping() if "role" in value:
                return self._from_dict({str(key): one for key, one in value.items()}, place)
            case Mapping() if "type" not in value:
                raise self.refuse(
                    value, place, "a message as a dict has a role and a content; other data goes as JSON text"
                )
            case None:
                raise self.refuse(value, place, "to go on without saying anything, use `resume`")
            case _:
                return UserMessage(content=(self.part(value, place),))

    def part(self, value: object, place: str) -> UserContent:
        """Read a piece of a user's content."""
        match value:
            case str():
                return TextContent(text=value)
            case TextContent() | ImageContent():
                return value
            case Image():
                return ImageContent(data=base64.b64encode(value.data).decode("ascii"), media_type=value.media_type)
            case Mapping():
                return self._part_from_dict(value, place)
            case bytes() | bytearray():
                advice = "an image is refold.Image(data, media_type); text is decoded first"
            case _ if hasattr(value, "__fspath__"):
                advice = "read the file: path.read_text(), or refold.Image(path.read_bytes(), media_type)"
            case _ if hasattr(value, "model_dump_json"):
                advice = "say it as text: value.model_dump_json()"
            case _:
                advice = "say it as text: str(...) or json.dumps(...)"
        raise self.refuse(value, place, advice)

    def _part_from_dict(self, part: Mapping[object, object], place: str) -> UserContent:
        kind = part.get("type")
        if kind in _TEXTS and isinstance(text := part.get("text"), str):
            return TextContent(text=text)
        if kind in ("image_url", "input_image"):
            url = part.get("image_url")
            url = url.get("url") if isinstance(url, Mapping) else url
            head, carried, data = url.partition(";base64,") if isinstance(url, str) else ("", "", "")
            if carried and head.startswith("data:") and data:
                return ImageContent(data=data, media_type=head.removeprefix("data:"))
            advice = "an image comes as a data URL, data:image/png;base64,…: get it first; nothing is fetched here"
            raise self.refuse(url, f"{place}['image_url']", advice, "a data URL")
        source = part.get("source")
        if kind == "image" and isinstance(source, Mapping) and source.get("type") == "base64":
            return ImageContent(data=str(source.get("data", "")), media_type=str(source.get("media_type", "")))
        if kind == "image" and isinstance(plain := part.get("data"), str):
            return ImageContent(data=plain, media_type=str(part.get("media_type", "")))
        raise self.refuse(kind, f"{place}['type']", expected="a part of type text or image_url, with what it holds")

    def _from_dict(self, message: dict[str, object], place: str) -> Message:
        role = message["role"]
        match role:
            case "user":
                return UserMessage(content=self._content(message, place))
            case "assistant":
                return self._assistant(message, place)
            case "tool" | "function":
                return self._result(message, place)
            case "tool_result" | "custom":
                return self._ours(message, place)
            case "system" | "developer":
                raise self.refuse(
                    role, f"{place}['role']", "a system prompt is the agent's: Agent(..., system=...)", "a message"
                )
            case _:
                raise self.refuse(role, f"{place}['role']", expected="the role user, assistant or tool")

    def _content(self, message: Mapping[str, object], place: str) -> str | tuple[UserContent, ...]:
        content = _plain(message.get("content"))
        if isinstance(content, str):
            return content
        if not isinstance(content, Sequence) or isinstance(content, bytes | bytearray):
            raise self.refuse(content, f"{place}['content']", expected="a text or a list of parts")
        return tuple(self.part(_plain(part), f"{place}['content'][{at}]") for at, part in enumerate(content))

    def _assistant(self, message: Mapping[str, object], place: str) -> AssistantMessage:
        content = message.get("content")
        blocks = list[AssistantContent]()
        if isinstance(content, str):
            blocks += [TextContent(text=content)] if content else []
        elif isinstance(content, Sequence) and not isinstance(content, bytes | bytearray):
            blocks += [self._block(_plain(one), f"{place}['content'][{at}]") for at, one in enumerate(content)]
        elif content is not None:
            raise self.refuse(content, f"{place}['content']", expected="a text, a list of parts or None")
        calls = message.get("tool_calls") or ()
        if not isinstance(calls, Sequence) or isinstance(calls, str):
            raise self.refuse(calls, f"{place}['tool_calls']", expected="a list of calls")
        blocks += [self._call(_plain(one), f"{place}['tool_calls'][{at}]") for at, one in enumerate(calls)]
        if not blocks:
            raise self.refuse(content, f"{place}['content']", expected="a text, or tool_calls beside it")
        stopped = any(isinstance(block, ToolCall) for block in blocks)
        return AssistantMessage(content=tuple(blocks), stop_reason="tool_use" if stopped else "stop")

    def _block(self, block: object, place: str) -> AssistantContent:
        match block:
            case TextContent() | ThinkingContent() | ToolCall():
                return block
            case {"type": "text" | "output_text" | "input_text", "text": str(text)}:
                return TextContent(text=text)
            case {"type": "refusal", "refusal": str(text)}:
                return TextContent(text=text)
            case {"type": "tool_use", "id": str(call_id), "name": str(name), "input": given}:
                return ToolCall(id=call_id, name=name, arguments=self._json(given, place))
            case Mapping():
                try:
                    written = bytes(to_json({str(key): one for key, one in block.items()}))
                    found: AssistantContent = msgspec.json.decode(
                        written, type=TextContent | ThinkingContent | ToolCall
                    )
                except (msgspec.ValidationError, InvalidTextError) as error:
                    said = f"a block of text or a call ({error})"
                    raise self.refuse(block.get("type"), f"{place}['type']", expected=said) from error
                return found
            case _:
                raise self.refuse(block, place, expected="a block of text or a call")

    def _call(self, call: object, place: str) -> ToolCall:
        match call:
            case ToolCall():
                return call
            case {"function": Mapping() as function, **rest}:
                name, arguments = function.get("name"), function.get("arguments", "")
                if isinstance(name, str):
                    return ToolCall(id=str(rest.get("id") or ""), name=name, arguments=self._json(arguments, place))
            case _:
                pass
        raise self.refuse(
            call, place, expected="a call: {'id': …, 'type': 'function', 'function': {'name': …, 'arguments': …}}"
        )

    def _result(self, message: Mapping[str, object], place: str) -> ToolResultMessage:
        call_id = message.get("tool_call_id")
        if not isinstance(call_id, str):
            raise self.refuse(call_id, f"{place}['tool_call_id']", expected="the id of the call that it answers")
        content = self._content(message, place)
        parts = (TextContent(text=content),) if isinstance(content, str) else content
        return ToolResultMessage(tool_call_id=call_id, tool_name=str(message.get("name") or ""), content=parts)

    def _ours(self, message: Mapping[str, object], place: str) -> Message:
        try:
            return msgspec.json.decode(bytes(to_json(message)), type=_OURS[str(message["role"])])
        except (msgspec.ValidationError, InvalidTextError) as error:
            expected = f"a message as Refold writes it ({error})"
            raise self.refuse(message, place, expected=expected) from error

    def _json(self, value: object, place: str) -> str:
        if isinstance(value, str):
            return value
        try:
            return bytes(to_json(value)).decode()
        except InvalidTextError as error:
            raise self.refuse(value, place, expected=f"arguments as JSON ({error.problem})") from error
