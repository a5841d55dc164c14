"""Messages: what people, models and tools say to each other."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import msgspec

# JSON kept as received, or absent. `None` would not do: null is a value.
Json: TypeAlias = msgspec.Raw | msgspec.UnsetType
StopReason: TypeAlias = Literal["stop", "length", "tool_use", "error", "aborted", "refusal", "pause"]


class Block(
    msgspec.Struct,
    frozen=True,
    gc=False,
    tag_field="type",
    omit_defaults=True,
    repr_omit_defaults=True,
    forbid_unknown_fields=True,
):
    """One piece of a message's content."""


class TextContent(Block, frozen=True, kw_only=True, tag="text"):
    """Text. `signature` goes back byte for byte; `raw` holds the fields this program has no name for."""

    type: ClassVar[Literal["text"]] = "text"
    text: str
    signature: str = ""
    raw: Json = msgspec.UNSET


class ImageContent(Block, frozen=True, kw_only=True, tag="image"):
    """An image as base64 text."""

    type: ClassVar[Literal["image"]] = "image"
    data: str
    media_type: str
    raw: Json = msgspec.UNSET


class ThinkingContent(Block, frozen=True, kw_only=True, tag="thinking"):
    """A model's reasoning. When `redacted`, the signature is the provider's opaque data and the text is empty."""

    type: ClassVar[Literal["thinking"]] = "thinking"
    thinking: str
    signature: str = ""
    redacted: bool = False
    raw: Json = msgspec.UNSET


class ToolCall(Block, frozen=True, kw_only=True, tag="tool_call"):
    """A model's call of a tool.

    `id` is the provider's: it may repeat, be empty or come back later; a call's name in the log is its place.
    `arguments` is JSON text exactly as received; empty means an empty object, and it may be invalid.
    """

    type: ClassVar[Literal["tool_call"]] = "tool_call"
    id: str
    name: str
    arguments: str = ""
    signature: str = ""
    raw: Json = msgspec.UNSET


class ProviderContent(Block, frozen=True, kw_only=True, tag="provider"):
    """A block of the provider's that has no neutral form, kept as received and sent back only to the same `api`."""

    type: ClassVar[Literal["provider"]] = "provider"
    api: str
    block: msgspec.Raw


UserContent: TypeAlias = TextContent | ImageContent
AssistantContent: TypeAlias = TextContent | ThinkingContent | ToolCall | ProviderContent


class Usage(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    omit_defaults=True,
    repr_omit_defaults=True,
    forbid_unknown_fields=True,
):
    """Tokens of one model call; `raw` keeps the provider's own figures.

    `input_tokens` excludes cached ones; `reasoning_tokens` are part of `output_tokens`, `cache_write_1h_tokens` (kept
    for an hour, at a price of their own) of `cache_write_tokens`.
    `cost_microusd` is absent when no price is known; `prices` names the price list and its version.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    cost_microusd: int | None = None
    prices: str = ""
    raw: Json = msgspec.UNSET

    def __add__(self, other: Usage) -> Usage:
        """Add two usages; the raw figures of neither survive, an unknown cost counts as nothing."""
        known = [cost for cost in (self.cost_microusd, other.cost_microusd) if cost is not None]
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cache_write_1h_tokens=self.cache_write_1h_tokens + other.cache_write_1h_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cost_microusd=sum(known) if known else None,
            prices=self.prices or other.prices,
        )

    @property
    def total_tokens(self) -> int:
        """Sum of input, output and cached tokens."""
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens


class MessageBase(
    msgspec.Struct,
    frozen=True,
    gc=False,
    tag_field="role",
    omit_defaults=True,
    repr_omit_defaults=True,
    forbid_unknown_fields=True,
):
    """One message of a conversation."""


class UserMessage(MessageBase, frozen=True, kw_only=True, tag="user"):
    """What a person (or the program in their place) said."""

    role: ClassVar[Literal["user"]] = "user"
    content: str | tuple[UserContent, ...]
    raw: Json = msgspec.UNSET


class AssistantMessage(MessageBase, frozen=True, kw_only=True, tag="assistant"):
    """What a model said.

    `api`, `provider` and `model` are empty where they equal the configuration in force.
    `raw_stop_reason` is the provider's word where it says more than `stop_reason`.
    """

    role: ClassVar[Literal["assistant"]] = "assistant"
    content: tuple[AssistantContent, ...] = ()
    stop_reason: StopReason = "stop"
    raw_stop_reason: str = ""
    error: str = ""
    usage: Usage | None = None
    api: str = ""
    provider: str = ""
    model: str = ""
    response_id: str = ""
    raw: Json = msgspec.UNSET

    @property
    def text(self) -> str:
        """The text blocks, joined."""
        return "".join(block.text for block in self.content if isinstance(block, TextContent))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls, in order."""
        return tuple(block for block in self.content if isinstance(block, ToolCall))


class ToolResultMessage(MessageBase, frozen=True, kw_only=True, tag="tool_result"):
    """What a tool answered, as the model reads it."""

    role: ClassVar[Literal["tool_result"]] = "tool_result"
    tool_call_id: str
    tool_name: str
    content: tuple[UserContent, ...] = ()
    details: Json = msgspec.UNSET
    is_error: bool = False
    raw: Json = msgspec.UNSET


class CustomMessage(MessageBase, frozen=True, kw_only=True, tag="custom"):
    """A message of an application's own; `kind` is its name there, `body` its other fields as a JSON object.

    A model sees it only if `projections.custom` knows the kind or a `convert_to_llm` hook turns it into another.
    """

    role: ClassVar[Literal["custom"]] = "custom"
    kind: str
    body: msgspec.Raw


Message: TypeAlias = UserMessage | AssistantMessage | ToolResultMessage | CustomMessage
