"""What Google's generateContent refuses; https://ai.google.dev/api/generate-content, and its error messages."""

from __future__ import annotations

import re
from typing import Any

from tests.validators.shared import (
    argument_faults,
    draft_faults,
    duplicates,
    image_faults,
    name_faults,
    recursive,
)

IMAGES = {"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"}
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]*")
DATA = ("text", "inlineData", "functionCall", "functionResponse", "fileData", "executableCode", "codeExecutionResult")


def judge_google(body: dict[str, Any], model: str, vendor: str) -> list[str]:
    """Say what is refused; the model stands in the address."""
    contents = body["contents"]
    faults = [] if contents else ["no contents"]
    if contents and contents[0]["role"] != "user":
        faults.append("the model speaks first")
    if contents and contents[-1]["role"] != "user":
        faults.append("the model's words last")
    before: dict[str, Any] = {"role": "user", "parts": []}
    for content in contents:
        faults += _content(content, before)
        before = content
    faults += [f"no results of {len(_calls(before))} calls"] if _calls(before) else []
    if model.startswith("gemma-3") and "systemInstruction" in body:
        faults.append("a system prompt of gemma")
    for content in contents:
        first = next((part for part in content["parts"] if "functionCall" in part), {"thoughtSignature": ""})
        faults += (
            ["a first call without a signature"] if "gemini-3" in model and "thoughtSignature" not in first else []
        )
        named = [p for p in content["parts"] for k in ("functionCall", "functionResponse") if "id" in p.get(k, {})]
        faults += ["a call with an id"] if named and vendor == "vertex" else []
    config = body.get("generationConfig", {})
    faults += ["more than 5 stops"] if len(config.get("stopSequences", [])) > 5 else []
    most = 8_192 if re.search(r"gemini-(1|2\.0)", model) else 65_536
    faults += ["too many tokens"] if config.get("maxOutputTokens", 1) > most and "gemini" in model else []
    ids = [call["id"] for content in contents for call in _calls(content) if "id" in call]
    return faults + duplicates(ids, "calls") + _tools(body, model)


def _calls(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [part["functionCall"] for part in content["parts"] if "functionCall" in part]


def _content(content: dict[str, Any], before: dict[str, Any]) -> list[str]:
    faults = [] if content["parts"] else ["a turn without parts"]
    for part in content["parts"]:
        faults += _part(part, content["role"])
    calls, answers = _calls(before), [p for p in content["parts"] if "functionResponse" in p]
    if answers and len(answers) != len(content["parts"]):
        faults.append("a turn of results that holds something else")
    if [call["name"] for call in calls] != [answer["functionResponse"]["name"] for answer in answers]:
        faults.append(f"{len(answers)} results of {len(calls)} calls")
    if _calls(content) and before["role"] != "user":
        faults.append("a turn with calls after the model's")
    return faults


def _part(part: dict[str, Any], role: str) -> list[str]:
    faults = []
    if not any(name in part for name in DATA):
        faults.append(f"a part that holds nothing: {part}")
    if part.get("text") == "" and not part.get("thoughtSignature"):
        faults.append("an empty text")
    signature = part.get("thoughtSignature")
    if signature is not None and not re.fullmatch(r"[A-Za-z0-9+/_-]+=*", signature):
        faults.append(f"the signature {signature!r}")
    if part.get("thought") and not signature:
        faults.append("reasoning without a signature")
    if "inlineData" in part:
        faults += [] if role == "user" else ["an image of the model's"]
        faults += image_faults(part["inlineData"]["mimeType"], part["inlineData"]["data"], IMAGES)
    for name in ("functionCall", "functionResponse"):
        if name in part:
            faults += name_faults(part[name]["name"], 64, NAME)
            call_id = part[name].get("id", "x")
            faults += [] if re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call_id) else [f"the call id {call_id!r}"]
    return faults


def _tools(body: dict[str, Any], model: str) -> list[str]:
    tools = [one for tool in body.get("tools", []) for one in tool.get("functionDeclarations", [])]
    names = [tool["name"] for tool in tools]
    faults = duplicates(names, "tools")
    for tool in tools:
        faults += name_faults(tool["name"], 64, NAME) + argument_faults(tool["parametersJsonSchema"], ())
        faults += draft_faults(small_types(tool["parametersJsonSchema"]))
    choice = body.get("toolConfig", {}).get("functionCallingConfig")
    if choice and not names:
        faults.append("a tool choice without tools")
    if choice and set(choice.get("allowedFunctionNames", [])) - set(names):
        faults.append("a choice of a tool that is not there")
    schema = body.get("generationConfig", {}).get("responseJsonSchema")
    if schema is not None and recursive(schema):
        faults.append("a schema that recurs")
    if schema is not None and names and re.search(r"gemini-[12]\b|gemini-[12]\.", model):
        faults.append("a schema for the text beside tools")
    return faults


def small_types(schema: object) -> object:
    """Write the names of types as JSON Schema does: Google takes its own capitals too."""
    if isinstance(schema, list):
        return [small_types(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    written = {name: small_types(one) for name, one in schema.items()}
    kind = schema.get("type")
    return {**written, "type": kind.lower()} if isinstance(kind, str) and kind.isupper() else written
