"""The protocol `google-generative-ai`: how an answer's chunks become a message."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from ..codec import to_json
from ..messages import Json, StopReason, Usage
from .draft import Draft
from .protocol import StreamEvent
from .transport.failures import Failure, read_failure
from .transport.sse import ServerEvent
from .wire import count, event_object, inner, json_object, text_of

API = "google-generative-ai"
MADE_ID = "gemini_"  # begins the id of a call that came without one; such an id is not sent back
_BLOCKED = {
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "MODEL_ARMOR",
}
_TEXT_FIELDS = {"text", "thought", "thoughtSignature"}
_CHUNK_FIELDS = {"candidates", "usageMetadata", "modelVersion", "responseId"}
_CANDIDATE_FIELDS = {"content", "finishReason", "finishMessage", "index"}
_STEP = re.compile(r"""\.?([^.\[\]'"$]+)|\[(\d+)\]|\[['"]([^'"]*)['"]\]""")


class GoogleReader:
    """Reads one answer. A finish reason or a blocked prompt is terminal; chunks with usage may still follow it."""

    def __init__(self, asked_model: str, names: Mapping[str, str] | None = None) -> None:
        self._asked = asked_model
        self._draft = Draft(names)
        self._run: tuple[int, bool] | None = None  # the open text or reasoning: its content index, and which of the two
        self._call: tuple[int, dict[str, object]] | None = None  # the call whose arguments come in pieces
        self._usage: dict[str, object] = {}
        self._rest: dict[str, object] = {}
        self._model = self._response_id = self._finish = self._said = self._block = ""
        self._signed: tuple[str, Json] = ("", msgspec.UNSET)
        self._calls = 0
        self.failure: Failure | None = None
        self.done = False

    def feed(self, event: ServerEvent) -> list[StreamEvent]:
        """Read one chunk."""
        if self.failure is not None or event.data == "[DONE]":
            return []
        value = event_object(event)
        if isinstance(value, Failure):
            self.failure = value
        elif value.get("error"):
            self.failure = read_failure(value)
        else:
            self._chunk(value)
        return self._draft.take()

    def finish(self, problem: str = "", *, aborted: bool = False) -> list[StreamEvent]:
        """Read the end of the body."""
        self._close_run()
        self._close_call()
        reason, error = self._reason(problem, aborted=aborted)
        self._draft.end(
            reason,
            raw_stop_reason=self._block if self._finish in ("", "STOP", "MAX_TOKENS") else self._finish,
            error=error,
            usage=_usage(self._usage),
            model="" if self._model == self._asked else self._model,
            response_id=self._response_id,
            raw=to_json(self._rest) if self._rest else msgspec.UNSET,
        )
        return self._draft.take()

    def _reason(self, problem: str, *, aborted: bool) -> tuple[StopReason, str]:
        """Return how the answer ended; STOP stands for tool calls as well."""
        if self.failure is not None:
            return "error", self.failure.text
        match self._finish:
            case "" if self._block:
                return "refusal", f"the prompt was blocked: {self._block}"
            case "":
                return ("aborted" if aborted else "error"), problem or "the stream was cut"
            case "MAX_TOKENS":
                return "length", ""
            case "STOP" | "FINISH_REASON_UNSPECIFIED":
                return ("tool_use" if self._calls else "stop"), ""
            case word if word in _BLOCKED:
                return "refusal", f"{word}: {self._said}" if self._said else word
            case word:
                return "error", f"{word}: {self._said}" if self._said else word

    def _chunk(self, value: dict[str, object]) -> None:
        self._usage.update(
            {name: figure for name, figure in inner(value, "usageMetadata").items() if figure is not None}
        )
        self._draft.spend(_usage(self._usage))
        self._model = text_of(value, "modelVersion") or self._model
        self._response_id = text_of(value, "responseId") or self._response_id
        self._draft.start(model="" if self._model == self._asked else self._model)
        self._block = text_of(inner(value, "promptFeedback"), "blockReason") or self._block
        self._keep(value, _CHUNK_FIELDS)
        candidates = value.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else []:
            if isinstance(candidate, dict) and not candidate.get("index"):
                parts = inner(candidate, "content").get("parts")
                for part in parts if isinstance(parts, list) else []:
                    if isinstance(part, dict):
                        self._part(part)
                self._finish = text_of(candidate, "finishReason") or self._finish
                self._said = text_of(candidate, "finishMessage") or self._said
                self._keep(candidate, _CANDIDATE_FIELDS)

    def _keep(self, value: Mapping[str, object], named: set[str]) -> None:
        self._rest.update({name: field for name, field in value.items() if name not in named and field is not None})

    def _part(self, part: dict[str, object]) -> None:
        signature = text_of(part, "thoughtSignature")
        if "functionCall" in part:
            self._close_run()
            self._function_call(
                inner(part, "functionCall"), signature, _rest(part, {"functionCall", "thoughtSignature"})
            )
        elif isinstance(part.get("text"), str):
            self._text(part, signature)
        else:
            self._close_run()
            self._close_call()
            self._draft.provider_block(API, part)

    def _text(self, part: dict[str, object], signature: str) -> None:
        """Read text or reasoning; what carries a signature stays a part of its own, as it must be sent back."""
        thought, rest = part.get("thought") is True, _rest(part, _TEXT_FIELDS)
        own = bool(signature) or rest is not msgspec.UNSET
        if not part["text"] and not own:
            return
        if own or self._run is None or self._run[1] is not thought:
            self._close_run()
            self._close_call()
            self._run = (self._draft.open_thinking() if thought else self._draft.open_text(), thought)
        self._draft.add(self._run[0], text_of(part, "text"))
        if own:
            self._draft.close(self._run[0], signature=signature, raw=rest)
            self._run = None

    def _function_call(self, call: dict[str, object], signature: str, rest: Json) -> None:
        if text_of(call, "name"):
            self._close_call()
            self._calls += 1
            made = f"{MADE_ID}{self._response_id or 'call'}_{self._calls}"
            index = self._draft.open_call(text_of(call, "id") or made, text_of(call, "name"))
            args = _given(call)
            if call.get("willContinue") or "partialArgs" in call:
                self._call = (index, args)
                self._signed = (signature, rest)
            else:
                self._draft.close(index, signature=signature, arguments=_arguments(args), raw=rest)
                return
        if self._call is not None:
            pieces = call.get("partialArgs")
            for piece in pieces if isinstance(pieces, list) else []:
                if isinstance(piece, dict):
                    _set(self._call[1], piece)
            if not call.get("willContinue"):
                self._close_call()

    def _close_run(self) -> None:
        if self._run is not None:
            self._draft.close(self._run[0])
            self._run = None

    def _close_call(self) -> None:
        if self._call is not None:
            (index, args), (signature, rest) = self._call, self._signed
            self._draft.close(index, signature=signature, arguments=_arguments(args), raw=rest)
            self._call = None


def _given(call: Mapping[str, object]) -> dict[str, object]:
    """Read a call's arguments: an object, or what some gateways write in its place, its text."""
    given = call.get("args")
    if not isinstance(given, str):
        return inner(call, "args")
    value = json_object(given or "{}")
    return {"invalid_arguments": given} if value is None else value


def _arguments(args: Mapping[str, object]) -> str:
    return bytes(to_json(args)).decode() if args else ""


def _set(args: dict[str, object], piece: Mapping[str, object]) -> None:
    """Set one value of streamed arguments by its path ("$.a[0].b"); texts of one path join."""
    steps: list[str | int] = [
        int(number) if number else name or quoted for name, number, quoted in _STEP.findall(text_of(piece, "jsonPath"))
    ]
    value = next((piece[kind] for kind in ("stringValue", "numberValue", "boolValue") if kind in piece), None)
    at: object = args
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        known = _get(at, step)
        if following is None:
            _put(at, step, known + value if isinstance(known, str) and isinstance(value, str) else value)
        elif not isinstance(known, dict | list):
            known = [] if isinstance(following, int) else {}
            _put(at, step, known)
        at = known


def _get(at: object, step: str | int) -> object:
    if isinstance(at, dict):
        return at.get(step)
    return at[step] if isinstance(at, list) and isinstance(step, int) and step < len(at) else None


def _put(at: object, step: str | int, value: object) -> None:
    if isinstance(at, dict):
        at[str(step)] = value
    elif isinstance(at, list) and isinstance(step, int):
        at.extend([None] * (step + 1 - len(at)))
        at[step] = value


def _rest(part: Mapping[str, object], named: set[str]) -> Json:
    rest = {name: field for name, field in part.items() if name not in named and field is not None}
    return to_json(rest) if rest else msgspec.UNSET


def _usage(usage: dict[str, object]) -> Usage | None:
    """Count tokens: the last value seen of each figure; thinking is not part of the candidates' figure."""
    if not usage:
        return None
    cached, thinking = count(usage, "cachedContentTokenCount"), count(usage, "thoughtsTokenCount")
    prompt = count(usage, "promptTokenCount") + count(usage, "toolUsePromptTokenCount")
    return Usage(
        input_tokens=max(0, prompt - cached),
        output_tokens=count(usage, "candidatesTokenCount") + thinking,
        cache_read_tokens=cached,
        reasoning_tokens=thinking,
        raw=to_json(usage),
    )
