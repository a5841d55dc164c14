"""What a terminal is shown fits it: tables, long sessions, lines; a pipe gets all."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from refold import open_log
from refold.cli.arguments.log_file import LogFile
from refold.cli.terminal.paging import PAGE, Window
from refold.cli.terminal.screen import Screen
from tests.refold.shell import Shell

NAMES = ("id", "updated", "status", "tokens", "title")


def screen(monkeypatch: pytest.MonkeyPatch, columns: int) -> tuple[Screen, io.StringIO]:
    monkeypatch.setenv("COLUMNS", str(columns))
    written = io.StringIO()
    return Screen(LogFile(Path("x.db"), "nobody"), as_json=False, terminal=written), written


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("title", ["", "short", "a long title " * 20, "寿司と東京の話 " * 20, "e\u0301" * 100])
def test_no_line_of_a_table_is_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int, title: str
) -> None:
    on, written = screen(monkeypatch, columns)
    rows = [("qz4kdemelli7", "14:45", "idle", "1,234", title), ("w3xggwee5f3v", "Nov 3 14:05", "waiting", "", title)]
    on.table(NAMES, rows, right=("tokens",))
    lines = written.getvalue().splitlines()
    assert len(lines) == 3
    assert max(map(cell_len, lines)) <= columns
    assert all(row[0] in line for row, line in zip(rows, lines[1:], strict=True))
    assert "1,234" in lines[1]


def test_a_column_that_says_nothing_is_left_out_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    on, written = screen(monkeypatch, 80)
    on.table(NAMES, [("a", "14:45", "idle", "", "title")], right=("tokens",))
    assert "tokens" not in written.getvalue()
    on.table(NAMES, [])
    assert "tokens" in written.getvalue()


def test_the_widest_text_gives_its_room_first(monkeypatch: pytest.MonkeyPatch) -> None:
    on, written = screen(monkeypatch, 60)
    on.table(("id", "what", "more"), [("i" * 20, "w" * 80, "m" * 10)])
    line = written.getvalue().splitlines()[1]
    assert line.startswith("i" * 20)
    assert line.endswith("m" * 10)


def test_a_pipe_gets_every_column_whole(shell: Shell) -> None:
    session = shell.said("x " * 100)
    title = " ".join(["a long title"] * 30)
    shell.good("label", session, title)
    heading, row = shell.good("ls").splitlines()
    assert heading.split() == ["id", "updated", "status", "msgs", "tokens", "inherited", "title"]
    assert row.endswith(title)


def test_a_pipe_gets_many_lines_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    lines = [f"{number} 寿司 \x1b[31m" for number in range(2_000)] + ["a\ttab"]
    shows: list[Callable[[Screen], object]] = [
        lambda on: on.cut_lines(lines),
        lambda on: on.table(("what",), [[line] for line in lines]),
    ]
    for show in shows:
        pipe = Pipe()
        monkeypatch.setattr("sys.stdout", pipe)
        show(Screen(LogFile(Path("x.db"), "nobody"), as_json=False))
        written = pipe.getvalue().splitlines()
        assert pipe.writes < 30
        assert [line.split("␛")[0].strip() for line in written[-2001:-1]] == [f"{n} 寿司" for n in range(2_000)]
        assert "\x1b" not in pipe.getvalue()


def test_a_terminal_gets_a_page_of_a_long_session_and_a_pipe_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = list(range(5_000))
    on, _ = screen(monkeypatch, 80)
    newest = Window.of(on, after=0, last=None, limit=None).select(listed)
    assert newest == (5_000 - PAGE, listed[-PAGE:], 0)
    going_on = Window.of(on, after=100, last=None, limit=None).select(listed)
    assert going_on == (0, listed[:PAGE], 5_000 - PAGE)
    assert Window.of(on, after=0, last=3, limit=None).select(listed) == (4_997, listed[-3:], 0)
    pipe = Screen(LogFile(Path("x.db"), "nobody"), as_json=False)
    assert Window.of(pipe, after=0, last=None, limit=None).select(listed) == (0, listed, 0)


def test_what_is_not_shown_is_said_with_the_command_that_shows_it(shell: Shell) -> None:
    session = shell.said("Oslo?")
    shell.said("And a coat?", "--session", session)
    said = shell("show", session, "--limit", 1)
    seq = said.stdout.splitlines()[-2].split()[0]
    assert f"(3 later messages not shown; go on: refold show {session} --after {seq})" in said.stderr
    assert "earlier messages not shown" in shell("show", session, "--last", 1).stderr
    first = shell.good("show", session, "--events").splitlines()
    assert shell.good("show", session, "--events", "--limit", 2).splitlines() == first[:2]
    assert "later events not shown" in shell("show", session, "--events", "--limit", 2).stderr
    assert shell("show", session, "--last", 1, "--limit", 1).exit_code == 2


def test_why_shows_the_last_messages_and_how_many_there_are_before_them(shell: Shell) -> None:
    session = shell.said("Oslo?")
    shell.said("And a coat?", "--session", session)
    head = shell.json("show", session)
    assert isinstance(head, dict)
    short = shell.good("why", session, head["head"], "--limit", 1)
    assert "… 3 earlier messages (--limit 0 shows all)" in short
    assert "earlier message" not in shell.good("why", session, head["head"])


async def test_last_is_the_session_that_was_updated_last() -> None:
    now = [0]
    async with open_log(clock=lambda: now[0]) as log:
        for name in ("one", "two"):
            now[0] += 1
            await (await log.session(name)).follow_up("hi")
        assert (await log.find("last")).id == (await log.find("two")).id
        now[0] += 1
        await (await log.find("one")).label("first", 1)
        assert (await log.find("last")).id == (await log.find("one")).id
        fork = await (await log.find("two")).fork()
        assert (await log.find("last")).id in (fork.id, (await log.find("one")).id)
        named = await log.session("last")
        assert (await log.find("last")).id == named.id


def test_last_names_a_session_wherever_one_is_named(shell: Shell) -> None:
    assert shell("show", "last").exit_code == 3
    assert shell("run", "Oslo?", "-m", "scripted", "--session", "last").exit_code == 3
    shell.said("Oslo?")
    newest = shell.said("Bergen?")
    for words in (("show", "last"), ("usage", "last"), ("tree", "last"), ("search", "wet", "--session", "last")):
        assert newest in shell.good(*words) + str(shell.json(*words))
    assert shell("diff", "last", newest).exit_code == 0


def test_a_forks_row_tells_its_own_tokens_from_inherited_ones(shell: Shell) -> None:
    shell.script.write_text(
        '[["Yes.", {"stop": "stop", "usage": {"input_tokens": 1200, "output_tokens": 34}}],'
        ' ["No.", {"stop": "stop", "usage": {"input_tokens": 10, "output_tokens": 1}}]]'
    )
    root = shell.said("hi")
    fork = shell.good("fork", root).strip()
    shell.said("and?", "--session", fork)
    rows = shell.json("ls")
    assert isinstance(rows, list)
    row = next(row for row in rows if row["id"] == fork)
    assert (row["inherited_input_tokens"], row["inherited_output_tokens"]) == (1200, 34)
    assert (row["input_tokens"], row["output_tokens"]) == (1210, 35)
    line = next(line for line in shell.good("ls").splitlines() if line.startswith(fork))
    assert line.split()[-7:-5] == ["11", "1,234"]
    assert "11 tokens of its own" in shell.good("show", fork)
    assert "1,234 tokens inherited" in shell.good("show", fork)
