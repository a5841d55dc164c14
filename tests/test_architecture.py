"""The rules of the code itself: who imports whom, what is pure, how large a piece may grow."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("eventsource", "projections", "replay", "refold")

# Where I/O may happen: what import-linter protects. Every other file of eventsource and projections is pure.
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
SHELL = [module for contract in CONTRACTS for module in contract.get("protected_modules", ())]
# The log, the runner and the scripted models are shells as wholes, but for these files, which only work something out.
PURE_WITHIN_SHELLS = {
    "eventsource/log/digest.py",
    "eventsource/log/lineage.py",
    "eventsource/log/sql/packs.py",
    "eventsource/models/scripted/script.py",
    "eventsource/admission.py",
}
# Circles of files that import each other, wherever the imports stand, each with its reason; three files at the most.
CIRCLES: dict[frozenset[str], str] = {
    frozenset({"replay.diff", "replay.diff_text"}): "a value, and its text",
    frozenset({"replay.why", "replay.why_text"}): "a value, and its text",
    frozenset({"refold.tasks.agents", "refold.tasks.context", "refold.tasks.task"}): (
        "a task's context runs agents as tasks, and tasks are made of functions of a context"
    ),
    frozenset({"refold.cli.conversation.conversation", "refold.cli.conversation.slash_commands"}): (
        "a conversation, and the commands that are typed in it"
    ),
}
MAX_CIRCLE = 3
# These say what a shell must offer, and do nothing: their async methods have no body.
TYPE_ONLY = {"eventsource/log/protocol.py": set[str](), "eventsource/models/protocol.py": {"asyncio"}}
# An error writes the end of a lease for a person; it reads no clock.
TIME_AS_TEXT = {"eventsource/errors.py": {"datetime"}}

IMPURE = {"asyncio", "aiosqlite", "httpx", "sqlite3", "time", "datetime", "random", "uuid", "os", "pathlib", "logging"}
ASYNC = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
FORBIDDEN_NAMES = {"utils", "helpers", "manager", "handler", "base", "core", "types"}
SLOW_TO_LOAD = ("httpx", "jsonschema", "click", "rich", "prompt_toolkit")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 600, 70


def sources(*folders: str) -> list[str]:
    """List the Python files of some folders, as paths from the root."""
    return sorted(path.relative_to(ROOT).as_posix() for folder in folders for path in (ROOT / folder).rglob("*.py"))


CODE = sources(*PACKAGES, "benchmarks", "examples")
SUBPACKAGES = [path.removesuffix("/__init__.py").replace("/", ".") for path in CODE if path.endswith("/__init__.py")]


def module_of(path: str) -> str:
    """Name the module of a file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module_of(path): path for path in sources(*PACKAGES)}


def is_pure(path: str) -> bool:
    """Say whether a file must be free of I/O, time, chance and waiting."""
    module = module_of(path)
    if path in PURE_WITHIN_SHELLS:
        return True
    if path.endswith("/__init__.py") or any(f"{module}.".startswith(f"{shell}.") for shell in SHELL):
        return False
    return path.startswith(("eventsource/", "projections/"))


PURE = [path for path in CODE if is_pure(path)]


@cache
def parse(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), path)


