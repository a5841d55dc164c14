"""Names of models: which vendor is reached where, in which protocol, with which key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypedDict, Unpack

import msgspec

from ..codec import to_json
from ..errors import RefoldError
from ..events import ModelRef
from ..user_code.argument_checks import checked
from .options import ModelOptions, ModelOptionsError, NamedTool, ThinkingLevel, read_options
from .secrets import Secrets, public_url
from .wire import Codec

if TYPE_CHECKING:
    import httpx

    from .transport.http import HttpModel, Key


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """Where a vendor's models are.

    env: variables that may hold the key; base_env: one that may hold another base URL.
    suffix: what a base URL from that variable lacks. keyless: wants no key (but takes one).
    """

    api: str
    base_url: str = ""
    env: tuple[str, ...] = ()
    base_env: str = ""
    suffix: str = ""
    keyless: bool = False


_CHAT = "openai-completions"
VENDORS: Mapping[str, Vendor] = {
    "anthropic": Vendor(
        api="anthropic-messages",
        base_url="https://api.anthropic.com",
        env=("ANTHROPIC_API_KEY",),
        base_env="ANTHROPIC_BASE_URL",
    ),
    "openai": Vendor(
        api="openai-responses",
        base_url="https://api.openai.com/v1",
        env=("OPENAI_API_KEY",),
        base_env="OPENAI_BASE_URL",
    ),
    "google": Vendor(
        api="google-generative-ai",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        base_env="GOOGLE_GEMINI_BASE_URL",
        suffix="/v1beta",
    ),
    "vertex": Vendor(api="google-generative-ai", env=("GOOGLE_ACCESS_TOKEN",), base_env="VERTEX_BASE_URL"),
    "azure": Vendor(
        api="openai-responses",
        env=("AZURE_OPENAI_API_KEY",),
        base_env="AZURE_OPENAI_ENDPOINT",
        suffix="/openai/v1",
    ),
    "openrouter": Vendor(api=_CHAT, base_url="https://openrouter.ai/api/v1", env=("OPENROUTER_API_KEY",)),
    "groq": Vendor(api=_CHAT, base_url="https://api.groq.com/openai/v1", env=("GROQ_API_KEY",)),
    "deepseek": Vendor(api=_CHAT, base_url="https://api.deepseek.com", env=("DEEPSEEK_API_KEY",)),
    "mistral": Vendor(api=_CHAT, base_url="https://api.mistral.ai/v1", env=("MISTRAL_API_KEY",)),
    "xai": Vendor(api=_CHAT, base_url="https://api.x.ai/v1", env=("XAI_API_KEY",)),
    "moonshot": Vendor(api=_CHAT, base_url="https://api.moonshot.ai/v1", env=("MOONSHOT_API_KEY",)),
    "zai": Vendor(api=_CHAT, base_url="https://api.z.ai/api/paas/v4", env=("ZAI_API_KEY", "Z_AI_API_KEY")),
    "together": Vendor(api=_CHAT, base_url="https://api.together.xyz/v1", env=("TOGETHER_API_KEY",)),
    "fireworks": Vendor(api=_CHAT, base_url="https://api.fireworks.ai/inference/v1", env=("FIREWORKS_API_KEY",)),
    "cerebras": Vendor(api=_CHAT, base_url="https://api.cerebras.ai/v1", env=("CEREBRAS_API_KEY",)),
    "ollama": Vendor(
        api=_CHAT,
        base_url="http://localhost:11434/v1",
        env=("OLLAMA_API_KEY",),
        base_env="OLLAMA_HOST",
        suffix="/v1",
        keyless=True,
    ),
    "vllm": Vendor(api=_CHAT, base_url="http://localhost:8000/v1", env=("VLLM_API_KEY",), keyless=True),
    "llama.cpp": Vendor(api=_CHAT, base_url="http://localhost:8080/v1", env=("LLAMA_API_KEY",), keyless=True),
    "lmstudio": Vendor(api=_CHAT, base_url="http://localhost:1234/v1", env=("LMSTUDIO_API_KEY",), keyless=True),
}
_ALIASES = {"gemini": "google", "x-ai": "xai", "moonshotai": "moonshot", "z.ai": "zai", "lm-studio": "lmstudio"}


@dataclass(eq=False, repr=False)
class UnknownModelError(RefoldError):
    """A name names no model that can be called."""

    name: str
    problem: str
    _TEXT: ClassVar[str] = "model {name!r}: {problem}"


class ModelArguments(TypedDict, total=False):
    """What `model` takes beside a name: how the server is reached (`Access`), and options of requests (`ModelOptions`).

    output: a type whose JSON Schema (by pydantic) the model's text must follow.
    """

    api_key: Key
    headers: Mapping[str, str]
    proxy: str
    connect_ms: int
    first_byte_ms: int
    idle_ms: int
    max_attempts: int
    temperature: float
    max_tokens: int
    thinking: ThinkingLevel
    tool_choice: Literal["auto", "required", "none"] | NamedTool | Mapping[str, str]
    tool_choice_always: bool
    output: type
    output_schema: Mapping[str, object]
    output_name: str
    stop: tuple[str, ...] | list[str]
    cache: Literal["none", "short", "long"]
    images: bool
    extra_body: Mapping[str, object]


_ACCESS = ("api_key", "headers", "proxy", "connect_ms", "first_byte_ms", "idle_ms", "max_attempts")


@checked("client", "secrets", "arguments")
def model(
    name: str,
    *,
    base_url: str = "",
    api: str = "",
    client: httpx.AsyncClient | None = None,
    secrets: Secrets | None = None,
    **arguments: Unpack[ModelArguments],
) -> HttpModel:
    """Make a model of its name, "vendor:model", as in "anthropic:claude-sonnet-4-5" or "ollama:qwen3:8b".

    Args:
        base_url: where the server is, if not at the vendor's own; with it any vendor's name will do.
        api: the protocol, if not the vendor's own: anthropic-messages, openai-responses, openai-completions or
            google-generative-ai. A server nobody knows is spoken to in openai-completions.

    Raises: UnknownModelError; ModelOptionsError.
    """
    from .prices import priced
    from .transport.http import Access, HttpModel

    given: dict[str, object] = dict(arguments)
    access = {field: given.pop(field) for field in _ACCESS if field in given}
    ref, vendor, url = _find(name, base_url, api)
    return HttpModel(
        _codec(name, ref),
        ref,
        Access(base_url=url, env=vendor.env, keyless=vendor.keyless, **access),  # type: ignore[arg-type]  # see ModelArguments
        options=_options(given),
        client=client,
        secrets=secrets,
        price=priced,
    )


def _find(name: str, base_url: str, api: str) -> tuple[ModelRef, Vendor, str]:
    """Find which model a name means, whose it is and where."""
    provider, colon, model_name = name.partition(":")
    provider = _ALIASES.get(provider, provider)
    vendor = VENDORS.get(provider)
    if not colon or not model_name or not provider:
        raise UnknownModelError(name, 'expected "vendor:model", as in "anthropic:claude-sonnet-4-5"')
    if vendor is None:
        if not base_url:
            known = ", ".join(VENDORS)
            raise UnknownModelError(name, f"no vendor {provider!r}; give base_url=, or one of: {known}")
        vendor = Vendor(api=_CHAT, keyless=True)
    url = base_url or _from_environment(vendor) or vendor.base_url
    if not url:
        raise UnknownModelError(name, f"give base_url=, or set {vendor.base_env}: this vendor's address is yours alone")
    own = url.rstrip("/") == vendor.base_url
    ref = ModelRef(api=api or vendor.api, provider=provider, model=model_name, base_url="" if own else public_url(url))
    return ref, vendor, url


def _from_environment(vendor: Vendor) -> str:
    url = os.environ.get(vendor.base_env, "") if vendor.base_env else ""
    if not url:
        return ""
    url = (url if "://" in url else f"http://{url}").rstrip("/")
    return url if url.endswith(vendor.suffix) else url + vendor.suffix


def find_codec(ref: ModelRef) -> Codec:
    """Find the codec of a model's protocol. Raises: UnknownModelError."""
    return _codec(f"{ref.provider}:{ref.model}", ref)


def _codec(name: str, ref: ModelRef) -> Codec:
    from .anthropic import AnthropicMessages
    from .google import GoogleGenerativeAI
    from .openai.chat import OpenAICompletions
    from .openai.responses import OpenAIResponses

    match ref.api:
        case "anthropic-messages":
            return AnthropicMessages()
        case "openai-responses":
            return OpenAIResponses()
        case "openai-completions":
            return OpenAICompletions()
        case "google-generative-ai":
            return GoogleGenerativeAI(bearer=ref.provider == "vertex")
        case _:
            raise UnknownModelError(name, f"no protocol {ref.api!r}")


def _options(given: dict[str, object]) -> ModelOptions:
    output = given.pop("output", None)
    if output is not None:
        from pydantic import TypeAdapter

        adapter: TypeAdapter[object] = TypeAdapter(output)  # type: ignore[arg-type]  # any annotation will do
        given["output_schema"] = adapter.json_schema()
        given.setdefault("output_name", getattr(output, "__name__", "output"))
    choice = given.get("tool_choice")
    if isinstance(choice, NamedTool):
        given["tool_choice"] = {"name": choice.name}
    try:
        return read_options(to_json(given))
    except ValueError as error:
        raise ModelOptionsError(str(error)) from error
