"""What can be said of a tool beside its name and its function, once for all who make tools."""

from __future__ import annotations

from typing import Literal, TypedDict

from ..durations import Duration
from ..events import EffectKind, ToolMode
from ..machine.approvals import ApprovalRule


class ApprovalOptions(TypedDict, total=False):
    """How long a call waits for an approval.

    approval_timeout: how long a person has; without it, as long as it takes.
    approval_default: what counts when that time is over: approve, or deny (the default).
    """

    approval_timeout: Duration | None
    approval_default: Literal["approve", "deny"]


class ToolOptions(ApprovalOptions, total=False):
    """What `tool` and `json_tool` take beside a tool's name, by keyword; those of `ApprovalOptions` are among them.

    description: what the model is told of the tool; by default, the docstring of its function.
    effect: a call that started and has no end runs again if `pure` or `idempotent`, but not if `once` (the default).
    mode: `sequential` makes every batch with a call of it run one by one; by default `parallel`.
    version: shown in the log, never enforced.
    timeout: how long a call may take (`"30s"`, a timedelta, or seconds); then it ends with an error result.
    approval: whether a person must agree before a call runs: always, never (the default), or a function of the
        arguments.
    """

    description: str
    effect: EffectKind
    mode: ToolMode
    version: str
    timeout: Duration | float | None
    approval: ApprovalRule
