"""When two request bodies of Google's protocol count as equal."""

from __future__ import annotations

from typing import Any

from tests.conformance.exchanges import plain

SPELLINGS = {
    "function_call": "functionCall",
    "function_response": "functionResponse",
    "parameters_json_schema": "parametersJsonSchema",
    "parameters": "parametersJsonSchema",
    "response_mime_type": "responseMimeType",
    "response_schema": "responseJsonSchema",
    "responseSchema": "responseJsonSchema",
    "return_value": "output",
}


def normal(value: Any) -> Any:
    """Write a body's equal forms one way.

    Snake and camel case, the two fields for schemas, and the two alphabets of base64 are the same to Google; ids that
    clients made for calls without one, the system prompt's role, empty descriptions, empty texts without a signature,
    nulls and empty objects say nothing.
    """
    if isinstance(value, list):
        return [normal(item) for item in value if item != {"text": ""}]
    if not isinstance(value, dict):
        return plain(value) if isinstance(value, str) else value
    result = {SPELLINGS.get(name, name): normal(item) for name, item in value.items() if item is not None}
    for name, item in list(result.items()):
        made = name == "id" and isinstance(item, str) and item.startswith(("call_", "pyd_ai_", "gemini_"))
        if made or (name == "description" and item == "") or (name in ("generationConfig", "args") and item == {}):
            del result[name]
        elif name == "thoughtSignature":
            result[name] = item.replace("-", "+").replace("_", "/")
        elif name == "systemInstruction":
            item.pop("role", None)
    return result
