"""The system prompt and the tools of a pi session: system messages change what those before them said.

A message adds a text, replaces or removes sections by name, and adds or removes tools (from pi 1.0 on).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from eventsource.codec import read_object, to_json
from eventsource.events import ConfigChange
from eventsource.values import ToolSpec

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields

NOTHING = "{}"


def patched(before: str, message: Fields) -> str:
    """Apply a system message.

    Args:
        before: what held before it, as this returned it; `NOTHING` at first.
    """
    held = read_object(msgspec.Raw(before.encode()))
    texts = [*list_of(held.get("texts")), *filter(None, [_text(message.get("content"))])]
    sections, tools = dict(fields_of(held.get("sections"))), dict(fields_of(held.get("tools")))
    for name, value in fields_of(message.get("sections")).items():
        if isinstance(value, str):
            sections[name] = value
        elif value is None:
            sections.pop(name, None)
    for tool in map(fields_of, list_of(message.get("toolsRemoved"))):
        tools.pop(text_of(tool.get("name")), None)
    for tool in map(fields_of, list_of(message.get("toolsAdded"))):
        if text_of(tool.get("name")):
            tools[text_of(tool["name"])] = dict(tool)
    return bytes(to_json({"texts": texts, "sections": sections, "tools": tools})).decode()


def changed(before: str, after: str) -> list[ConfigChange]:
    """Return what changed between two that `patched` returned."""
    (prompt, tools), (new_prompt, new_tools) = _read(before), _read(after)
    if (prompt, tools) == (new_prompt, new_tools):
        return []
    return [
        ConfigChange(
            system_prompt=new_prompt if new_prompt != prompt else None, tools=new_tools if new_tools != tools else None
        )
    ]


def _read(held: str) -> tuple[str, tuple[ToolSpec, ...]]:
    fields = read_object(msgspec.Raw(held.encode()))
    texts = [*list_of(fields.get("texts")), *fields_of(fields.get("sections")).values()]
    return "\n\n".join(filter(None, map(text_of, texts))), tuple(map(_tool, _tools(fields)))


def _tools(fields: Fields) -> list[Mapping[str, object]]:
    return [fields_of(tool) for tool in fields_of(fields.get("tools")).values()]


def _tool(fields: Mapping[str, object]) -> ToolSpec:
    schema = fields_of(fields.get("parameters")) or {"type": "object", "properties": {}}
    return ToolSpec(
        name=text_of(fields.get("name")), description=text_of(fields.get("description")), schema=to_json(schema)
    )


def _text(content: object) -> str:
    blocks = [text_of(fields_of(block).get("text")) for block in list_of(content)]
    return text_of(content) or "\n".join(filter(None, blocks))
