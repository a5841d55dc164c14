"""The page of every public name, with every field of every public class.

`python -m tests.reference > docs/reference.md` writes it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple, is_typeddict

import msgspec

from eventsource import RefoldError
from eventsource.events import EVENT_TYPES

PACKAGES: Mapping[str, str] = {
    "refold": "What programs import: agents, sessions, the log, tools, and every event, message and error.",
    "refold.tasks": "Tasks: functions that survive their process.",
    "refold.engines": "What says when and where sessions are run: Temporal (extra `temporal`), or your own engine.",
    "refold.testing": "For tests of code that uses Refold. `events`, `histories` and `agent_machine` need Hypothesis.",
    "refold.client": "Sessions on a server (`refold serve`), asked for over HTTP.",
    "refold.http": "A server that answers by a script, and a proxy that records any agent.",
    "replay": "Going back, sideways and on, for who uses it without `refold`.",
    "projections": "The read side, for who uses it without `refold`.",
    "eventsource": "The write side, for who uses it without `refold`.",
    "eventsource.log.contract": "For who writes a store of events, an `EventLog`: the tests that it must pass.",
}
"""The public packages, and what each is for."""

HEAD = """# Reference

Every public name, with its fields and its functions. It is imported from the package under whose heading it stands.
What is not listed here may change. This page is written by `python -m tests.reference`.
"""
_OURS = ("eventsource", "projections", "replay", "refold")
_WIDTH = 130


class Field(NamedTuple):
    """A field of a class, as a reader sees it: its type and default as they are written."""

    name: str
    type: str
    default: str = ""

    def __str__(self) -> str:
        return f"`{self.name}: {self.type}" + (f" = {self.default}`" if self.default else "`")


def page() -> str:
    """Write the whole page."""
    told: set[int] = set()
    return "\n".join([HEAD, *(line for name in PACKAGES for line in _package(name, told))])


def _package(name: str, told: set[int]) -> Iterator[str]:
    """Write a package's part; what another package has told already is only named."""
    package = importlib.import_module(name)
    yield f"## {name}\n\n{PACKAGES[name]}\n"
    again: list[str] = []
    groups: dict[str, list[str]] = {"": [], "Events": [], "Errors": []}
    for public in package.__all__:
        thing = getattr(package, public)
        if id(thing) in told:
            again.append(public)
            continue
        told.add(id(thing))
        groups[_group(thing)].append("\n".join(_entry(name, public, thing)))
    for title, entries in groups.items():
        if entries:
            yield from ([f"### {title}\n"] if title else [])
            yield from entries
    if again:
        yield "\n".join(_wrapped(f"Also here: {', '.join(f'`{one}`' for one in again)}.")) + "\n"


def _group(thing: object) -> str:
    if isinstance(thing, type) and issubclass(thing, RefoldError):
        return "Errors"
    return "Events" if thing in EVENT_TYPES else ""


def _entry(package: str, name: str, thing: object) -> Iterator[str]:
    yield f"#### `{name}`\n"
    if isinstance(thing, type):
        yield from [*_wrapped(_first(thing.__doc__)), ""]
        if is_typeddict(thing):  # it has no defaults: its words say what holds without a key
            words = inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[2]
            told = dict(re.findall(r"^(\w+): ((?:.|\n(?!\w))*)", words, re.MULTILINE))
            for field in _declared(thing):
                yield from _wrapped(f"- {field}: {' '.join(told[field.name].split())}", "  ")
            yield ""
            return
        lines = [f"- {field}" for field in fields(thing)]
        lines += [line for one, member in _methods(thing) for line in _listed(_call(one, member), member)]
        yield from [*lines, ""] if lines else ()
    elif inspect.isroutine(thing):
        yield from [*_wrapped(_call(name, thing)), "", *_wrapped(_first(thing.__doc__)), ""]
    else:
        yield from [*_wrapped(_of_value(package, name, thing)), ""]


def _listed(call: str, member: object) -> list[str]:
    words = _first(inspect.getdoc(member))
    return _wrapped(f"- {call}: {words}" if words else f"- {call}", indent="  ")


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _first(doc: str | None) -> str:
    """Cut a docstring to its first paragraph."""
    return " ".join(inspect.cleandoc(doc or "").split("\n\n")[0].split())


