"""What can be asked of a model besides the conversation; the request carries it as a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from ..errors import RefoldError
from ..messages import Json

ThinkingLevel: TypeAlias = Literal["off", "minimal", "low", "medium", "high", "xhigh"]


class NamedTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one tool the model must call."""

    name: str


class ModelOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Options of one request; what is absent is left to the provider.

    thinking: how long the model reasons, mapped to each provider's own scale.
    tool_choice: may call, must call some tool, must call none, or must call the named one. A call that must be made
        is the first of its run: after results the model may answer, unless `tool_choice_always`.
    output_schema: the JSON Schema its text must follow, called `output_name` where a provider wants a name.
    cache: how long the provider keeps the prompt (short: minutes, long: an hour or more), or none.
    images: false for a model that takes none; a remark stands in their place.
    extra_body: merged into the request's body last: objects merge, lists are appended, null removes, all else replaces.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    thinking: ThinkingLevel | None = None
    tool_choice: Literal["auto", "required", "none"] | NamedTool | None = None
    tool_choice_always: bool = False
    output_schema: Json = msgspec.UNSET
    output_name: str = "output"
    stop: tuple[str, ...] = ()
    cache: Literal["none", "short", "long"] = "short"
    images: bool = True
    extra_body: Json = msgspec.UNSET


@dataclass(eq=False, repr=False)
class ModelOptionsError(RefoldError):
    """An option of a model does not exist or has an impossible value."""

    problem: str

    def __str__(self) -> str:
        return f"model options: {self.problem}; there are: {', '.join(ModelOptions.__struct_fields__)}"


_DECODER = msgspec.json.Decoder(ModelOptions)


def read_options(options: Json) -> ModelOptions:
    """Read a request's options. Raises: ModelOptionsError."""
    if isinstance(options, msgspec.UnsetType):
        return ModelOptions()
    try:
        return _DECODER.decode(options)
    except msgspec.DecodeError as error:
        raise ModelOptionsError(str(error)) from error


def merge_body(body: Mapping[str, object], extra: Mapping[str, object]) -> dict[str, object]:
    """Merge `extra_body` into a body: objects merge, lists are appended, null removes, all else replaces."""
    merged = dict(body)
    for name, value in extra.items():
        mine = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(mine, dict) and isinstance(value, dict):
            merged[name] = merge_body(mine, value)
        elif isinstance(mine, list) and isinstance(value, list):
            merged[name] = mine + value
        else:
            merged[name] = value
    return merged
