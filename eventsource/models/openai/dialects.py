"""How vendors of OpenAI's Chat Completions differ in what they take; what they send is read alike from all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from ...events import ModelRef
from ..options import ThinkingLevel

Fields: TypeAlias = Mapping[str, object]
Efforts: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]

EFFORT = "{effort}"  # stands in `Dialect.thinks` where the level goes
_EFFORT_FIELD: Fields = {"reasoning_effort": EFFORT}
_NO_EFFORT: Fields = {"reasoning_effort": "none"}
_LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """What one vendor takes. Patterns are regular expressions, searched in the model's name; empty matches none.

    developer: models that are given the system prompt as a developer's message.
    max_tokens: the field that limits the answer.
    ask_usage: usage comes only when asked for, with `stream_options`; else it is never asked.
    strict: a tool whose schema allows it is declared strict.
    json_schema: takes a schema for its text; else only the promise that it is JSON, and the schema as words.
    thinks, thinks_not: what is sent for a thinking level and for none.
    efforts: the levels that a model knows (first pattern that is found), in order; none: it does not reason.
    reasoning: the field for reasoning that came without one of its own; empty: such reasoning does not go back.
    needs_reasoning: an assistant's message with calls is refused without reasoning, in that field.
    cached: models whose prompt is cached only up to marks.
    cache_long: what asks for the longer cache.
    encrypts: models whose reasoning goes back encrypted, when the server keeps nothing (Responses only).
    key_header: the header for the key when it is not `Authorization: Bearer`.
    body: what else every request needs.
    """

    developer: str = ""
    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    ask_usage: bool = True
    strict: bool = False
    json_schema: bool = True
    thinks: Fields = msgspec.field(default_factory=lambda: _EFFORT_FIELD)
    thinks_not: Fields = msgspec.field(default_factory=lambda: _NO_EFFORT)
    efforts: Efforts = ()
    reasoning: str = ""
    needs_reasoning: bool = False
    cached: str = ""
    cache_long: Fields = msgspec.field(default_factory=dict)
    encrypts: str = ""
    key_header: str = ""
    body: Fields = msgspec.field(default_factory=dict)


# https://platform.openai.com/docs/guides/reasoning, 2026-07: which efforts a family knows
OPENAI_EFFORTS = (
    (r"(^|/)gpt-5-pro", ("high",)),
    (r"(^|/)gpt-5\.1", ("none", "low", "medium", "high")),
    (r"(^|/)gpt-5\.\d", ("none", "low", "medium", "high", "xhigh")),
    (r"(^|/)gpt-5", ("minimal", "low", "medium", "high")),
    (r"(^|/)(o\d|gpt-oss)", ("low", "medium", "high")),
    (r"(^|/)(gpt-[34]|chatgpt)", ()),
)
OPENAI_REASONERS = r"(^|[/:])(o\d|gpt-5(?!.*chat)|gpt-[6-9]|codex-)"
_OPENAI = Dialect(
    developer=OPENAI_REASONERS,
    max_tokens="max_completion_tokens",
    strict=True,
    efforts=OPENAI_EFFORTS,
    cache_long={"prompt_cache_retention": "24h"},
    encrypts=OPENAI_REASONERS,
)
_SWITCH: Fields = {"thinking": {"type": "enabled"}}
_SWITCH_OFF: Fields = {"thinking": {"type": "disabled"}}
_TEMPLATE: Fields = {"chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": EFFORT}}
_TEMPLATE_OFF: Fields = {"chat_template_kwargs": {"enable_thinking": False}}
_LOCAL = Dialect(reasoning="reasoning_content", thinks=_TEMPLATE, thinks_not=_TEMPLATE_OFF)

DIALECTS: Mapping[str, Dialect] = {
    "openai": _OPENAI,
    "azure": msgspec.structs.replace(_OPENAI, key_header="api-key"),
    "openrouter": Dialect(
        max_tokens="max_completion_tokens",
        strict=True,
        thinks={"reasoning": {"effort": EFFORT}},
        thinks_not={"reasoning": {"enabled": False}},
        efforts=OPENAI_EFFORTS,
        reasoning="reasoning",
        cached=r"^~?anthropic/",
        encrypts=rf"{OPENAI_REASONERS}|grok-4",
    ),
    # usage comes in `x_groq`, unasked
    "groq": Dialect(
        max_tokens="max_completion_tokens",
        ask_usage=False,
        efforts=((r"qwen", ("none", "default")), *OPENAI_EFFORTS),
        reasoning="reasoning",
    ),
    # https://api-docs.deepseek.com/guides/thinking_mode, 2026-07
    "deepseek": Dialect(
        json_schema=False,
        thinks={**_SWITCH, **_EFFORT_FIELD},
        thinks_not=_SWITCH_OFF,
        efforts=((r"", ("low", "high", "max")),),
        reasoning="reasoning_content",
        needs_reasoning=True,
    ),
    "mistral": Dialect(
        ask_usage=False,
        efforts=((r"", ("none", "high")),),
        reasoning="content",
    ),
    "xai": Dialect(
        max_tokens="max_completion_tokens",
        efforts=((r"grok-3-mini", ("low", "high")), (r"", ("none", "low", "medium", "high"))),
        reasoning="reasoning_content",
        encrypts=r"grok-4",
    ),
    # kimi-k2.x knows the switch, kimi-k3 the effort; each ignores the other
    "moonshot": Dialect(
        max_tokens="max_completion_tokens",
        thinks={**_SWITCH, **_EFFORT_FIELD},
        thinks_not=_SWITCH_OFF,
        efforts=((r"", ("low", "high", "max")),),
        reasoning="reasoning_content",
        needs_reasoning=True,
    ),
    # `tool_stream`: without it the arguments of a call come in one piece after minutes of silence
    "zai": Dialect(
        ask_usage=False,
        json_schema=False,
        thinks={"thinking": {"type": "enabled", "clear_thinking": False}},
        thinks_not=_SWITCH_OFF,
        reasoning="reasoning_content",
        body={"tool_stream": True},
    ),
    "together": Dialect(reasoning="reasoning"),
    "fireworks": Dialect(reasoning="reasoning_content"),
    "cerebras": Dialect(max_tokens="max_completion_tokens", strict=True, reasoning="reasoning"),
    "ollama": Dialect(reasoning="reasoning"),
    "vllm": msgspec.structs.replace(_LOCAL, thinks={**_EFFORT_FIELD, **_TEMPLATE}, reasoning="reasoning"),
    "llama.cpp": _LOCAL,
    "lmstudio": Dialect(reasoning="reasoning"),
}
ANY = Dialect()
"""What any other server is taken for: the common part, reasoning sent back in the field in which it came."""

VERTEX = "vertex"  # speaks no Chat Completions here, so it has no dialect
_HOSTS: Mapping[str, str] = {
    "aiplatform.googleapis.com": VERTEX,
    "api.openai.com": "openai",
    "openai.azure.com": "azure",
    "ai.azure.com": "azure",
    "openrouter.ai": "openrouter",
    "groq.com": "groq",
    "deepseek.com": "deepseek",
    "mistral.ai": "mistral",
    "x.ai": "xai",
    "moonshot.ai": "moonshot",
    "moonshot.cn": "moonshot",
    "z.ai": "zai",
    "bigmodel.cn": "zai",
    "together.xyz": "together",
    "together.ai": "together",
    "fireworks.ai": "fireworks",
    "cerebras.ai": "cerebras",
}
_HOST = re.compile(r"^[a-z]+://(?:[^/@]*@)?([^/:?#]+)", re.IGNORECASE)


def vendor_of(model: ModelRef) -> str:
    """Name the vendor whose dialect a server speaks: the owner of the base URL, else the provider, else none."""
    found = _HOST.match(model.base_url)
    host = found[1].lower() if found else ""
    owner = next((name for known, name in _HOSTS.items() if host == known or host.endswith(f".{known}")), "")
    return owner or (model.provider if model.provider in DIALECTS or model.provider == VERTEX else "")


def dialect_of(model: ModelRef) -> Dialect:
    """Find how to speak to a model's server."""
    return DIALECTS.get(vendor_of(model), ANY)


def effort(level: ThinkingLevel, model: str, efforts: Efforts) -> str:
    """Translate a thinking level to one that a model knows: itself, else the next higher one, else the highest it has.

    Returns: for `off` "none" if the model knows it, else its lowest; empty when the model does not reason anyway.
    """
    known = next((names for pattern, names in efforts if re.search(pattern, model)), ("none", level))
    if level == "off":
        return "none" if "none" in known else known[0] if known else ""
    if level in known or not known:
        return level
    higher = _LEVELS[_LEVELS.index(level) :]
    return next((name for name in known if name in higher or name not in _LEVELS), known[-1])


def thinking_fields(level: ThinkingLevel, model: str, dialect: Dialect) -> dict[str, object]:
    """Translate a thinking level to a vendor's fields."""
    word = effort(level, model, dialect.efforts)
    if level == "off" and dialect.thinks_not is _NO_EFFORT:
        return _filled(_EFFORT_FIELD, word) if word else {}
    return _filled(dialect.thinks_not if level == "off" else dialect.thinks, word)


def _filled(fields: Fields, word: str) -> dict[str, object]:
    return {
        name: _filled(value, word) if isinstance(value, dict) else word if value == EFFORT else value
        for name, value in fields.items()
    }
