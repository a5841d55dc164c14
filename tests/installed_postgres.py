"""Run the tests of the store in PostgreSQL on Debian's own server too: `python -m tests.installed_postgres`.

The server is installed by apt if it is not there and this may be done, runs as a user of its own in a folder that is
removed, and listens on a socket only. Where it cannot be had, that is said, and nothing fails.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.postgres import VARIABLE

ROOT = Path(__file__).parents[1]
TESTS = ("tests/eventsource/log/postgres", "tests/refold/cli/test_on_a_server.py")
USER = "postgres"  # made by the package
INSTALL_S = 300


class NotHereError(Exception):
    """There is no such server here; the text says why."""


def programs() -> Path:
    """Find the folder of the server's programs, of the lowest version that is there. Raises: NotHereError."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise NotHereError("apt has installed no server")
    return found[0].parent


def install() -> None:
    """Install the server if it is not there. Raises: NotHereError."""
    if os.geteuid() != 0:
        raise NotHereError("only root may install one, and start it as another user")
    if Path("/usr/lib/postgresql").is_dir():
        return
    if shutil.which("apt-get") is None:
        raise NotHereError("there is no apt-get")
    for words in (["update"], ["install", "-y", "--no-install-recommends", "postgresql"]):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            subprocess.run(
                ["apt-get", "-q", *words], env=environment, check=True, timeout=INSTALL_S, capture_output=True
            )
        except (subprocess.SubprocessError, OSError) as error:
            raise NotHereError(f"apt-get {words[0]} failed: {error}") from error


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run a server in a folder. Yields: its URL. Raises: NotHereError."""
    try:
        user = pwd.getpwnam(USER)
    except KeyError as error:
        raise NotHereError(f"there is no user {USER}") from error
    os.chown(folder, user.pw_uid, user.pw_gid)
    bin_path, data = programs(), str(folder / "data")

    def call(*words: str) -> None:
        subprocess.run(
            [str(bin_path / words[0]), *words[1:]], user=USER, cwd=folder, check=True, timeout=60,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    try:
        call("initdb", "-D", data, "-A", "trust", "-U", USER, "--encoding=utf8")
        call("pg_ctl", "-w", "-D", data, "-l", f"{folder}/log", "-o", f"-h '' -k {folder}", "start")
    except (subprocess.SubprocessError, OSError) as error:
        raise NotHereError(f"it does not start: {error}") from error
    try:
        yield f"postgresql://{USER}@/postgres?host={folder}"
    finally:
        call("pg_ctl", "-w", "-m", "fast", "-D", data, "stop")


def main(arguments: Sequence[str]) -> int:
    """Run the tests. Returns: their exit code; 0 when there is no server."""
    try:
        install()
        with tempfile.TemporaryDirectory(prefix="refold-postgres-") as name, running(Path(name)) as url:
            print(f"{programs().parent.name}: {' '.join(TESTS)}", flush=True)
            words = [sys.executable, "-m", "pytest", "-q", "-n", "auto", *TESTS, *arguments]
            return subprocess.run(words, cwd=ROOT, env={**os.environ, VARIABLE: url}, check=False).returncode
    except NotHereError as problem:
        print(f"The store was not tested on an installed PostgreSQL: {problem}.", file=sys.stderr)
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
