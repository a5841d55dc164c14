"""What one record holds, whoever wrote it: a request with its messages, and the answers to it, if it has any."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

import msgspec

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields
from ..times import read_time

ROLES = ("user", "assistant", "system", "developer", "tool", "function")
_ANSWERS = ("response", "output", "completion", "result", "answer", "preferred_output", "non_preferred_output")
_MESSAGES = ("messages", "input", "prompt", "conversation")
_TIMES = ("timestamp", "time", "created_at", "created", "start_time", "startTime", "date", "ts")
_DEPTH = 3  # objects within each other in which loggers put a request or an answer
_FOREIGN = ("tool_use", "tool_result")  # parts of Anthropic's messages
_MILLISECONDS = 100_000_000_000  # a number beyond it counts these, and not seconds
_LATEST = 1 << 62


class Answer(msgspec.Struct, frozen=True):
    """An answer: its message, and what else is said of it. Of several to one request only the first says its usage."""

    message: Fields
    rest: Fields


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A request and the answers to it.

    `rest`: the record without the messages; `body`: the names that lead to the request in it. `at_us`: when it was.
    """

    messages: Sequence[Fields]
    answers: Sequence[Answer]
    rest: Fields
    body: Sequence[str]
    at_us: int | None


def is_message(value: object) -> bool:
    """Return whether a value is a message of this protocol."""
    if not isinstance(value, dict) or text_of(value.get("role")) not in ROLES:
        return False
    content = value.get("content")
    if not isinstance(content, list):
        return True
    return not any(part.get("type") in _FOREIGN for part in map(fields_of, content))


def read_exchange(record: Fields) -> Exchange | None:
    """Read a record; None when there are no messages in it."""
    found = next(iter(_messages_in(record)), None)
    if found is None:
        return None
    *body, name = found
    holder = _at(record, body)
    if "system" in holder:  # a request in the protocol of Anthropic
        return None
    rest = _without(record, found)
    answers: list[Answer] = []
    for path in list(_answers_in(rest, body)):
        read = _read_answers(_at(record, path[:-1]).get(path[-1]))
        if read is not None:
            answers += read
            rest = _without(rest, path)
    messages = [fields_of(one) for one in list_of(holder.get(name))]
    times = [_read_time(holder.get(one)) or _read_time(record.get(one)) for one in _TIMES]
    at_us = next((time for time in times if time is not None), None)
    return Exchange(messages=messages, answers=answers, rest=rest, body=body, at_us=at_us)


def _messages_in(record: Fields) -> Iterator[tuple[str, ...]]:
    """Find the lists of messages in a record, the outermost first."""
    waiting: list[tuple[str, ...]] = [()]
    for path in waiting:  # grows while it is read
        fields = _at(record, path)
        for name in _MESSAGES:
            values = list_of(fields.get(name))
            if values and all(map(is_message, values)):
                yield (*path, name)
        if len(path) < _DEPTH:
            waiting += [(*path, name) for name, value in fields.items() if isinstance(value, dict)]


def _answers_in(record: Fields, body: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Find what may be answers: beside the request, or beside what it stands in."""
    for depth in range(len(body), -1, -1):
        fields = _at(record, body[:depth])
        for name in _ANSWERS:
            if name in fields and (*body[:depth], name) != tuple(body[: depth + 1]):
                yield (*body[:depth], name)


def _read_answers(value: object) -> list[Answer] | None:
    """Read answers: a completion, wherever it stands in a response; a message, or a list of such; a text alone."""
    if isinstance(value, str):
        return [Answer({"role": "assistant", "content": value}, {})]
    if isinstance(value, list):
        told = [Answer(fields_of(one), {}) for one in value if is_message(one)]
        return told if value and len(told) == len(value) else None
    fields = fields_of(value)
    if is_message(fields):
        return [Answer(fields, {})]
    for path in ((), ("body",), ("data",), ("response",), ("json",)):
        completion = _at(fields, path)
        choices = list(map(fields_of, list_of(completion.get("choices"))))
        if choices and all(is_message(choice.get("message")) for choice in choices):
            rest = _without(fields, (*path, "choices"))
            completion = _at(rest, path)
            others = {name: one for name, one in rest.items() if not path or name != path[0]}
            whole: dict[str, object] = {"response": completion, **({"beside": others} if path and others else {})}
            return [
                Answer(
                    fields_of(choice["message"]),
                    {
                        "choice": {name: one for name, one in choice.items() if name != "message"},
                        **(whole if number == 0 else {}),
                    },
                )
                for number, choice in enumerate(choices)
            ]
    return None


def _at(fields: Fields, path: Sequence[str]) -> Fields:
    for name in path:
        fields = fields_of(fields.get(name))
    return fields


def _without(fields: Fields, path: Sequence[str]) -> Mapping[str, object]:
    """Leave out what stands at a path."""
    name, *below = path
    if not below:
        return {key: value for key, value in fields.items() if key != name}
    return {**fields, name: _without(fields_of(fields.get(name)), below)}


def _read_time(value: object) -> int | None:
    if isinstance(value, str):
        return read_time(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < _LATEST:
        return None
    seconds = value / 1000 if value > _MILLISECONDS else value
    at_us = round(seconds * 1_000_000)
    return at_us if at_us < _MILLISECONDS * 1_000_000 else None


def read_created(completion: Fields) -> int | None:
    """Return when a completion was made."""
    return _read_time(completion.get("created"))


def chained(before: int, message: Fields) -> int:
    """Digest a message with all before it: what counts of it, and not how clients spell it or which ids they give."""
    calls = [_call(fields_of(call)) for call in list_of(message.get("tool_calls"))]
    if isinstance(legacy := message.get("function_call"), dict):
        calls.append(_call({"function": legacy}))
    content = _content(message.get("content"))
    if not calls and isinstance(content, str):  # as most are
        data = f"{message.get('role')}\0{content}".encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(before.to_bytes(8) + data, digest_size=8).digest())
    said = [message.get("role"), content, calls]
    data = json.dumps(said, sort_keys=True, default=str).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(before.to_bytes(8) + data, digest_size=8).digest())


def _content(content: object) -> object:
    if not isinstance(content, list):
        return content or ""
    parts = [fields_of(part) for part in content]
    if all(part.get("type") == "text" for part in parts):
        return "".join(text_of(part.get("text")) for part in parts)
    return [{name: value for name, value in part.items() if name != "cache_control"} for part in parts]


def _call(call: Fields) -> list[object]:
    function = fields_of(call.get("function")) or fields_of(call.get("custom"))
    arguments = function.get("arguments", function.get("input"))
    try:
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        pass
    return [function.get("name"), arguments]
