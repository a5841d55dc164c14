"""Writes the types of what the page asks for, in TypeScript: python -m tests.page_types > ui/src/api/types.ts.

They are made of the types of the routes themselves, so that the page and the server cannot disagree.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, get_origin

import msgspec
from msgspec import inspect as structure

from eventsource.events import Event
from eventsource.messages import Message
from refold.http.api.page import PAGE
from refold.http.api.routes import Nothing, Route
from refold.http.interface.problems import Problem
from refold.http.page_file.archive import Archive, ArchivedLine, ArchivedRequest
from refold.http.page_file.comparisons import Comparison

HEAD = """\
// What /api takes and answers. Written by `python -m tests.page_types`, from the types of its routes; not by hand.

/** Any JSON. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
"""
FILE = (Archive, ArchivedLine, ArchivedRequest, Comparison)
"""What the page reads of a file, beside what it is answered."""
WIDTH = 120
PLAIN = {
    structure.StrType: "string",
    structure.BoolType: "boolean",
    structure.IntType: "number",
    structure.FloatType: "number",
}


class Types:
    """The types of routes: which structs there are, which of them are answered, and what unions of words are called."""

    def __init__(self, routes: Sequence[Route]) -> None:
        taken = [kind for route in routes for kind in (route.query, route.body)]
        told = [kind for route in routes for kind in (*_answers(route), *route.streams.values())]
        self.told = _structs([*told, *FILE, Problem, Event])
        self.structs = {**_structs(taken), **self.told}
        self.structs.pop(Nothing, None)
        self.aliases = _aliases({kind.__module__ for kind in self.structs})

    def lines(self) -> Iterator[str]:
        """Write every type, in the order of their names."""
        for written, name in sorted(self.aliases.items(), key=lambda alias: alias[1]):
            yield from ("", _line(f"export type {name} = ", written))
        for kind, shape in sorted(self.structs.items(), key=lambda found: found[0].__name__):
            yield from ("", *_comment(inspect.getdoc(kind) or ""), f"export interface {kind.__name__} {{")
            if shape.tag_field is not None:
                yield f"  {shape.tag_field}: {json.dumps(shape.tag)};"
            for field in shape.fields:
                mark = "?" if self._is_left_out(kind, field) else ""
                yield _line(f"  {field.encode_name}{mark}: ", write(field.type, self.aliases))
            yield "}"

    def _is_left_out(self, kind: type[msgspec.Struct], field: structure.Field) -> bool:
        """Return whether a field may be missing: what is answered has its defaults, but for those that are omitted."""
        has_default = not (field.default is field.default_factory is msgspec.NODEFAULT)  # UNSET is none
        return not field.required and (
            kind not in self.told or bool(kind.__struct_config__.omit_defaults) or not has_default
        )


def write(kind: structure.Type, aliases: Mapping[str, str]) -> str:
    """Write a type. Raises: TypeError for one that JSON has not."""
    match kind:
        case structure.Metadata(extra_json_schema=dict(schema)) if "$ref" in schema:
            return str(schema["$ref"]).rpartition("/")[2]
        case structure.Metadata(type=inner):
            return write(inner, aliases)
        case structure.StructType(cls=cls):
            return str(cls.__name__)
        case structure.LiteralType(values=values):
            return _named([json.dumps(value) for value in values], aliases)
        case structure.UnionType(types=types):
            parts = [write(one, aliases) for one in types if not isinstance(one, structure.NoneType)]
            return _named(parts, aliases) + (" | null" if len(parts) < len(types) else "")
        case structure.TupleType(item_types=items):
            return f"[{', '.join(write(item, aliases) for item in items)}]"
        case structure.DictType(key_type=key, value_type=value):
            return f"Record<{write(key, aliases)}, {write(value, aliases)}>"
        case structure.VarTupleType(item_type=item) | structure.ListType(item_type=item):
            written = write(item, aliases)
            return f"({written})[]" if " | " in written and not written.startswith("[") else f"{written}[]"
        case structure.RawType() | structure.AnyType():
            return "Json"
        case structure.CustomType(cls=cls) if cls is object:
            return "Json"
    if type(kind) not in PLAIN:
        raise TypeError(f"{kind}: no TypeScript is written for it")
    return PLAIN[type(kind)]


def _named(parts: Sequence[str], aliases: Mapping[str, str]) -> str:
    written = " | ".join(parts)
    return aliases.get(written, written)


def page(routes: Sequence[Route] = PAGE) -> str:
    """Write the whole file."""
    types = Types(routes)
    return "\n".join([HEAD.rstrip(), *types.lines(), "", *_routes(types, routes)]) + "\n"


def _routes(types: Types, routes: Sequence[Route]) -> Iterator[str]:
    """Write what each route takes and answers, and what its stream tells, by the names of events."""
    yield "/** What can be asked for: a query, a body, the answer, and the events of a stream by their names. */"
    yield "export interface Routes {"
    for route in routes:
        yield from _comment((inspect.getdoc(route.does) or "").partition("\n")[0], "  ")
        yield f'  "{route.method} {route.path}": {{'
        for name, kind in (("query", route.query), ("body", route.body)):
            if kind is not Nothing:
                yield f"    {name}: {write(structure.type_info(kind), types.aliases)};"
        answers = [write(kind, types.aliases) for kind in structure.multi_type_info(_answers(route))]
        media = [kind for kinds in route.answers.values() for kind in kinds if isinstance(kind, str)]
        answers += ["Json"] if "application/json" in media else []
        if answers:
            yield f"    answer: {' | '.join(answers)};"
        if route.streams:
            told = (
                f"{name}: {write(structure.type_info(kind), types.aliases)}" for name, kind in route.streams.items()
            )
            yield f"    events: {{ {'; '.join(told)} }};"
        yield "  };"
    yield "}"


