"""Every scenario of the founding loop, done again from its own recording: hooks and tools of today ask the same."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventsource import session as core
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.machine.state import Config
from eventsource.models.protocol import CallOptions, StreamEvent
from eventsource.request import Request
from eventsource.runner.hooks import Hooks
from eventsource.runner.loop import Program
from eventsource.tools.tool import toolbox
from refold.context_fold import CONTEXT
from refold.reexecution import Reexecution, reexecute
from refold.session import Session
from replay.replay import replay
from tests.conformance.oracle import REF, VARIANTS, Played, _Script, play

DATA = Path(os.environ.get("REFOLD_DATA", Path(__file__).parents[3] / "shared" / "data"))
CASES = [
    pytest.param(path, variant, id=f"{variant}/{path.stem}")
    for path in sorted((DATA / "oracle" / "scenarios").glob("*.json"))
    for variant in VARIANTS
    if (DATA / "oracle" / variant / f"{path.stem}.jsonl").exists()
]
if not CASES:
    pytest.skip("the oracle's scenarios are not in REFOLD_DATA", allow_module_level=True)


class Silent:
    """A model that must not be called."""

    ref = REF

    def encode(self, request: Request) -> None:
        return None

    def stream(self, request: Request, options: CallOptions) -> AsyncIterator[StreamEvent]:
        raise AssertionError("a model was called")


@pytest.mark.parametrize(("path", "variant"), CASES)
async def test_a_scenario_done_again_matches_its_recording(path: Path, variant: str) -> None:
    scenario = json.loads(await asyncio.to_thread(path.read_text, encoding="utf-8"))
    async with open_store() as log:
        played = await play(scenario, variant, log)
        if played.refused:
            return
        history = [recorded async for recorded in read_all(log, played.session)]
        script = _Script(scenario, asyncio.Event(), Played())
        tools = toolbox(script.tools())
        program = Program(model=Silent(), context=CONTEXT, clock=lambda: 1, tools=tools, hooks=Hooks(**script.hooks()))
        wanted = Config(
            model=REF,
            system_prompt=scenario.get("system_prompt", ""),
            tools=tuple(tool.spec for tool in tools.values()),
            policies=VARIANTS[variant],
        )
        session = Session(core.SessionHandle(log, (await log.create()).id, clock=lambda: 1))
        again: Reexecution[None] = await reexecute(
            program, history, session, wanted=wanted, output=None, mode="strict", tools="recorded"
        )
        assert str(again.mismatch) == "None"
        assert again.requests == len(played.calls)
        assert replay(again.history).difference is None
