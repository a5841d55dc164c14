"""What `make` sets up: exactly what the lists name, whatever is released tomorrow; offline from what was fetched."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
LISTS = sorted((ROOT / "requirements").glob("*.txt"))
PYTHON = getattr(sys, "_base_executable", sys.executable)
"""The Python that the tests' own environment was made from, as a user's `python3` is."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def pinned(listed: Path) -> dict[str, str]:
    """Read a list's packages and their versions."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", listed.read_text(encoding="utf-8"), re.MULTILINE))


# --------------------------------------------------------------------------- the lists


@pytest.mark.parametrize("listed", LISTS, ids=lambda listed: listed.name)
def test_a_list_pins_every_package_with_hashes_and_names_no_host(listed: Path) -> None:
    text = listed.read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert blocks
    assert all(re.match(r"[a-z0-9-]+==\S+", block) and "--hash=sha256:" in block for block in blocks)
    assert "://" not in text
    assert "index" not in re.sub(r"^\S+==", "", text, flags=re.MULTILINE)


def test_what_the_demo_installs_is_of_the_versions_that_are_tested() -> None:
    tested = pinned(ROOT / "requirements" / "dev.txt")
    assert pinned(ROOT / "requirements" / "demo.txt").items() <= tested.items()


def test_the_demo_installs_what_the_product_needs_and_what_builds_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [*project["project"]["dependencies"], *project["dependency-groups"]["build"]]
    names = {re.match(r"[A-Za-z0-9_-]+", one)[0].replace("_", "-") for one in asked}  # type: ignore[index]  # a name
    assert names <= pinned(ROOT / "requirements" / "demo.txt").keys()
    assert not {"pytest", "mypy", "openai"} & pinned(ROOT / "requirements" / "demo.txt").keys()


# --------------------------------------------------------------------------- a small world of packages

BACKEND = """
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr("thing.pth", "")
        wheel.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: thing\\nVersion: 1.0\\n%s")
        about = "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("thing-1.0.dist-info/WHEEL", about)
        wheel.writestr("thing-1.0.dist-info/RECORD", "")
    return name

