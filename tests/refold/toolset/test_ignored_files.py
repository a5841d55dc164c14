"""What .gitignore names is neither listed nor searched, as git has it, unless a model asks for it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from refold.toolset import file_tools
from refold.toolset.grep_program import IgnoreRule, IgnoreRules, Search
from tests.refold.calling import Caller

RULES = {
    ".gitignore": "# built\nnode_modules/\n*.log\n!keep.log\n/dist\ndocs/**/draft.txt\n**/cache/\nweird[[:digit:]]\n"
    "trailing   \r\n\\#hash\nlast tab\t\none/?\none\\  \nwith space\\ \nempty/*\n!empty/kept.txt\n[a-\nfoo\\\n",
    "src/.gitignore": "\ufeffgenerated.py\n!debug.log\n/local\n!cache/\n",
    ".git/info/exclude": "private.txt\n",
}
FILES = (
    "main.py",
    "app.log",
    "keep.log",
    "private.txt",
    "dist/a.js",
    "src/dist/a.js",
    "node_modules/left/pad.js",
    "src/node_modules/x.js",
    "src/generated.py",
    "generated.py",
    "src/debug.log",
    "src/other.log",
    "src/local/x",
    "src/deep/local/x",
    "src/cache/x",
    "lib/cache/x",
    "docs/draft.txt",
    "docs/a/b/draft.txt",
    "docs/a/final.txt",
    "weird1",
    "weirdx",
    "trailing",
    "#hash",
    "with space ",
    "last tab",
    "one/e",
    "one/é",
    "one ",
    "empty/gone.txt",
    "empty/kept.txt",
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Make a repository with rules in every place that git reads them from."""
    work = tmp_path / "work"
    for name in FILES:
        write(work / name, "needle\n")
    for name, rules in RULES.items():
        write(work / name, rules)
    return work


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


async def found(folder: Path, **how: object) -> list[str]:
    """List the files that a search finds."""
    said = await Caller(file_tools(folder)).good("grep", pattern="needle", **how)
    return sorted(line.rsplit(":", 2)[0] for line in said.splitlines())


KEPT = [
    "docs/a/final.txt",
    "empty/kept.txt",
    "generated.py",
    "keep.log",
    "last tab",
    "main.py",
    "one/é",
    "src/cache/x",
    "src/debug.log",
    "src/deep/local/x",
    "src/dist/a.js",
    "weirdx",
]


async def test_a_search_leaves_out_what_rules_of_any_folder_name(work: Path) -> None:
    assert await found(work) == KEPT
    assert await found(work, ignored=True) == sorted(FILES)


@pytest.mark.skipif(shutil.which("git") is None, reason="git says what it ignores")
async def test_git_ignores_the_same(work: Path) -> None:
    shutil.move(work / ".git", work.parent / "moved")
    by_git = await asyncio.to_thread(listed_by_git, work)
    assert [name for name in by_git if not name.endswith(".gitignore")] == await found(work)


