from __future__ import annotations

from typing import Any

import pytest

from eventsource.events import ModelRef
from eventsource.models.openai.dialects import ANY, DIALECTS, dialect_of, effort, thinking_fields, vendor_of
from eventsource.models.options import ThinkingLevel


@pytest.mark.parametrize(
    ("provider", "base_url", "vendor"),
    [
        ("openai", "", "openai"),
        ("mine", "https://api.deepseek.com/v1", "deepseek"),
        ("openai", "https://api.deepseek.com", "deepseek"),
        ("openai", "http://127.0.0.1:8000/v1", "openai"),
        ("mine", "https://eu.api.mistral.ai", "mistral"),
        ("mine", "https://my-name.openai.azure.com/openai/v1", "azure"),
        ("mine", "https://user:secret@openrouter.ai/api/v1", "openrouter"),
        ("mine", "https://notopenrouter.ai/api/v1", ""),
        ("mine", "http://127.0.0.1:8080/v1", ""),
        ("ollama", "http://127.0.0.1:11434/v1", "ollama"),
        ("", "", ""),
    ],
)
def test_a_dialect_is_found_by_host_then_by_provider(provider: str, base_url: str, vendor: str) -> None:
    model = ModelRef(api="openai-completions", provider=provider, model="m", base_url=base_url)
    assert vendor_of(model) == vendor
    assert dialect_of(model) is (DIALECTS[vendor] if vendor else ANY)


@pytest.mark.parametrize(
    ("vendor", "model", "level", "word"),
    [
        ("openai", "gpt-5", "off", "minimal"),
        ("openai", "gpt-5", "xhigh", "high"),
        ("openai", "gpt-5.1-codex", "off", "none"),
        ("openai", "gpt-5.1", "minimal", "low"),
        ("openai", "gpt-5.2", "xhigh", "xhigh"),
        ("openai", "o3", "off", "low"),
        ("openai", "gpt-4o", "off", ""),
        ("openai", "gpt-4o", "high", "high"),
        ("openrouter", "openai/gpt-5", "xhigh", "high"),
        ("groq", "qwen/qwen3-32b", "low", "default"),
        ("deepseek", "deepseek-chat", "medium", "high"),
        ("mistral", "mistral-small", "low", "high"),
        ("ollama", "anything", "medium", "medium"),
    ],
)
def test_a_level_a_model_lacks_becomes_the_next_higher_or_the_highest(
    vendor: str, model: str, level: ThinkingLevel, word: str
) -> None:
    assert effort(level, model, DIALECTS[vendor].efforts) == word


@pytest.mark.parametrize(
    ("vendor", "model", "level", "fields"),
    [
        ("openai", "gpt-4o", "off", {}),
        ("openai", "gpt-5", "low", {"reasoning_effort": "low"}),
        ("openrouter", "x/y", "off", {"reasoning": {"enabled": False}}),
        ("openrouter", "x/y", "low", {"reasoning": {"effort": "low"}}),
        ("deepseek", "m", "off", {"thinking": {"type": "disabled"}}),
        ("deepseek", "m", "low", {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        ("zai", "m", "low", {"thinking": {"type": "enabled", "clear_thinking": False}}),
        ("llama.cpp", "m", "off", {"chat_template_kwargs": {"enable_thinking": False}}),
        ("llama.cpp", "m", "low", {"chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "low"}}),
        ("together", "m", "off", {"reasoning_effort": "none"}),
    ],
)
def test_a_level_is_said_in_the_fields_of_the_vendor(
    vendor: str, model: str, level: ThinkingLevel, fields: dict[str, Any]
) -> None:
    assert thinking_fields(level, model, DIALECTS[vendor]) == fields
