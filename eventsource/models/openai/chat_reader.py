"""Reads Chat Completions streams, OpenAI's and those of everyone who speaks like it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec

from ...codec import to_json
from ...messages import StopReason
from ..draft import Draft
from ..protocol import StreamEvent
from ..transport.failures import Failure, read_failure
from ..transport.sse import ServerEvent
from ..wire import event_object, text_of
from .shared import CUSTOM_CLOSE, CUSTOM_OPEN, escaped, read_usage, without_text

REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_text")
REFUSAL = "refusal"  # the signature of a text that came as a refusal
CUSTOM = "custom"  # the signature of a call of a custom tool
CONTENT = "content"  # the signature of reasoning that came as a part of the content
_STOPS: Mapping[str, StopReason] = {
    "content_filter": "refusal",
    "error": "error",
    "function_call": "tool_use",
    "insufficient_system_resource": "error",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "network_error": "error",
    "refusal": "refusal",
    "sensitive": "refusal",
    "stop": "stop",
    "tool_calls": "tool_use",
}
_WORDS: Mapping[str, str] = {"length": "length", "refusal": "content_filter", "stop": "stop", "tool_use": "tool_calls"}
_KNOWN_CHUNK = frozenset({"choices", "created", "error", "id", "model", "obfuscation", "object", "usage", "x_groq"})
_KNOWN_CHOICE = frozenset({"delta", "finish_reason", "index", "message", "usage"})
_KNOWN_CALL = frozenset({"custom", "function", "id", "index", "type"})
_KNOWN_DELTA = frozenset(
    {*REASONING_FIELDS, "content", "function_call", "index", "reasoning_details", "refusal", "role", "tool_calls"}
)


class _Call:
    """A tool call while it comes: its block is opened when its name is known."""

    def __init__(self, index: object) -> None:
        self.index, self.id, self.name, self.opened_id = index, "", "", ""
        self.arguments = ""
        self.block: int | None = None
        self.custom = False
        self.rest: dict[str, object] = {}


class ChunkReader:
    """Reads one answer. Only the first choice is read; `done` after [DONE] or an error."""

    def __init__(self, model: str, names: Mapping[str, str] | None = None) -> None:
        self.failure: Failure | None = None
        self.done = False
        self._asked = model
        self._draft = Draft(names)
        self._model = self._id = ""
        self._ended = False
        self._finish: str | None = None
        self._usage: Mapping[str, object] | None = None
        self._blocks: dict[str, int] = {}
        self._field = ""
        self._details: list[dict[str, object]] = []
        self._calls: list[_Call] = []
        self._rest: dict[str, object] = {}

    def feed(self, event: ServerEvent) -> list[StreamEvent]:
        """Read one chunk. See `wire.Reader`."""
        if self.done or not event.data.strip():
            return []
        if event.data.strip() == "[DONE]":
            self._ended = self.done = True
            return []
        chunk = event_object(event)
        if isinstance(chunk, Failure):
            self._fail(chunk)
        else:
            self._chunk(chunk, is_error=event.event == "error")
        return self._draft.take()

    def finish(self, problem: str = "", *, aborted: bool = False) -> list[StreamEvent]:
        """Read the end. See `wire.Reader`."""
        for call in self._calls:
            self._close(call)
        if "thinking" in self._blocks:
            self._draft.close(self._blocks["thinking"], signature=self._thinking_signature())
        if "refusal" in self._blocks:
            self._draft.close(self._blocks["refusal"], signature=REFUSAL)
        stop, error = self._stop(problem, aborted=aborted)
        finish = self._finish or ""
        self._draft.end(
            stop,
            raw_stop_reason="" if finish == _WORDS.get(stop) else finish,
            error=error,
            usage=None if self._usage is None else read_usage(self._usage),
            model="" if self._model == self._asked else self._model,
            response_id=self._id,
            raw=to_json(self._rest) if self._rest else msgspec.UNSET,
        )
        self.done = True
        return self._draft.take()

    def _fail(self, failure: Failure) -> None:
        self.failure, self.done = failure, True

    def _chunk(self, chunk: Mapping[str, object], *, is_error: bool) -> None:
        if str(chunk.get("type", "")).startswith("response."):
            wrong = "the server answered in the Responses protocol: use openai-responses, or another base URL"
            self._fail(Failure(message=wrong, kind="wrong_protocol"))
            return
        self._model = text_of(chunk, "model") or self._model
        self._id = text_of(chunk, "id") or self._id
        _merge(self._rest, {k: v for k, v in chunk.items() if k not in _KNOWN_CHUNK}, joins=False)
        choices, groq = chunk.get("choices"), chunk.get("x_groq")
        firsts = [
            choice
            for choice in (choices if isinstance(choices, list) else [])
            if isinstance(choice, dict) and choice.get("index") in (0, None)
        ]
        said = [choice.get("usage") for choice in firsts]
        for usage in (*said, groq.get("usage") if isinstance(groq, dict) else None, chunk.get("usage")):
            if isinstance(usage, dict):
                self._usage = usage
                self._draft.spend(read_usage(usage))
        for choice in firsts:
            self._choice(choice)
        words = "choices" not in chunk and any(chunk.get(k) for k in ("detail", "message", "msg"))
        if is_error or chunk.get("error") or chunk.get("object") == "error" or words:
            self._fail(read_failure(chunk))

    def _choice(self, choice: Mapping[str, object]) -> None:
        delta = choice.get("delta") or choice.get("message")
        if not delta and text_of(choice, "text"):
            delta = {"content": choice["text"]}
        if isinstance(choice.get("error"), dict):
            self._fail(read_failure(choice))
        if isinstance(delta, dict):
            self._draft.start(model="" if self._model == self._asked else self._model)
            self._delta(delta)
        self._finish = text_of(choice, "finish_reason") or self._finish
        rest = {k: v for k, v in choice.items() if k not in _KNOWN_CHOICE}
        if rest.get("native_finish_reason") == self._finish:
            rest.pop("native_finish_reason", None)
        _merge(self._rest, rest, joins=True)

    def _delta(self, delta: Mapping[str, object]) -> None:
        self._reason(delta)
        content = delta.get("content")
        if isinstance(content, str):
            self._say("text", content)
        for part in content if isinstance(content, list) else [content] if isinstance(content, dict) else []:
            self._part(part)
        self._say("refusal", text_of(delta, "refusal"))
        calls = delta.get("tool_calls")
        begun: list[_Call] = []
        for call in calls if isinstance(calls, list) else [calls]:
            if isinstance(call, dict):
                begun.append(self._call(call, begun))
        if isinstance(legacy := delta.get("function_call"), dict):
            self._call({"index": "function_call", "function": legacy})
        _merge(self._rest, {k: v for k, v in delta.items() if k not in _KNOWN_DELTA}, joins=True)

    def _say(self, kind: str, text: str) -> None:
        """Add to the message's text, refusal or reasoning: it has one of each, in the order in which they began."""
        if not text:
            return
        if kind not in self._blocks:
            self._blocks[kind] = self._draft.open_thinking() if kind == "thinking" else self._draft.open_text()
        self._draft.add(self._blocks[kind], text)

    def _reason(self, delta: Mapping[str, object]) -> None:
        field = next((name for name in REASONING_FIELDS if text_of(delta, name)), "")
        details = delta.get("reasoning_details")
        details = [part for part in details if isinstance(part, dict)] if isinstance(details, list) else []
        for part in details:
            _add_detail(self._details, part)
        self._field = self._field or field
        spoken = "".join(text_of(part, "text") or text_of(part, "summary") for part in details)
        self._say("thinking", text_of(delta, field) if field else spoken)
        if self._details and "thinking" not in self._blocks:
            self._blocks["thinking"] = self._draft.open_thinking()

    def _part(self, part: object) -> None:
        """Read a part of a content that comes as a list (Mistral)."""
        if isinstance(part, str):
            self._say("text", part)
        elif isinstance(part, dict) and part.get("type") == "thinking":
            self._field = self._field or CONTENT
            inner = part.get("thinking")
            texts = (
                [text_of(p, "text") for p in inner if isinstance(p, dict)] if isinstance(inner, list) else [str(inner)]
            )
            self._say("thinking", "".join(texts))
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            self._say("text", str(part["text"]))
        elif isinstance(part, dict):
            _merge(self._rest, {"content": [part]}, joins=True)

    def _call(self, delta: Mapping[str, object], beside: Sequence[_Call] = ()) -> _Call:
        """Read a piece of a call; `beside` are those that came in the same chunk."""
        custom = delta.get("custom")
        function = custom if isinstance(custom, dict) else delta.get("function")
        function = function if isinstance(function, dict) else {}
        name, number = text_of(function, "name"), delta.get("id")
        call_id = str(number) if isinstance(number, int) and not isinstance(number, bool) else text_of(delta, "id")
        given = function.get("input" if isinstance(custom, dict) else "arguments")
        text = given if isinstance(given, str) else bytes(to_json(given)).decode() if given is not None else ""
        call = self._call_of(delta.get("index"), call_id, name, text)
        if name and call in beside and delta.get("index") is None:
            call = _Call(None)
            self._calls.append(call)
        call.id, call.name = call.id or call_id, call.name or name
        call.custom = call.custom or isinstance(custom, dict)
        _merge(call.rest, {k: v for k, v in delta.items() if k not in _KNOWN_CALL}, joins=True)
        if call.block is None and call.name:
            self._open(call)
        call.arguments += escaped(text) if call.custom else text
        if call.block is not None:
            self._draft.add(call.block, escaped(text) if call.custom else text)
        return call

    def _call_of(self, index: object, call_id: str, name: str, text: str) -> _Call:
        """Find the call a delta belongs to: by index, by id where there is none, else the last one.

        Some servers number every call 0, so a new id with a name is a new call where one is complete; without ids,
        another name is, or the beginning of arguments where they are whole. Others count the index up with each piece:
        what has neither id nor name, where nobody opened its index, goes on with the last call.
        """
        last = self._calls[-1] if self._calls else None
        begins = last is not None and bool(last.arguments) and _complete(last.arguments) and text.lstrip()[:1] == "{"
        if index is not None:
            found = next((c for c in reversed(self._calls) if c.index == index), None)
            if found is None and not call_id and not name and not begins:
                found = last
        else:
            found = next((c for c in self._calls if call_id and c.id == call_id), None)
            found = found or (last if not (call_id and name) else None)
        if found is None or self._is_another(found, call_id, name, text):
            found = _Call(index)
            self._calls.append(found)
        return found

    def _is_another(self, found: _Call, call_id: str, name: str, text: str) -> bool:
        """Return whether a delta that would go on with a call begins another one."""
        whole = _complete(found.arguments)
        if not found.name or not whole:
            return False
        if call_id:
            return bool(name and found.id and call_id != found.id)
        begins = bool(found.arguments) and text.lstrip()[:1] == "{"
        return begins or (bool(name) and name != found.name)

    def _open(self, call: _Call) -> None:
        call.block, call.opened_id = self._draft.open_call(call.id, call.name), call.id
        self._draft.add(call.block, (CUSTOM_OPEN if call.custom else "") + call.arguments)

    def _close(self, call: _Call) -> None:
        if call.block is None:
            self._open(call)
        if call.block is None or not self._draft.is_open(call.block):
            return
        if call.custom:
            self._draft.add(call.block, CUSTOM_CLOSE)
        if call.id != call.opened_id:
            self._draft.amend(call.block, call_id=call.id)
        raw = to_json(call.rest) if call.rest else msgspec.UNSET
        self._draft.close(call.block, signature=CUSTOM if call.custom else "", raw=raw)

    def _thinking_signature(self) -> str:
        if not self._details:
            return self._field
        said = self._draft.text_of(self._blocks["thinking"])
        return bytes(to_json(without_text(self._details, said))).decode()

    def _stop(self, problem: str, *, aborted: bool) -> tuple[StopReason, str]:
        """Return why the answer ended, and the error if it ended badly."""
        whole = self._finish is not None or self._ended
        if self.failure is not None:
            return "error", self.failure.text
        if not whole:
            return "aborted" if aborted else "error", problem or "the stream ended before the answer was complete"
        if any(not call.name for call in self._calls):
            return "error", "the model called a tool and never said its name"
        stop = _STOPS.get(self._finish or "stop", "stop")
        if stop == "error":
            return "error", f"the provider ended the answer with {self._finish!r}"
        if stop in ("stop", "tool_use"):
            stop = "tool_use" if self._calls else "refusal" if "refusal" in self._blocks else "stop"
        return stop, ""


def _complete(arguments: str) -> bool:
    try:
        json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return False
    return True


def _add_detail(details: list[dict[str, object]], part: Mapping[str, object]) -> None:
    """Add a piece of structured reasoning: the text of the same detail grows, everything else is kept as it came."""
    same = ("type", "index")
    last = details[-1] if details and all(details[-1].get(k) == part.get(k) for k in same) else None
    if last is None or "data" in part or "data" in last:
        details.append(dict(part))
        return
    for key, value in part.items():
        if key in ("text", "summary") and isinstance(value, str):
            last[key] = text_of(last, key) + value
        elif value or key not in last:
            last[key] = value


def _merge(kept: dict[str, object], new: Mapping[str, object], *, joins: bool) -> None:
    """Keep fields this program has no name for: the last value of each; lists grow if they come in pieces (`joins`)."""
    for key, value in new.items():
        old = kept.get(key)
        if value is None or value in ("", [], {}):
            continue
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value, joins=joins)
        elif joins and isinstance(old, list) and isinstance(value, list):
            kept[key] = old + value
        elif isinstance(value, dict):
            fresh: dict[str, object] = {}
            _merge(fresh, value, joins=joins)
            kept[key] = fresh
        else:
            kept[key] = value
