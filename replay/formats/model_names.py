"""Names of models that begin with their provider's, as many agents write them."""

from __future__ import annotations

from eventsource.events import ModelRef
from eventsource.models.catalog import VENDORS

_CHAT = "openai-completions"
_MAKERS = (("gpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("claude-", "anthropic"), ("gemini-", "google"))


def model_of(name: str) -> ModelRef:
    """Read a model's name; one of an unknown provider speaks the most common protocol."""
    provider, slash, model = name.partition("/")
    if not slash:
        provider, model = next((maker for begin, maker in _MAKERS if name.startswith(begin)), "unknown"), name
    vendor = VENDORS.get(provider)
    return ModelRef(api=vendor.api if vendor is not None else _CHAT, provider=provider, model=model)
