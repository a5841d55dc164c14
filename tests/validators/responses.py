"""What OpenAI's Responses refuse; https://platform.openai.com/docs/api-reference/responses, and error messages."""

from __future__ import annotations

import re
from typing import Any

from tests.validators.shared import (
    argument_faults,
    draft_faults,
    duplicates,
    name_faults,
    nodes,
    open_faults,
    read_arguments,
    url_faults,
)

IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
PLAIN = re.compile(r"(^|[/:])(gpt-3|gpt-4|chatgpt|gpt-5[^/]*chat)")  # models that do not reason
PREFIXES = {"message": "msg", "function_call": "fc", "reasoning": "rs", "custom_tool_call": "ct"}
MOST = ((r"gpt-4o", 16_384), (r"gpt-4\.1", 32_768), (r"gpt-3\.5|gpt-4-turbo", 4_096))
TOP = ("anyOf", "oneOf", "allOf", "enum", "not")
FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
STRICT_UNKNOWN = {"allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "default"}
STRICT_UNKNOWN |= {"patternProperties", "prefixItems", "uniqueItems", "propertyNames", "contains"}


def judge_responses(body: dict[str, Any], vendor: str) -> list[str]:
    """Say what is refused; `vendor` openai and azure are OpenAI itself."""
    items = body["input"]
    faults = [] if items else ["no input"]
    own = vendor in ("openai", "azure")
    faults += duplicates([item["id"] for item in items if item.get("id")], "items")
    faults += duplicates([item["call_id"] for item in items if item.get("type") in CALLS], "calls")
    for item in items:
        faults += _item(item, own=own)
    faults += _pairs(items) + _reasoning(items, body["model"], own=own) + _options(body)
    if own:
        images = [part["image_url"] for item in items for part in _spoken(item) if part.get("type") == "input_image"]
        faults += old_and_new_faults(body, images, body.get("reasoning", {}).get("effort", "none"))
        faults += [f"{body['max_output_tokens']} tokens"] if body.get("max_output_tokens", 16) < 16 else []
    for tool in body.get("tools", []):
        faults += name_faults(tool["name"], 64)
        if tool["type"] == "function":
            faults += argument_faults(tool["parameters"], TOP) + draft_faults(tool["parameters"])
            faults += open_faults(tool["parameters"])
            faults += strict_faults(tool["parameters"]) if tool.get("strict") else []
    return faults + duplicates([tool["name"] for tool in body.get("tools", [])], "tools")


def _spoken(item: dict[str, Any]) -> list[dict[str, Any]]:
    said = item.get("content", item.get("output"))
    return [part for part in said if isinstance(part, dict)] if isinstance(said, list) else []


def old_and_new_faults(body: dict[str, Any], images: list[str], effort: str) -> list[str]:
    """What OpenAI's older models cannot see, and its newer ones do not let one set."""
    model = body["model"]
    blind = re.search(r"^(gpt-3\.5|o3-mini|o1-mini|gpt-4$)", model)
    steady = re.search(r"^(o3|o4|gpt-5(-mini|$))", model) or (re.search(r"^gpt-5\.\d", model) and effort != "none")
    faults = [f"images for {model}"] if blind and images else []
    faults += [f"{len(images)} images"] if len(images) > 500 else []
    faults += ["more than 50 MB of images"] if sum(map(len, images)) > 51_000_000 else []
    asked = body.get("max_output_tokens", body.get("max_completion_tokens", 0))
    faults += [f"{asked} tokens of {model}"] if asked > next((n for p, n in MOST if re.search(p, model)), asked) else []
    return faults + [f"a {name} of {model}" for name in ("temperature", "stop") if steady and name in body]


CALLS = ("function_call", "custom_tool_call")


def _item(item: dict[str, Any], *, own: bool) -> list[str]:
    kind = item.get("type", "message" if "role" in item else None)
    faults = []
    if len(item.get("id", "")) > 64:
        faults.append("an id of more than 64 characters")
    if own and kind in PREFIXES and item.get("id") and not item["id"].startswith(PREFIXES[kind]):
        faults.append(f"a {kind} with the id {item['id']!r}")
    match kind:
        case "message":
            faults += _message(item)
        case "function_call":
            faults += name_faults(item["name"], 64) + _call_id(item)
            faults += read_arguments(item["arguments"])
        case "custom_tool_call":
            faults += name_faults(item["name"], 64) + _call_id(item)
        case "function_call_output" | "custom_tool_call_output":
            faults += _call_id(item) + _output(item["output"])
        case "reasoning":
            faults += [] if isinstance(item.get("summary"), list) else ["reasoning without a summary"]
        case str() as other if other:
            pass
        case _:
            faults.append(f"an item without a type: {item}")
    return faults


def _call_id(item: dict[str, Any]) -> list[str]:
    return [] if re.fullmatch(r"[!-~]{1,64}", item["call_id"]) else [f"the call id {item['call_id']!r}"]


def _message(item: dict[str, Any]) -> list[str]:
    if item["role"] not in ("user", "assistant", "system", "developer"):
        return [f"the role {item['role']!r}"]
    if item.get("status", "completed") not in ("completed", "incomplete", "in_progress"):
        return [f"the status {item['status']!r}"]
    content = item["content"]
    if not content:
        return ["a message without content"]
    return [] if isinstance(content, str) else [fault for part in content for fault in _part(part, item["role"])]


def _part(part: dict[str, Any], role: str) -> list[str]:
    kinds = ("output_text", "refusal") if role == "assistant" else ("input_text", "input_image")
    if part["type"] not in kinds:
        return [f"a {part['type']} of the {role}'s"]
    if part["type"] == "input_image":
        return url_faults(part["image_url"], IMAGES)
    return ["an empty text"] if part["type"] == "input_text" and not part["text"] else []


def _output(output: object) -> list[str]:
    if isinstance(output, str):
        return []
    return [fault for part in output for fault in _part(part, "user")] if output else ["an empty list as output"]  # type: ignore[attr-defined]  # a list


def _pairs(items: list[dict[str, Any]]) -> list[str]:
    open_calls: list[str] = []
    faults = []
    for item in items:
        if item.get("type") in CALLS:
            open_calls.append(item["call_id"])
        elif str(item.get("type")).endswith("call_output"):
            if item["call_id"] in open_calls:
                open_calls.remove(item["call_id"])
            else:
                faults.append(f"a result of no call: {item['call_id']}")
    return faults + [f"no result of {one}" for one in open_calls]


def _reasoning(items: list[dict[str, Any]], model: str, *, own: bool) -> list[str]:
    faults = []
    for place, item in enumerate(items):
        if item.get("type") != "reasoning":
            continue
        if PLAIN.search(model):
            faults.append(f"reasoning for {model}")
        if not item.get("encrypted_content") and not item.get("content"):
            faults.append("reasoning that the server would have to know")
        made_for = str(item.get("encrypted_content", "")).partition("@")[2]  # the tests' own mark of who made it
        if own and made_for and PLAIN.search(model) is None and made_for != model:
            faults.append(f"reasoning of {made_for} for {model}")
        following = items[place + 1] if place + 1 < len(items) else {}
        if following.get("role") in ("user", "system") or not following or "output" in str(following.get("type")):
            faults.append("reasoning without the item that followed it")
    return faults + (_ids(items) if own else [])


def _ids(items: list[dict[str, Any]]) -> list[str]:
    """The tests' ids say what an item came with: `fc_r7...` came after the reasoning `rs_r7...`."""
    there = {item["id"].split("_")[1] for item in items if item.get("type") == "reasoning" and item.get("id")}
    faults = []
    for item in items:
        tag = re.match(r"[a-z]+_(r\d+)_", str(item.get("id", "")))
        if tag and item.get("type") != "reasoning" and tag[1] not in there:
            faults.append(f"{item['id']} without the reasoning it came with")
    return faults


def _options(body: dict[str, Any]) -> list[str]:
    faults = []
    choice, names = body.get("tool_choice"), [tool["name"] for tool in body.get("tools", [])]
    if choice and not names:
        faults.append("a tool choice without tools")
    if isinstance(choice, dict) and choice["name"] not in names:
        faults.append("a choice of a tool that is not there")
    formed = body.get("text", {}).get("format")
    faults += name_faults(formed["name"], 64) + open_faults({"properties": {}, **formed["schema"]}) if formed else []
    if formed and formed.get("strict"):
        faults += strict_faults(formed["schema"])
    if formed and formed["schema"].get("type") != "object":
        faults.append("a schema for the text that is no object's")
    return faults


def strict_faults(schema: dict[str, Any]) -> list[str]:
    """Say what strict mode refuses, or what it narrows to nothing."""
    faults = []
    for node in nodes(schema):
        if node.get("type") == "object" or "properties" in node:
            if node.get("additionalProperties") is not False:
                faults.append("an object that is not closed")
            if "properties" not in node:
                faults.append("an object that can hold nothing")
            if set(node.get("required", [])) != set(node.get("properties", {})):
                faults.append("a property that is not required")
        if not node.keys() & {"type", "anyOf", "$ref", "enum", "const"}:
            faults.append("a part without a type")
        faults += [f"{name} in a strict schema" for name in sorted(STRICT_UNKNOWN & node.keys())]
        if node.get("format", "date") not in FORMATS:
            faults.append(f"the format {node['format']}")
        faults += ["a reference with something beside it"] if "$ref" in node and len(node) > 1 else []
    return faults
