"""Installing the programs that the tests run, at the versions of their lock files: python -m tests.clients.install"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

from .programs import CACHE, LOCKS, PROGRAMS

LIMIT_S = 600
NODE = 20
"""The lowest version of Node.js that all of them run on."""


def main() -> int:
    """Install what is not there yet. Returns: the exit code, 1 when one of them cannot be installed."""
    problem = _node()
    if problem:
        print(problem, file=sys.stderr)
        return 1
    failed = [program.name for program in PROGRAMS if not (_is_there(program.name) or _install(program.name))]
    if failed:
        print(f"not installed: {', '.join(failed)}; the tests of them are skipped", file=sys.stderr)
    return 1 if failed else 0


def _node() -> str:
    """Say why nothing can be installed; empty if it can."""
    found = shutil.which("node"), shutil.which("npm")
    if None in found:
        return f"the programs need Node.js {NODE} or later with npm, which is not here; the tests of them are skipped"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    major = version.removeprefix("v").partition(".")[0]
    if not major.isdigit() or int(major) < NODE:
        return (
            f"the programs need Node.js {NODE} or later, found {version or 'none that runs'}; their tests are skipped"
        )
    return ""


def _is_there(name: str) -> bool:
    """Whether a program is installed as its lock file says."""
    (package, version), *_ = json.loads((LOCKS / name / "package.json").read_text())["dependencies"].items()
    installed = CACHE / name / "node_modules" / package / "package.json"
    return installed.is_file() and bool(json.loads(installed.read_text())["version"] == version)


def _install(name: str) -> bool:
    """Install a program into a folder beside its place, and put it there when it is whole."""
    print(f"installing {name}", file=sys.stderr)
    CACHE.mkdir(parents=True, exist_ok=True)
    place, beside = CACHE / name, CACHE / f".{name}"
    for folder in (beside, place):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(LOCKS / name, beside)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=beside, stdin=subprocess.DEVNULL, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        print(f"npm did not install {name} within {LIMIT_S} seconds", file=sys.stderr)
        return False
    if done.returncode == 0:
        beside.rename(place)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
