"""What of a model's reasoning, of its items' ids and of its provider's own blocks goes back, and to whom."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import msgspec

from ...codec import from_json, to_json
from ...events import ModelRef
from ...messages import (
    AssistantContent,
    AssistantMessage,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
)
from ..rules.limits import ANTHROPIC, GOOGLE, RESPONSES, Limits

_FAMILY = re.compile(r"(?:^|[/:])((?:gpt-|o\d|codex|chatgpt)[^/:]*)")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_RELEASE = re.compile(r"-(\d{4}-\d\d-\d\d|latest|preview)$")
_NO_REASONER = re.compile(r"(gpt-(3|4)|chatgpt-|gpt-5[^/]*chat)")
_OURS: Mapping[str, frozenset[str]] = {
    ANTHROPIC: frozenset({"image", "redacted_thinking", "text", "thinking", "tool_result", "tool_use"}),
    RESPONSES: frozenset({"function_call", "function_call_output", "message", "reasoning"}),
    GOOGLE: frozenset({"functionCall", "functionResponse", "text"}),
}
"""Types (Google: fields) of blocks that have a neutral form: one of the provider's own must not pass for them."""


def is_foreign(message: AssistantMessage, api: str, model: ModelRef, limits: Limits) -> bool:
    """Check whether a message must be translated: another provider's, or reasoning of a model that this one is not."""
    if message.api not in ("", api) or message.provider not in ("", model.provider):
        return True
    if limits.same_model and not _same_model(message.model, model.model):
        return True
    return limits.no_reasoning and any(isinstance(block, ThinkingContent) for block in message.content)


def _same_model(answered: str, asked: str) -> bool:
    """Compare two names; a name that says nothing of its model (a deployment's) may be any."""
    names = [found[1] for name in (answered, asked) if (found := _FAMILY.search(name))]
    return len(names) < 2 or _RELEASE.sub("", names[0]) == _RELEASE.sub("", names[1])


def kept_reasoning(block: AssistantContent, api: str, limits: Limits) -> AssistantContent | None:
    """Return a block of the provider's own as it goes back: itself, changed, or nothing."""
    match block:
        case ProviderContent(api=source):
            return block if source == api and (not limits.known_blocks or _is_known(block)) else None
        case ThinkingContent():
            return _kept_thinking(block, limits)
        case TextContent(signature=signature) | ToolCall(signature=signature):
            if limits.base64_signatures and signature and not _BASE64.fullmatch(signature):
                return msgspec.structs.replace(block, signature="")
    return block


def _is_known(block: ProviderContent) -> bool:
    value, ours = from_json(block.block), _OURS.get(block.api, frozenset())
    if not isinstance(value, dict) or not value:
        return False
    if block.api == GOOGLE:
        return not ours & value.keys()
    kind = value.get("type")
    return isinstance(kind, str) and bool(kind) and kind not in ours


def _kept_thinking(block: ThinkingContent, limits: Limits) -> AssistantContent | None:
    match limits.reasoning:
        case "any":
            return block
        case "fields":
            return _in_fields(block, limits)
        case "encrypted":
            signed = signed_fields(block.signature)
            if signed and not (signed.get("encrypted_content") or signed.get("content")):
                return None  # the server would look in vain for it in what it did not store
            kept = bool(signed)
        case "signed":
            kept = bool(block.signature)
    if kept and limits.base64_signatures and not _BASE64.fullmatch(block.signature):
        kept = False
    return block if kept else _unsigned(block, limits)


def _in_fields(block: ThinkingContent, limits: Limits) -> AssistantContent | None:
    if not limits.reasoning_fields:
        return _unsigned(block, limits)
    if not block.thinking:
        return None
    if block.signature in limits.reasoning_fields:
        return block
    return msgspec.structs.replace(block, signature=limits.reasoning_fields[0])


def _unsigned(block: ThinkingContent, limits: Limits) -> TextContent | None:
    return TextContent(text=block.thinking) if limits.unsigned == "text" and block.thinking.strip() else None


def without_last_reasoning(blocks: tuple[AssistantContent, ...]) -> tuple[AssistantContent, ...]:
    """Leave out reasoning that nothing follows."""
    end = len(blocks)
    while end and isinstance(blocks[end - 1], ThinkingContent):
        end -= 1
    return blocks[:end]


