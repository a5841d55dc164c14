"""The protocol `anthropic-messages`: how an answer's events become a message."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..codec import from_json, to_json
from ..messages import Json, StopReason, Usage
from .draft import Draft
from .protocol import StreamEvent
from .transport.failures import Failure, read_failure
from .transport.sse import ServerEvent
from .wire import count, event_object, inner, text_of

API = "anthropic-messages"
_STOP: dict[str, StopReason] = {
    "end_turn": "stop",
    "tool_use": "tool_use",
    "max_tokens": "length",
    "pause_turn": "pause",
    "refusal": "refusal",
}
_LIKE: dict[str, StopReason] = {"stop_sequence": "stop", "model_context_window_exceeded": "length"}
_NEUTRAL = ("text", "thinking", "redacted_thinking", "tool_use")
_MESSAGE_FIELDS = {"id", "type", "role", "model", "content", "stop_reason", "usage"}


class _Block:
    """A block that is being read: as the provider began it, and what its deltas added."""

    def __init__(self, begun: dict[str, object], place: int | None) -> None:
        self.begun = begun
        self.place = place  # its content index; None for a block without a neutral form, which is added when it ends
        self.signature = text_of(begun, "signature") or text_of(begun, "data")
        self.json: list[str] = []


class AnthropicReader:
    """Reads one answer. `message_delta` with a stop reason is terminal: all content came before it."""

    def __init__(self, asked_model: str, names: Mapping[str, str] | None = None) -> None:
        self._asked = asked_model
        self._draft = Draft(names)
        self._blocks: dict[int, _Block] = {}
        self._message: dict[str, object] = {}
        self._usage: dict[str, object] = {}
        self._ended = 0
        self.failure: Failure | None = None
        self.done = False

    def feed(self, event: ServerEvent) -> list[StreamEvent]:
        """Read one event."""
        if self.done or self.failure is not None or event.data == "[DONE]":
            return []
        value = event_object(event)
        if isinstance(value, Failure):
            self.failure = value
        elif event.event == "error" or value.get("type") == "error" or ("error" in value and "type" not in value):
            self.failure = read_failure(value)
        else:
            self._read(value)
        return self._draft.take()

    def finish(self, problem: str = "", *, aborted: bool = False) -> list[StreamEvent]:
        """Read the end of the body."""
        stop = text_of(self._message, "stop_reason")
        reason: StopReason = _STOP.get(stop) or _LIKE.get(stop, "stop")
        error = ""
        if self.failure is not None or not stop:
            reason = "aborted" if aborted and self.failure is None else "error"
            error = self.failure.text if self.failure is not None else problem or "the stream was cut"
        for index in list(self._blocks):
            self._close(index, whole=False)
        model = text_of(self._message, "model")
        self._draft.end(
            reason,
            raw_stop_reason="" if stop in _STOP else stop,
            error=error,
            usage=_usage(self._usage),
            model="" if model == self._asked else model,
            response_id=text_of(self._message, "id"),
            raw=_rest(self._message, _MESSAGE_FIELDS),
        )
        return self._draft.take()

    def _read(self, value: dict[str, object]) -> None:
        index = count(value, "index")
        match value.get("type"):
            case "message_start":
                self._start(inner(value, "message"))
            case "message":  # a server that does not stream
                self._start(value)
                self.done = True
            case "content_block_start":
                self._open(index, inner(value, "content_block"))
            case "content_block_delta":
                piece = inner(value, "delta")
                if index not in self._blocks and (begun := _begun(piece)):  # some gateways leave out its beginning
                    self._open(index, begun)
                if index in self._blocks:
                    self._delta(self._blocks[index], piece)
            case "content_block_stop" if index in self._blocks:
                self._close(index)
            case "message_delta":
                known = inner(value, "delta") | {"context_management": value.get("context_management")}
                self._merge(known, inner(value, "usage"))
            case "message_stop":
                self.done = True
            case _:
                pass  # pings, and what is invented later

    def _start(self, message: dict[str, object]) -> None:
        known = text_of(self._message, "id")
        if known:
            if known != message.get("id"):
                self.failure = Failure(message=f"two answers were spliced: {known} and {text_of(message, 'id')}")
            return
        self._merge(message, inner(message, "usage"))
        model = text_of(message, "model")
        self._draft.start(model="" if model == self._asked else model)
        content = message.get("content")
        for block in content if isinstance(content, list) else []:
            if isinstance(block, dict):
                self._open(self._ended, block)
                self._close(self._ended)

    def _merge(self, message: Mapping[str, object], usage: Mapping[str, object]) -> None:
        """Take what is said of the message: each figure is a total so far, a missing or null one says nothing."""
        self._message.update({name: value for name, value in message.items() if value is not None})
        self._usage.update({name: value for name, value in usage.items() if value is not None})
        self._draft.spend(_usage(self._usage))

    def _open(self, index: int, begun: dict[str, object]) -> None:
        draft = self._draft
        match begun.get("type"):
            case "text":
                place: int | None = draft.open_text()
            case "thinking":
                place = draft.open_thinking()
            case "redacted_thinking":
                place = draft.open_thinking(redacted=True)
            case "tool_use":
                place = draft.open_call(text_of(begun, "id"), text_of(begun, "name"))
            case _:
                place = None
        if place is not None:
            draft.add(place, text_of(begun, "text") + text_of(begun, "thinking"))
        self._blocks[index] = _Block(dict(begun), place)

    def _delta(self, block: _Block, delta: dict[str, object]) -> None:
        match delta.get("type"):
            case "input_json_delta":
                fragment = text_of(delta, "partial_json")
                block.json.append(fragment)
                if block.begun.get("type") == "tool_use" and block.place is not None:
                    self._draft.add(block.place, fragment)
            case "text_delta" | "thinking_delta" if block.place is not None:
                self._draft.add(block.place, text_of(delta, "text") + text_of(delta, "thinking"))
            case "signature_delta":
                block.signature += text_of(delta, "signature")
            case "citations_delta":
                known = block.begun.get("citations")
                block.begun["citations"] = [*(known if isinstance(known, list) else []), delta.get("citation")]
            case _:
                _grow(block.begun, delta)

    def _close(self, index: int, *, whole: bool = True) -> None:
        block = self._blocks.pop(index)
        self._ended = max(self._ended, index + 1)
        begun, place, kind = block.begun, block.place, block.begun.get("type")
        if place is None:
            self._close_provider(block, whole=whole)
        elif kind == "tool_use":
            given = begun.get("input")
            arguments = bytes(to_json(given)).decode() if given and not "".join(block.json).strip() else None
            caller = _rest(begun, {"type", "id", "name", "input"})
            self._draft.close(place, arguments=arguments, raw=caller)
        elif kind == "text":
            self._draft.close(place, raw=_rest(begun, {"type", "text"}))
        else:
            self._draft.close(
                place, signature=block.signature, raw=_rest(begun, {"type", "thinking", "signature", "data"})
            )

    def _close_provider(self, block: _Block, *, whole: bool) -> None:
        """Add a block without a neutral form; half of one cannot be sent back and is left out."""
        begun, written = block.begun, "".join(block.json)
        if written.strip():
            try:
                begun["input"] = from_json(written)
            except ValueError:
                return
        if not whole:
            return
        self._draft.provider_block(API, begun)
        if begun.get("type") == "fallback" and text_of(inner(begun, "to"), "model"):
            self._message["model"] = text_of(inner(begun, "to"), "model")


def _grow(block: dict[str, object], delta: Mapping[str, object]) -> None:
    """Apply a delta of an unknown kind: texts and lists grow, null says nothing, all else replaces."""
    for name, value in delta.items():
        known = block.get(name)
        if name == "type" or value is None:
            continue
        if isinstance(known, str) and isinstance(value, str):
            block[name] = known + value
        elif isinstance(known, list) and isinstance(value, list):
            block[name] = [*known, *value]
        else:
            block[name] = value


def _rest(value: Mapping[str, object], named: set[str]) -> Json:
    """Keep the fields without a name here, but for empty ones and a direct caller, which is the default."""
    rest = {
        name: field
        for name, field in value.items()
        if name not in named and field not in (None, [], "") and field != {"type": "direct"}
    }
    return to_json(rest) if rest else msgspec.UNSET


def _begun(delta: Mapping[str, object]) -> dict[str, object]:
    """Infer the beginning of a block from its delta where none came: of a call nothing is known without it."""
    kind = text_of(delta, "type").removesuffix("_delta")
    return {"type": "thinking" if kind == "signature" else kind} if kind in ("signature", "text", "thinking") else {}


def _usage(usage: dict[str, object]) -> Usage | None:
    if not usage:
        return None
    return Usage(
        input_tokens=count(usage, "input_tokens"),
        output_tokens=count(usage, "output_tokens"),
        cache_read_tokens=count(usage, "cache_read_input_tokens"),
        cache_write_tokens=count(usage, "cache_creation_input_tokens"),
        cache_write_1h_tokens=count(inner(usage, "cache_creation"), "ephemeral_1h_input_tokens"),
        reasoning_tokens=count(inner(usage, "output_tokens_details"), "thinking_tokens"),
        raw=to_json(usage),
    )