def imported(path: str) -> Iterator[tuple[int, str]]:
    """Find the top name of every module that a file imports from outside its package, wherever in it, with the line."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, (node.module or "").split(".")[0]


def is_declaration(node: ast.AST) -> bool:
    """Say whether an async function only says what it is for."""
    return isinstance(node, ast.AsyncFunctionDef) and all(
        isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) for line in node.body
    )


def is_async(node: ast.AST) -> bool:
    return isinstance(node, ASYNC) or (isinstance(node, ast.comprehension) and bool(node.is_async))


@pytest.mark.parametrize("path", PURE)
def test_a_pure_file_imports_no_io_no_time_and_no_chance(path: str) -> None:
    allowed = TYPE_ONLY.get(path, set()) | TIME_AS_TEXT.get(path, set())
    found = [f"{path}:{line} {name}" for line, name in imported(path) if name in IMPURE - allowed]
    assert found == [], "a file that waits, stores or asks is named in pyproject's contract of protected modules"


@pytest.mark.parametrize("path", PURE)
def test_a_pure_file_never_waits_prints_or_opens(path: str) -> None:
    nodes = [node for node in ast.walk(parse(path)) if not (path in TYPE_ONLY and is_declaration(node))]
    waits = [f"{path}:{getattr(node, 'lineno', '?')} async" for node in nodes if is_async(node)]
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    named = [(node.lineno, node.func.id) for node in calls if isinstance(node.func, ast.Name)]
    assert waits + [f"{path}:{line} {name}()" for line, name in named if name in {"open", "print", "input"}] == []


def imports_of(path: str) -> set[str]:
    """List the project's modules that a file imports, also inside functions and under TYPE_CHECKING."""
    package = (path.removesuffix("/__init__.py") if path.endswith("/__init__.py") else path.rpartition("/")[0]).split(
        "/"
    )
    found: set[str] = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*start, *([node.module] if node.module else [])])
            found |= {
                f"{module}.{alias.name}" if f"{module}.{alias.name}" in MODULES else module for alias in node.names
            }
    return (found & MODULES.keys()) - {module_of(path)}


def circles() -> list[frozenset[str]]:
    """Find the files that can be reached from each other over imports (strongly connected ones), two or more."""
    imports = {module: imports_of(path) for module, path in MODULES.items()}
    reached = {module: reach(module, imports) for module in imports}
    return list({frozenset(b for b in reached[a] if a in reached[b]) for a in imports if a in reached[a]})


def reach(module: str, imports: Mapping[str, set[str]]) -> set[str]:
    """List what a module imports, and what that imports, and so on."""
    found, left = set[str](), set(imports[module])
    while left:
        found |= left
        left = {b for a in left for b in imports[a]} - found
    return found


def test_no_circle_of_imports_is_large_or_without_a_reason() -> None:
    found = circles()
    assert [sorted(circle) for circle in found if len(circle) > MAX_CIRCLE] == []
    assert sorted(map(sorted, found)) == sorted(map(sorted, CIRCLES)), "a circle has its reason in CIRCLES, or is cut"


def records_a_step(node: ast.AST) -> bool:
    """Say whether code records the events of a step, or looks whether a step closes a message."""
    match node:
        case ast.MatchClass(cls=ast.Name(id="CloseMessage")):
            return True
        case ast.Call(func=ast.Attribute(attr="decide"), args=[ast.Starred(value=ast.Attribute(attr="events"))]):
            return True
        case _:
            return False


def test_what_a_step_decides_is_recorded_in_one_file() -> None:
    writing = [path for path in CODE if path.startswith(("eventsource/", "refold/"))]
    found = [path for path in writing if any(records_a_step(node) for node in ast.walk(parse(path)))]
    assert found == ["eventsource/runner/advance.py"], "use its `advance` or `perform`"


# Who appends to a log without `append_admitted`: the runner, of what it admitted itself; and what copies another log.
APPENDING = {"eventsource/log/admitted.py", "eventsource/runner/writer.py"}
COPYING = {"replay/formats/refold/read.py", "replay/omitted_copy.py", "replay/pytest_plugin.py"}
# Stores, their contract, and a log whose process is killed: they are what is appended to.
STORES = ("eventsource/log/memory", "eventsource/log/sql", "eventsource/log/contract/", "refold/testing/world.py")


