"""Calls that a person must agree to: when they are asked, what they are asked, and what they decided."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from ..codec import from_json, to_json
from ..errors import InvalidTextError
from ..events import ApprovalKind, Place, TokenCreate, WaitEnd, WaitStart

ApprovalRule: TypeAlias = Literal["always", "never"] | Callable[[Mapping[str, Any]], bool | Awaitable[bool]]
"""When a tool's call must be agreed to; a function is asked with the call's arguments."""
REASON = "approval"
AGAIN = "rerun"


class Approval(msgspec.Struct, frozen=True):
    """How a tool's calls are agreed to: when, within what time, and what counts when nobody decides."""

    rule: ApprovalRule = "never"
    timeout_us: int | None = None
    default: Literal["approve", "deny"] = "deny"

    @property
    def kind(self) -> ApprovalKind:
        """The rule as the log says it."""
        return "by_arguments" if callable(self.rule) else self.rule


NO_APPROVAL = Approval()


class Decision(msgspec.Struct, frozen=True):
    """What was decided on a call; `arguments` (JSON text) stand in place of the model's."""

    approve: bool
    reason: str = ""
    arguments: str | None = None


def approval_key(place: Place, arguments: str) -> str:
    """Name the question whether a call may run with these arguments; with others it is another question."""
    digest = hashlib.sha256(arguments.encode()).hexdigest()[:12]
    return f"{REASON}:{place.message_seq}:{place.content_index}:{digest}"


def question(
    approval: Approval, place: Place, arguments: str, now_us: int, *, changed: bool
) -> tuple[TokenCreate, WaitStart]:
    """Ask whether a call may run: a token for the decision, and the wait that holds the call.

    Args:
        changed: the arguments are not those that the model wrote, so they are kept.
    """
    key = approval_key(place, arguments)
    deadline_us = None if approval.timeout_us is None else now_us + approval.timeout_us
    default = msgspec.UNSET if deadline_us is None else verdict(approve=approval.default == "approve")
    token = TokenCreate(key=key, tags=(REASON,), deadline_us=deadline_us, default=default)
    return token, WaitStart(key=key, reason=REASON, call=place, arguments=arguments if changed else None)


def is_question(token: TokenCreate) -> bool:
    """Return whether a token asks about a call."""
    return token.tags == (REASON,) and token.key.startswith(f"{REASON}:")


def verdict(*, approve: bool, reason: str = "", arguments: Mapping[str, object] | None = None) -> msgspec.Raw:
    """Write a decision as it is recorded. Raises: InvalidTextError when arguments are no object of JSON values."""
    value: dict[str, object] = {"approve": approve}
    if reason:
        value["reason"] = reason
    if arguments is not None:
        if not isinstance(arguments, Mapping):
            raise InvalidTextError("arguments", f"expected an object, found {arguments!r}")
        for name, argument in arguments.items():
            to_json({name: argument}, where=f"argument {name!r}")
        value["arguments"] = dict(arguments)
    return to_json(value, where="decision")


def read_decision(end: WaitEnd) -> Decision:
    """Read how a question was decided; whatever is no approval denies."""
    if end.outcome == "cancelled":
        return Decision(False, "the question was withdrawn")
    value = from_json(end.value)
    given = value if isinstance(value, dict) else {"approve": value == AGAIN}
    if end.outcome == "timed_out":
        return Decision(given.get("approve") is True, "nobody decided in time")
    arguments = given.get("arguments")
    text = None if arguments is None else bytes(to_json(arguments)).decode()
    return Decision(given.get("approve") is True, str(given.get("reason") or ""), text)


def agreed(end: WaitEnd) -> bool:
    """Return whether a person agreed that a call is made (again)."""
    return read_decision(end).approve


def denial(decision: Decision) -> str:
    """Write what the model reads of a call that was not agreed to."""
    return f"This call was denied: {decision.reason}" if decision.reason else "This call was denied"
