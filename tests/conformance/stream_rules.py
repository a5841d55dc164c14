"""Where our reading of a recorded exchange differs: by what the exchange holds, never by its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tests.conformance.exchanges import Case


class Rule(msgspec.Struct, frozen=True):
    """Which exchanges differ (`applies`), in which fields and to what (`instead`), and why."""

    reason: str
    applies: Callable[[Case, dict[str, Any]], bool]
    instead: Callable[[Case, dict[str, Any]], dict[str, Any]]


def chunks(case: Case) -> list[dict[str, Any]]:
    """Read the data lines of a body the plain way, for the rules."""
    values = []
    for line in case.body.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"):
        if line.startswith("data:"):
            try:
                values.append(json.loads(line[5:]))
            except ValueError:
                continue
    return [value for value in values if isinstance(value, dict)]


def follow(case: Case, want: dict[str, Any], rules: tuple[Rule, ...]) -> dict[str, Any]:
    """Say what our reading should be, given the expectation."""
    for rule in rules:
        if rule.applies(case, want):
            want = want | rule.instead(case, want)
    return want


def first_answer(case: Case) -> list[dict[str, Any]]:
    """Read the events of the first answer in a body, up to the next one's start."""
    events = chunks(case)
    starts = [place for place, event in enumerate(events) if event.get("type") == "message_start"]
    return events[: starts[1]] if len(starts) > 1 else events


def written_arguments(case: Case) -> Iterator[str]:
    """Join what was streamed of each tool call's arguments, in order."""
    joined: dict[int, str] = {}
    for event in first_answer(case):
        if (event.get("content_block") or {}).get("type") in ("tool_use", "server_tool_use"):
            joined[event["index"]] = ""
        elif event.get("type") == "content_block_delta" and event["index"] in joined:
            joined[event["index"]] += event["delta"].get("partial_json") or ""
    yield from joined.values()


def is_json(text: str) -> bool:
    try:
        json.loads(text or "{}")
    except ValueError:
        return False
    return True


def _with_arguments(case: Case, want: dict[str, Any]) -> dict[str, Any]:
    """Put the text of a call's arguments where it is no JSON, which the client repairs."""
    written = written_arguments(case)
    blocks = []
    for block in want["content"]:
        text = next(written, "") if block["type"] in ("tool_use", "server_tool_use") else ""
        blocks.append(block if is_json(text) else {**block, "input": text})
    return {"content": blocks}


def _late_citations(case: Case) -> list[Any]:
    """Find the citations that come behind the end of their block."""
    ended, late = set[int](), []
    for event in chunks(case):
        if event.get("type") == "content_block_stop":
            ended.add(event["index"])
        elif event.get("type") == "content_block_delta" and event["index"] in ended and "citation" in event["delta"]:
            late.append(event["delta"]["citation"])
    return late


def _without_late(case: Case, want: dict[str, Any]) -> dict[str, Any]:
    late = _late_citations(case)
    return {
        "content": [
            {**block, "citations": [cited for cited in block["citations"] if cited not in late]}
            if block.get("citations")
            else block
            for block in want["content"]
        ]
    }


def _first_content(case: Case) -> list[dict[str, Any]]:
    """Write the content of a body's first answer from its deltas."""
    blocks: dict[int, dict[str, Any]] = {}
    for event in first_answer(case):
        if event.get("type") == "content_block_start":
            blocks[event["index"]] = dict(event["content_block"])
        elif event.get("type") == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            for field, given in (("text", "text"), ("thinking", "thinking"), ("signature", "signature")):
                if given in delta:
                    block[field] = block.get(field, "") + delta[given]
    calls = (block for block in blocks.values() if block["type"] == "tool_use")
    for block, text in zip(calls, written_arguments(case), strict=False):
        block["input"] = json.loads(text or "{}") if is_json(text) else text
    return list(blocks.values())


def _first_usage(case: Case) -> list[int]:
    """Say the usage that the first answer told, the last figure of each kind."""
    found: dict[str, int] = {}
    for event in first_answer(case):
        told = (event.get("message") or {}).get("usage") or event.get("usage") or {}
        found |= {name: figure for name, figure in told.items() if isinstance(figure, int)}
    return [found.get(name, 0) for name in USAGE]


USAGE = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")

ANTHROPIC: tuple[Rule, ...] = (
    Rule(
        "arguments that were cut stay as received; the client repairs them",
        lambda case, want: not all(map(is_json, written_arguments(case))),
        _with_arguments,
    ),
    Rule(
        "a block that has ended is a fact: a citation behind its end is not read",
        lambda case, want: bool(_late_citations(case)),
        _without_late,
    ),
    Rule(
        "a second answer in one stream is an error behind the first; the client merges them silently",
        lambda case, want: len(first_answer(case)) < len(chunks(case)),
        lambda case, want: {"stop": "error", "content": _first_content(case), "usage": _first_usage(case)},
    ),
)
"""Rules of answers: `want` is what the official client's final message says."""


def bare_of_urls(body: dict[str, Any], written: dict[str, Any]) -> dict[str, Any]:
    """Put our remark for an image by URL, which has no neutral form, where a recorded request has one."""
    told = [block for message in written["messages"] for block in message["content"]]
    for message, ours in zip(body["messages"], written["messages"], strict=False):
        for place, block in enumerate(message["content"]):
            if block.get("type") == "image" and (block.get("source") or {}).get("type") == "url":
                assert "image" in ours["content"][place]["text"], told
                message["content"][place] = ours["content"][place]
    return body


def without_blank_texts(body: dict[str, Any]) -> dict[str, Any]:
    """Leave out the blank text that one client puts before calls that came without one; blank texts are refused."""
    for message in body["messages"]:
        if message["role"] == "assistant":
            message["content"] = [b for b in message["content"] if b.get("type") != "text" or b["text"].strip()]
    return body