def _answers(route: Route) -> list[type[msgspec.Struct]]:
    return [kind for kinds in route.answers.values() for kind in kinds if not isinstance(kind, str)]


def _structs(kinds: Iterable[object]) -> dict[type[msgspec.Struct], structure.StructType]:
    """Find the structs in types, and in those. Raises: TypeError when two of them have one name."""
    found: dict[str, structure.StructType] = {}
    waiting = list(structure.multi_type_info(kinds))
    while waiting:
        match waiting.pop():
            case structure.StructType(cls=cls, fields=fields) as kind:
                if found.setdefault(cls.__name__, kind).cls is not cls:
                    raise TypeError(f"{cls} and {found[cls.__name__].cls}: two types of one name")
                waiting += [field.type for field in fields if found[cls.__name__] is kind]
            case structure.Metadata(type=inner) | structure.VarTupleType(item_type=inner):
                waiting.append(inner)
            case structure.ListType(item_type=inner) | structure.DictType(value_type=inner):
                waiting.append(inner)
            case structure.UnionType(types=inner) | structure.TupleType(item_types=inner):
                waiting += inner
            case _:
                pass
    return {kind.cls: kind for kind in found.values()}


def _aliases(modules: Iterable[str]) -> dict[str, str]:
    """Find what the modules of structs call a list of words; events and messages have names too. By what is written."""
    named: dict[str, object] = {"Event": Event, "Message": Message}
    for module in sorted(modules):
        named |= {name: value for name, value in vars(sys.modules[module]).items() if get_origin(value) is Literal}
    found: dict[str, str] = {}
    for name, value in sorted(named.items()):
        if not name.startswith("_"):
            found.setdefault(write(structure.type_info(value), {}), name)
    return found


def _line(head: str, written: str, end: str = ";") -> str:
    """Write a line, or a union on several."""
    if len(head) + len(written) + len(end) <= WIDTH or " | " not in written:
        return f"{head}{written}{end}"
    indent = " " * (len(head) - len(head.lstrip()) + 2)
    return f"{head.rstrip()}\n{indent}| " + f"\n{indent}| ".join(written.split(" | ")) + end


def _comment(text: str, indent: str = "") -> list[str]:
    lines = text.replace("*/", "* /").splitlines()
    if len(lines) <= 1:
        return [f"{indent}/** {line} */" for line in lines]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]


if __name__ == "__main__":
    print(page(), end="")