def _call(name: str, function: object) -> str:
    """Write a function as it is called, with the types as its source has them."""
    assert callable(function)
    signature = inspect.signature(function)
    kept = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
    shown, starred = list[str](), False
    for one in kept:
        if one.kind is one.KEYWORD_ONLY and not starred:
            shown.append("*")
        starred = starred or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        shown.append(_parameter(one))
    returns = signature.return_annotation
    end = "" if returns is inspect.Signature.empty else f" -> {_written(returns)}"
    return f"`{name}({', '.join(shown)}){end}`"


def _parameter(one: inspect.Parameter) -> str:
    stars = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
    typed = "" if one.annotation is one.empty else f": {_written(one.annotation)}"
    return f"{stars}{one.name}{typed}" + ("" if one.default is one.empty else f" = {_default(one.default)}")


def _written(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _default(value: object) -> str:
    if inspect.isroutine(value):
        return value.__name__
    if value is ...:
        return "..."  # one of the keys of a TypedDict, whose words say what holds without it
    said = f'"{value}"' if isinstance(value, str) else repr(value)
    return "..." if " at 0x" in said or len(said) > 60 else said


def fields(kind: type) -> list[Field]:
    """List the fields of a class and of its bases: those it declares or sets when it is made, and its properties."""
    found: dict[str, Field] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.split(".")[0] in _OURS:
            found |= {field.name: field for field in _declared(base)}
    defaults = _defaults(kind)
    return [field._replace(default=defaults.get(field.name, "")) for field in found.values()]


def _declared(kind: type) -> Iterator[Field]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            written = ast.unparse(node.annotation)
            if not node.target.id.startswith("_") and not written.startswith("ClassVar"):
                yield Field(node.target.id, written)
        elif isinstance(node, ast.FunctionDef) and node.name == "__init__":
            yield from _set(node)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and _is_property(node):
            yield Field(node.name, ast.unparse(node.returns) if node.returns is not None else "object")


def _is_property(node: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Name) and one.id in ("property", "cached_property") for one in node.decorator_list)


def _set(node: ast.FunctionDef) -> Iterator[Field]:
    """List what a constructor sets: `self.x: T = ...`, or `self.x = x` of a parameter with a type."""
    typed = {one.arg: ast.unparse(one.annotation) for one in (*node.args.args, *node.args.kwonlyargs) if one.annotation}
    for one in ast.walk(node):
        if isinstance(one, ast.AnnAssign) and _own(one.target):
            yield Field(_own(one.target), ast.unparse(one.annotation))
        elif isinstance(one, ast.Assign):
            for target, value in _pairs(one):
                if (name := _own(target)) and isinstance(value, ast.Name) and value.id in typed:
                    yield Field(name, typed[value.id])


def _pairs(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=True)
        else:
            yield target, node.value


def _own(target: ast.expr) -> str:
    """Name the public attribute of `self` that is set; empty when it is something else."""
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
        return "" if target.attr.startswith("_") else target.attr
    return ""


def _defaults(kind: type) -> dict[str, str]:
    if issubclass(kind, msgspec.Struct):
        given = msgspec.structs.fields(kind)
        return {one.name: _default(one.default) for one in given if one.default is not msgspec.NODEFAULT}
    made = {name: one.default for name, one in getattr(kind, "__dataclass_fields__", {}).items()}
    return {name: _default(value) for name, value in made.items() if type(value).__name__ != "_MISSING_TYPE"}


def _methods(kind: type) -> Iterator[tuple[str, Callable[..., object]]]:
    for name, member in vars(kind).items():
        inner = getattr(member, "__func__", member)
        if inspect.isfunction(inner) and not name.startswith("_"):
            yield name, inner


def _of_value(package: str, name: str, thing: object) -> str:
    """Say what a constant or a type is: the words that stand behind it in its file."""
    tree = ast.parse(inspect.getsource(importlib.import_module(package)))
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)):
        if any(alias.name == name for alias in node.names):
            module = importlib.import_module("." * node.level + (node.module or ""), package)
            return _words_behind(module.__name__, name) or f"A value of `{type(thing).__name__}`."
    return f"A value of `{type(thing).__name__}`."


def _words_behind(module: str, name: str) -> str:
    for node, behind in pairwise(ast.parse(inspect.getsource(importlib.import_module(module))).body):
        targets: list[ast.expr] = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        words = behind.value if isinstance(behind, ast.Expr) else None
        if any(isinstance(one, ast.Name) and one.id == name for one in targets) and isinstance(words, ast.Constant):
            return " ".join(str(words.value).split())
    return ""


if __name__ == "__main__":
    print(page(), end="")
