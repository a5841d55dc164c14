"""Small faults put into source text: each operator changes one place of a module's syntax tree."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple


class Mutant(NamedTuple):
    """A changed module. `name` stays the same while the changed place does: file, function, operator, before, after.

    `function`: the qualified name of the function in whose body the place is, the outermost one; empty outside of any.
    """

    name: str
    path: str
    line: int
    source: str
    function: str = ""


class Change(NamedTuple):
    """What an operator makes of a node: the text in its place."""

    operator: str
    node: ast.expr | ast.stmt
    text: str


OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
BORDER: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitOr: ast.BitAnd}


def mutants(path: str, source: str) -> list[Mutant]:
    """Make every mutant of a module, in the order of its text."""
    tree = ast.parse(source)
    lines = source.encode().splitlines(keepends=True)
    seen: Counter[str] = Counter()
    made = []
    for where, function, node in _places(tree):
        for change in _changes(node):
            before = _segment(lines, change.node)
            if before == change.text:
                continue
            name = f"{path}::{where}::{change.operator}::{_short(before)} -> {_short(change.text)}"
            seen[name] += 1
            name = name if seen[name] == 1 else f"{name} #{seen[name]}"
            made.append(Mutant(name, path, change.node.lineno, _put(lines, change), function))
    return made


def _short(text: str) -> str:
    one = " ".join(text.split())
    return one if len(one) <= 80 else f"{one[:50]}...{one[-25:]}"


def _segment(lines: list[bytes], node: ast.expr | ast.stmt) -> str:
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    text = b"".join(lines[first : last + 1])
    rest = len(lines[last]) - (node.end_col_offset or 0)
    return text[node.col_offset : len(text) - rest].decode()


def _put(lines: list[bytes], change: Change) -> str:
    node = change.node
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    head = b"".join(lines[:first]) + lines[first][: node.col_offset]
    tail = lines[last][node.end_col_offset :] + b"".join(lines[last + 1 :])
    return (head + change.text.encode() + tail).decode()


def _places(tree: ast.Module) -> Iterator[tuple[str, str, ast.AST]]:
    """Walk what can change what a program does: no imports, annotations, docstrings, decorators, f-strings."""
    yield from _within(tree, "", "")


def _within(node: ast.AST, where: str, function: str) -> Iterator[tuple[str, str, ast.AST]]:
    """Yield the places in a node, each with the name of what it stands in, and of the outermost function around it."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "keywords") and not isinstance(node, ast.Call):
            continue
        around = function or (where if name == "body" and isinstance(node, _FUNCTIONS) else "")
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Import | ast.ImportFrom | ast.JoinedStr):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue  # a docstring
            if isinstance(child, ast.Assign | ast.AnnAssign) and _names_types(child):
                continue
            inner = f"{where}.{child.name}".strip(".") if isinstance(child, _NAMED) else where
            yield inner, around, child
            if not isinstance(child, ast.pattern):
                yield from _within(child, inner, around)


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NAMED = (*_FUNCTIONS, ast.ClassDef)


def _names_types(node: ast.Assign | ast.AnnAssign) -> bool:
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias"
    call = node.value
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("TypeVar", "NewType")


def _changes(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare(ops=[op]):
            yield from _comparison(node, op)
        case ast.BoolOp():
            yield from _junction(node)
        case ast.UnaryOp(op=ast.Not()):
            yield Change("drop not", node, f"({ast.unparse(node.operand)})")
        case ast.BinOp(op=op) if type(op) in ARITHMETIC:
            other = copy.copy(node)
            other.op = ARITHMETIC[type(op)]()
            yield Change("arithmetic", node, f"({ast.unparse(other)})")
        case ast.Constant(value=value):
            yield from _constant(node, value)
        case ast.If() | ast.While() | ast.IfExp():
            if not isinstance(node.test, ast.Compare | ast.UnaryOp | ast.Constant):
                yield Change("condition", node.test, f"(not ({ast.unparse(node.test)}))")
        case ast.comprehension():
            for test in node.ifs:
                yield Change("filter", test, "True")
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield Change("return", value, "None")
        case ast.Call(keywords=keywords) if keywords:
            for place in range(len(keywords)):
                fewer = copy.copy(node)
                fewer.keywords = [*keywords[:place], *keywords[place + 1 :]]
                yield Change("drop argument", node, ast.unparse(fewer))
        case ast.Dict() | ast.Set():
            yield from _rows(node)
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Break() | ast.Delete():
            yield Change("drop statement", node, "pass")
        case ast.Assign(targets=[target]) if not isinstance(target, ast.Name):
            yield Change("drop statement", node, "pass")


def _comparison(node: ast.Compare, op: ast.cmpop) -> Iterator[Change]:
    for operator, table in (("negate", OPPOSITE), ("off by one", BORDER)):
        if type(op) in table:
            other = copy.copy(node)
            other.ops = [table[type(op)]()]
            yield Change(operator, node, f"({ast.unparse(other)})")


def _junction(node: ast.BoolOp) -> Iterator[Change]:
    other = copy.copy(node)
    other.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    yield Change("and or", node, f"({ast.unparse(other)})")
    for place in range(len(node.values)):
        left = [*node.values[:place], *node.values[place + 1 :]]
        kept = ast.BoolOp(node.op, left) if len(left) > 1 else left[0]
        yield Change("drop operand", node, f"({ast.unparse(kept)})")


def _constant(node: ast.Constant, value: object) -> Iterator[Change]:
    if isinstance(value, bool):
        yield Change("constant", node, str(not value))
    elif isinstance(value, int):
        yield Change("constant", node, str(value + 1))
    elif isinstance(value, str) and value:
        yield Change("constant", node, repr("mutant"))


def _rows(node: ast.Dict | ast.Set) -> Iterator[Change]:
    """Remove one row of a table each."""
    count = len(node.values) if isinstance(node, ast.Dict) else len(node.elts)
    for place in range(count if count > 1 else 0):
        other = copy.deepcopy(node)
        if isinstance(other, ast.Dict):
            del other.keys[place], other.values[place]
        else:
            del other.elts[place]
        yield Change("drop row", node, ast.unparse(other))
