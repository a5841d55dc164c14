"""Reads Responses streams: output items, each of which becomes a block, keyed by their place and not by their ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from ...codec import to_json
from ...messages import Json, StopReason
from ..draft import Draft
from ..protocol import StreamEvent
from ..transport.failures import Failure, read_failure
from ..transport.sse import ServerEvent
from ..wire import count, event_object, inner, text_of
from .shared import CUSTOM_CLOSE, CUSTOM_OPEN, escaped, read_usage, without_text

API = "openai-responses"
SEPARATOR = "\n\n"  # between the parts of one reasoning item
_TERMINAL = {"completed": "response.completed", "incomplete": "response.incomplete", "failed": "response.failed"}
_KEPT = ("moderation", "service_tier")  # of a response; most of its other fields repeat the request


class _OutputItem:
    """An output item while it comes. `blocks`: content index by part of a message; others have part 0 only."""

    def __init__(self, item_type: str) -> None:
        self.type = item_type
        self.blocks: dict[int, int] = {}
        self.refused: set[int] = set()
        self.notes: dict[int, list[object]] = {}
        self.part: tuple[str, int] | None = None
        self.summary: dict[tuple[str, int], str] = {}
        self.done = False
        self.id = self.call_id = ""


class ItemReader:
    """Reads one answer. `done` after a terminal event or an error.

    Args:
        model: the name that was asked.
        tools: names of the caller's tools on the wire; a custom call of another name is the server's own.
        names: the tools' names on record by these, where they differ.
    """

    def __init__(self, model: str, tools: Collection[str], names: Mapping[str, str] | None = None) -> None:
        self.failure: Failure | None = None
        self.done = False
        self._asked, self._tools = model, set(tools)
        self._draft = Draft(names)
        self._items: dict[int | str, _OutputItem] = {}
        self._ids: dict[str, _OutputItem] = {}
        self._last: _OutputItem | None = None
        self._ended = False
        self._calls = self._refused = False
        self._response: dict[str, object] = {}

    def feed(self, event: ServerEvent) -> list[StreamEvent]:
        """Read one event. See `wire.Reader`."""
        if self.done or event.data.strip() in ("", "[DONE]"):
            return []
        value = event_object(event)
        if isinstance(value, Failure):
            self._fail(value)
        else:
            self._event(text_of(value, "type") or (event.event or ""), value)
        return self._draft.take()

    def finish(self, problem: str = "", *, aborted: bool = False) -> list[StreamEvent]:
        """Read the end. See `wire.Reader`."""
        stop, raw_stop, error = self._stop(problem, aborted=aborted)
        usage = self._response.get("usage")
        rest = {
            name: self._response[name] for name in _KEPT if self._response.get(name) not in (None, "default", "auto")
        }
        self._draft.end(
            stop,
            raw_stop_reason=raw_stop,
            error=error,
            usage=read_usage(usage) if isinstance(usage, dict) else None,
            model=self._other_model(),
            response_id=text_of(self._response, "id"),
            raw=to_json(rest) if rest else msgspec.UNSET,
        )
        self.done = True
        return self._draft.take()

    def _fail(self, failure: Failure) -> None:
        self.failure, self.done = failure, True

    def _other_model(self) -> str:
        model = text_of(self._response, "model")
        return "" if model == self._asked else model

    def _event(self, kind: str, value: Mapping[str, object]) -> None:
        response = value.get("response")
        if value.get("object") == "response" and not kind:  # the answer came whole
            kind, response = _TERMINAL.get(text_of(value, "status"), "response.completed"), value
        if "choices" in value and not kind.startswith("response."):
            wrong = "the server answered in the Chat Completions protocol: use openai-completions, or another base URL"
            self._fail(Failure(message=wrong, kind="wrong_protocol"))
        elif kind == "error" or (not kind and value.get("error")):
            self._fail(read_failure({k: v for k, v in value.items() if k != "type"}))
        elif isinstance(response, dict):
            self._response = {**self._response, **response}
            if isinstance(usage := self._response.get("usage"), dict):
                self._draft.spend(read_usage(usage))
            self._draft.start(model=self._other_model())
            self._tools |= {
                name
                for tool in _objects(response.get("tools"))
                if tool.get("type") == "custom" and (name := text_of(tool, "name"))
            }
            if kind in _TERMINAL.values():
                if "status" not in response:
                    self._response["status"] = kind.removeprefix("response.")
                self._end(response, failed=kind == "response.failed")
        elif kind == "response.output_item.added":
            self._added(value)
        elif kind == "response.output_item.done":
            self._done(self._item(value, inner(value, "item")), inner(value, "item"))
        elif kind.startswith("response."):
            self._piece(kind.removeprefix("response."), value)

    def _item(
        self,
        value: Mapping[str, object],
        item: Mapping[str, object] | None = None,
        kind: str = "",
        *,
        begins: bool = False,
    ) -> _OutputItem:
        """Find an event's item: by place; where another item has its id, by id; for a delta without either, the last.

        Some servers give an item a new id with every event, so an id that nobody knows says nothing.
        """
        place, item_id = value.get("output_index"), text_of(value, "item_id") or text_of(item or {}, "id")
        found = self._items.get(place) if isinstance(place, int) else self._ids.get(item_id)
        if not begins and item_id and (found is None or found.id != item_id):
            found = self._ids.get(item_id, found)
        if found is None and item is None and not isinstance(place, int):
            found = self._last
        if found is None:
            found = _OutputItem(text_of(item or {}, "type") or kind)
            self._items[place if isinstance(place, int) else f"{item_id}/{len(self._items)}"] = found
        if item_id:
            self._ids[item_id] = found
            found.id = item_id
        self._last = found
        return found

    def _added(self, value: Mapping[str, object]) -> None:
        item = inner(value, "item")
        found = self._item(value, item, begins=True)
        if found.type == "reasoning":
            self._block(found, 0)
        elif self._is_call(found, item):
            self._open_call(found, item)

    def _is_call(self, found: _OutputItem, item: Mapping[str, object]) -> bool:
        return found.type == "function_call" or (
            found.type == "custom_tool_call" and text_of(item, "name") in self._tools
        )

    def _open_call(self, found: _OutputItem, item: Mapping[str, object]) -> int:
        if 0 not in found.blocks:
            found.blocks[0] = self._draft.open_call(text_of(item, "call_id"), text_of(item, "name"))
            self._draft.add(found.blocks[0], CUSTOM_OPEN if found.type == "custom_tool_call" else "")
            found.call_id = text_of(item, "call_id")
            self._calls = True
        return found.blocks[0]

    def _block(self, found: _OutputItem, part: int, *, refusal: bool = False) -> int:
        if part not in found.blocks:
            thinks = found.type == "reasoning"
            found.blocks[part] = self._draft.open_thinking() if thinks else self._draft.open_text()
            if refusal:
                found.refused.add(part)
                self._refused = True
        return found.blocks[part]

    def _piece(self, kind: str, value: Mapping[str, object]) -> None:
        """Read a delta. What ends a row of deltas is not needed: the item's end says it again."""
        text = text_of(value, "delta")
        part = count(value, "content_index")
        match kind:
            case "output_text.delta" | "refusal.delta":
                found = self._item(value, kind="message")
                self._say(self._block(found, part, refusal=kind == "refusal.delta"), text)
            case "reasoning_summary_text.delta" | "reasoning_text.delta":
                found = self._item(value, kind="reasoning")
                self._reason(found, text, (kind, count(value, "summary_index") or part))
            case "function_call_arguments.delta":
                found = self._item(value, kind="function_call")
                self._say(self._open_call(found, {}), text)
            case "custom_tool_call_input.delta":
                found = self._item(value, kind="custom_tool_call")
                if 0 in found.blocks:
                    self._say(found.blocks[0], escaped(text))
            case "output_text.annotation.added":
                found = self._item(value, kind="message")
                found.notes.setdefault(part, []).append(value.get("annotation"))
            case _:
                pass  # what a server's tools do; the item's end says it all

    def _say(self, block: int, text: str, *, whole: bool = False) -> None:
        """Add text; of a whole one, what has not come yet. What was handed on stays, also when the whole differs."""
        if not self._draft.is_open(block):
            return
        said = self._draft.text_of(block) if whole else ""
        if text.startswith(said):
            self._draft.add(block, text[len(said) :])

    def _reason(self, found: _OutputItem, text: str, part: tuple[str, int]) -> None:
        block = self._block(found, 0)
        if found.part is not None and found.part != part:
            self._say(block, SEPARATOR)
        found.part = part
        if "summary" in part[0]:
            found.summary[part] = found.summary.get(part, "") + text
        self._say(block, text)

    def _done(self, found: _OutputItem, item: Mapping[str, object]) -> None:
        """Read a whole item: it ends its blocks and says what the deltas left out."""
        if found.done:
            return
        found.done = True
        found.type = text_of(item, "type") or found.type
        if found.type == "message":
            self._done_message(found, item)
        elif found.type == "reasoning":
            self._done_reasoning(found, item)
        elif self._is_call(found, item) or 0 in found.blocks:
            self._done_call(found, item)
        else:
            self._draft.provider_block(API, item)

    def _done_message(self, found: _OutputItem, item: Mapping[str, object]) -> None:
        parts = _objects(item.get("content"))
        for index, part in enumerate(parts):
            refusal = part.get("type") == "refusal"
            text = text_of(part, "refusal" if refusal else "text")
            self._say(self._block(found, index, refusal=refusal), text, whole=True)
        own = {k: v for k, v in item.items() if k not in ("content", "role", "type") and v is not None}
        if own.get("status") == "completed":
            own.pop("status")
        for index, block in found.blocks.items():
            signed = {**own, "type": "refusal"} if index in found.refused else own
            rest = {k: v for k, v in (parts[index] if index < len(parts) else {}).items() if v and k not in _PART}
            rest = {"annotations": found.notes[index], **rest} if index in found.notes else rest
            self._close(block, signed, raw=to_json(rest) if rest else msgspec.UNSET)

    def _done_reasoning(self, found: _OutputItem, item: Mapping[str, object]) -> None:
        streamed = [{"type": "summary_text", "text": text} for text in found.summary.values()]
        summary, content = _objects(item.get("summary")) or streamed, _objects(item.get("content"))
        block = self._block(found, 0)
        whole = SEPARATOR.join(text_of(part, "text") for part in (*summary, *content))
        self._say(block, whole, whole=True)
        said = self._draft.text_of(block)
        signed: dict[str, object] = {k: v for k, v in item.items() if k not in ("status", "type") and v is not None}
        signed["summary"] = without_text(summary, said)
        if content:
            signed["content"] = without_text(content, said)
        self._close(block, signed)

    def _done_call(self, found: _OutputItem, item: Mapping[str, object]) -> None:
        block = self._open_call(found, item)
        found.call_id = text_of(item, "call_id") or found.call_id
        self._draft.amend(block, call_id=text_of(item, "call_id"), name=text_of(item, "name"))
        custom = found.type == "custom_tool_call"
        name = "input" if custom else "arguments"
        given = item.get(name)
        arguments = bytes(to_json(given)).decode() if isinstance(given, dict) else given
        arguments = arguments if isinstance(arguments, str) else None
        if custom and arguments is not None:
            arguments = CUSTOM_OPEN + escaped(arguments) + CUSTOM_CLOSE
        if arguments is not None:
            self._say(block, arguments, whole=True)
        own = {k: v for k, v in item.items() if k not in _CALL and v is not None}
        self._close(block, {**own, "type": found.type} if custom else own, arguments=arguments)

    def _close(
        self, block: int, signed: Mapping[str, object], *, arguments: str | None = None, raw: Json = msgspec.UNSET
    ) -> None:
        if self._draft.is_open(block):
            signature = bytes(to_json(signed)).decode() if signed else ""
            self._draft.close(block, signature=signature, arguments=arguments, raw=raw)

    def _end(self, response: Mapping[str, object], *, failed: bool) -> None:
        output = _objects(response.get("output"))
        known: list[_OutputItem | None] = []
        for item in output:
            same = self._known(item)
            known.append(None if same in known else same)
        for place, item in enumerate(output):
            found = known[place]
            if found is None:
                left = [one for one in self._items.values() if one.type == item.get("type") and one not in known]
                at = self._items.get(place)
                found = at if at in left else left[0] if left else self._item({}, {**item, "id": ""}, begins=True)
                known[place] = found
            if found.done and 0 in found.blocks and found.type == item.get("type") and found.type in _CALLS:
                self._draft.amend(found.blocks[0], call_id=text_of(item, "call_id"))  # the last word on it counts
            self._done(found, item)
        self._ended = self.done = True
        if failed:
            said = response.get("error")
            reason = inner(response, "incomplete_details").get("reason")
            self._fail(
                read_failure(said) if said else Failure(message=f"the response failed: {reason or 'no reason given'}")
            )

    def _known(self, item: Mapping[str, object]) -> _OutputItem | None:
        """Find the item that the terminal event repeats: by its id, or its call's; places in it may be others."""
        found = self._ids.get(text_of(item, "id"))
        if found is not None and found.type == item.get("type"):
            return found
        call_id = text_of(item, "call_id")
        return next((one for one in self._items.values() if call_id and one.call_id == call_id), None)

    def _stop(self, problem: str, *, aborted: bool) -> tuple[StopReason, str, str]:
        """Return why the answer ended, the provider's word for it, and the error if it ended badly."""
        reason = text_of(inner(self._response, "incomplete_details"), "reason")
        if self.failure is not None:
            return "error", reason, self.failure.text
        if not self._ended:
            cut = problem or "the stream ended before the answer was complete"
            return "aborted" if aborted else "error", reason, cut
        status = text_of(self._response, "status")
        if status == "cancelled":
            return "error", status, "the response was cancelled at the provider"
        if status == "incomplete":
            stop: StopReason = "refusal" if reason == "content_filter" else "length"
            return stop, "" if reason == "max_output_tokens" else reason, ""
        return "tool_use" if self._calls else "refusal" if self._refused else "stop", "", ""


_PART = ("refusal", "text", "type")
_CALLS = ("function_call", "custom_tool_call")
_CALL = ("arguments", "call_id", "input", "name", "status", "type")


def _objects(value: object) -> Sequence[Mapping[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
