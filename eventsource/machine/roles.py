"""Who says an event: it comes from outside, came of an effect, or is the machine's decision, which replay predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeAlias

from ..events import (
    Event,
    MessageEnd,
    MessageStart,
    Retry,
    TaskEnd,
    ToolExecutionEnd,
    ToolExecutionStart,
    WaitEnd,
    WaitStart,
)
from .guards import kind_of
from .refusals import ABORTED, ABORTED_RUNNING
from .state import Kind, Phase, State


class Role(Enum):
    """Who says an event. `CLOSING`: the model, or the machine where it would close the message in just this way."""

    INPUT = "input"
    OUTCOME = "outcome"
    DECISION = "decision"
    CLOSING = "outcome or decision"


RoleRule: TypeAlias = Callable[[State, Any], Role]
"""Tells the role of an event whose kind alone does not; its docstring says how, for the page of states."""


def role_of(state: State, event: Event) -> Role:
    """Look up who says an event in this state."""
    role = ROLES[kind_of(state, event)]
    return role if isinstance(role, Role) else role(state, event)


def is_input(event: Event) -> bool:
    """Decide whether an event comes from outside, which does not depend on the state."""
    return not isinstance(event, MessageStart | MessageEnd) and role_of(_NOWHERE, event) is Role.INPUT


def _assistant_start(state: State, event: MessageStart) -> Role:
    """A decision where no model was asked, else an outcome."""
    return Role.DECISION if state.phase is Phase.OPEN else Role.OUTCOME


def _tool_start(state: State, event: ToolExecutionStart) -> Role:
    """A decision, but for a result that was adopted: it is given."""
    return Role.OUTCOME if event.refused == "adopted" else Role.DECISION


def _tool_end(state: State, event: ToolExecutionEnd) -> Role:
    """A decision where the machine settled it, else an outcome, as is that of a call given up after an abort."""
    given_up = state.aborted is not None and event.result in (ABORTED, ABORTED_RUNNING)
    return Role.DECISION if event.decided == "machine" and not given_up else Role.OUTCOME


def _retry(state: State, event: Retry) -> Role:
    """A decision after a failed message or attempt of a task, an outcome after a request."""
    return Role.DECISION if state.phase in (Phase.FAILED, Phase.IDLE) else Role.OUTCOME


def _wait_start(state: State, event: WaitStart) -> Role:
    """A decision for a call in doubt and a step that is tried again, else an outcome of code that asked for it."""
    return Role.DECISION if event.reason == "in_doubt" or event.step else Role.OUTCOME


def _wait_end(state: State, event: WaitEnd) -> Role:
    """A decision where it says so, else an input."""
    return Role.DECISION if event.decided_by == "machine" else Role.INPUT


def _task_end(state: State, event: TaskEnd) -> Role:
    """A decision where it was cancelled (by the rules it began with), else an outcome."""
    return Role.DECISION if state.closing and event.cancelled else Role.OUTCOME


_NOWHERE = State()
_K, _R = Kind, Role

ROLES: Mapping[Kind, Role | RoleRule] = {
    _K.AGENT_START: _R.DECISION,
    _K.TURN_START: _R.DECISION,
    _K.INPUT_START: _R.DECISION,
    _K.ASSISTANT_START: _assistant_start,
    _K.RESULT_START: _R.DECISION,
    _K.UPDATE: _R.OUTCOME,
    _K.INPUT_END: _R.DECISION,
    _K.END_CALLS: _R.OUTCOME,
    _K.END_FINAL: _R.OUTCOME,
    _K.END_FAILED: _R.CLOSING,
    _K.END_INTERRUPTED: _R.DECISION,
    _K.RESULT_MORE: _R.DECISION,
    _K.RESULT_LAST: _R.DECISION,
    _K.END_STRAY: _R.DECISION,
    _K.TOOL_START: _tool_start,
    _K.TOOL_UPDATE: _R.OUTCOME,
    _K.TOOL_END: _tool_end,
    _K.TURN_END: _R.DECISION,
    _K.AGENT_END: _R.DECISION,
    _K.MODEL_REQUEST: _R.DECISION,
    _K.RETRY: _retry,
    _K.MESSAGE_ADOPT: _R.INPUT,
    _K.WAIT_START: _wait_start,
    _K.CHILD_START: _R.OUTCOME,
    _K.STEP_START: _R.OUTCOME,
    _K.STEP_END: _R.OUTCOME,
    _K.LOOP_CONTEXT: _R.OUTCOME,
    _K.TASK_START: _R.OUTCOME,
    _K.TASK_END: _task_end,
    _K.QUEUE_PUSH: _R.INPUT,
    _K.QUEUE_CLEAR: _R.INPUT,
    _K.ABORT_REQUEST: _R.INPUT,
    _K.CONFIG_CHANGE: _R.INPUT,
    _K.RESUME: _R.INPUT,
    _K.FORK: _R.INPUT,
    _K.COMPACTION: _R.INPUT,
    _K.CONTEXT_EDIT: _R.INPUT,
    _K.TOKEN_CREATE: _R.INPUT,
    _K.WAIT_END: _wait_end,
    _K.CHILD_END: _R.INPUT,
    _K.METADATA_SET: _R.INPUT,
    _K.STREAM_UPDATE: _R.INPUT,
    _K.LABEL: _R.INPUT,
    _K.CUSTOM: _R.INPUT,
    _K.ERASE: _R.INPUT,
}
"""Every kind of the table with its role, or with the rule that tells it."""
