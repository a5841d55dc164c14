"""Every benchmark runs, with small numbers; how fast is for `make bench` to say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, Failed, finish, measure
from benchmarks.exchange import exchange, flushed, history
from benchmarks.measure import Compared, environment, turns
from benchmarks.page import DOCS, GONE, HEAD, PEERS, page
from benchmarks.plots import Plot, plots
from benchmarks.rows import Chart, Point, Section, absent, faults, ratio_row, row, table
from benchmarks.scale import placed
from benchmarks.walks import walks
from eventsource.events import UPDATE_TYPES
from eventsource.machine.evolve import fold
from eventsource.machine.state import Phase


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_measures_something(name: str) -> None:
    (section,) = measure([name], quick=True)
    assert isinstance(section, Section)
    assert section.rows or section.text
    for one in section.rows:
        of_noise = "of 99 in 100" in one.name  # the difference of two rare delays, which may be anything
        of_none = "frames over" in one.name and one.value == 0  # none was late
        assert one.value is None or (one.runs > 0 and (one.value > 0 or of_noise or of_none)), one
        assert one.met in (True, False, None)


def test_where_there_is_no_browser_the_page_is_said_not_to_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("REFOLD_CHROMIUM", raising=False)
    (section,) = measure(["browsing"], quick=True)
    assert isinstance(section, Section)
    (only,) = section.rows
    assert (only.value, only.met) == (None, None)
    assert re.match("needs (playwright|Chromium)", only.unit)


def test_the_exchange_that_is_measured_is_legal_and_as_large_as_it_says() -> None:
    events = list(history(2))
    assert fold(events).phase is Phase.IDLE
    updates = sum(type(recorded.event) in UPDATE_TYPES for recorded in events)
    assert (len(events) - updates, updates) == (2 * 19, 2 * 216)


def test_flushes_hold_everything_once_and_the_last_is_durable() -> None:
    answer = exchange(0)[1]
    parts = list(flushed(answer, 20))
    assert [event for part, _ in parts for event in part] == answer
    assert [durable for _, durable in parts] == [False] * (len(parts) - 1) + [True]
    assert len(parts) == 6


@pytest.mark.parametrize(
    ("goal", "met"), [("<= 1.4x", True), ("<= 1.2x", False), (">= 2,000 and <= 1.4x", False), ("<= 1,500", True)]
)
def test_a_goal_is_judged_by_its_ratio_or_its_value(goal: str, met: bool) -> None:
    assert ratio_row("append", Compared(1_300, 1_000, 1.3, 5), "ms", goal=goal).met is met


def test_a_goal_nobody_can_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="a goal is written"):
        _ = row("append", [1.0], "ms", goal="fast").met


def test_a_peer_that_is_missing_is_said_to_be() -> None:
    assert "not installed" in table([absent("a peer", "not installed")]).splitlines()[-1]


@pytest.mark.slow
def test_the_simulation_of_many_sessions_says_something_of_each(postgres: str) -> None:
    words = ["--sessions", "2000", "--streaming", "8", "--pace", "0.5", "--minutes", "0.02"]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", *words], capture_output=True, text=True,
        env={**os.environ, "REFOLD_TEST_PG": postgres},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "rows of 2,000 sessions" in run.stdout
    assert re.search(r"^\d+ due sessions claimed, ten at a time +[\d,]+/s$", run.stdout, re.MULTILINE)
    assert re.search(r"^exchanges +[1-9]", run.stdout, re.MULTILINE)
    assert re.search(r"^table updates +.* dead, cleaned \d+ times$", run.stdout, re.MULTILINE)


def test_a_simulation_writes_its_part_of_the_page_and_nothing_else() -> None:
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    said = "7 sessions", "3 sessions in 2 processes"
    written = placed(page, "On a machine", said, [("list", "1.0 ms")], [("appends", "2/s")])
    assert "| the rows of 7 sessions | |\n| --- | --- |\n| list | 1.0 ms |\n" in written
    assert "| 3 sessions in 2 processes that stream | |\n| --- | --- |\n| appends | 2/s |\n" in written
    ends = ("## What was simulated\n", "\n## What one server bears")
    assert [written.partition(ends[0])[0], written.partition(ends[1])[2]] == [
        page.partition(ends[0])[0], page.partition(ends[1])[2]
    ]  # fmt: skip
    assert placed(written, "On a machine", said, [("list", "1.0 ms")], [("appends", "2/s")]) == written
    with pytest.raises(ValueError, match="expected the headings"):
        placed("# Scale", "", said, [], [])


@pytest.mark.parametrize(("unit", "ratio"), [("ms", 0.8), ("events/s", 1.3)])
def test_what_is_faster_than_its_floor_fails_the_run(unit: str, ratio: float) -> None:
    found = Compared(ratio * 10, 10, ratio, 5)
    (said,) = faults([Section("Appending", [ratio_row("append", found, unit)])])
    assert "append" in said
    assert "cannot be" in said
    assert faults([Section("Appending", [ratio_row("append", found, unit, beside=True)])]) == []


def test_a_missed_goal_fails_the_run_unless_it_is_explained() -> None:
    missed = row("append", [3.0, 2.0, 2.0], "ms", goal="<= 1")
    assert faults([Section("Appending", [missed])]) == ["append: misses its goal, <= 1, with 2 ms"]
    assert faults([Section("Appending", [replace(missed, missed="It must be so.")])]) == []


@pytest.mark.slow
def test_a_benchmark_that_raises_loses_none_of_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    failed, measured = measure(["not_there", "pages"], quick=True)
    assert isinstance(failed, Failed)
    assert isinstance(measured, Section)
    assert "ModuleNotFoundError: No module named 'benchmarks.not_there'" in capsys.readouterr().err


def test_the_page_is_only_written_when_everything_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = Section("Appending", [row("append", [2.0], "ms")])
    failed = Failed("forking", ValueError("no room"))
    assert finish([failed, measured], quick=False, told="A machine.", docs=tmp_path) == 1
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err.splitlines()[0] == "forking failed: ValueError('no room')"
    assert finish([measured], quick=False, told="A machine.", docs=tmp_path) == 0
    assert "append" in (tmp_path / "benchmarks.md").read_text(encoding="utf-8")


def test_what_is_compared_takes_turns_and_neither_is_always_first() -> None:
    assert list(turns(3, "ours", "floor")) == ["ours", "floor", "floor", "ours", "ours", "floor"]


def test_a_row_says_how_often_it_was_run_and_gives_the_median() -> None:
    cells = [cell.strip() for cell in table([row("open", [9.0, 1.0, 2.0], "ms")]).splitlines()[-1].split("|")]
    assert cells[1:4] + cells[6:7] == ["open", "2", "ms", "3"]


def test_a_child_process_keeps_its_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    asked = [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"]
    done = subprocess.run(asked, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


CHART = Chart("growing", "One more exchange", "exchanges of the session")
GROWN = [row(f"at {n}", [n / 10], "ms", point=Point(CHART, "one more exchange", n)) for n in (10, 1_000)]


def test_the_page_says_why_a_goal_is_missed_and_by_how_much() -> None:
    slow = row("open, fork", [2.5], "ms", goal="<= 2", missed="Opening takes most of it.")
    told = page([Section("Forking", [slow])], "A machine, load average 1.0.", [])
    assert "- open, fork: 2.50 ms (goal <= 2). Opening takes most of it." in told
    assert "A machine, load average 1.0." in told
    assert "None." in page([Section("Forking", [replace(slow, goal="")])], "A machine.", [])


def test_the_page_shows_a_plot_to_light_and_dark_readers() -> None:
    told = page([Section("Growing", GROWN)], "A machine.", [Plot(CHART, {})])
    assert 'media="(prefers-color-scheme: dark)" srcset="benchmarks-growing-dark.svg"' in told
    assert 'src="benchmarks-growing-light.svg"' in told


def test_the_page_in_the_docs_is_the_one_that_the_command_writes() -> None:
    """What stands between the figures comes from the command; a change of it by hand is lost at the next run."""
    docs = Path(__file__).parents[1] / "docs"
    told = (docs / "benchmarks.md").read_text(encoding="utf-8")
    assert HEAD.strip() in told
    assert GONE.strip() in told
    assert PEERS.strip() in told or "### Peers" not in told
    assert set(re.findall(r"^### (.+)$", told, re.MULTILINE)) <= set(NAMES.values())
    assert {path.name for path in docs.glob("benchmarks-*.svg")} == set(re.findall(r"benchmarks-\S+?\.svg", told))


@pytest.mark.slow
def test_the_same_figures_make_the_same_plots() -> None:
    pytest.importorskip("matplotlib", reason="plots are drawn where `make bench` has installed what draws them")
    (one,), (other,) = plots(GROWN), plots(GROWN)
    assert one == other
    assert b"One more exchange" in one.svg["light"]
    assert one.svg["light"] != one.svg["dark"]


@pytest.mark.slow
async def test_the_walks_of_the_architecture_page_pass_its_files_in_that_order(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = page.partition("## Three walks")[2].partition("## What is public")[0].split("\n### ")[1:]
    walked = await walks(tmp_path)
    assert len(parts) == len(walked)
    for part, walk in zip(parts, walked, strict=True):
        left = iter(walk.calls)
        told = re.findall(r"^\d+\. `([\w/.]+)`:", part, re.MULTILINE)
        assert len(told) >= 10
        assert [file for file in told if file not in left] == [], walk.name
