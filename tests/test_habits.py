"""What happens to a change outside of the tests: the checks on a server, at a commit, and the pages about both."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
WORKFLOW = (ROOT / ".github" / "workflows" / "check.yml").read_text(encoding="utf-8")
DECISIONS = ROOT / "docs" / "decisions"


def recipe(target: str) -> list[str]:
    """List the commands of a target of the Makefile."""
    lines = MAKEFILE.partition(f"\n{target}:")[2].splitlines()[1:]
    end = next((number for number, line in enumerate(lines) if not line.startswith("\t")), len(lines))
    return [line.strip().lstrip("@").replace("$(BIN)", ".venv/bin") for line in lines[:end]]


def test_a_commit_and_a_push_run_what_make_check_runs() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^ +entry: (.*)$", hooks, re.MULTILINE) == recipe("check")
    assert re.findall(r"^ +- repo: (.*)$", hooks, re.MULTILINE) == ["local"], "nothing is fetched"


def test_the_server_runs_make_check_with_each_python_that_is_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [one.rpartition(" ")[2] for one in project["classifiers"] if re.search(r":: 3\.\d+$", one)]
    listed = re.search(r"^ +python: \[(.*)\]$", WORKFLOW, re.MULTILINE)
    assert listed is not None
    assert re.findall(r'"([\d.]+)"', listed[1]) == named
    asked = re.findall(r"- run: make (.*)$", WORKFLOW, re.MULTILINE)
    assert asked == ["check PYTHON=python"] * 2


def test_the_server_builds_the_sqlite_that_it_says() -> None:
    found = re.findall(
        r'sqlite: "(\d+)\.(\d+)\.(\d+)".*\n +archive: \d{4}/sqlite-autoconf-(\d+)\.tar\.gz$', WORKFLOW, re.MULTILINE
    )
    assert [f"{major}{int(minor):02}{int(patch):02}00" for major, minor, patch, _ in found] == [one[3] for one in found]
    assert len(found) == 2


def title(path: Path) -> str:
    """Read a decision's title, without the number that some have in it."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return re.sub(r"^# (\d{4} )?", "", first)


def test_the_index_of_decisions_has_each_of_them_newest_first() -> None:
    lines = (DECISIONS / "README.md").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line.startswith("- ")]
    pages = sorted(DECISIONS.glob("[0-9]*.md"), reverse=True)
    assert listed == [f"- [{path.name[:4]}]({path.name}) {title(path)}" for path in pages]
    assert len({path.name[:4] for path in pages}) == len(pages), "a number is one decision's"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_path_and_target_that_a_page_for_contributors_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    paths = re.findall(r"`((?:\.github|eventsource|projections|replay|refold|tests|benchmarks|docs)/[\w/.-]*)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [one for one in re.findall(r"make ([a-z]+)", text) if f"\n{one}:" not in MAKEFILE] == []