def appends_to_a_log(tree: ast.AST, method: str = "append") -> list[int]:
    """Find where a log's `append` is called or handed on, whatever the log is called: a list's takes one argument."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    lists = {id(one.func) for one in calls if method == "append" and len(one.args) == 1 and not one.keywords}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == method]
    named = [one.lineno for one in calls if ast.unparse(one.func) == "getattr" and f"'{method}'" in ast.unparse(one)]
    return [node.lineno for node in found if id(node) not in lists] + named


def test_nothing_is_appended_to_a_log_but_what_was_admitted() -> None:
    writing = [path for path in CODE if path.startswith(tuple(f"{package}/" for package in PACKAGES))]
    around = [path for path in writing if not path.startswith(STORES)]
    found = {path for path in around if appends_to_a_log(parse(path))}
    assert sorted(found - APPENDING) == [], "use `append_admitted` of eventsource/log/admitted.py"
    assert {path for path in APPENDING if appends_to_a_log(parse(path))} == APPENDING
    copying = {path for path in around if appends_to_a_log(parse(path), "restore")}
    assert copying == COPYING, "`restore` is for copies of what a log held"


@pytest.mark.parametrize(
    "way",
    [
        "await host.log.append(session, [(1, event)])",
        "await self._store.append(session, events=pairs)",
        "await log.append(session, **options)",
        "append = partial(log.append, session)",
        "getattr(log, 'append')(session, pairs)",
    ],
)
def test_a_new_way_around_admission_is_found(way: str) -> None:
    assert appends_to_a_log(ast.parse(f"async def f():\n    {way}"))
    assert not appends_to_a_log(ast.parse("found.append(event)\nfound.append((1, event))"))


def test_every_file_with_a_rule_of_its_own_exists() -> None:
    assert sorted((PURE_WITHIN_SHELLS | TYPE_ONLY.keys() | TIME_AS_TEXT.keys()) - set(CODE)) == []


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_file_and_folder_that_the_page_of_the_architecture_names_is_there() -> None:
    named = re.findall(r"`((?:eventsource|projections|replay|refold|tests|benchmarks)/[\w/.]*)`", ARCHITECTURE)
    listed = re.findall(r"^\| `([\w/]+/)` \|.*\|(.*)\|$", ARCHITECTURE, re.MULTILINE)
    named += [f"{folder}{file}" for folder, files in listed for file in re.findall(r"`([\w.]+\.\w+)`", files)]
    assert len(named) > 150
    assert sorted({path for path in named if not (ROOT / path).exists()}) == [], (
        "say in docs/architecture.md where it went"
    )


def test_every_folder_of_the_packages_is_on_the_page_of_the_architecture() -> None:
    folders = {f"{path.rpartition('/')[0]}/" for path in sources(*PACKAGES)}
    listed = re.findall(r"^\| `([\w/]+/)` \|", ARCHITECTURE, re.MULTILINE)
    assert sorted(listed) == sorted(folders), "the ladder in docs/architecture.md has a line for each folder"


def test_one_file_at_most_reaches_into_aiosqlite() -> None:
    reaching = {p for p in CODE for n in ast.walk(parse(p)) if isinstance(n, ast.Attribute) and n.attr == "_execute"}
    assert len(reaching) <= 1, reaching


@pytest.mark.parametrize("path", CODE)
def test_a_file_keeps_within_its_budget(path: str) -> None:
    lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_FILE_LINES, f"{path} has {lines} lines; split it by what each part is responsible for"


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines from its def to its end, its docstring left out."""
    first = function.body[0]
    is_doc = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    doc = (first.end_lineno or first.lineno) - first.lineno + 1 if is_doc else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - doc


