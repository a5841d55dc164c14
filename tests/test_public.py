"""What a package offers is listed, documented and typed."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

import eventsource
import refold
from eventsource import errors
from eventsource.errors import ArgumentError
from eventsource.events import EVENT_TYPES
from eventsource.messages import Message
from refold import tasks
from tests import page_types
from tests.reference import PACKAGES as PUBLIC_PACKAGES, page

ROOT = Path(__file__).parents[1]
PACKAGES = ("eventsource", "projections", "replay", "refold")
PUBLIC = [(name, public) for name in PUBLIC_PACKAGES for public in importlib.import_module(name).__all__]
PAGES = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *(ROOT / "examples").glob("*.py")]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_lists_its_names_in_order(name: str) -> None:
    listed = list(importlib.import_module(name).__all__)
    assert listed == sorted(set(listed))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_says_that_it_is_typed(name: str) -> None:
    assert (ROOT / name / "py.typed").is_file()


@pytest.mark.parametrize(("package", "name"), PUBLIC)
def test_a_public_name_has_a_docstring_of_its_own(package: str, name: str) -> None:
    thing = getattr(importlib.import_module(package), name)
    if isinstance(thing, type):
        assert vars(thing).get("__doc__"), f"{package}.{name} has no docstring"
    elif callable(thing):
        assert thing.__doc__, f"{package}.{name} has no docstring"


def test_the_reference_is_what_the_code_says() -> None:
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == page(), "python -m tests.reference > docs/reference.md writes it"


def test_the_types_of_the_page_are_what_the_code_says() -> None:
    written = (ROOT / "ui" / "src" / "api" / "types.ts").read_text(encoding="utf-8")
    assert written == page_types.page(), "python -m tests.page_types > ui/src/api/types.ts writes them"


def test_the_page_of_the_architecture_says_which_packages_are_public() -> None:
    page_of_it = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    said = page_of_it.partition("## What is public")[2].partition("So are")[0]
    assert re.findall(r"`([\w.]+)`", said) == list(PUBLIC_PACKAGES)


@pytest.mark.parametrize("package", PUBLIC_PACKAGES)
def test_no_public_name_has_an_underscore_in_front(package: str) -> None:
    assert [name for name in importlib.import_module(package).__all__ if name.startswith("_")] == []


def test_every_event_message_and_error_is_imported_from_refold() -> None:
    raised = (one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, BaseException))
    kinds = [*EVENT_TYPES, *get_args(Message), *raised]
    names = {kind.__name__ for kind in kinds if kind.__module__.startswith("eventsource")}
    assert sorted(names - set(refold.__all__)) == []
    assert sorted(names - set(eventsource.__all__)) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_or_example_imports_from_public_packages_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    imported = re.findall(r"^\s*(?:from|import) ((?:eventsource|projections|replay|refold)[\w.]*)", text, re.MULTILINE)
    assert sorted(set(imported) - set(PUBLIC_PACKAGES)) == []


def functions(thing: object) -> Iterator[Callable[..., object]]:
    """Find what a caller may call: a function itself, or the public methods that a class defines."""
    if inspect.isfunction(thing):
        yield thing
    elif isinstance(thing, type):
        members = ((name, getattr(member, "__func__", member)) for name, member in vars(thing).items())
        yield from (
            m
            for name, m in members
            if inspect.isfunction(m)
            and not (name.startswith("_") and name != "__init__")
            and m.__module__ != "typing"  # what a protocol has instead of a constructor
        )


@pytest.mark.parametrize(("package", "name"), PUBLIC)
def test_a_public_signature_is_typed_and_says_what_it_means(package: str, name: str) -> None:
    for function in functions(getattr(importlib.import_module(package), name)):
        signature = inspect.signature(function)
        given = [(p.name, p.annotation) for p in signature.parameters.values() if p.name not in ("self", "cls")]
        for parameter, annotation in [*given, ("return", signature.return_annotation)]:
            where = f"{package}: {function.__qualname__}({parameter})"
            assert annotation is not inspect.Signature.empty, f"{where} is not typed"
            assert not re.search(r"\bAny\b", str(annotation)), f"{where} is Any"


MADE = {
    "Agent",
    "AgentContext",
    "AgentLoopConfig",
    "CompactionPolicy",
    "Hooks",
    "Image",
    "Policies",
    "Summary",
}
INNER = {
    "tool_result",  # of a pure file
    *("Tool.prepare", "Tool.execute", "ToolContext.end"),
    *(f"Task.{one}" for one in ("checked", "read", "read_payload", "call")),
}
NAMED = [(package, name) for package, name in PUBLIC if package == "refold"]
TASKS = [("refold.tasks", name) for name in tasks.__all__]


@pytest.mark.parametrize(("package", "name"), [*NAMED, *TASKS])
def test_whatever_takes_arguments_says_which_ones_when_it_is_called_with_another(package: str, name: str) -> None:
    thing = getattr(importlib.import_module(package), name)
    if isinstance(thing, type) and (issubclass(thing, Exception) or getattr(thing, "_is_protocol", False)):
        return  # an error is raised, and a protocol is kept, by others
    for function in [*functions(thing), *([thing] if name in MADE else [])]:
        parameters = [one for one in inspect.signature(function).parameters.values() if one.name not in ("self", "cls")]
        any_name = any(one.kind is one.VAR_KEYWORD for one in parameters)
        if function.__name__ == "__init__" or not parameters or any_name or function.__qualname__ in INNER:
            continue
        with pytest.raises(ArgumentError, match=rf"{function.__qualname__}: zzz: expected one of its arguments"):
            call_it(function)


def call_it(function: Callable[..., object]) -> None:
    called = function(zzz=1)
    if inspect.iscoroutine(called):
        asyncio.run(called)


@pytest.mark.parametrize("package", ["refold", "refold.tasks", "replay", "projections", "eventsource"])
def test_no_docstring_of_a_public_name_begins_with_a_word_that_says_nothing(package: str) -> None:
    module = importlib.import_module(package)
    public = [getattr(module, name) for name in module.__all__]
    documented = [*public, *(one for thing in public for one in functions(thing))]
    empty = re.compile(r"(Say|Give (the|a|every)|Know|Look again)\b")
    assert [one.__doc__ for one in documented if empty.match(inspect.getdoc(one) or "")] == []