class Items:
    """The ids of a request's Responses items: each once, and only beside the reasoning that it came with."""

    def __init__(self, api: str, limits: Limits) -> None:
        self._limits = limits
        self._seen: set[str] = set()
        self._text = ""  # the id of the text before: texts of one item follow each other

    def kept(self, message: AssistantMessage, blocks: tuple[AssistantContent, ...]) -> tuple[AssistantContent, ...]:
        """Return the blocks with the ids and reasoning that may go."""
        limits = self._limits
        reasons = [block for block in blocks if isinstance(block, ThinkingContent)]
        ids = [item_id for block in reasons if (item_id := _id_of(block))]
        came_with = any(isinstance(block, ThinkingContent) for block in message.content)
        lost = len(reasons) < sum(isinstance(block, ThinkingContent) for block in message.content)
        again = limits.unique_items and (bool(self._seen.intersection(ids)) or len(set(ids)) < len(ids))
        if again or any(not self._fits("reasoning", item_id) for item_id in ids):
            blocks, lost = tuple(block for block in blocks if not isinstance(block, ThinkingContent)), True
        else:
            self._seen.update(ids)
        family = _FAMILY.search(message.model)
        free = family is not None and _NO_REASONER.match(family[1]) is not None
        usage = message.usage  # by the provider's own figures no reasoning came, so none is lost
        free = free or (usage is not None and usage.raw is not msgspec.UNSET and usage.reasoning_tokens == 0)
        bare = limits.ids_need_reasoning and (lost or (not came_with and not free))
        self._text = ""
        kept = [self._block(block, bare=bare, lost=lost) for block in blocks]
        return tuple(block for block in kept if block is not None)

    def _block(self, block: AssistantContent, *, bare: bool, lost: bool) -> AssistantContent | None:
        if isinstance(block, ThinkingContent):
            return block
        if isinstance(block, ProviderContent):
            value = from_json(block.block)
            item_id = str(value.get("id") or "") if isinstance(value, dict) else ""
            if (lost and self._limits.ids_need_reasoning) or (self._limits.unique_items and item_id in self._seen):
                return None
            self._seen.update({item_id} - {""})
            return block
        signed = signed_fields(block.signature)
        item_id = str(signed.get("id") or "")
        kind = "message" if isinstance(block, TextContent) else str(signed.get("type") or "function_call")
        more = isinstance(block, TextContent) and item_id == self._text
        again = self._limits.unique_items and item_id in self._seen and not more
        self._text = item_id if isinstance(block, TextContent) else ""
        if not item_id or not (bare or again or not self._fits(kind, item_id)):
            self._seen.update({item_id} - {""})
            return block
        rest = {name: value for name, value in signed.items() if name != "id"}
        return msgspec.structs.replace(block, signature=bytes(to_json(rest)).decode() if rest else "")

    def _fits(self, kind: str, item_id: str) -> bool:
        return not item_id or item_id.startswith(self._limits.item_ids.get(kind, ""))


def _id_of(block: ThinkingContent) -> str:
    return str(signed_fields(block.signature).get("id") or "")


def signed_fields(signature: str) -> dict[str, object]:
    """Read what an item's other fields were."""
    try:
        value = json.loads(signature) if signature.startswith("{") else None
    except (ValueError, RecursionError):
        value = None
    return dict(value) if isinstance(value, dict) else {}


def pauses(message: AssistantMessage) -> bool:
    """Return whether an answer paused for the provider's own tools: it goes back as it is, to be gone on with.

    A history that was read from elsewhere does not say why an answer stopped; one that ends with such a call waits.
    """
    block = message.content[-1] if message.content else None
    return isinstance(block, ProviderContent) and (message.stop_reason == "pause" or bool(_server_ids(block)[0]))


def paired_blocks(history: Sequence[Message]) -> list[Message]:
    """Leave out calls of the provider's own tools without a result, and results without a call, each once.

    A call of the last answer may wait: its result comes with what the model says next.
    """
    used: dict[str, int] = {}
    answered: set[str] = set()
    kept: dict[tuple[int, int], bool] = {}
    last = next((at for at in range(len(history) - 1, -1, -1) if isinstance(history[at], AssistantMessage)), -1)
    after = history[last + 1 :]
    pending = history[last] if last >= 0 else None
    waits = all(isinstance(message, ToolResultMessage) for message in after) and (
        bool(after) or (isinstance(pending, AssistantMessage) and pauses(pending))
    )
    for at, message in enumerate(history):
        for place, block in enumerate(message.content if isinstance(message, AssistantMessage) else ()):
            if not isinstance(block, ProviderContent):
                continue
            call, result = _server_ids(block)
            if call:
                kept[at, place] = call not in used
                used.setdefault(call, at)
            elif result:
                kept[at, place] = result in used and result not in answered
                answered.add(result)
    out: list[Message] = []
    for at, message in enumerate(history):
        if not isinstance(message, AssistantMessage):
            out.append(message)
            continue
        blocks = tuple(
            block
            for place, block in enumerate(message.content)
            if kept.get((at, place), True) and _has_pair(block, answered, waiting=waits and at == last)
        )
        if blocks or not message.content:
            out.append(message if blocks == message.content else msgspec.structs.replace(message, content=blocks))
    return out


def _has_pair(block: AssistantContent, answered: set[str], *, waiting: bool) -> bool:
    call = _server_ids(block)[0] if isinstance(block, ProviderContent) else ""
    return not call or call in answered or waiting


def _server_ids(block: ProviderContent) -> tuple[str, str]:
    """Read the id that a block gives its call, and the one that it answers."""
    value = from_json(block.block)
    if not isinstance(value, dict):
        return "", ""
    kind = str(value.get("type"))
    return (
        str(value.get("id") or "") if kind.endswith("tool_use") else "",
        str(value.get("tool_use_id") or "") if kind.endswith("tool_result") else "",
    )
