"""Names of a package are loaded when they are first asked for, and no reader or type checker sees a difference."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(
    path
    for package in ("eventsource", "projections", "replay", "refold")
    for path in (ROOT / package).rglob("__init__.py")
    if "load_when_asked(" in path.read_text(encoding="utf-8")
)


def package_of(path: Path) -> str:
    return path.parent.relative_to(ROOT).as_posix().replace("/", ".")


NAMES = [package_of(path) for path in PACKAGES]


def written(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Read from where a package has its names: as type checkers see it, and as it loads them."""
    seen, loaded = dict[str, str](), dict[str, str]()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body):
                for one in body:
                    assert isinstance(one, ast.ImportFrom)
                    home = "." * one.level + (one.module or "")
                    seen |= {alias.name: home for alias in one.names}
            case ast.Expr(value=ast.Call(func=ast.Name(id="load_when_asked"), args=[_, table])):
                homes = ast.literal_eval(table)
                loaded |= {name: home for home, names in homes.items() for name in names.split()}
            case _:
                pass
    return seen, loaded


def test_the_packages_that_most_programs_import_load_their_names_when_asked() -> None:
    assert {"eventsource", "eventsource.log", "projections", "refold", "refold.tasks", "replay"} <= set(NAMES)


@pytest.mark.parametrize("path", PACKAGES, ids=NAMES)
def test_a_name_is_loaded_from_where_type_checkers_find_it(path: Path) -> None:
    seen, loaded = written(path)
    assert loaded == seen
    assert sorted(loaded) == sorted(importlib.import_module(package_of(path)).__all__)


@pytest.mark.parametrize("package", NAMES)
def test_a_package_lists_names_that_nobody_asked_for_yet(package: str) -> None:
    code = (
        f"import {package} as it; print(sorted(set(it.__all__) - set(dir(it))), len(set(it.__all__) & set(vars(it))))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[] 0\n", "")


@pytest.mark.parametrize("package", NAMES)
def test_a_star_brings_every_name_and_no_file_in_its_place(package: str) -> None:
    names: dict[str, object] = {}
    exec(f"from {package} import *", names)  # as a program writes it
    public = importlib.import_module(package).__all__
    assert set(public) <= names.keys()
    assert [name for name in public if isinstance(names[name], ModuleType)] == []


@pytest.mark.parametrize("package", NAMES)
def test_a_name_that_is_not_there_is_named_in_the_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'open_lgo'"):
        _ = importlib.import_module(package).open_lgo
    with pytest.raises(ImportError, match="cannot import name 'open_lgo'"):
        exec(f"from {package} import open_lgo")


def test_a_name_is_looked_up_once() -> None:
    code = "import refold; refold.open_log; print(vars(refold)['open_log'] is refold.open_log)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_public_name_stays_when_the_file_of_its_name_is_loaded() -> None:
    code = "import refold.tasks.task, refold.tasks.runs, refold.tasks as t; print(callable(t.task), callable(t.runs))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True True\n", "")
