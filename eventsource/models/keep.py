"""Makes a request keep the rules of the model that it is sent to; what is recorded of it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ..codec import from_json, read_object, to_json
from ..events import ToolSpec
from ..messages import ToolResultMessage
from ..request import Request
from .options import ModelOptions, NamedTool, read_options
from .output_schemas import can_say, object_schema, with_plain_properties, with_schema_words
from .prepare import Target, legal_name, prepare
from .rules.limits import Limits


class Kept(msgspec.Struct, frozen=True):
    """A request that keeps the rules, and its options as they are kept."""

    request: Request
    options: ModelOptions
    limits: Limits


def keep(request: Request, api: str, limits: Limits) -> Kept:
    """Make a request keep the rules. Raises: ModelOptionsError."""
    names = wire_names(request.tools, limits)
    tools = tuple(_tool(tool, names, limits) for tool in request.tools)
    options = _options(request, read_options(request.options), names, limits)
    prompt, schema = request.system_prompt, from_json(options.output_schema)
    if schema is not None and not can_say(schema, limits, beside_tools=bool(tools)):
        prompt = with_schema_words(prompt, schema)
        options = msgspec.structs.replace(options, output_schema=msgspec.UNSET)
    if limits.texts == "shown" and not prompt.strip():
        prompt = ""
    target = Target(api=api, model=request.model, limits=limits, names=names)
    # words to go on from are refused beside reasoning, and beside a schema, which they would not follow
    led = limits.steady_thinking and (_thinks(options) or options.output_schema is not msgspec.UNSET)
    messages = prepare(request.messages, target, answers=not led)
    kept = msgspec.structs.replace(request, system_prompt=prompt, tools=tools, messages=messages)
    return Kept(kept, options, limits)


def wire_names(tools: Sequence[ToolSpec], limits: Limits) -> Mapping[str, str]:
    """Name the tools as the wire takes it, each otherwise: by the names on record."""
    names = {tool.name: tool.name for tool in tools if legal_name(tool.name, limits) == tool.name}
    used = set(names)
    for tool in tools:
        if tool.name not in names:
            legal, number = legal_name(tool.name, limits), 1
            while legal in used:
                number += 1
                suffix = f"_{number}"
                legal = f"{legal_name(tool.name, limits)[: limits.name_chars - len(suffix)]}{suffix}"
            names[tool.name] = legal
            used.add(legal)
    return names


def recorded_names(tools: Sequence[ToolSpec], limits: Limits) -> Mapping[str, str]:
    """Give the names on record by the wire's, where they differ: an answer says the wire's."""
    return {wire: name for name, wire in wire_names(tools, limits).items() if wire != name}


def _tool(tool: ToolSpec, names: Mapping[str, str], limits: Limits) -> ToolSpec:
    schema = from_json(tool.schema)
    whole, words = object_schema(schema) if limits.object_arguments else (schema, "")
    if limits.plain_properties:
        whole = with_plain_properties(whole)
    return msgspec.structs.replace(
        tool,
        name=names[tool.name],
        description=f"{tool.description}\n\n{words}".strip() if words else tool.description,
        schema=tool.schema if whole == schema else to_json(whole),
    )


def _options(request: Request, options: ModelOptions, names: Mapping[str, str], limits: Limits) -> ModelOptions:
    choice = options.tool_choice
    forced = choice == "required" or isinstance(choice, NamedTool)
    followed = bool(request.messages) and isinstance(request.messages[-1], ToolResultMessage)
    if forced and followed and not options.tool_choice_always:
        choice, forced = None, False  # the first call of the run has called: it may answer now
    if limits.choice_needs_tools and not request.tools and not read_object(options.extra_body).get("tools"):
        choice, forced = None, False
    if forced and limits.no_forced_choice:
        choice, forced = "auto", False
    if isinstance(choice, NamedTool):
        choice = NamedTool(names.get(choice.name, choice.name))
    thinking = None if forced and limits.choice_or_thinking else options.thinking
    kept = msgspec.structs.replace(options, tool_choice=choice, thinking=thinking)
    if (limits.steady_thinking and _thinks(kept)) or not _takes_temperature(kept, limits):
        kept = msgspec.structs.replace(kept, temperature=None)
    if limits.shown_stops:
        kept = msgspec.structs.replace(kept, stop=tuple(text for text in kept.stop if text.strip()))
    return kept


def _takes_temperature(options: ModelOptions, limits: Limits) -> bool:
    return limits.temperature == "any" or (limits.temperature == "unthinking" and not _thinks(options))


def _thinks(options: ModelOptions) -> bool:
    return options.thinking not in (None, "off")
