"""The rules of a tool call: whether it may run now, must be agreed to first, or is refused."""

from __future__ import annotations

from ..events import Refusal, ToolExecutionStart
from ..models.secrets import MARK
from ..values import MARKER
from .approvals import agreed
from .state import Batch, CallState, State


def refusal(state: State, batch: Batch, call: CallState) -> Refusal | None:
    """Decide whether a call is refused where it would run; None when nothing is against it."""
    denied = call.denied is not None and call.approval is not None
    if call.started:
        return "blocked" if denied else None
    if state.aborted is not None:
        return "aborted"
    if batch.cut:
        return "length"
    if _interrupted(state, batch):
        return "skipped"
    if call.effect is None and batch.policies.unknown_tools == "refuse":
        return "unknown"
    return "blocked" if denied else None


def may_run_again(state: State, call: CallState) -> bool:
    """Decide whether a call that started, and has no end, is made again."""
    if call.refused is not None or call.lost or state.aborted is not None:
        return False
    if call.effect in ("pure", "idempotent"):
        return True
    return call.answer is not None and agreed(call.answer)


def is_approved(call: CallState, arguments: str | None) -> bool:
    """Decide whether somebody approved a call with these arguments (JSON text; None: as the model wrote them).

    Texts of which something was erased or redacted cannot be compared, and count as equal.
    """
    return any(one == arguments or _incomplete(one) or _incomplete(arguments) for one in call.approved)


def why_not_started(state: State, batch: Batch, call: CallState, start: ToolExecutionStart) -> str | None:
    """Explain why a call may not be started to run; None when the machine could say this start.

    What the tools of a release without approvals in its log did is not judged: their calls have no rule.
    """
    if start.no_approval_needed and (call.approval != "by_arguments" or not start.runs):
        return "only a running call whose approval is by arguments says that none was needed"
    if call.approval is None or not start.runs:
        return None
    if call.started and not call.denied and not may_run_again(state, call):
        return "the call has begun, and it is not safe to run it again"
    refused = refusal(state, batch, call)
    if refused is not None:
        return _AGAINST[refused]
    if batch.sequential and any(not one.delivered for one in batch.calls if one.content_index < call.content_index):
        return "the calls before it come first"
    if call.approval == "never" or start.no_approval_needed or is_approved(call, start.arguments):
        return None
    if call.approved:
        return "the call was approved with other arguments"
    return "the call needs an approval, and nobody approved it"


_AGAINST = {
    "aborted": "the run was aborted, no tool may run",
    "length": "its message was cut, so its calls do not run",
    "skipped": "a message is queued that the rest of the batch is skipped for",
    "blocked": "the call was denied",
}


def _interrupted(state: State, batch: Batch) -> bool:
    interruptible = batch.sequential and batch.policies.steering == "interrupt"
    return interruptible and bool(state.queued("steering")) and any(call.delivered for call in batch.calls)


def _incomplete(text: str | None) -> bool:
    return text is not None and (MARKER in text or MARK in text)
