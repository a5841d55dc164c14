"""Every example in the documentation runs, top to bottom, as a reader would run it."""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests import type_checker
from tests.postgres import empty_schema
from tests.temporal import temporal_server

ROOT = Path(__file__).parents[1]
PACKAGES = ("eventsource", "projections", "refold", "replay")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = {"python", "sh", "console"}
OTHER_NAMES_FOR_THESE = {"", "bash", "py", "pycon", "python3", "shell", "zsh"}
LEFT = "# mypy: disable-error-code=exhaustive-match\n"  # which is no part of strict
END = "--- end of what a command printed ---"
MARK = re.compile(r"<!--\s*test:\s*(?:(needs data)|skip because (\S.*?))\s*-->")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, the line its text begins at, and what the comment before it says of running it."""

    language: str
    text: str
    line: int
    needs_data: bool = False
    skipped: bool = False


def blocks(page: Path) -> list[Block]:
    """Read a page's fenced blocks; a comment right before a block says whether it needs data or cannot run here."""
    found: list[Block] = []
    mark: re.Match[str] | None = None
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block" and "test:" in token.content:
            mark = MARK.search(token.content)
            assert mark, f"{page.name}:{line}: say `test: needs data` or `test: skip because` and the reason"
        elif token.type == "fence":
            skipped, needs_data = bool(mark and mark[2]), bool(mark and mark[1])
            found.append(Block(token.info.split(" ")[0], token.content, line + 1, needs_data, skipped))
            mark = None
    return found


def run_python(block: Block, page: Path, names: dict[str, object], runner: asyncio.Runner) -> None:
    """Run a block in the page's names; what it awaits at its top level runs in the page's event loop."""
    source = "\n" * (block.line - 1) + block.text  # so that a traceback names the page's own lines
    code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    result = eval(code, names)  # `exec` would drop the coroutine
    if inspect.iscoroutine(result):
        runner.run(result)


def targets() -> set[str]:
    """Read what `make` can be asked for."""
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def without_make(script: str) -> str:
    """Take `make` lines out of a script, having checked that the Makefile knows them: `make` runs this test."""
    asked = re.findall(r"^make +([^#\n]*?) *(?:#.*)?$", script, re.MULTILINE)
    assert {target for line in asked for target in line.split()} <= targets()
    return re.sub(r"^make .*$", ":", script, flags=re.MULTILINE)


def run_shell(script: str, folder: Path) -> str:
    """Run a script where the page's other blocks ran; give what it printed, both streams together."""
    command = ["bash", "-euo", "pipefail", "-c", without_make(script)]
    run = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=400)
    assert run.returncode == 0, f"exit code {run.returncode}:\n{run.stdout}"
    return run.stdout


def run_console(text: str, folder: Path) -> None:
    """Run what follows each `$ ` (continued after `> `) in one shell; what is shown below must come, `...` anything."""
    shown = re.findall(r"^\$ (.*(?:\n> .*)*)\n?((?:(?!\$ ).*(?:\n|\Z))*)", text, re.MULTILINE)
    commands = [command.replace("\n> ", "\n") for command, _ in shown]
    printed = run_shell("\n".join(f"{command}\necho; echo {END}" for command in commands), folder).split(f"{END}\n")
    for (command, wanted), came in zip(shown, printed, strict=False):
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        as_shown = not wanted.strip() or doctest.OutputChecker().check_output(wanted, came, options)
        assert as_shown, f"$ {command}\nthe page shows:\n{wanted}\nit prints:\n{came}"


