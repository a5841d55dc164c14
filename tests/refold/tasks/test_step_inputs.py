"""A step's input has one digest in every process, and what has none is refused in words."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pydantic
import pytest

from eventsource.errors import InvalidTextError
from eventsource.log.protocol import EventLog
from refold import Log
from refold.tasks import TaskContext, task
from refold.tasks.steps import digest

SOURCE = """
import dataclasses
import pydantic
from refold.tasks.steps import digest

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")

@dataclasses.dataclass
class Bag:
    tags: frozenset
    price: float = 0.1 + 0.2

class Model(pydantic.BaseModel):
    tags: set[str]
    inner: dict[str, set[str]] = {}

print(digest([set(NAMES), Bag(frozenset(NAMES)), Model(tags=set(NAMES), inner={"a": set(NAMES)})], "s").sha256)
"""


@pytest.mark.slow
def test_sets_dataclasses_and_models_have_one_digest_under_every_hash_seed() -> None:
    found = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", SOURCE], capture_output=True, text=True, env=environment, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1


@dataclasses.dataclass
class Trip:
    nights: int
    city: str


class Booking(pydantic.BaseModel):
    nights: int
    city: str


def test_the_order_of_keys_is_no_difference() -> None:
    assert (
        digest([{"a": 1, "b": {"c": 2, "d": 3}}], "s").sha256 == digest([{"b": {"d": 3, "c": 2}, "a": 1}], "s").sha256
    )
    same = {"city": "Oslo", "nights": 2}
    for other in (Trip(nights=2, city="Oslo"), Booking(nights=2, city="Oslo")):
        assert digest([other], "s").sha256 == digest([same], "s").sha256
    assert digest([[1, 2]], "s").sha256 != digest([[2, 1]], "s").sha256
    assert digest([1.5], "s").sha256 != digest([1], "s").sha256


class Plain:
    """What has nothing but its address."""


@pytest.mark.parametrize("value", [Plain(), {"deep": [Plain()]}, object(), iter([]), float("nan"), lambda: 1])
def test_what_has_no_form_of_its_own_is_refused_with_its_type(value: object) -> None:
    with pytest.raises(InvalidTextError) as caught:
        digest([value], "price")
    assert "the input of price" in str(caught.value)
    assert " at 0x" not in str(caught.value)


async def test_a_process_that_gives_the_keys_in_another_order_goes_on(log: EventLog) -> None:
    orders = [{"a": 1, "b": 2}, {"b": 2, "a": 1}]

    def add_up(given: dict[str, int]) -> int:
        return sum(given.values())

    @task(id="counts")
    async def counts(ctx: TaskContext, payload: None) -> int:
        found = await ctx.step("sum", add_up, orders.pop(0))
        await ctx.wait(await ctx.create_token(key="t"))
        return found

    run = await counts.run(Log(log))
    await run.session.decide("t", 1)
    assert (await counts.resume(run.session)).result == 3
