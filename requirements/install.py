"""Set up a virtual environment that holds exactly what the hashed lists name, and this project as it stands here.

    python requirements/install.py FOLDER LIST [LIST ...]

Nothing is resolved: every package is pinned with its hashes and installed without looking at what it asks for, so a
release that comes out tomorrow changes nothing. Whatever was fetched once stays in a folder of wheels, so the next
set-up needs no network. Uses `uv` where it is there, else pip (23.0 or later). Standard library
only: this runs before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
LOWEST = (3, 11)
LISTED = ["--no-deps", "--require-hashes", "--only-binary=:all:"]
QUIET = ["-qq", "--disable-pip-version-check"]
PART = 8
"""Packages fetched by one pip at the least; up to four run at once."""
PACKAGES = "on Debian and Ubuntu, install the packages python3-venv and python3-pip"
HERE = ["--no-deps", "--no-build-isolation", "--editable", str(PROJECT)]
ELSEWHERE = "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV", "PYTHONHOME", "PYTHONPATH"
"""Settings of a user's pip and Python that would install to, or read from, another place."""


class SetUpError(Exception):
    """The set-up cannot be made; the text says why and what to do."""


def main(arguments: list[str]) -> int:
    """Set up a folder from lists. Returns: the exit code."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder, lists = Path(arguments[0]).absolute(), [Path(name).absolute() for name in arguments[1:]]
    try:
        set_up(folder, lists)
    except SetUpError as error:
        print(f"The set-up of {folder.name} failed: {error}", file=sys.stderr)
        return 1
    return 0


def set_up(folder: Path, lists: Sequence[Path]) -> None:
    """Make the environment and fill it. Raises: SetUpError."""
    if sys.version_info < LOWEST:
        found = ".".join(map(str, sys.version_info[:3]))
        advice = "Say which to use: make PYTHON=/path/to/python3"
        raise SetUpError(f"Refold needs Python 3.11 or later; {sys.executable} is {found}. {advice}")
    print(f"Setting up {folder.name} (once)", file=sys.stderr, flush=True)
    uv = shutil.which("uv")
    if uv is None or not _with_uv(uv, folder, lists):
        _with_pip(folder, lists)


def _with_uv(uv: str, folder: Path, lists: Sequence[Path]) -> bool:
    """Set up by uv, first from what it has in its cache. Returns: whether it could."""
    python = folder / "bin" / "python"
    if not _is_ours(python, "import sys") and _run([uv, "venv", "-q", "--clear", "--python", sys.executable, folder]):
        return False
    to = ["--quiet", "--python", str(python)]
    listed = [uv, "pip", "install", *to, *LISTED, *_each("-r", lists)]
    if _run([*listed, "--offline"]) and _run(listed):
        return False
    return not (_run([uv, "pip", "install", *to, *HERE]) or _run([uv, "pip", "check", *to]))


def _with_pip(folder: Path, lists: Sequence[Path]) -> None:
    """Set up by pip, from the folder of wheels, which is filled first where it lacks one."""
    python = folder / "bin" / "python"
    pip, own = [sys.executable, "-m", "pip", "--python", str(python)], [str(python), "-m", "pip"]
    if _is_pip(sys.executable):  # a copy of pip in the environment costs as much time as all the rest
        if not _is_ours(python, "import sys"):
            _must([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], PACKAGES)
    else:
        pip = own
        if not _is_ours(python, "import pip"):
            _must([sys.executable, "-m", "venv", "--clear", folder], PACKAGES)
    with _wheels() as wheels:
        install = [*pip, "install", *QUIET, "--no-compile", *LISTED, "--no-index", "--find-links", wheels]
        install += _each("-r", lists)
        if not os.listdir(wheels) or _run(install):
            _download(pip, lists, wheels)
            _must(install, f"remove {wheels} and try again")
    _must([*pip, "install", *QUIET, *HERE], "see above")
    _must([*pip, "check", "--disable-pip-version-check"], "`make clean` removes what an earlier set-up left")


def _download(pip: Sequence[str], lists: Sequence[Path], wheels: str) -> None:
    """Fetch every listed wheel that is not there; several at a time, since reading an index's pages takes long."""
    found = [block for listed in lists for block in re.split(r"\n(?=\S)", listed.read_text(encoding="utf-8").strip())]
    with tempfile.TemporaryDirectory(prefix="refold-lists-") as folder, ThreadPoolExecutor() as threads:
        parts = [Path(folder, f"{number}.txt") for number in range(min(4, len(found) // PART + 1))]
        for number, part in enumerate(parts):
            part.write_text("\n".join(found[number :: len(parts)]) + "\n", encoding="utf-8")
        command = [*pip, "download", *QUIET, *LISTED, "--dest", wheels]
        for said in threads.map(lambda part: _run([*command, "-r", part]), parts):
            if said:
                raise SetUpError(
                    f"not every package could be fetched (is the package index reachable from here?):\n{said}"
                )


@contextmanager
def _wheels() -> Iterator[str]:
    """Find the folder of wheels in the user's cache; a temporary one where nothing can be written there."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(cache, "refold", "wheels")
    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        with tempfile.TemporaryDirectory(prefix="refold-wheels-") as temporary:
            yield temporary
    else:
        yield folder


def _is_pip(python: str) -> bool:
    """Say whether a Python has a pip that can install into another environment."""
    question = "import pip, sys; sys.exit(tuple(map(int, pip.__version__.split('.')[:2])) < (23, 0))"
    return not _run([python, "-c", question])


def _is_ours(python: Path, question: str) -> bool:
    """Say whether an environment is there, of this very Python, and whole enough to go on with."""
    version = f"sys.version_info[:2] == {tuple(sys.version_info[:2])}"
    return python.exists() and not _run([python, "-c", f"{question}; import sys; sys.exit(not {version})"])


def _each(option: str, values: Sequence[Path]) -> list[str]:
    return [word for value in values for word in (option, str(value))]


def _must(command: Sequence[object], advice: str) -> None:
    said = _run(command)
    if said:
        what = " ".join(str(word) for word in command[:4])
        raise SetUpError(f"{what} ... failed ({advice}):\n{said}")


def _run(command: Sequence[object]) -> str:
    """Run a command. Returns: nothing when it succeeded, else what it printed (never nothing)."""
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else done.stdout.strip() or f"exit code {done.returncode}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
