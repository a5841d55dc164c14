"""What a process wants, compared with what the log says: only the difference is written."""

from __future__ import annotations

import msgspec

from .events import ConfigChange
from .state import Config


def difference(recorded: Config, wanted: Config) -> ConfigChange | None:
    """Build the change from one configuration to another; None when they are equal."""
    change = ConfigChange(
        model=wanted.model if wanted.model != recorded.model else None,
        system_prompt=wanted.system_prompt if wanted.system_prompt != recorded.system_prompt else None,
        tools=wanted.tools if wanted.tools != recorded.tools else None,
        options=wanted.options if wanted.options != recorded.options else msgspec.UNSET,
        policies=wanted.policies if wanted.policies != recorded.policies else None,
    )
    return change if change != ConfigChange() else None
