"""The tools of the command line: they stay in their folder, keep to their limits, and leave nothing half done."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePath

import pytest

from eventsource.codec import from_json
from eventsource.errors import ToolArgumentsError
from eventsource.messages import ImageContent
from refold.toolset import FILE_TOOLS, file_tools, shell_tool
from refold.toolset.confined_folder import ConfinedFolder
from tests.loop_clock import put_forward
from tests.refold.calling import Caller, text_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder to work in, beside something that no tool may reach."""
    (tmp_path / "secret.txt").write_text("the secret")
    (tmp_path / "work-not").mkdir()
    (tmp_path / "work-not" / "near.txt").write_text("a near secret")
    work = tmp_path / "work"
    (work / "src").mkdir(parents=True)
    (work / "README.md").write_text("# Weather\n\nSays the weather.\n")
    (work / "src" / "rain.py").write_text("def rain():\n    return 'rain'\n")
    return work


@pytest.fixture
def caller(folder: Path) -> Caller:
    return Caller([*file_tools(folder), shell_tool(folder)])


def contents(folder: Path) -> Mapping[str, bytes]:
    """Read every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_may_run_again_after_a_crash_is_declared(caller: Caller) -> None:
    effects = {name: (tool.spec.effect, tool.spec.mode) for name, tool in caller.tools.items()}
    looking, changing = ("idempotent", "parallel"), ("once", "sequential")
    assert effects == {
        "read": looking,
        "ls": looking,
        "grep": looking,
        "write": changing,
        "edit": changing,
        "bash": changing,
    }
    assert all(tool.spec.description for tool in caller.tools.values())


def test_only_the_named_tools_are_made(folder: Path) -> None:
    assert [tool.spec.name for tool in file_tools(folder, ["ls", "read"])] == ["read", "ls"]
    with pytest.raises(ValueError, match="no file tool is called 'bash'"):
        file_tools(folder, ["bash"])
    with pytest.raises(OSError, match="README"):
        file_tools(folder / "README.md")


# --- the folder ----------------------------------------------------------------------------------------------------

OUTSIDE = (
    "../secret.txt",
    "src/../../secret.txt",
    "../work-not/near.txt",
    "link.txt",
    "linked/secret.txt",
    "src/deep/secret.txt",
)


@pytest.fixture
def outside(folder: Path) -> Path:
    """Put links into the folder that lead out of it."""
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "linked").symlink_to("..")
    (folder / "src" / "deep").symlink_to("../linked")
    return folder


@pytest.mark.parametrize("name", OUTSIDE)
async def test_nothing_leads_out_of_the_folder(name: str, outside: Path, caller: Caller) -> None:
    before = contents(outside.parent)
    for called, more in (
        ("read", {}),
        ("ls", {}),
        ("grep", {"pattern": "."}),
        ("write", {"content": "x"}),
        ("edit", {"old": "secret", "new": "x"}),
    ):
        assert "leads out of the folder" in await caller.bad(called, path=name, **more)
    assert contents(outside.parent) == before


async def test_an_absolute_path_is_as_good_as_where_it_leads(folder: Path, caller: Caller) -> None:
    assert await caller.good("read", path=str(folder / "src" / "rain.py")) == "def rain():\n    return 'rain'\n"
    assert "leads out" in await caller.bad("read", path=str(folder.parent / "secret.txt"))
    assert "leads out" in await caller.bad("write", path="/tmp/x", content="x")


async def test_a_hard_link_out_of_the_folder_is_refused(folder: Path, caller: Caller) -> None:
    (folder / "hard.txt").hardlink_to(folder.parent / "secret.txt")
    before = contents(folder.parent)
    for called, more in (("read", {}), ("write", {"content": "x"}), ("edit", {"old": "secret", "new": "x"})):
        said = await caller.bad(called, path="hard.txt", **more)
        assert "the file has 2 names, of which 1 were found in the folder" in said
    assert await caller.good("grep", pattern="secret") == "[hard links out of the folder, not searched: 1]\n"
    assert "is a hard link" in await caller.bad("grep", pattern="secret", path="hard.txt")
    assert contents(folder.parent) == before


async def test_a_file_with_two_names_in_the_folder_is_like_any_other(folder: Path, caller: Caller) -> None:
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "again.py").hardlink_to(folder / "src" / "rain.py")
    assert "rain" in await caller.good("read", path="src/rain.py")
    assert (await caller.good("grep", pattern="def")).startswith("src/rain.py:1:")
    await caller.good("edit", path="src/rain.py", old="'rain'", new="'snow'")
    assert "snow" in (folder / "src" / "rain.py").read_text()


async def test_a_link_within_the_folder_is_followed_and_stays_a_link(folder: Path, caller: Caller) -> None:
    (folder / "here.py").symlink_to("src/rain.py")
    assert "rain" in await caller.good("read", path="here.py")
    await caller.good("edit", path="here.py", old="rain()", new="snow()")
    assert (folder / "here.py").is_symlink()
    assert "snow()" in (folder / "src" / "rain.py").read_text()
    (folder / "dangling").symlink_to("src/new.py")
    await caller.good("write", path="dangling", content="new")
    assert (folder / "src" / "new.py").read_text() == "new"


async def test_a_search_does_not_follow_links(outside: Path, caller: Caller) -> None:
    assert await caller.good("grep", pattern="secret") == "[no line matches]"


def test_a_link_made_after_the_look_is_not_followed(folder: Path) -> None:
    root = ConfinedFolder(folder)
    real = root.find("src/rain.py")
    (folder / "src").rename(folder / "moved")
    (folder / "src").symlink_to(folder.parent)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"), root.folder(real.parent):
        pass
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(folder.parent / "secret.txt")
    root.find = lambda name: PurePath("README.md")  # type: ignore[method-assign]  # as if the link had come after it
    with pytest.raises(OSError, match="Too many levels"), root.file("README.md"):
        pass


async def test_a_pipe_is_refused_and_not_waited_for(folder: Path, caller: Caller) -> None:
    os.mkfifo(folder / "pipe")
    assert "no plain file" in await caller.bad("read", path="pipe")
    assert "no plain file" in await caller.bad("write", path="pipe", content="x")
    assert "pipe" not in await caller.good("grep", pattern="rain")


@pytest.mark.parametrize("name", ["", ".", "src", "src/.."])
async def test_a_folder_is_no_file(name: str, caller: Caller) -> None:
    for called, more in (("read", {}), ("write", {"content": "x"}), ("edit", {"old": "a", "new": "b"})):
        assert "is a folder" in await caller.bad(called, path=name, **more)


@pytest.mark.parametrize("name", ["nope.txt", "nope/nope.txt", "README.md/x", "a\0b"])
async def test_what_is_not_there_is_said_in_one_line(name: str, caller: Caller) -> None:
    said = await caller.bad("read", path=name)
    assert said.count("\n") == 0
    assert "Errno" not in said


# --- looking -------------------------------------------------------------------------------------------------------


async def test_a_file_is_read_as_it_is(caller: Caller) -> None:
    assert await caller.good("read", path="README.md") == "# Weather\n\nSays the weather.\n"


async def test_a_long_file_is_read_in_pieces_that_say_how_to_go_on(folder: Path, caller: Caller) -> None:
    (folder / "long.txt").write_text("".join(f"line {n}\n" for n in range(1, 20_001)))
    first = await caller.good("read", path="long.txt")
    assert first.startswith("line 1\n")
    assert first.endswith("line 2000\n[the file goes on: first_line=2001 shows more]")
    assert await caller.good("read", path="long.txt", first_line=19_999) == "line 19999\nline 20000\n"
    assert "20,000 lines, fewer than 30,000" in await caller.good("read", path="long.txt", first_line=30_000)


async def test_a_very_long_line_is_cut_and_the_next_one_shown(folder: Path, caller: Caller) -> None:
    (folder / "wide.txt").write_text("x" * 3_000_000 + "\nthe end\n")
    shown = await caller.good("read", path="wide.txt")
    assert shown.endswith("xxx [the line goes on]\nthe end\n")
    assert len(shown) < 20_000


async def test_much_text_is_cut_at_a_line(folder: Path, caller: Caller) -> None:
    (folder / "dense.txt").write_text(("y" * 999 + "\n") * 500)
    shown = await caller.good("read", path="dense.txt")
    assert shown.endswith("y\n[the file goes on: first_line=51 shows more]")


async def test_an_image_is_an_image_and_other_bytes_are_refused(folder: Path, caller: Caller) -> None:
    (folder / "dot.png").write_bytes(PNG)
    (folder / "data.bin").write_bytes(b"\0\1\2")
    (image,) = (await caller.outcome("read", path="dot.png")).result.content
    assert isinstance(image, ImageContent)
    assert image.media_type == "image/png"
    assert "is no text" in await caller.bad("read", path="data.bin")


async def test_a_listing_marks_folders_and_links(folder: Path, caller: Caller) -> None:
    (folder / "link").symlink_to("/etc")
    assert await caller.good("ls") == "README.md\nlink@\nsrc/"
    (folder / "empty").mkdir()
    assert await caller.good("ls", path="empty") == "[the folder is empty]"


async def test_a_huge_folder_is_listed_in_part(folder: Path, caller: Caller) -> None:
    for number in range(600):
        (folder / "src" / f"{number:04}").touch()
    listed = (await caller.good("ls", path="src")).split("\n")
    assert (len(listed), listed[0], listed[-1]) == (501, "0000", "[101 names are left out]")


async def test_a_search_names_file_and_line(folder: Path, caller: Caller) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("rain")
    (folder / "data.bin").write_bytes(b"\0rain")
    assert await caller.good("grep", pattern="r.in") == "src/rain.py:1: def rain():\nsrc/rain.py:2:     return 'rain'\n"
    assert await caller.good("grep", pattern="WEATHER", ignore_case=True, files="*.md") == (
        "README.md:1: # Weather\nREADME.md:3: Says the weather.\n"
    )
    assert await caller.good("grep", pattern="def", path="src/rain.py") == "src/rain.py:1: def rain():\n"
    assert await caller.good("grep", pattern="def", path="src") == "src/rain.py:1: def rain():\n"
    assert "no regular expression" in await caller.bad("grep", pattern="(")
    assert "no such file" in await caller.bad("grep", pattern="x", path="nope")


async def test_a_search_shows_so_many_lines_and_the_match_in_each(folder: Path, caller: Caller) -> None:
    (folder / "many.txt").write_text("\n".join(["a" * 5000 + "needle" + "b" * 5000] * 150))
    lines = (await caller.good("grep", pattern="needle")).rstrip("\n").split("\n")
    assert lines[-1] == "[more than 100 lines match; the others are left out]"
    assert len(lines) == 101
    assert all("needle" in line and len(line) < 400 for line in lines[:-1])


@pytest.mark.slow
async def test_a_pattern_that_never_ends_is_ended(folder: Path, caller: Caller) -> None:
    (folder / "evil.txt").write_text("a" * 40 + "!")
    searching = asyncio.create_task(caller.outcome("grep", pattern="(a+)+$"))
    await asyncio.sleep(0.1)  # it runs now, and this process is not held up by it
    caller.stop.set()
    ended = await asyncio.wait_for(searching, 60)
    assert "aborted" in text_of(ended.result)


# --- changing ------------------------------------------------------------------------------------------------------


async def test_a_file_is_written_with_the_folders_it_needs(folder: Path, caller: Caller) -> None:
    assert await caller.good("write", path="a/b/c.txt", content="snö\r\n") == "a/b/c.txt: written, 6 bytes"
    assert (folder / "a" / "b" / "c.txt").read_bytes() == b"sn\xc3\xb6\r\n"
    assert await caller.good("write", path="a/b/c.txt", content="") == "a/b/c.txt: replaced, 0 bytes"


async def test_a_file_keeps_its_permissions_and_nothing_else_is_left(folder: Path, caller: Caller) -> None:
    script = folder / "run.sh"
    script.write_text("echo 1\n")
    script.chmod(0o750)
    await caller.good("edit", path="run.sh", old="1", new="2")
    assert stat.S_IMODE(script.stat().st_mode) == 0o750
    assert sorted(os.listdir(folder)) == ["README.md", "run.sh", "src"]


async def test_an_aborted_write_changes_nothing(folder: Path, caller: Caller) -> None:
    before = contents(folder)
    caller.stop.set()
    assert "aborted" in await caller.bad("write", path="README.md", content="new")
    assert contents(folder) == before


async def test_a_reader_sees_the_old_text_or_the_new_one(folder: Path, caller: Caller) -> None:
    old, new = "o" * 300_000, "n" * 300_000
    (folder / "big").write_text(old)
    with (folder / "big").open() as opened:
        await caller.good("write", path="big", content=new)
        assert opened.read() == old
    assert (folder / "big").read_text() == new


async def test_an_edit_needs_a_text_that_is_there_once(folder: Path, caller: Caller) -> None:
    before = contents(folder)
    assert "is not there" in await caller.bad("edit", path="README.md", old="snow", new="x")
    assert "there 2 times" in await caller.bad("edit", path="src/rain.py", old="rain", new="x")
    assert "old is empty" in await caller.bad("edit", path="README.md", old="", new="x")
    assert contents(folder) == before
    assert await caller.good("edit", path="src/rain.py", old="'rain'", new="'snow'") == (
        "src/rain.py: replaced at line 2"
    )
    assert await caller.good("edit", path="src/rain.py", old="r", new="R", everywhere=True) == (
        "src/rain.py: replaced in 3 places"
    )
    assert (folder / "src" / "rain.py").read_text() == "def Rain():\n    RetuRn 'snow'\n"


async def test_an_edit_keeps_line_ends_and_the_byte_order_mark(folder: Path, caller: Caller) -> None:
    (folder / "win.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\nthree\r\n")
    await caller.good("edit", path="win.txt", old="one\ntwo\n", new="1\n2\n")
    assert (folder / "win.txt").read_bytes() == b"\xef\xbb\xbf1\r\n2\r\nthree\r\n"
    (folder / "latin.txt").write_bytes(b"sn\xf6")
    assert "no UTF-8" in await caller.bad("edit", path="latin.txt", old="s", new="x")


# --- the shell -----------------------------------------------------------------------------------------------------


async def test_a_command_runs_in_the_folder_and_its_code_counts(folder: Path, caller: Caller) -> None:
    assert await caller.good("bash", command="cat src/rain.py | head -1; pwd") == f"def rain():\n{folder}\n"
    assert await caller.good("bash", command="true") == "[it printed nothing]"
    assert await caller.bad("bash", command="echo no >&2; exit 3") == "no\n[exit code 3]"
    assert await caller.bad("bash", command="kill -9 $$") == "[ended by signal 9]"
    outcome = await caller.outcome("bash", command="exit 3")
    assert from_json(outcome.result.details) == {"exit_code": 3, "ended_by": "exit"}
    assert await caller.good("bash", command="cat") == "[it printed nothing]"  # stdin is empty


async def test_a_command_does_not_get_the_keys_of_providers(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-planted-0123456789")
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-planted-0123456789")
    monkeypatch.setenv("COPY", "Bearer sk-planted-0123456789")
    monkeypatch.setenv("MINE", "yes")
    shown = await caller.good("bash", command="env")
    assert "sk-planted" not in shown
    assert "MINE=yes" in shown


def runs(number: int) -> bool:
    """Say whether a process runs; one that nobody has reaped does not."""
    try:
        os.kill(number, 0)
        status = Path(f"/proc/{number}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def ended(folder: Path) -> bool:
    """Say whether the process whose number was written down ends at once."""
    number = int((folder / "number").read_text())
    async with asyncio.timeout(60):
        while runs(number):  # it has been killed; the system may need a moment
            await asyncio.sleep(0.01)
    return True


@pytest.mark.slow
async def test_a_command_that_takes_too_long_ends_with_all_it_started(folder: Path, caller: Caller) -> None:
    command = "(trap '' TERM; sleep 99) & echo $! >number; echo begun; sleep 99"
    running = asyncio.create_task(caller.bad("bash", command=command, timeout_s=600))
    while not caller.reported:
        await asyncio.sleep(0.01)
    put_forward(600)
    assert await asyncio.wait_for(running, 60) == "begun\n[not done after 600 s: ended, with all it had started]"
    assert await ended(folder)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["abort", "cancel"])
async def test_an_aborted_command_ends_with_all_it_started(how: str, folder: Path, caller: Caller) -> None:
    running = asyncio.create_task(caller.outcome("bash", command="sleep 99 & echo $! >number; echo begun; sleep 99"))
    while not caller.reported:
        await asyncio.sleep(0.01)
    if how == "abort":
        caller.stop.set()
        assert "aborted" in text_of((await running).result)
    else:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert await ended(folder)


async def test_what_is_left_in_the_background_ends_with_the_command(folder: Path, caller: Caller) -> None:
    assert await caller.good("bash", command="sleep 99 & echo $! >number; echo done") == "done\n"
    assert await ended(folder)


@pytest.mark.slow
async def test_much_output_keeps_its_beginning_and_its_end(caller: Caller) -> None:
    shown = await caller.good("bash", command="seq 1 100000")
    assert shown.startswith("1\n2\n")
    assert shown.endswith("99999\n100000\n")
    assert "bytes are left out here" in shown
    assert len(shown) < 51_000
    endless = await caller.bad("bash", command="yes")
    assert "it printed more than 20,000,000 bytes" in endless


@pytest.mark.slow
async def test_a_command_shows_what_it_prints_while_it_runs(folder: Path, caller: Caller) -> None:
    wait = "until test -e {}; do sleep 0.01; done"
    command = f"echo one; {wait.format('more')}; echo two; {wait.format('end')}; echo three"
    running = asyncio.create_task(caller.good("bash", command=command))
    for count, name in enumerate(("more", "end"), 1):
        while len(caller.reported) < count:
            await asyncio.sleep(0.01)
        put_forward(1)  # what comes sooner after a report is kept for the next one
        (folder / name).touch()
    await running
    assert [text_of(partial) for partial in caller.reported] == ["one\n", "two\n", "three\n"]


async def test_a_time_beyond_the_limit_is_refused(caller: Caller) -> None:
    with pytest.raises(ToolArgumentsError, match="600"):
        await caller.outcome("bash", command="true", timeout_s=601)


def test_the_tools_are_listed_in_the_order_they_are_made() -> None:
    assert FILE_TOOLS == ("read", "ls", "grep", "write", "edit")
