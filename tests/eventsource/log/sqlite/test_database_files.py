"""A log is its files: what was acknowledged is there for whoever opens the path, or nothing was acknowledged."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eventsource.errors import LeaseHeldError, OutcomeUnknownError, StoreError
from eventsource.events import Custom
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.log.sqlite import database_files
from eventsource.log.sqlite.database_files import DatabaseFiles
from eventsource.log.sqlite.store import SqliteLog
from tests.eventsource.log.opened import Child, count, heads

ROOT = Path(__file__).parents[4]
GONE = r"removed, moved or replaced|2 names"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder / "log.db"


async def append(log: EventLog, kind: str = "x") -> int:
    return await log.append("s", [(1, Custom(kind=kind))])


def wal(path: Path) -> Path:
    return Path(f"{path}-wal")


def shm(path: Path) -> Path:
    return Path(f"{path}-shm")


def is_there(path: Path) -> bool:
    return path.exists()


def place_file(path: Path) -> None:
    path.touch()


def move(path: Path, to: Path) -> None:
    path.rename(to)


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    other = path.with_name("other.db")
    shutil.copy(path, other)
    os.replace(other, path)


def remove_and_make(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))
    path.touch()


def rename_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def replace_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.mkdir()
    shutil.copy(path.parent.with_name("moved") / path.name, path)


def link(path: Path) -> None:
    os.link(path, path.with_name("second.db"))


@pytest.mark.parametrize(
    "change", [remove, replace, remove_and_make, rename_folder, remove_folder, replace_folder, link]
)
async def test_a_database_that_is_not_there_any_more_acknowledges_nothing(
    path: Path, change: Callable[[Path], None]
) -> None:
    async with open_store(path) as log:
        await log.create("s")
        await append(log)
        change(path)
        there = {one: one.read_bytes() for one in path.parent.glob("*.db")} if path.parent.exists() else {}
        for _ in range(3):
            with pytest.raises(StoreError, match=GONE):
                await append(log, "lost")
        with pytest.raises(StoreError, match=GONE):
            await log.create("t")
        with pytest.raises(StoreError, match=GONE):
            await log.info("s")
        assert {one: one.read_bytes() for one in there} == there, "something was made or changed in its place"


async def test_a_file_that_comes_back_is_written_again(path: Path) -> None:
    async with open_store(path) as log:
        await log.create("s")
        move(path, path.with_name("away.db"))
        with pytest.raises(StoreError):
            await append(log)
        move(path.with_name("away.db"), path)
        assert await append(log) == 1
    assert await heads(path) == {"s": 1}


async def test_the_new_file_in_an_old_place_keeps_what_it_is_told(path: Path) -> None:
    async with open_store(path) as old:
        await old.create("s")
        for end in ("", "-wal", "-shm"):
            move(Path(f"{path}{end}"), path.with_name(f"old.db{end}"))
        async with open_store(path) as new:
            await new.create("t")
            with pytest.raises(StoreError):
                await append(old)
            await old.close()  # closing the last connection would remove the write-ahead file by its name
            assert wal(path).exists()
            await new.append("t", [(1, Custom(kind="x"))])
    assert await heads(path) == {"t": 1}
    assert await heads(path.with_name("old.db")) == {"s": 0}


async def test_a_removed_write_ahead_file_takes_nothing_with_it(path: Path) -> None:
    async with open_store(path) as log:
        await log.create("s")
        for _ in range(5):
            await append(log)
        wal(path).unlink()
        with pytest.raises(StoreError, match=r"log\.db-wal or log\.db-shm was removed"):
            await append(log)
    assert await heads(path) == {"s": 5}


async def test_a_write_ahead_file_removed_during_a_commit_is_told_or_saved(path: Path) -> None:
    async with open_store(path) as log:
        assert isinstance(log, SqliteLog)
        await log.create("s")
        commits = log._commits
        commit = commits._commit

        def removing(connection: object, jobs: object) -> None:
            wal(path).unlink(missing_ok=True)
            commit(connection, jobs)  # type: ignore[arg-type]  # handed on

        commits._commit = removing  # type: ignore[method-assign]  # as it could happen
        head = await append(log)
    assert await heads(path) == {"s": head}


async def test_a_database_removed_during_a_commit_is_no_success(path: Path) -> None:
    async with open_store(path) as log:
        assert isinstance(log, SqliteLog)
        await log.create("s")
        commits = log._commits
        commit = commits._commit

        def removing(connection: object, jobs: object) -> None:
            path.rename(path.with_name("away.db"))
            commit(connection, jobs)  # type: ignore[arg-type]  # handed on

        commits._commit = removing  # type: ignore[method-assign]  # as it could happen
        with pytest.raises(OutcomeUnknownError, match="removed, moved or replaced"):
            await append(log)


@pytest.mark.parametrize("names", [("-shm",), ("-wal", "-shm"), ("-wal",)])
@pytest.mark.slow
async def test_what_is_acknowledged_after_files_were_removed_is_there(path: Path, names: tuple[str, ...]) -> None:
    async with open_store(path) as log:
        await log.create("s")
    async with open_store(path) as log:
        with Child(path) as child:
            assert child.append() == 1
            assert await append(log) == 2
            for name in names:
                remove(Path(f"{path}{name}"))
            told = 0
            with Child(path) as third:
                for program in (child, third, child):
                    told = max(told, program.append())
                with pytest.raises(StoreError, match="was removed or replaced"):
                    await append(log)
                told = max(told, third.append(), child.append())
    assert count(path) >= max(told, 0 if len(names) == 2 else 2)


async def test_a_second_log_in_this_process_is_not_opened_on_exchanged_files(path: Path) -> None:
    async with open_store(path) as log:
        await log.create("s")
        shm(path).unlink()
        with Child(path) as child:
            assert child.append() == 1
            with pytest.raises(StoreError, match="close this log everywhere"):
                async with open_store(path):
                    pass
            with pytest.raises(StoreError, match="close this log everywhere"):
                await append(log)
            assert child.append() == 2
            await log.close()
            with pytest.raises(StoreError, match="end this program and start it again"):
                async with open_store(path):
                    pass
    assert count(path) == 2


async def test_a_hard_linked_database_is_not_opened(path: Path) -> None:
    async with open_store(path) as log:
        await log.create("s")
    link(path)
    for name in (path, path.with_name("second.db")):
        with pytest.raises(StoreError, match=r"2 names \(hard links\)"):
            async with open_store(name):
                pass
    remove(path)
    assert await heads(path.with_name("second.db")) == {"s": 0}


async def test_a_database_put_before_anothers_write_ahead_file_is_refused(path: Path) -> None:
    async with open_store(path) as log:
        await log.create("s")
        await log.backup(str(path.with_name("backup.db")))
    with Child(path) as child:
        child.append()
        child.kill()
    assert wal(path).stat().st_size
    os.replace(path.with_name("backup.db"), path)
    with pytest.raises(StoreError, match="put in the place of another"):
        async with open_store(path):
            pass
    wal(path).unlink()
    shm(path).unlink()
    assert await heads(path) == {"s": 0}


async def test_files_that_were_copied_together_after_a_crash_open(path: Path) -> None:
    async with open_store(path) as log:
        await log.create("s")
    with Child(path) as child:
        assert child.append() == 1
        child.kill()
    copied = path.parent.with_name("copied")
    shutil.copytree(path.parent, copied)
    shutil.rmtree(path.parent)
    assert await heads(copied / path.name) == {"s": 1}


async def test_what_is_noted_in_a_copied_file_counts_for_nothing(path: Path) -> None:
    """An inode that was given back names another file soon, which the note does not mean."""
    async with open_store(path) as log:
        await log.create("s")
    with Child(path) as child:
        assert child.append() == 1
        child.kill()
    noted, wal_now = path.with_name("log.db-lock"), wal(path).stat()
    note = f"1:1 {wal_now.st_dev}:{wal_now.st_ino}"
    noted.write_text(note)  # as 0.1 left it
    with pytest.raises(StoreError, match="put in the place of another"):
        async with open_store(path):
            pass
    own = noted.stat()
    noted.write_text(f"{note} {own.st_dev}:{own.st_ino}")
    with pytest.raises(StoreError, match="put in the place of another"):
        async with open_store(path):
            pass
    noted.write_text(f"{note} {own.st_dev}:{own.st_ino + 1}")
    assert await heads(path) == {"s": 1}
    assert noted.read_text().split()[2] == f"{own.st_dev}:{own.st_ino}"


@pytest.mark.parametrize("kind", ["symlink", "folder", "relative", "dots"])
async def test_a_lease_is_seen_by_whatever_name(
    path: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(path) as log:
        await log.create("s")
        await log.claim("s")
        other = tmp_path / "link"
        monkeypatch.chdir(tmp_path)
        if kind == "symlink":
            other.symlink_to(path)
        elif kind == "folder":
            other.symlink_to(path.parent)
            other = other / path.name
        else:
            other = Path("place/log.db" if kind == "relative" else "place/../place/log.db")
        async with open_store(other) as second:
            with pytest.raises(LeaseHeldError):
                await second.claim("s")
            assert await append(second) == 1
        assert await append(log) == 2
    assert {one.name for one in path.parent.iterdir()} == {"log.db", "log.db-lock"}


async def test_a_symlink_turned_elsewhere_changes_nothing_for_an_opened_log(path: Path, tmp_path: Path) -> None:
    link_path = tmp_path / "link.db"
    link_path.symlink_to(path)
    async with open_store(link_path) as log:
        await log.create("s")
        link_path.unlink()
        link_path.symlink_to(tmp_path / "other.db")
        assert await append(log) == 1
        assert (await log.verify()).ok
    assert await heads(path) == {"s": 1}
    assert not (tmp_path / "other.db").exists()


async def test_an_owners_file_that_was_removed_is_made_again(path: Path) -> None:
    async with open_store(path) as log:
        await log.create("s")
        lease = await log.claim("s")
        (own,) = path.parent.glob("*-owner-*")
        own.unlink()
        await log.renew(lease)
        assert own.exists()
        async with open_store(path) as other:
            with pytest.raises(LeaseHeldError):
                await other.claim("s")


async def test_a_removed_lock_is_made_again_and_shared(path: Path) -> None:
    async with open_store(path) as log, open_store(path) as other:
        await log.create("s")
        remove(Path(f"{path}-lock"))
        assert [await append(one) for one in (log, other, log, other)] == [1, 2, 3, 4]
        assert is_there(Path(f"{path}-lock"))


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
async def test_a_file_system_that_locks_nothing_is_told_in_words(
    path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(path) as log:
        await log.create("s")

        def refuse(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        with monkeypatch.context() as patched:
            patched.setattr(fcntl, "flock", refuse)
            for attempt in (lambda: append(log), lambda: log.claim("s"), lambda: log.create("t")):
                with pytest.raises(StoreError, match="does not lock files"):
                    await attempt()
        assert await append(log) == 1


async def test_a_file_mounted_without_its_folder_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_files, "_mounts", lambda: frozenset({str(path)}))
    place_file(path)
    with pytest.raises(StoreError, match="mount the folder"):
        async with open_store(path):
            pass


@pytest.mark.slow
def test_a_mounted_file_is_recognised(path: Path) -> None:
    other = path.with_name("mounted here.db")
    path.touch()
    other.touch()
    code = "import sys; from eventsource.log.sqlite.database_files import _mounts; print(sys.argv[1] in _mounts())"
    script = f'mount --bind "{path}" "{other}" && "{sys.executable}" -c "{code}" "{other}"'
    done = (
        subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
        if shutil.which("unshare")
        else None
    )
    if done is None or done.returncode:
        pytest.skip("nothing can be mounted here")
    assert done.stdout == "True\n"


def test_a_path_that_is_none_is_told_in_words() -> None:
    with pytest.raises(StoreError, match="it is no path"):
        DatabaseFiles("a\0b")


async def test_a_backup_is_written_to_as_the_original_is(path: Path) -> None:
    copy = path.with_name("copy.db")
    async with open_store(path) as log:
        await log.create("s")
        await log.backup(str(copy))
    async with open_store(copy) as log:
        await append(log)
        assert wal(copy).exists(), "without a write-ahead file readers and writers stand in each other's way"


@pytest.mark.slow
async def test_a_stopped_program_keeps_nobody_from_opening(path: Path) -> None:
    async with open_store(path) as log:
        await log.create("s")
    with Child(path) as child:
        child.append()
        child.process.send_signal(signal.SIGSTOP)
        assert await heads(path) == {"s": 1}
        child.process.send_signal(signal.SIGCONT)
