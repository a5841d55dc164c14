"""Reading a script from a JSON file, for the command line: `--model scripted:FILE`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import msgspec

from ...codec import to_json
from ...errors import ScriptFileError
from .model import ScriptedModel
from .rules import Rule, ScriptEntry, When
from .script import (
    Answer,
    CallItem,
    Control,
    CutItem,
    DeafItem,
    FailItem,
    PauseItem,
    RetryItem,
    SayItem,
    ScriptBlock,
    StallItem,
    StopItem,
    ThinkItem,
)

_ITEMS: Mapping[str, type[ScriptBlock | Control]] = {
    "say": SayItem,
    "think": ThinkItem,
    "call": CallItem,
    "stop": StopItem,
    "fail": FailItem,
    "retry": RetryItem,
    "pause_ms": PauseItem,
    "stall": StallItem,
    "cut": CutItem,
    "deaf": DeafItem,
}


def load_script(path: str | Path, *, pace_ms: int = 0) -> ScriptedModel:
    """Read a script and make a model of it that answers by what the request holds (`by="request"`).

    The file is a JSON list of answers; an answer is a text or a list of items; an item is a text (a delta; texts side
    by side are one block) or an object with one of the keys of `say`, `think`, `call`, `stop`, `fail`, `retry`,
    `pause_ms`, `stall`, `cut`, `deaf`, and what that item takes beside it. A rule is an object with the keys `when` (of
    `said`, `system`, `tool`, `schema`; see `When`) and `answer`:

        [{"when": {"system": "write a title"}, "answer": "A coat"},
         ["Let me ", "look.", {"call": "weather", "arguments": {"city": "Oslo"}}],
         [{"think": "Rain."}, "Take a coat.", {"stop": "stop", "usage": {"input_tokens": 20}}]]

    Raises: ScriptFileError with the numbers of answer and item, and what is expected there.
    """
    name = str(path)
    return ScriptedModel(read_answers(name, read_json(name)), by="request", pace_ms=pace_ms)


def read_json(path: str) -> object:
    """Read a file of JSON. Raises: ScriptFileError."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_no_constant)
    except OSError as error:
        raise ScriptFileError(path, f"cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ScriptFileError(path, f"is not JSON: {error}") from error


def read_answers(path: str, given: object) -> list[ScriptEntry]:
    """Read a list of answers, as it stands in a file of that name. Raises: ScriptFileError."""
    if not isinstance(given, list) or not given:
        raise ScriptFileError(path, f"expected a list of answers, found {_named(given)}")
    return [_rule(path, n, one) if isinstance(one, dict) else _answer(path, n, one) for n, one in enumerate(given, 1)]


def _rule(path: str, number: int, given: Mapping[str, object]) -> Rule:
    if set(given) != {"when", "answer"}:
        known = any(kind in given for kind in _ITEMS)
        expected = "an answer of one item is a list too: [{...}]" if known else "a rule has the keys when and answer"
        problem = f"expected a text, a list of items or a rule, found {_with_keys(given)}; {expected}"
        raise ScriptFileError(path, problem, number)
    try:
        when = msgspec.convert(given["when"], When)
    except msgspec.ValidationError as error:
        raise ScriptFileError(path, _invalid("when", error), number) from error
    return Rule(when=when, answer=_answer(path, number, given["answer"]))


def _answer(path: str, number: int, given: object) -> Answer:
    if isinstance(given, str):
        return given
    if not isinstance(given, list):
        raise ScriptFileError(path, f"expected a text or a list of items, found {_named(given)}", number)
    return [one if isinstance(one, str) else _item(path, number, n, one) for n, one in enumerate(given, 1)]


def _item(path: str, answer: int, number: int, given: object) -> ScriptBlock | Control:
    if not isinstance(given, dict):
        raise ScriptFileError(path, f"expected a text or an object, found {_named(given)}", answer, number)
    kinds = [kind for kind in _ITEMS if kind in given]
    if len(kinds) != 1:
        expected = f"expected one of the keys {', '.join(_ITEMS)}, found {_with_keys(given)}"
        raise ScriptFileError(path, expected, answer, number)
    try:
        return msgspec.json.decode(to_json(given), type=_ITEMS[kinds[0]])
    except msgspec.ValidationError as error:
        raise ScriptFileError(path, _invalid(kinds[0], error), answer, number) from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _invalid(what: str, error: msgspec.ValidationError) -> str:
    return f"{what}: {str(error)[:1].lower()}{str(error)[1:]}".replace("`$.", "`")


def _with_keys(given: Mapping[str, object]) -> str:
    return f"an object with {', '.join(map(repr, given)) or 'no key'}"


def _named(value: object) -> str:
    match value:
        case None | bool() | int() | float():
            return json.dumps(value)
        case list():
            return "an empty list" if not value else "a list"
        case dict():
            return "an object"
        case _:
            return "a text"
