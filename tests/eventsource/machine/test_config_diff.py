"""What a process wants, compared with what the log says."""

from __future__ import annotations

import msgspec
from hypothesis import given

from eventsource.envelope import Recorded
from eventsource.events import ConfigChange, ModelRef, Policies
from eventsource.machine.config_diff import TURN_LIMIT, difference, with_defaults
from eventsource.machine.evolve import fold
from eventsource.machine.state import Config
from eventsource.request import Request, request_sha256
from refold.testing.event_strategies import of_type
from tests.candidates import CONFIGS

NONE = msgspec.Raw(b"{}")
WARM = msgspec.Raw(b'{"temperature":1}')


def changed(recorded: Config, change: ConfigChange | None) -> Config:
    """Say what the log says after a change."""
    given = ConfigChange(
        model=recorded.model,
        system_prompt=recorded.system_prompt,
        tools=recorded.tools,
        options=recorded.options,
        policies=recorded.policies,
    )
    return fold(Recorded(seq, 0, event) for seq, event in enumerate((given, change or ConfigChange()), 1)).config


@given(of_type(Config), of_type(Config))
def test_after_the_difference_the_log_says_what_is_wanted(recorded: Config, wanted: Config) -> None:
    wanted = msgspec.structs.replace(wanted, model=wanted.model or recorded.model)
    after = changed(recorded, difference(recorded, wanted))
    assert difference(after, wanted) is None
    assert (after.model, after.system_prompt, after.tools, after.policies) == (
        wanted.model,
        wanted.system_prompt,
        wanted.tools,
        wanted.policies,
    )
    assert (after.options or NONE) == (wanted.options or NONE)


@given(of_type(Config))
def test_where_nothing_differs_nothing_is_written(config: Config) -> None:
    assert difference(config, config) is None


def test_only_what_differs_is_written() -> None:
    recorded = Config(system_prompt="Be brief.", tools=CONFIGS[0].tools or ())
    wanted = msgspec.structs.replace(recorded, system_prompt="")
    assert difference(recorded, wanted) == ConfigChange(system_prompt="")


def test_options_can_be_taken_away_again() -> None:
    assert difference(Config(options=WARM), Config()) == ConfigChange(options=NONE)
    without = Request(model=ModelRef(api="scripted", provider="scripted", model="scripted"))
    assert request_sha256(without) == request_sha256(msgspec.structs.replace(without, options=NONE))


def test_a_turn_limit_that_nobody_chose_is_written_out_and_a_chosen_one_stays() -> None:
    assert with_defaults(Policies()).turn_limit == TURN_LIMIT == 50
    assert [with_defaults(Policies(turn_limit=chosen)).turn_limit for chosen in (0, 3)] == [0, 3]
