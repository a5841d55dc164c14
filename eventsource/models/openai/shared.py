"""What both of OpenAI's protocols write and read alike: schemas, free-form calls, images, usage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ...codec import from_json, to_json
from ...events import ToolSpec
from ...messages import ImageContent, TextContent, Usage, UserContent
from ..adapt.output_schemas import strict_form
from ..wire import json_object

CUSTOM_KEY = "x-openai-custom"  # in a tool's schema: declare it as a custom tool, with this format (true: plain text)
CUSTOM_OPEN, CUSTOM_CLOSE = '{"input":"', '"}'  # around the text of a custom call, which makes it JSON arguments
REPORTED = "reported by the provider"  # `Usage.prices` when the provider itself says what a call cost


def tool_fields(tool: ToolSpec, *, strict: bool, say_loose: bool = False) -> dict[str, object]:
    """Write a function's name, description and parameters, strict where its schema allows it.

    Args:
        strict: the server knows strict tools.
        say_loose: say `strict: false` of the others, because silence would mean strict.
    """
    schema = from_json(tool.schema)
    fields: dict[str, object] = {"name": tool.name}
    if tool.description:
        fields["description"] = tool.description
    fields["parameters"] = schema
    if strict and strict_form(schema) == schema:
        fields["strict"] = True
    elif say_loose:
        fields["strict"] = False
    return fields


def custom_fields(tool: ToolSpec) -> dict[str, object] | None:
    """Write a custom tool's name, description and format; None when the tool is a function."""
    schema = from_json(tool.schema)
    form = schema.get(CUSTOM_KEY) if isinstance(schema, dict) else None
    if not form:
        return None
    fields: dict[str, object] = {"name": tool.name}
    if tool.description:
        fields["description"] = tool.description
    if isinstance(form, dict):
        fields["format"] = form
    return fields


def is_custom(name: str, tools: Sequence[ToolSpec]) -> bool:
    """Return whether a name is a custom tool's."""
    return any(tool.name == name and custom_fields(tool) is not None for tool in tools)


def schema_format(name: str, schema: object, *, strict: bool, checked: bool = True) -> dict[str, object]:
    """Write the schema that the model's text must follow, strict where strict mode can say it (`checked`)."""
    form = (strict_form(schema) if checked else schema) if strict else None
    return {"name": name, "schema": schema if form is None else form, "strict": form is not None}


def is_object_schema(schema: object) -> bool:
    """True if a schema may stand as a format: the API takes objects only, a list or a number must be told in words."""
    return isinstance(schema, dict) and schema.get("type") == "object"


def besides(raw: Mapping[str, object], fields: Mapping[str, object]) -> dict[str, object]:
    """Return fields that were kept as received, but not those that this program writes itself."""
    return {name: value for name, value in raw.items() if name not in fields}


def escaped(text: str) -> str:
    """Write text as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def custom_input(arguments: str) -> str:
    """Read the text of a custom call out of its arguments; what is not of that form is the text itself."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


def sent_arguments(arguments: str) -> str:
    """Write a call's arguments for a server that parses them: as received, unless that is no JSON object."""
    if not arguments.strip():
        return "{}"
    value = json_object(arguments)
    if value is None:
        return bytes(to_json({"invalid_arguments": arguments})).decode()
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a pair is escaped in it, which not every server reads
        return bytes(to_json(value)).decode()
    return arguments


def image_url(image: ImageContent) -> str:
    """Write an image as a data URL."""
    return f"data:{image.media_type};base64,{image.data}"


def plain_text(content: Sequence[UserContent]) -> str:
    """Join the texts of a tool's result, a line each."""
    return "\n".join(part.text for part in content if isinstance(part, TextContent))


def without_text(parts: Sequence[Mapping[str, object]], text: str) -> list[dict[str, object]]:
    """Leave the text out of the one part that has any, if it is what the block says anyway."""
    spoken = [part for part in parts if isinstance(part.get("text"), str)]
    alone = len(spoken) == 1 and spoken[0]["text"] == text
    return [{k: v for k, v in part.items() if not (alone and part is spoken[0] and k == "text")} for part in parts]


def with_text(parts: Sequence[object], text: str, types: tuple[str, ...]) -> list[object]:
    """Put the block's text back into the part that lacks it (`without_text`)."""
    whole: list[object] = []
    for part in parts:
        lacks = isinstance(part, dict) and part.get("type") in types and "text" not in part
        whole.append({**part, "text": text} if lacks and isinstance(part, dict) else part)
    return whole


def read_usage(raw: Mapping[str, object]) -> Usage:
    """Read usage in the words of any vendor of either protocol."""
    read = _count(raw, "prompt_tokens", "input_tokens")
    written = _count(raw, "completion_tokens", "output_tokens")
    inner, outer = (_object(raw, f"{a}_tokens_details", f"{b}_tokens_details") for a, b in _DETAILS)
    cached = _count(inner, "cached_tokens") or _count(
        raw, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"
    )
    cache_write = _count(inner, "cache_write_tokens", "cache_creation_tokens")
    reasoning = _count(outer, "reasoning_tokens") or _count(raw, "reasoning_tokens")
    if reasoning and _count(raw, "total_tokens") == read + written + reasoning:
        written += reasoning  # xAI counts reasoning beside the answer, all others as a part of it
    cost = raw.get("cost")
    known = isinstance(cost, int | float) and not isinstance(cost, bool)
    return Usage(
        input_tokens=max(0, read - cached - cache_write),
        output_tokens=written,
        cache_read_tokens=cached,
        cache_write_tokens=cache_write,
        reasoning_tokens=reasoning,
        cost_microusd=round(float(cost) * 1e6) if known and isinstance(cost, int | float) else None,
        prices=REPORTED if known else "",
        raw=to_json(raw),
    )


_DETAILS = (("prompt", "input"), ("completion", "output"))


def _count(value: Mapping[str, object], *names: str) -> int:
    for name in names:
        number = value.get(name)
        if isinstance(number, int | float) and not isinstance(number, bool):
            return max(0, int(number))
    return 0


def _object(value: Mapping[str, object], *names: str) -> Mapping[str, object]:
    return next((found for name in names if isinstance(found := value.get(name), dict)), {})
