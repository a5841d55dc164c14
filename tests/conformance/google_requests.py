"""Recorded request bodies of Google's protocol, read back into neutral requests."""

from __future__ import annotations

from typing import Any

from eventsource.codec import to_json
from eventsource.events import ModelRef, ToolSpec
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserContent,
    UserMessage,
)
from eventsource.request import Request
from tests.conformance.exchanges import plain

API = "google-generative-ai"
CHOICES = {"AUTO": "auto", "ANY": "required", "NONE": "none"}
SPELLINGS = {
    "function_call": "functionCall",
    "function_response": "functionResponse",
    "parameters_json_schema": "parametersJsonSchema",
    "parameters": "parametersJsonSchema",
    "response_mime_type": "responseMimeType",
    "response_schema": "responseJsonSchema",
    "return_value": "output",
}


def read_request(path: str, body: dict[str, Any]) -> Request:
    """Read a body; what has no neutral name goes to `extra_body`."""
    body = normal(body)
    options: dict[str, Any] = {}
    config = body.pop("generationConfig", {})
    for theirs, ours in (("temperature", "temperature"), ("maxOutputTokens", "max_tokens"), ("stopSequences", "stop")):
        if theirs in config:
            options[ours] = config.pop(theirs)
    if "responseJsonSchema" in config:
        del config["responseMimeType"]
        options["output_schema"] = config.pop("responseJsonSchema")
    tools = body.pop("tools", [])
    own = [tool for group in tools for tool in group.get("functionDeclarations", [])]
    other = [group for group in tools if "functionDeclarations" not in group]
    extra = ({"generationConfig": config} if config else {}) | ({"tools": other} if other else {})
    system = body.pop("systemInstruction", {"parts": []})
    contents = body.pop("contents")
    options["extra_body"] = extra | body
    return Request(
        model=ModelRef(api=API, provider="google", model=path.partition("models/")[2].partition(":")[0]),
        system_prompt="\n".join(part["text"] for part in system["parts"]),
        tools=tuple(
            ToolSpec(
                name=tool["name"],
                description=tool.get("description", ""),
                schema=to_json(tool["parametersJsonSchema"]),
            )
            for tool in own
        ),
        options=to_json(options),
        messages=tuple(message for content in contents for message in _messages(content)),
    )


def _messages(content: dict[str, Any]) -> list[Message]:
    if content["role"] == "model":
        return [AssistantMessage(content=tuple(map(_answered, content["parts"])))]
    results = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
    rest = tuple(_user(part) for part in content["parts"] if "functionResponse" not in part)
    return [*map(_result, results), *([UserMessage(content=rest)] if rest else [])]


def _result(part: dict[str, Any]) -> Message:
    response = part["response"]
    failed = "error" in response
    text = TextContent(text=response["error" if failed else "output"])
    return ToolResultMessage(tool_call_id=part.get("id", ""), tool_name=part["name"], content=(text,), is_error=failed)


def _user(part: dict[str, Any]) -> UserContent:
    if "text" in part:
        return TextContent(text=part["text"])
    return ImageContent(data=part["inlineData"]["data"], media_type=part["inlineData"]["mimeType"])


def _answered(part: dict[str, Any]) -> AssistantContent:
    signature = part.get("thoughtSignature", "")
    if part.get("thought"):
        return ThinkingContent(thinking=part["text"], signature=signature)
    if "text" in part:
        return TextContent(text=part["text"], signature=signature)
    if "functionCall" in part:
        call = part["functionCall"]
        arguments = bytes(to_json(call.get("args", {}))).decode()
        return ToolCall(id=call.get("id", ""), name=call["name"], arguments=arguments, signature=signature)
    return ProviderContent(api=API, block=to_json(part))


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
