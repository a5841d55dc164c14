"""Every error says something, whatever it was made of, and can be pickled."""

from __future__ import annotations

import ast
import copy as copies
import importlib
import inspect
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsource.errors import RefoldError
from eventsource.models.transport.failures import Failure
from eventsource.models.transport.http import CallFailedError
from eventsource.tools.context import CallHeld
from refold.http.guard import RefusedError

ROOT = Path(__file__).parents[2]
SOURCES = [
    path for package in ("eventsource", "projections", "replay", "refold") for path in (ROOT / package).rglob("*.py")
]

_WHERE = {"path": "a file", "where": "a field"}


def exceptions() -> Iterator[tuple[str, ast.ClassDef]]:
    """Find the classes of the packages that are raised, each with its module."""
    for path in SOURCES:
        module = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and re.search(
                r"(Error|Exception)\b", " ".join(map(ast.unparse, node.bases))
            ):
                yield module, node


def kinds() -> list[type[RefoldError]]:
    found = {getattr(importlib.import_module(module), node.name) for module, node in exceptions()}
    return sorted((kind for kind in found if issubclass(kind, RefoldError)), key=lambda kind: kind.__name__)


def empty(kind: type[RefoldError]) -> RefoldError:
    """Make an error that says as little as it can."""
    needed = [
        parameter
        for parameter in list(inspect.signature(kind.__init__).parameters.values())[1:]
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    least = {"str": "", "int": 0}
    return kind(*(_WHERE.get(one.name, least.get(str(one.annotation), ())) for one in needed))


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_no_error_has_an_empty_text(kind: type[RefoldError]) -> None:
    error = empty(kind)
    assert " " in str(error).strip()
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (kind, str(error))


def test_no_exception_writes_its_fields_in_a_constructor_of_its_own() -> None:
    found = [
        (module, node)
        for module, node in exceptions()
        if any(isinstance(one, ast.FunctionDef) and one.name == "__init__" for one in node.body)
    ]
    assert [f"{module}.{node.name}" for module, node in found] == [], "make it a dataclass with `ErrorFields`"
    assert len(list(exceptions())) > 50


@pytest.mark.parametrize(
    "error",
    [
        CallHeld("a wait", "an approval"),
        RefusedError(403, "not this one"),
        CallFailedError(Failure(message="no"), retry=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_raised_within_the_program_keeps_its_fields_when_it_is_copied(error: BaseException) -> None:
    for copy in (pickle.loads(pickle.dumps(error)), copies.copy(error)):
        assert (type(copy), vars(copy), str(copy)) == (type(error), vars(error), str(error))


def test_a_plain_error_says_what_it_was_given() -> None:
    assert str(RefoldError("somebody else took the new session")) == "somebody else took the new session"
    assert len(str(RefoldError())) > 10
