"""What Chat Completions refuse, OpenAI's and others'; their references, and the validator of mistral-common."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from tests.validators.responses import TOP, old_and_new_faults, strict_faults
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

WEB = {"image/png", "image/jpeg", "image/gif", "image/webp"}
IMAGES: dict[str, set[str]] = {"xai": {"image/png", "image/jpeg"}, "deepseek": set(), "cerebras": set()}
COUNTS = {"mistral": 8, "groq": 5}
REASONING = {"reasoning_content", "reasoning", "reasoning_text", "reasoning_details"}
FIELDS: dict[str, set[str]] = {
    "openai": set(),
    "azure": set(),
    "mistral": set(),
    "groq": {"reasoning"},
    "cerebras": {"reasoning"},
}
OPENAI = ("openai", "azure")


def judge_chat(body: dict[str, Any], vendor: str) -> list[str]:
    """Say what a vendor refuses."""
    messages = body["messages"]
    spoken = [message for message in messages if message["role"] not in ("system", "developer")]
    faults = [] if spoken else ["no messages"]
    for message in messages:
        faults += _message(message, vendor)
    calls = [call["id"] for message in messages for call in message.get("tool_calls", [])]
    faults += duplicates(calls, "calls") + _pairs(messages) + _tools(body, vendor)
    if vendor == "mistral":
        roles = [message["role"] for message in messages]
        faults += ["a user right after a result"] if ("tool", "user") in pairwise(roles) else []
        faults += [f"the last role is {roles[-1]}"] if roles and roles[-1] not in ("user", "tool") else []
    parts = [part for m in messages if isinstance(m.get("content"), list) for part in m["content"]]
    images = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    if len(images) > COUNTS.get(vendor, len(images)):
        faults.append(f"{len(images)} images")
    if vendor in OPENAI:
        faults += old_and_new_faults(body, images, body.get("reasoning_effort", "none"))
    faults += _options(body, vendor) + (_groq(body, images) if vendor == "groq" else [])
    if vendor in ("groq", "deepseek"):
        lists = [part for m in messages if isinstance(m.get("content"), list) for part in [m["content"]]]
        faults += ["a list of texts" for one in lists if all(part["type"] == "text" for part in one)]
    if re.search(r"claude-(opus|sonnet|haiku)-(4[.-][6-9]|[5-9])", body["model"]) and vendor == "openrouter":
        faults += ["the assistant's words last"] if messages and messages[-1]["role"] == "assistant" else []
    return faults


def _options(body: dict[str, Any], vendor: str) -> list[str]:
    model, choice, faults = body["model"], body.get("tool_choice"), []
    forced = choice == "required" or isinstance(choice, dict)
    thinks = body.get("thinking", {}).get("type") != "disabled"
    if forced and re.search(r"deepseek-reasoner|kimi-k2\.7|kimi-k3", model):
        faults.append(f"a forced choice of {model}")
    elif forced and thinks and re.search(r"^(deepseek-|kimi-k2\.[56])", model):
        faults.append("a forced choice with reasoning")
    if "temperature" in body and re.search(r"^kimi-(k2\.\d|k3)", model):
        faults.append(f"a temperature of {model}")
    if len(body.get("stop", [])) > 4 or ("stop" in body and re.search(r"^grok-(4|3-mini)", model)):
        faults.append(f"stops of {model}: {body['stop']}")
    if vendor in OPENAI and re.search(r"^gpt-5\.[4-9]", model) and body.get("tools"):
        faults += ["tools with reasoning"] if body.get("reasoning_effort") != "none" else []
    return faults


def _groq(body: dict[str, Any], images: list[str]) -> list[str]:
    faults = ["more than 4 MB of images"] if sum(map(len, images)) > 4_100_000 else []
    return faults + (
        ["images for a model without eyes"] if images and re.search("qwen3-32b|llama-3", body["model"]) else []
    )


def _message(message: dict[str, Any], vendor: str) -> list[str]:
    role, content = message["role"], message.get("content")
    faults = [f"the field {one}" for one in REASONING & message.keys() if one not in FIELDS.get(vendor, REASONING)]
    match role:
        case "system" | "developer":
            return faults + ([] if content else ["an empty prompt"])
        case "user":
            faults += [] if content else ["a user's message without content"]
            return faults + (_parts(content, vendor) if isinstance(content, list) else [])
        case "assistant":
            calls = message.get("tool_calls")
            if not calls and not content and not message.get("refusal"):
                faults.append("an answer without anything")
            for part in content if isinstance(content, list) else []:
                if part["type"] == "thinking" and vendor in OPENAI:
                    faults.append("reasoning in the content")
            return faults + [fault for call in calls or [] for fault in _call(call, vendor)]
        case "tool":
            parts = content if isinstance(content, list) else []
            faults += [] if all(part["type"] == "text" for part in parts) else ["a result that is no text"]
            faults += [] if content or vendor in OPENAI else ["a result without content"]
            return faults + _id(message["tool_call_id"], vendor)
        case _:
            return [f"the role {role!r}"]


def _parts(parts: list[dict[str, Any]], vendor: str) -> list[str]:
    faults = []
    for part in parts:
        if part["type"] == "text":
            faults += [] if part["text"] else ["an empty text"]
        else:
            faults += url_faults(part["image_url"]["url"], IMAGES.get(vendor, WEB))
    return faults


def _call(call: dict[str, Any], vendor: str) -> list[str]:
    if call["type"] == "custom":
        return name_faults(call["custom"]["name"], 64) + _id(call["id"], vendor)
    function = call["function"]
    faults = read_arguments(function["arguments"])
    return [*faults, *name_faults(function["name"], 64), *_id(call["id"], vendor)]


def _id(call_id: str, vendor: str) -> list[str]:
    pattern = r"[a-zA-Z0-9]{9}" if vendor == "mistral" else r"[!-~]{1,40}" if vendor in OPENAI else r"[!-~]{1,64}"
    return [] if re.fullmatch(pattern, call_id) else [f"the call id {call_id!r}"]


def _pairs(messages: list[dict[str, Any]]) -> list[str]:
    """The results of an answer's calls come right after it, each once."""
    faults = []
    waiting: list[str] = []
    for message in [*messages, {"role": "end"}]:
        if message["role"] == "tool":
            if message["tool_call_id"] in waiting:
                waiting.remove(message["tool_call_id"])
            else:
                faults.append(f"a result of no call: {message['tool_call_id']}")
            continue
        faults += [f"no result of {one}" for one in waiting]
        waiting = [call["id"] for call in message.get("tool_calls", [])]
    return faults


