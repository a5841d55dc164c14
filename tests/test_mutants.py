"""The faults that `make mutants` puts in: they can be put in, and they change what they say."""

from __future__ import annotations

import ast
import gc
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from tests.mutants import live
from tests.mutants.faults import FAULTS, Fault
from tests.mutants.operators import mutants
from tests.mutants.suites import SUITES

ROOT = Path(__file__).parents[1]
MODULES = [path for suite in SUITES for path in suite.modules]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_named_fault_has_its_one_place(fault: Fault) -> None:
    source = (ROOT / fault.path).read_text(encoding="utf-8")
    assert source.count(fault.right) == 1
    ast.parse(source.replace(fault.right, fault.wrong))


def test_every_suite_names_files_that_are_there() -> None:
    named = {test.split("::")[0] for one in (*FAULTS, *SUITES) for test in one.tests} | set(MODULES)
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("path", MODULES)
def test_every_mutant_of_a_module_is_a_program_of_its_own(path: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    made = mutants(path, source)
    assert len(made) >= 5
    assert [name for name, count in Counter(mutant.name for mutant in made).items() if count > 1] == []
    assert all(mutant.source != source for mutant in made)
    for mutant in made[:: len(made) // 5]:
        ast.parse(mutant.source)


def test_every_accepted_mutant_is_one_and_has_its_reason() -> None:
    accepted = tomllib.loads((ROOT / "tests/mutants/accepted.toml").read_text(encoding="utf-8"))["accepted"]
    named = [one["mutant"] for one in accepted]
    made = {mutant.name for path in MODULES for mutant in mutants(path, (ROOT / path).read_text(encoding="utf-8"))}
    assert [name for name in named if name not in made] == []
    assert len(named) == len(set(named))
    assert all(one["reason"].strip() for one in accepted)


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("a = b < c", {"(b >= c)", "(b <= c)"}),
        ("a = b and c", {"(b or c)", "(c)", "(b)"}),
        ("a = not b", {"(b)"}),
        ("a = b + 1", {"(b - 1)", "2"}),
        ("def f(x):\n    return g(x, k=1)", {"None", "g(x)", "2"}),
        ("T = {a: b, c: d}", {"{c: d}", "{a: b}"}),
        ("if a:\n    b()", {"(not (a))", "pass"}),
        ("a.b = c", {"pass"}),
        ("x = [y for y in z if y]", {"True"}),
        ('"""Say."""\nfrom a import b\n', set[str]()),
    ],
    ids=["compare", "junction", "not", "arithmetic", "call", "table", "condition", "statement", "filter", "words"],
)
def test_an_operator_changes_one_place(source: str, made: set[str]) -> None:
    assert {mutant.name.split(" -> ")[1].split(" #")[0] for mutant in mutants("m.py", source)} == made


SOURCE = """
def wrapped(function):
    def call(*given):
        return function(*given) + 1
    return call

class Store:
    size: int = 3

    @wrapped
    def add(self, one, more=1):
        return sum(n for n in (one, more) if n > 0)
"""


def loaded() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(SOURCE, "store.py", "exec"), names)
    return names


def test_a_mutant_of_a_function_is_put_into_the_one_that_is_loaded() -> None:
    outcomes = {}
    for mutant in mutants("store.py", SOURCE):
        names = loaded()
        functions = [one for one in gc.get_objects() if isinstance(one, FunctionType) and one.__globals__ is names]
        found = live.replaced(functions, mutant, "store.py") if mutant.function else None
        for function, code in found or ():
            function.__code__ = code
        if found:
            outcomes[mutant.name.split("::")[-1]] = names["Store"]().add(-2, 3)
    assert outcomes["n > 0 -> (n <= 0)"] == -1
    assert outcomes["n > 0 -> True"] == 2
    assert outcomes["function(*given) + 1 -> (function(*given) - 1)"] == 2
    assert outcomes["0 -> 1"] == 4, "a part of a function counts, though another function is around it"


def test_a_function_that_keeps_its_values_is_found_in_its_file() -> None:
    """They are cleared before each test: else only the first one that needs a value is seen to call the function."""

    @cache
    def kept(one: int) -> int:
        return one

    assert kept in live.caches({__file__})
    assert kept not in live.caches({"elsewhere.py"})


def test_a_mutant_of_a_default_or_a_field_is_tested_in_a_copy() -> None:
    made = {mutant.name.split("::", 1)[1]: mutant.function for mutant in mutants("store.py", SOURCE)}
    assert made["Store::constant::3 -> 4"] == ""
    assert made["Store.add::constant::1 -> 2"] == ""
    assert made["Store.add::constant::0 -> 1"] == "Store.add"
