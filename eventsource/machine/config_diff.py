"""What a process wants, compared with what the log says: only the difference is written."""

from __future__ import annotations

import msgspec

from ..events import ConfigChange, Policies
from .state import Config

TURN_LIMIT = 50
"""Turns of a run where nobody says: enough for long work, and an end for a model that is forced to call for ever."""

_NO_OPTIONS = msgspec.Raw(b"{}")
"""Written where options were, since an absent field of a change stays as it was."""


def difference(recorded: Config, wanted: Config) -> ConfigChange | None:
    """Build the change from one configuration to another; None when they are equal."""
    options = wanted.options or _NO_OPTIONS
    change = ConfigChange(
        model=wanted.model if wanted.model != recorded.model else None,
        system_prompt=wanted.system_prompt if wanted.system_prompt != recorded.system_prompt else None,
        tools=wanted.tools if wanted.tools != recorded.tools else None,
        options=options if options != (recorded.options or _NO_OPTIONS) else msgspec.UNSET,
        policies=wanted.policies if wanted.policies != recorded.policies else None,
    )
    return change if change != ConfigChange() else None


def with_defaults(policies: Policies) -> Policies:
    """Write out what a process decides where its caller says nothing, so that the log says it from now on."""
    return policies if policies.turn_limit is not None else msgspec.structs.replace(policies, turn_limit=TURN_LIMIT)
