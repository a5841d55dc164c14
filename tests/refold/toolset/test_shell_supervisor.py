"""A command of the shell tool, whatever it starts, ends as a whole, and reads no key of the program that runs it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from refold.toolset import shell_tool
from refold.toolset.processes import MARK
from refold.toolset.supervisor import marked_processes
from tests.loop_clock import put_forward
from tests.refold.calling import Caller, text_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no such supervisor"),
]
DAEMON = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("number", "w").write(str(os.getpid()))
        time.sleep(99)
    os._exit(0)
"""
STARTS = {
    "background": "sleep 99 & echo $! >number",
    "setsid": "setsid sleep 99 & echo $! >number",
    "double fork": "(setsid sh -c 'echo $$ >number; exec sleep 99' >/dev/null 2>&1 &)",
    "deaf daemon": f"{sys.executable} daemon.py",
    "deaf group": "set -m; (trap '' TERM INT HUP; sleep 99; sleep 99) & echo $! >number",
    "without its environment": "setsid env -i sleep 99 & echo $! >number",
    "nohup": "nohup sleep 99 >/dev/null 2>&1 & echo $! >number; disown",
    "stopped": "setsid sleep 99 & echo $! >number; kill -STOP $!",
}
WAIT = "; until test -s number; do sleep 0.01; done; "


@pytest.fixture
def caller(tmp_path: Path) -> Caller:
    (tmp_path / "daemon.py").write_text(DAEMON)
    return Caller([shell_tool(tmp_path)])


@pytest.fixture(autouse=True)
def _none_of_a_test(tmp_path: Path) -> Iterator[None]:
    """End what a failing test leaves."""
    yield
    for number in _in(tmp_path):
        os.kill(number, signal.SIGKILL)


def _in(folder: Path) -> list[int]:
    """List the processes that work in a folder: all that its commands have started."""
    found = []
    for number in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        try:
            if Path(os.readlink(f"/proc/{number}/cwd")) == folder:
                found.append(number)
        except OSError:
            pass
    return found


def _gone(folder: Path) -> bool:
    return (folder / "number").read_text() != "" and not _in(folder)


@pytest.mark.parametrize("start", STARTS)
async def test_nothing_is_left_when_a_command_is_done(start: str, caller: Caller, tmp_path: Path) -> None:
    assert await caller.good("bash", command=STARTS[start] + WAIT + "echo done") == "done\n"
    assert _gone(tmp_path)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("how", ["time", "abort", "cancel"])
async def test_nothing_is_left_when_a_command_is_ended(how: str, start: str, caller: Caller, tmp_path: Path) -> None:
    running = asyncio.create_task(
        caller.outcome("bash", command=STARTS[start] + WAIT + "echo begun; sleep 99", timeout_s=600)
    )
    while not caller.reported:
        await asyncio.sleep(0.01)
    if how == "cancel":
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    else:
        if how == "abort":
            caller.stop.set()
        else:
            put_forward(600)
        assert ("not done after" if how == "time" else "aborted") in text_of((await running).result)
    assert _gone(tmp_path)


def test_a_program_that_is_killed_leaves_no_command_behind(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    program = f"""
import asyncio, sys
from refold.toolset import shell_tool
from tests.refold.calling import Caller
asyncio.run(Caller([shell_tool({str(tmp_path / "work")!r})]).outcome("bash", command=sys.argv[1]))
"""
    process = subprocess.Popen([sys.executable, "-c", program, STARTS["double fork"] + "; sleep 99"])
    until_s = time.monotonic() + 60
    number = tmp_path / "work" / "number"
    while not number.exists() or not number.read_text():
        assert time.monotonic() < until_s
        time.sleep(0.01)
    process.kill()
    process.wait()
    while _in(tmp_path / "work"):
        assert time.monotonic() < until_s
        time.sleep(0.01)


@pytest.mark.parametrize("how", ["KILL", "STOP", "TERM"])
async def test_a_command_that_turns_on_its_supervisor_ends_as_a_whole(
    how: str, caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refold.toolset.processes._SUPERVISED_S", 0.5)
    command = f"setsid sleep 99 & echo $! >number; kill -{how} $PPID; echo turned; sleep 99"
    running = asyncio.create_task(caller.bad("bash", command=command, timeout_s=600))
    while not (caller.reported or running.done()):
        await asyncio.sleep(0.01)
    put_forward(600)
    await running
    async with asyncio.timeout(60):
        while not _gone(tmp_path):  # killed, and somebody else's to reap
            await asyncio.sleep(0.01)


async def test_what_starts_ever_more_is_ended(caller: Caller, tmp_path: Path) -> None:
    command = "echo 1 >number; echo begun; while :; do setsid sh -c 'sleep 9 & sleep 9' & done"
    running = asyncio.create_task(caller.bad("bash", command=command, timeout_s=600))
    while not caller.reported:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)  # so that there are many
    put_forward(600)
    await running
    assert _gone(tmp_path)


def test_a_command_reads_no_key_of_the_program_that_runs_it(tmp_path: Path) -> None:
    program = f"""
import asyncio, os
from refold.toolset import shell_tool
from tests.refold.calling import Caller
caller = Caller([shell_tool({str(tmp_path)!r})])
reads = "cat /proc/$PPID/environ /proc/{{0}}/environ /proc/[0-9]*/environ; head -c 1 /proc/{{0}}/mem; true"
print(asyncio.run(caller.good("bash", command=reads.format(os.getpid()))))
own = [os.environ["ANTHROPIC_API_KEY"], os.popen("printf %s $ANTHROPIC_API_KEY").read()]
print("still", *{{key.replace("planted", "PLANTED") for key in own}})
"""
    key = f"sk-planted-{token_hex(8)}"  # other tests have processes with keys meanwhile
    environment = {**os.environ, "ANTHROPIC_API_KEY": key, "SEEN": "by-the-command"}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True, timeout=60, text=True
    )
    assert "SEEN=by-the-command" in ran.stdout  # the supervisor's own
    assert key not in ran.stdout
    assert "denied" in ran.stdout.lower()
    assert ran.stdout.endswith(f"still {key.replace('planted', 'PLANTED')}\n")


async def test_a_command_has_a_mark_of_its_own(caller: Caller) -> None:
    one, other = [await caller.good("bash", command=f"echo ${MARK}") for _ in range(2)]
    assert len(one) == len(other) == 33
    assert one != other
    assert marked_processes(f"{MARK}={one.strip()}") == []