@pytest.mark.parametrize("path", CODE)
def test_a_function_keeps_within_its_budget(path: str) -> None:
    functions = [n for n in ast.walk(parse(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f"{path}:{f.lineno} {f.name}: {length(f)} lines" for f in functions if length(f) > MAX_FUNCTION_LINES]
    assert long == []


def test_no_file_is_named_after_nothing_in_particular() -> None:
    parts = {
        (path, part.strip("_")) for path in sources(*PACKAGES, "tests") for part in Path(path).with_suffix("").parts
    }
    assert [path for path, part in parts if part in FORBIDDEN_NAMES] == []


def test_nothing_waits_in_a_way_that_loses_a_cancellation() -> None:
    """Before Python 3.12, `wait_for` returns when it is cancelled as what it waits for ends; `timeout` does not."""
    assert [path for path in CODE if "asyncio.wait_for" in (ROOT / path).read_text(encoding="utf-8")] == []


def test_every_ignored_type_error_has_a_reason() -> None:
    reasoned = r"type: ignore\[[\w, -]+\]\s+# \S|noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*\s+\S"
    bare = re.compile(rf"# (?!{reasoned})(type: ignore|noqa)\b")
    lines = [(p, n, line) for p in CODE for n, line in enumerate((ROOT / p).read_text().splitlines(), 1)]
    assert [f"{path}:{number} {line.strip()}" for path, number, line in lines if bare.search(line)] == []


# Run in a process of its own: import a package, and say what that did and which modules are loaded now.
WATCH = """
import importlib, json, logging, os, sys, threading
done = []
EFFECTS = {"os.mkdir", "os.rename", "os.remove", "socket.connect", "sqlite3.connect", "subprocess.Popen", "os.putenv"}
def watch(event, arguments):
    name, mode, flags = (*arguments, "", 0, 0)[:3] if event == "open" else ("", "", 0)
    if name != os.devnull and (set(mode or "") & set("wax+") or (flags or 0) & 3):
        done.append(f"opens {name} to write")
    elif event in EFFECTS:
        done.append(f"{event} {arguments!r}")
sys.addaudithook(watch)
importlib.import_module(sys.argv[1])
if logging.getLogger().handlers: done.append("sets up logging")
if threading.active_count() > 1: done.append("starts a thread")
found = sorted(sys.modules)
print(json.dumps([done, found]))
"""


def load(name: str, folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Import a package in a new process; give what it did, the modules it loaded, and the files it left behind."""
    command = [sys.executable, "-B", "-c", WATCH, name]
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(folder)}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    done, modules = json.loads(run.stdout)  # anything printed by the import itself makes this fail
    return done, modules, [path.name for path in folder.rglob("*")]


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBPACKAGES)
def test_importing_a_package_does_nothing(name: str, tmp_path: Path) -> None:
    done, modules, left = load(name, tmp_path)
    assert name in modules
    assert (done, left) == ([], [])


@pytest.mark.slow
def test_importing_refold_loads_nothing_that_is_slow_to_load(tmp_path: Path) -> None:
    _, modules, _ = load("refold", tmp_path)
    assert set(SLOW_TO_LOAD) & set(modules) == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGES[:3])
def test_the_packages_to_the_left_work_without_refold(name: str, tmp_path: Path) -> None:
    _, modules, _ = load(name, tmp_path)
    right = PACKAGES[PACKAGES.index(name) + 1 :]
    assert set(right) & {module.split(".")[0] for module in modules} == set()


def tracked() -> list[Path]:
    """List the files under version control."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_a_machine_or_a_package_registry() -> None:
    hosts = r"\b(py(?:pi)\.org|(?:python)hosted\.org|registry\.(?:npm)js\.org|(?:ana)conda\.org|crates\.(?:io))\b"
    paths = "|".join(re.escape(f"{path}/") for path in (ROOT, Path.home(), Path("/", "work"), Path("/", "root")))
    wrong = re.compile(rf"{hosts}|(?<![\w.])(?:{paths})".encode())
    found = [
        f"{path.relative_to(ROOT)}: {match[0]!r}" for path in tracked() for match in wrong.finditer(path.read_bytes())
    ]
    assert found == []


def test_no_statement_of_sql_numbers_its_placeholders() -> None:
    """Python 3.12 warns of `?1` where a sequence is given, and 3.14 refuses it."""
    numbered = re.compile(r"[ (]\?[1-9]\b")
    found = [
        path
        for path in (ROOT / "eventsource" / "log").rglob("*.*")
        if path.suffix in (".py", ".sql") and numbered.search(path.read_text())
    ]
    assert found == []