def _tools(body: dict[str, Any], vendor: str) -> list[str]:
    tools = [tool.get("function") or tool["custom"] for tool in body.get("tools", [])]
    names = [tool["name"] for tool in tools]
    faults = duplicates(names, "tools")
    for tool in tools:
        faults += name_faults(tool["name"], 64)
        if "parameters" in tool:
            faults += argument_faults(tool["parameters"], TOP) + draft_faults(tool["parameters"])
            faults += open_faults(tool["parameters"])
            if vendor == "moonshot":
                faults += ["a type beside anyOf" for n in nodes(tool["parameters"]) if "anyOf" in n and "type" in n]
        if vendor == "moonshot" and not tool["name"][0].isalpha():
            faults.append(f"the name {tool['name']}")
            faults += strict_faults(tool["parameters"]) if tool.get("strict") else []
    choice = body.get("tool_choice")
    if choice and not names:
        faults.append("a tool choice without tools")
    if isinstance(choice, dict) and choice["function"]["name"] not in names:
        faults.append("a choice of a tool that is not there")
    form = body.get("response_format", {}).get("json_schema")
    faults += name_faults(form["name"], 64) + open_faults({"properties": {}, **form["schema"]}) if form else []
    if form and form.get("strict"):
        faults += strict_faults(form["schema"])
    if form and names and vendor == "groq":
        faults.append("a schema for the text beside tools")
    return faults