build_wheel = build_editable
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "thing"
version = "1.0"
"""


class World:
    """A checkout with the real installer, and an index of made-up packages."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.index = folder, folder / "index"
        self.project = folder / "project"
        (self.project / "requirements").mkdir(parents=True)
        shutil.copy(ROOT / "requirements" / "install.py", self.project / "requirements")
        (self.project / "pyproject.toml").write_text(PROJECT)
        self.needs()
        self.list = self.project / "requirements" / "list.txt"
        self.list.write_text("")

    def needs(self, *requirements: str) -> None:
        """Say what the project asks for."""
        lines = "".join(f"Requires-Dist: {one}\\n" for one in requirements)
        (self.project / "backend.py").write_text(BACKEND % lines)

    def release(self, name: str, version: str, *requires: str, pin: bool = False) -> None:
        """Put a package into the index, and into the list."""
        wheel = self.index / name / f"{name}-{version}-py3-none-any.whl"
        wheel.parent.mkdir(parents=True, exist_ok=True)
        info = f"{name}-{version}.dist-info"
        needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
        with zipfile.ZipFile(wheel, "w") as made:
            made.writestr(f"{name}.py", f"version = {version!r}\n")
            made.writestr(
                f"{info}/METADATA",
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: more\n{needs}",
            )
            made.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            made.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
        links = "".join(f'<a href="{one.name}">{one.name}</a>\n' for one in sorted(wheel.parent.glob("*.whl")))
        (wheel.parent / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
        if pin:
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            self.list.write_text(f"{self.list.read_text()}{name}=={version} \\\n    --hash=sha256:{digest}\n")

    def install(self, *, online: bool = True, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
        """Set up an environment as `make` does, by whatever is on the path."""
        index = (self.index if online else self.folder / "nowhere").as_uri()
        environment = {
            "PATH": path,
            "HOME": str(self.folder / "home"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": index,
            "UV_DEFAULT_INDEX": index,
            "UV_NO_CONFIG": "1",
            "PYTHONPATH": str(ROOT),  # what a user may have set; nothing of it counts
        }
        command = [PYTHON, self.project / "requirements" / "install.py", self.environment, self.list]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)

    @property
    def environment(self) -> Path:
        """Where the environment is made."""
        return self.project / ".venv"

    def installed(self) -> dict[str, str]:
        """Read which packages are there now, in which versions."""
        code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
        run = subprocess.run([self.environment / "bin" / "python", "-I", "-c", code], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return dict(one.split("==") for one in run.stdout.split() if not one.startswith(("pip==", "setuptools==")))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A project that asks for alpha, which asks for an extra of beta; both are pinned."""
    made = World(tmp_path)
    made.needs("alpha>=1")
    made.release("alpha", "1.0", "beta[more]>=1", pin=True)
    made.release("beta", "1.0", "gamma>=1; extra == 'more'", pin=True)
    made.release("gamma", "1.0", pin=True)
    return made


PINNED = {"alpha": "1.0", "beta": "1.0", "gamma": "1.0", "thing": "1.0"}


def test_releases_of_tomorrow_change_nothing(world: World) -> None:
    world.release("alpha", "2.0", "vanished>=9")
    world.release("beta", "2.0", "gamma>=2")
    run = world.install()
    assert run.returncode == 0, run.stderr
    assert world.installed() == PINNED


def test_what_was_fetched_once_is_enough_offline_also_for_an_environment_that_was_cut_off(world: World) -> None:
    assert world.install().returncode == 0
    shutil.rmtree(world.environment)
    (world.environment / "bin").mkdir(parents=True)
    (world.environment / "bin" / "python").symlink_to("/nowhere/python")
    run = world.install(online=False)
    assert run.returncode == 0, run.stderr
    assert world.installed() == PINNED


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed here")
def test_uv_is_used_where_it_is_there(world: World) -> None:
    world.release("alpha", "2.0", "vanished>=9")
    path = f"{Path(shutil.which('uv') or '').parent}:/usr/bin:/bin"
    run = world.install(path=path)
    assert run.returncode == 0, run.stderr
    assert world.installed() == PINNED
    shutil.rmtree(world.environment)
    assert world.install(path=path, online=False).returncode == 0


def test_a_uv_that_fails_is_no_obstacle(world: World, tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "uv"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 2\n")
    broken.chmod(0o755)
    run = world.install(path=f"{broken.parent}:/usr/bin:/bin")
    assert run.returncode == 0, run.stderr
    assert world.installed() == PINNED


def test_a_changed_wheel_is_refused(world: World) -> None:
    world.release("gamma", "1.0", "beta")  # the same name and version, other bytes
    run = world.install()
    assert (run.returncode, "Traceback" in run.stderr) == (1, False)
    assert "hash" in run.stderr.lower()
    assert "gamma" in run.stderr


def test_a_list_that_lacks_a_package_is_said(world: World) -> None:
    world.needs("alpha>=1", "omega>=1")
    run = world.install()
    assert (run.returncode, "Traceback" in run.stderr) == (1, False)
    assert "omega" in run.stderr


def test_an_index_out_of_reach_is_said(world: World) -> None:
    run = world.install(online=False)
    assert (run.returncode, "Traceback" in run.stderr) == (1, False)
    assert "index reachable" in run.stderr


def test_a_python_that_is_too_old_is_told_what_to_do() -> None:
    code = textwrap.dedent(
        """
        import sys
        sys.version_info = (3, 10, 4, "final", 0)
        sys.path.insert(0, sys.argv[1])
        import install
        sys.exit(install.main(["nowhere", "list.txt"]))
        """
    )
    run = subprocess.run([sys.executable, "-c", code, ROOT / "requirements"], capture_output=True, text=True)
    assert run.returncode == 1
    assert [w for w in ("3.11 or later", "3.10.4", "make PYTHON=") if w not in run.stderr] == []


# --------------------------------------------------------------------------- the real thing


def test_make_demo_works_from_an_empty_environment(tmp_path: Path) -> None:
    """In a copy of the checkout with nothing but the wheels that were fetched for the lists; no network is asked."""
    wheels = CACHE / "refold" / "wheels"
    there = {path.name.lower().replace("_", "-") for path in wheels.glob("*.whl")} if wheels.is_dir() else set()
    lacks = [
        n
        for n, v in pinned(ROOT / "requirements" / "demo.txt").items()
        if not any(w.startswith(f"{n}-{v}-") for w in there)
    ]
    if lacks:
        pytest.skip(f"{wheels} lacks {', '.join(lacks[:3])}: `make clean demo` (without uv) fetches them")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    copy = tmp_path / "copy"
    for name in filter(None, tracked.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(CACHE),
        "PIP_INDEX_URL": (tmp_path / "nowhere").as_uri(),
        "PIP_CONFIG_FILE": os.devnull,
    }
    run = subprocess.run(
        ["make", f"PYTHON={PYTHON}", "demo"],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert run.returncode == 0, run.stderr
    assert "refold replay" in run.stdout
    assert not (copy / ".venv" / "ready").exists(), "the demo sets up what the product needs, and no more"
