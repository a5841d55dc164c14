"""A request adapted to the model that it is sent to: it keeps its rules; what is recorded of it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from ...codec import from_json, read_object, to_json
from ...events import ToolSpec
from ...messages import ToolResultMessage
from ...request import Request
from ..options import ModelOptions, NamedTool, read_options
from ..rules.limits import Limits
from .argument_schemas import argument_schema, whole_schema
from .history import Target, adapt_history, legal_name
from .output_schemas import can_say, with_schema_words


class AdaptedRequest(msgspec.Struct, frozen=True):
    """A request that keeps the rules, and its options as they are kept."""

    request: Request
    options: ModelOptions
    limits: Limits


def adapt_request(request: Request, api: str, limits: Limits) -> AdaptedRequest:
    """Adapt a request to the rules of its model. Raises: ModelOptionsError."""
    names = wire_names(request.tools, limits)
    tools = tuple(_tool(tool, names, limits) for tool in request.tools)
    options = _options(request, read_options(request.options), names, limits)
    prompt, schema = request.system_prompt, from_json(options.output_schema)
    if schema is not None and not can_say(schema, limits, beside_tools=bool(tools)):
        prompt = with_schema_words(prompt, schema)
        options = msgspec.structs.replace(options, output_schema=msgspec.UNSET)
    elif isinstance(schema, dict) and schema.get("type") == "object" and limits.whole_schemas:
        options = msgspec.structs.replace(options, output_schema=to_json(whole_schema(schema)))
    if limits.texts == "shown" and not prompt.strip():
        prompt = ""
    target = Target(api=api, model=request.model, limits=limits, names=names)
    # words to go on from are refused beside reasoning, and beside a schema, which they would not follow
    led = limits.steady_thinking and (_thinks(options) or options.output_schema is not msgspec.UNSET)
    messages = adapt_history(request.messages, target, answers=not led)
    kept = msgspec.structs.replace(request, system_prompt=prompt, tools=tools, messages=messages)
    return AdaptedRequest(kept, options, limits)


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
    """Map the wire's names to those on record, where they differ: an answer has the wire's."""
    return {wire: name for name, wire in wire_names(tools, limits).items() if wire != name}


def _tool(tool: ToolSpec, names: Mapping[str, str], limits: Limits) -> ToolSpec:
    schema = from_json(tool.schema)
    whole, words = argument_schema(schema, limits)
    return msgspec.structs.replace(
        tool,
        name=names[tool.name],
        description=f"{tool.description}\n\n{words}".strip() if words else tool.description,
        schema=tool.schema if whole == schema else to_json(whole),
    )


def _options(request: Request, options: ModelOptions, names: Mapping[str, str], limits: Limits) -> ModelOptions:
    choice = _choice(request, options, limits)
    forced = choice == "required" or isinstance(choice, NamedTool)
    if isinstance(choice, NamedTool):
        choice = NamedTool(names.get(choice.name, choice.name))
    thinking = options.thinking
    if forced and limits.choice_or_thinking != "any":
        thinking = "off" if limits.choice_or_thinking == "off" else None
    if limits.tools_or_thinking and (request.tools or _own_tools(options)):
        thinking = "off"
    name = legal_name(options.output_name, limits)
    kept = msgspec.structs.replace(options, tool_choice=choice, thinking=thinking, output_name=name)
    return _numbers(kept, limits)


def _choice(
    request: Request, options: ModelOptions, limits: Limits
) -> NamedTool | Literal["auto", "required", "none"] | None:
    """Return the choice of a tool as it may be asked for, if any."""
    choice = options.tool_choice
    forced = choice == "required" or isinstance(choice, NamedTool)
    followed = bool(request.messages) and isinstance(request.messages[-1], ToolResultMessage)
    if forced and followed and not options.tool_choice_always:
        return None  # the first call of the run has called: it may answer now
    if limits.choice_needs_tools and not _own_tools(options):
        gone = isinstance(choice, NamedTool) and choice.name not in [tool.name for tool in request.tools]
        if not request.tools or gone:
            return None
    return "auto" if forced and limits.no_forced_choice else choice


def _own_tools(options: ModelOptions) -> bool:
    return bool(read_object(options.extra_body).get("tools"))


def _numbers(options: ModelOptions, limits: Limits) -> ModelOptions:
    """Set temperature, stops and the limit of tokens as they may be asked for."""
    temperature, stop, tokens = options.temperature, options.stop, options.max_tokens
    if (limits.steady_thinking and _thinks(options)) or not _taken(limits.temperature, options):
        temperature = None
    if temperature is not None and limits.temperature_most is not None:
        temperature = min(temperature, limits.temperature_most)
    if limits.shown_stops:
        stop = tuple(text for text in stop if text.strip())
    stop = stop[: limits.stop_count or None] if _taken(limits.stops, options) else ()
    if tokens is not None:
        tokens = min(max(tokens, limits.least_tokens), limits.most_tokens or max(tokens, limits.least_tokens))
    return msgspec.structs.replace(options, temperature=temperature, stop=stop, max_tokens=tokens)


def _taken(where: Literal["any", "unthinking", "never"], options: ModelOptions) -> bool:
    return where == "any" or (where == "unthinking" and not _thinks(options))


def _thinks(options: ModelOptions) -> bool:
    return options.thinking not in (None, "off")
