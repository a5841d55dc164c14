"""People's code is called so that nothing it raises passes by, but for what a signal put there."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading

import pytest

from eventsource.user_code.calls import UserCall, attempt

PROGRAM = """
import asyncio, os, signal, sys, time
from eventsource.user_code.calls import UserCall

def on_term(number, frame):
    sys.exit(7)

async def tool():
    {body}

async def main():
    ended = await UserCall(tool).run()
    print("outcome", type(ended.error).__name__)

try:
    {run}
except BaseException as error:
    print("ended by", type(error).__name__)
"""


def played(body: str, run: str = "asyncio.run(main())") -> str:
    code = PROGRAM.format(body=body, run=run)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise KeyboardInterrupt", "outcome KeyboardInterrupt"),
        ("sys.exit(3)", "outcome SystemExit"),
        (
            "signal.signal(signal.SIGTERM, on_term); os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)",
            "ended by SystemExit",
        ),
        (
            "os.kill(os.getpid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGINT); time.sleep(5)",
            "ended by KeyboardInterrupt",
        ),
    ],
    ids=["raised", "exits", "SIGTERM", "Ctrl-C twice"],
)
def test_only_what_a_signal_raises_ends_the_program(body: str, said: str) -> None:
    assert played(body) == said


@pytest.mark.slow
def test_ctrl_c_ends_a_program_whose_event_loop_does_not_look_for_it() -> None:
    run = "asyncio.new_event_loop().run_until_complete(main())"
    assert played("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", run) == "ended by KeyboardInterrupt"


@pytest.mark.parametrize("raised", [SystemExit(2), KeyboardInterrupt()])
async def test_a_task_that_peoples_code_begins_fails_as_by_any_error(raised: BaseException) -> None:
    async def sub() -> None:
        raise raised

    async def gathers() -> None:
        await asyncio.gather(sub(), asyncio.sleep(0))

    async def groups() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(sub())

    before = asyncio.get_running_loop().get_task_factory()
    for code in (gathers, groups):
        ended = await UserCall(code).run()
        assert ended.error is not None
        assert not isinstance(ended.error, SystemExit | KeyboardInterrupt)
    assert asyncio.get_running_loop().get_task_factory() is before


async def test_code_that_cancels_its_own_task_cancels_nobody_else() -> None:
    async def cancels() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    ended = await UserCall(cancels).run()
    assert isinstance(ended.error, asyncio.CancelledError)


async def test_code_that_ignores_its_cancellation_is_left_alone() -> None:
    left = asyncio.Event()

    async def ignores() -> None:
        while not left.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    call = UserCall(ignores)
    ended = await call.run(limit_s=0.01, clean_up_s=0.01)
    assert ended.late
    assert call.running
    left.set()


async def test_code_is_given_up_a_while_after_it_was_to_stop() -> None:
    stop = asyncio.Event()
    stop.set()
    assert (await UserCall(lambda: asyncio.sleep(10)).run(stop=stop, grace_s=0.01)).late
    assert (await UserCall(lambda: asyncio.sleep(0, "soon")).run(stop=stop, grace_s=60)).value == "soon"


async def test_a_thread_that_hangs_holds_nobody_up() -> None:
    go = threading.Event()
    call = UserCall(go.wait, thread="hangs")
    try:
        assert (await call.run(limit_s=0.01)).late
        assert call.running
    finally:
        go.set()


def test_an_attempt_gives_what_was_raised() -> None:
    assert isinstance(attempt(lambda: dict[int, int]()[0]).error, KeyError)
    assert attempt(lambda: 5).value == 5


@pytest.mark.parametrize("times", [1, 5])
async def test_a_call_that_is_cancelled_several_times_still_cleans_up(times: int) -> None:
    cleaned: list[bool] = []

    async def code() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            cleaned.append(True)

    running = asyncio.create_task(UserCall(code).run())
    await asyncio.sleep(0.01)
    for _ in range(times):
        running.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([running])
    assert running.cancelled()
    assert cleaned == [True]


async def test_what_a_thread_returns_to_a_cancelled_call_is_closed() -> None:
    began, go, made = threading.Event(), threading.Event(), []

    def code() -> object:
        began.set()
        go.wait()
        made.append(asyncio.sleep(0))
        return made[0]

    running = asyncio.create_task(UserCall(code, thread="late").run())
    while not began.is_set():
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    go.set()
    while not made or inspect.getcoroutinestate(made[0]) != inspect.CORO_CLOSED:
        await asyncio.sleep(0.001)
