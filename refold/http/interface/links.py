"""What a link is answered with."""

from __future__ import annotations

from typing import Literal

import msgspec

from .values import Anything, Text

PATH = "/v1/tokens/"
LONGEST_S = 366 * 24 * 3600
"""For a link to be of use."""


class LinkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the wait is decided: a call is approved or not, a token gets a value; `text`: one as a person types it.

    `by`: who decides. `outcome`: `cancelled` lets the run go on without an answer.
    """

    approve: bool | None = None
    reason: Text = ""
    value: Anything | msgspec.UnsetType = msgspec.UNSET
    text: Text | None = None
    by: Text = ""
    outcome: Literal["completed", "cancelled"] = "completed"


class Decided(msgspec.Struct, frozen=True):
    """How the wait ended, and the seq of the session's last event then."""

    session: str
    head: int
    outcome: str