@pytest.fixture
def place(tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder to run a page in, with a log of its own and what a reader would find beside the page."""
    for name in ("README.md", "docs", "examples"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name)
        elif (ROOT / name).is_file():
            shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as for a reader who types in this folder
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("REFOLD_DB", str(tmp_path / "refold.db"))
    monkeypatch.setenv("REFOLD_DATA", str(data_folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(b.language in RUN for b in blocks(p))], ids=lambda page: page.name
)
def test_every_block_of_a_page_runs(
    page: Path,
    place: Path,
    data_folder: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with ExitStack() as stack:
        if "REFOLD_PG" in page.read_text(encoding="utf-8"):
            server = request.getfixturevalue("postgres")
            monkeypatch.setenv("REFOLD_PG", stack.enter_context(empty_schema(server)))
        if "REFOLD_TEMPORAL" in page.read_text(encoding="utf-8"):
            engine = stack.enter_context(temporal_server(tmp_path_factory.mktemp("temporal")))
            asyncio.run(engine.ready())
            monkeypatch.setenv("REFOLD_TEMPORAL", engine.url)
        _run_blocks(page, place, data_folder)


def _run_blocks(page: Path, place: Path, data_folder: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    left_out = []
    with asyncio.Runner() as runner:
        for block in blocks(page):
            try:
                if block.needs_data and not data_folder.is_dir():
                    left_out.append(block.line)
                elif block.language == "python" and not block.skipped:
                    run_python(block, page, names, runner)
                elif block.language == "sh" and not block.skipped:
                    run_shell(block.text, place)
                elif block.language == "console" and not block.skipped:
                    run_console(block.text, place)
            except (Exception, SystemExit) as error:
                error.add_note(f"in the block at {page.relative_to(ROOT)}:{block.line}")
                raise
    if left_out:
        pytest.skip(f"ran but for the blocks at lines {left_out}: there is no folder {data_folder} (set REFOLD_DATA)")


def typed_files(page: Path) -> Iterator[tuple[str, str]]:
    """Make of a page what a type checker reads: its Python in a function, line by line, and the files it writes."""
    text = ""
    for block in blocks(page):
        if block.language == "python":
            text += "\n" * (block.line - text.count("\n") - 1) + textwrap.indent(block.text, "    ")
        elif block.language == "sh":
            found = re.findall(r"^cat > (\w+\.py) <<'(EO[FS])'\n(.*?)^\2$", block.text, re.MULTILINE | re.DOTALL)
            yield from ((name, LEFT + written) for name, _, written in found)
    head = f"{LEFT[:-1]}, allow-redefinition\nasync def page() -> None:\n"
    if text:
        assert text.startswith("\n\n"), f"{page.name} begins with its blocks"
        yield f"{re.sub(r'[^a-z]', '_', page.stem.lower())}_page.py", head + text.removeprefix("\n\n")


@pytest.mark.slow
def test_every_block_and_file_of_a_page_passes_a_strict_type_checker(tmp_path: Path) -> None:
    for page in PAGES:
        for name, text in typed_files(page):
            (tmp_path / name).write_text(text, encoding="utf-8")
    files = sorted(tmp_path.iterdir())
    assert len(files) > 10
    said, problem, code = type_checker.check(files)
    assert code == 0, said + problem


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_hides_from_being_run_behind_another_name(page: Path) -> None:
    assert [f"{page.name}:{block.line}" for block in blocks(page) if block.language in OTHER_NAMES_FOR_THESE] == []


def test_the_readme_begins_with_two_commands_that_make_knows() -> None:
    asked = [re.findall(r"^make (\w+)", b.text, re.MULTILINE) for b in blocks(ROOT / "README.md") if b.language == "sh"]
    assert asked[0] == ["demo", "test"]
    assert set(asked[0]) <= targets()


def test_the_state_diagram_is_the_one_of_the_table() -> None:
    from eventsource.machine.diagram import render

    drawn = [block.text.strip() for block in blocks(ROOT / "docs" / "states.md") if block.language == "mermaid"]
    assert drawn == [render().strip()]


def test_the_page_of_errors_has_every_error_of_the_program_and_no_other() -> None:
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert told == sorted(re.findall(r"^class ([A-Z]\w+)\(RefoldError\b", text, re.MULTILINE))
