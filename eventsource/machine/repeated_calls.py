"""Calls that another branch has made already: what is known of them, and how their result is taken over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

import msgspec

from ..codec import from_json
from ..events import (
    EffectKind,
    Origin,
    Place,
    RepeatedTools,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    WaitEnd,
    WaitStart,
)
from .approvals import agreed

NOT_AGAIN = "This call was made before, in the session this one was forked from, and is not to be made again"
_REASON = "repeat"


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was made elsewhere; `result` is None when nobody knows what came of it."""

    origin: Origin
    result: ToolResult | None = None
    is_error: bool = False


FindRepeat: TypeAlias = Callable[[Place, str, str], Awaitable[Repeat | None]]
"""Looks for another branch's call of the same name and arguments (JSON text); each is found for one place only."""
Verdict: TypeAlias = Literal["run", "adopt", "refuse", "ask"]


def may_repeat(effect: EffectKind | None) -> bool:
    """Return whether a call is made again without a question, by its tool's effect; a tool that says none is `once`."""
    return effect not in ("once", None)


def judge(repeat: Repeat, mode: RepeatedTools, answer: WaitEnd | None) -> Verdict:
    """Decide what becomes of a call that was made elsewhere; a person's decision counts more than the mode.

    A call whose outcome is not known cannot be adopted: then a person is asked, or it is refused.
    """
    known = repeat.result is not None
    if answer is not None and answer.key.startswith(f"{_REASON}:"):
        said = from_json(answer.value) if answer.outcome == "completed" else None
        return "run" if agreed(answer) else "adopt" if said == "adopt" and known else "refuse"
    if mode == "live":
        return "run"
    return "adopt" if mode == "recorded" and known else "ask"


def ask_about(place: Place) -> WaitStart:
    """Let a call wait for `decide(key, "rerun" | "adopt" | "fail")`."""
    return WaitStart(key=f"{_REASON}:{place.message_seq}:{place.content_index}", reason=_REASON, call=place)


def adopted_pair(
    place: Place, name: str, repeat: Repeat, *, attempt: int = 1, arguments: str | None = None
) -> tuple[ToolExecutionStart, ToolExecutionEnd]:
    """Settle a call with the result of another one, whose origin goes on record."""
    return (
        ToolExecutionStart(
            message_seq=place.message_seq,
            content_index=place.content_index,
            name=name,
            attempt=attempt,
            arguments=arguments,
            refused="adopted",
        ),
        ToolExecutionEnd(
            message_seq=place.message_seq,
            content_index=place.content_index,
            result=repeat.result,
            is_error=repeat.is_error,
            decided="adopted",
            origin=repeat.origin,
        ),
    )
