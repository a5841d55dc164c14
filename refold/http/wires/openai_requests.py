"""What the requests of both of OpenAI's protocols have in common, read back into neutral ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from eventsource.codec import clean_text, to_json
from eventsource.events import ToolSpec
from eventsource.messages import ImageContent, TextContent, UserContent
from eventsource.models.wire import inner, text_of

from .protocol import STATUS_KINDS, JsonObject, foreign_part, objects, without

_TEXTS = ("text", "input_text", "output_text")


class Options:
    """Takes the fields that are options of ours out of a body; the rest goes into `extra_body`."""

    def __init__(self, body: Mapping[str, object], known: tuple[str, ...]) -> None:
        self.rest = without(body, *known)
        self.read: JsonObject = {"cache": "none"}
        self.take("temperature", "temperature")
        self.take("tool_choice", "tool_choice", _choice)
        if self.read.get("tool_choice") not in (None, "auto", "none"):
            self.read["tool_choice_always"] = True  # a client says it of each call

    def take(self, name: str, option: str, read: Callable[[object], object] = lambda value: value) -> None:
        """Take a field that an option of ours can say."""
        if name in self.rest and (value := read(self.rest[name])) is not None:
            self.read[option] = value
            self.rest.pop(name)

    def raw(self) -> msgspec.Raw:
        """Write the options of the request."""
        return to_json({**self.read, "extra_body": self.rest})


def _choice(value: object) -> object:
    if isinstance(value, str):
        return value if value in ("auto", "required", "none") else None
    if not isinstance(value, dict) or value.get("type") != "function":
        return None
    name = text_of(inner(value, "function") or value, "name")
    return {"name": name} if name else None


_FUNCTION = {"type", "function", "name", "description", "parameters", "strict"}
"""Fields of a function that have a name here, or that Refold decides by itself."""


def read_tools(body: Mapping[str, object]) -> tuple[tuple[ToolSpec, ...], list[JsonObject]]:
    """Read the functions; tools of a server's own, and those with fields that have no name here, stay as they are."""
    own, foreign = [], []
    for tool in objects(body.get("tools")):
        function = inner(tool, "function") or tool
        if tool.get("type") != "function" or set(without(tool)) - _FUNCTION or set(without(function)) - _FUNCTION:
            foreign.append(tool)
            continue
        schema = to_json(function.get("parameters"))
        own.append(
            ToolSpec(name=text_of(function, "name"), schema=schema, description=text_of(function, "description"))
        )
    return tuple(own), foreign


def split_system(messages: Sequence[JsonObject]) -> tuple[str, list[JsonObject]]:
    """Take the system prompt from the beginning of a history."""
    begin = 0
    while begin < len(messages) and messages[begin].get("role") in ("system", "developer"):
        begin += 1
    told = (_joined(message.get("content")) for message in messages[:begin])
    return "\n\n".join(text for text in told if text), list(messages[begin:])


def _joined(content: object) -> str:
    return "".join(part.text for part in content_parts(content) if isinstance(part, TextContent))


def user_content(content: object) -> str | tuple[UserContent, ...]:
    """Read what a person said."""
    if isinstance(content, str):
        return clean_text(content)
    return tuple(map(_part, objects(content)))


def content_parts(content: object) -> tuple[UserContent, ...]:
    """Read content as parts, also where it is a text alone."""
    read = user_content(content)
    return (TextContent(text=read),) if isinstance(read, str) else read


def _part(part: JsonObject) -> UserContent:
    if part.get("type") in _TEXTS:
        return TextContent(text=clean_text(text_of(part, "text")))
    url = part.get("image_url")
    url = text_of(url, "url") if isinstance(url, dict) else url
    head, carried, data = url.partition(";base64,") if isinstance(url, str) else ("", "", "")
    if carried and head.startswith("data:"):
        return ImageContent(data=data, media_type=head.removeprefix("data:"))
    return foreign_part(part)


def openai_error(status: int, message: str) -> JsonObject:
    """Write the body of an error."""
    kind = STATUS_KINDS.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}