def listed_by_git(work: Path) -> list[str]:
    """List what git does not ignore."""
    subprocess.run(["git", "init", "--quiet", "--template=", str(work)], check=True)
    shutil.copytree(work.parent / "moved", work / ".git", dirs_exist_ok=True)
    asked = ["git", "-c", "core.excludesFile=/dev/null", "ls-files", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(asked, cwd=work, check=True, capture_output=True).stdout.decode().split("\0")
    return sorted(name for name in listed if name)


async def test_a_listing_leaves_out_the_same_and_the_folder_of_git(work: Path) -> None:
    caller = Caller(file_tools(work))
    assert (await caller.good("ls")).split("\n") == [
        ".gitignore", "docs/", "empty/", "generated.py", "keep.log", "last tab", "lib/", "main.py", "one/",
        "src/", "weirdx",
    ]  # fmt: skip
    assert (await caller.good("ls", path="src")).split("\n") == [".gitignore", "cache/", "debug.log", "deep/", "dist/"]
    whole = (await caller.good("ls", ignored=True)).split("\n")
    assert {"node_modules/", "app.log", "private.txt", "dist/"} <= set(whole)
    assert ".git/" not in whole


async def test_only_who_finds_nothing_reads_that_something_was_left_out(work: Path) -> None:
    caller = Caller(file_tools(work))
    nothing = await caller.good("grep", pattern="needle", files="pad.js", path="src")
    assert nothing == "[no line matches; what .gitignore names was left out, ignored=true searches it too]\n"
    assert "left out" not in await caller.good("grep", pattern="needle")
    assert await caller.good("grep", pattern="haystack", path="docs/a", files="final.txt") == "[no line matches]"
    assert await caller.good("ls", path="lib") == "[nothing but what .gitignore names: 1; ignored=true lists it]"


async def test_what_is_named_itself_is_looked_at(work: Path) -> None:
    assert await found(work, path="node_modules") == ["node_modules/left/pad.js"]
    assert await found(work, path="app.log") == ["app.log"]
    assert await Caller(file_tools(work)).good("ls", path="node_modules") == "left/"


async def test_rules_above_the_folder_of_the_tools_count_up_to_its_repository(work: Path) -> None:
    write(work.parent / ".gitignore", "*.py\n")
    write(work / "src" / "private.txt", "needle\n")
    assert await found(work / "src") == ["cache/x", "debug.log", "deep/local/x", "dist/a.js"]


async def test_a_working_tree_of_git_has_the_exclude_file_of_its_repository(work: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write(tree / "private.txt", "needle\n")
    write(tree / "public.txt", "needle\n")
    write(work / ".git" / "worktrees" / "tree" / "commondir", "../..\n")
    write(tree / ".git", f"gitdir: {work}/.git/worktrees/tree\n")
    assert await found(tree) == ["public.txt"]


async def test_a_repository_within_has_rules_of_its_own_only(work: Path) -> None:
    write(work / "inner" / "app.log", "needle\n")
    write(work / "inner" / "mine.txt", "needle\n")
    write(work / "inner" / ".git" / "info" / "exclude", "mine.txt\n")
    assert await found(work, path="inner") == ["inner/app.log"]
    assert "inner/app.log" in await found(work)


async def test_rules_count_in_a_folder_that_is_no_repository(work: Path) -> None:
    shutil.rmtree(work / ".git")
    write(work.parent / ".gitignore", "main.py\n")
    assert await found(work) == sorted([*KEPT, "private.txt"])


def test_a_folder_that_is_ignored_is_not_entered(work: Path) -> None:
    for name in ("dist", "lib", "docs", "empty", "src"):
        shutil.rmtree(work / name)
    for number in range(20):
        write(work / "node_modules" / str(number) / "app.log", "needle\n")
    root = os.open(work, os.O_RDONLY)
    try:
        search = Search(re.compile("needle"), "*.log", root, IgnoreRules().at(root, ()))
        assert list(search.lines(root, "")) == ["keep.log:1: needle"]
    finally:
        os.close(root)
    assert search.ignored == 2  # the folder, and one file beside it


async def test_rules_that_are_a_link_do_not_count(work: Path) -> None:
    write(work.parent / "rules", "main.py\n")
    (work / "docs" / "a" / ".gitignore").symlink_to(work.parent / "rules")
    (work / ".gitignore").unlink()
    (work / ".gitignore").symlink_to(work.parent / "rules")
    assert "main.py" in await found(work)


def test_a_rule_of_many_stars_takes_no_time() -> None:
    assert IgnoreRule("*a*b*a.py").names("xaxbxa.py", is_folder=False)
    assert not IgnoreRule("*a*b*a.py").names("xbxa.py", is_folder=False)
    assert not IgnoreRule("*a" * 20 + "*b").names("a" * 250, is_folder=False)  # this line would take years
    with pytest.raises(ValueError, match="a"):
        IgnoreRule("x/" + "**/a*a*a*a/" * 3)
