"""A model's arguments: read from its text, checked by a tool, or refused in words that the model understands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn, Protocol

import msgspec

from ..codec import from_json, to_json
from ..errors import InvalidTextError, ToolArgumentsError
from .property_names import recorded_properties

# What an error message repeats of the arguments, in characters: the model has them in its own message anyway.
_RECEIVED_LIMIT = 4_000
_PROBLEM_LIMIT = 300
_MOST_PROBLEMS = 20


class CheckedArguments(msgspec.Struct, frozen=True):
    """Arguments that passed a tool's check. They are made for one execution, which may change the values as it likes.

    values: by parameter. text: the JSON text of what is passed on. changed: that text is not what the model wrote.
    """

    values: dict[str, object]
    text: str
    changed: bool = False

    def read(self) -> dict[str, object]:
        """Read the text into a new object, for a hook to look at."""
        value = json.loads(self.text) if self.text.strip() else {}
        return value if isinstance(value, dict) else {}


class Accepted(msgspec.Struct, frozen=True):
    """What a check makes of arguments: values by parameter and, when it had to convert some, all of them as JSON."""

    values: dict[str, object]
    converted: dict[str, object] | None = None


class Refused(msgspec.Struct, frozen=True):
    """What is wrong with arguments, one line each: `path: problem`."""

    problems: tuple[str, ...]


class Check(Protocol):
    """Checks a tool's arguments; with `coerce` it converts them to the declared types where it can."""

    def __call__(self, given: dict[str, object], *, coerce: bool) -> Accepted | Refused:
        """Accept or refuse; the values accepted are new, or the given ones, which nobody else holds."""
        ...


def check_arguments(
    tool: str, check: Check, text: str, *, coerce: bool, renamed: Mapping[str, str] | None = None
) -> CheckedArguments:
    """Read and check the arguments a model wrote for a tool; empty text is an empty object.

    Args:
        renamed: parameters that models know by other names (`property_names.wire_properties`).

    Raises: ToolArgumentsError, whose text is for the model.
    """
    given, repaired = _read(tool, text)
    if renamed and (named := recorded_properties(given, renamed)) != given:
        given, repaired = named, True
    checked = check(given, coerce=coerce)
    if isinstance(checked, Refused):
        refuse(tool, checked.problems, json.dumps(given, indent=2, ensure_ascii=False))
    if checked.converted is None and not repaired:
        return CheckedArguments(checked.values, text)
    passed_on = given if checked.converted is None else checked.converted
    return CheckedArguments(checked.values, bytes(to_json(passed_on)).decode(), changed=True)


def refuse(tool: str, problems: tuple[str, ...], received: str) -> NoReturn:
    """Raise ToolArgumentsError with no more of it all than a model needs."""
    shown = [_short(problem, _PROBLEM_LIMIT) for problem in problems[:_MOST_PROBLEMS]]
    if len(problems) > _MOST_PROBLEMS:
        shown.append(f"… {len(problems) - _MOST_PROBLEMS} more")
    raise ToolArgumentsError(tool, tuple(shown), _short(received, _RECEIVED_LIMIT))


def _read(tool: str, text: str) -> tuple[dict[str, object], bool]:
    """Read JSON text that must be an object; the flag says that a lone surrogate in it was repaired."""
    try:
        received: object = json.loads(text, parse_constant=_no_constant) if text.strip() else {}
        given = from_json(to_json(received, where="a number"))
    except RecursionError:
        refuse(tool, ("root: is nested too deeply",), text)
    except InvalidTextError:
        refuse(tool, ("root: holds a number that is too large",), text)
    except ValueError as error:
        refuse(tool, (f"root: is not valid JSON: {error}",), text)
    if not isinstance(given, dict):
        refuse(tool, ("root: must be object",), text)
    return given, given != received


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"
