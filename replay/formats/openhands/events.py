"""Events of OpenHands in both of their shapes: what each one is, and what stands in it.

Version 0 has actions and observations, which repeat the model's whole response; version 1 (the software agent SDK) has
a kind for each, and repeats the response's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..fields import fields_of, list_of, shown, text_of
from ..jsonl import Fields

Kind = Literal["system", "user", "answer", "result", "compaction", "summary", "error", "other"]
_V1_KINDS: dict[str, Kind] = {
    "SystemPromptEvent": "system",
    "ActionEvent": "answer",
    "ObservationEvent": "result",
    "UserRejectObservation": "result",
    "AgentErrorEvent": "result",
    "Condensation": "compaction",
    "CondensationSummaryEvent": "summary",
    "ConversationErrorEvent": "error",
}
_V1_SILENT = (
    *("CondensationRequest", "PauseEvent", "InterruptEvent", "ConversationStateUpdateEvent", "HookExecutionEvent"),
    *("LLMCompletionLogEvent", "SecurityAnalysisEvent", "StreamingDeltaEvent", "TokenEvent", "ACPToolCallEvent"),
)
"""Kinds that are nothing to the conversation."""
_MANY = 1_000_000  # events that a condensation may name as a range
_SILENT_ACTIONS = ("recall", "change_agent_state", "null", "condensation_request", "start", "stop", "pause", "resume")
_SILENT_RESULTS = ("recall", "agent_state_changed", "null", "condense")


def is_v1(fields: Fields) -> bool:
    """Return whether a record is an event of version 1."""
    kind = fields.get("kind")
    known = isinstance(kind, str) and (kind == "MessageEvent" or kind in _V1_KINDS or kind in _V1_SILENT)
    return known and isinstance(fields.get("id"), str) and isinstance(fields.get("source"), str)


def is_v0(fields: Fields) -> bool:
    """Return whether a record is an event of version 0, or of what came before it (without ids and times)."""
    named = isinstance(fields.get("action"), str) or isinstance(fields.get("observation"), str)
    if type(fields.get("id")) is int:
        return named and isinstance(fields.get("source"), str) and "timestamp" in fields
    told = ("args", "extras", "content", "command", "thought", "outputs", "code", "path")
    return named and "id" not in fields and "type" not in fields and any(name in fields for name in told)


def kind_of(fields: Fields) -> Kind:
    """Say what an event is to the conversation."""
    if isinstance(fields.get("kind"), str):
        kind = text_of(fields["kind"])
        if kind == "MessageEvent":
            message = fields_of(fields.get("llm_message"))
            by_agent = message.get("role") == "assistant" or (
                not message.get("role") and fields.get("source") == "agent"
            )
            return "answer" if by_agent else "user"
        return _V1_KINDS.get(kind, "other")
    action, observation = fields.get("action"), fields.get("observation")
    if isinstance(action, str):
        return _kind_of_action(fields, action)
    if isinstance(observation, str) and observation not in _SILENT_RESULTS:
        return "result"
    return "other"


def _kind_of_action(fields: Fields, action: str) -> Kind:
    if action == "system":
        return "system"
    if action == "condensation":
        return "compaction"
    if action in _SILENT_ACTIONS:
        return "other"
    source = fields.get("source")
    if source == "user":
        return "user" if action in ("message", "run") else "other"
    if action == "message" and source not in ("agent", "user"):
        return "answer" if fields.get("wait_for_response") is True else "user"
    return "answer"


def answer_of(fields: Fields) -> str:
    """Return the id of the model's response that an event is part of; empty when it does not say."""
    if isinstance(fields.get("kind"), str):
        return text_of(fields.get("llm_response_id"))
    response = fields_of(fields_of(fields.get("tool_call_metadata")).get("model_response"))
    return text_of(response.get("id"))


def name_of(fields: Fields) -> str:
    """Return what others name an event by; empty when it has no id."""
    own = fields.get("id")
    return str(own) if isinstance(own, str) or type(own) is int else ""


def forgotten(fields: Fields) -> frozenset[str]:
    """Return the names of the events that a condensation takes out of what the model reads."""
    told = fields_of(fields.get("args")) if "action" in fields else fields
    found = {str(one) for one in list_of(told.get("forgotten_event_ids")) if isinstance(one, str | int)}
    first, last = told.get("forgotten_events_start_id"), told.get("forgotten_events_end_id")
    if type(first) is int and type(last) is int and 0 <= last - first < _MANY:
        found |= {str(one) for one in range(first, last + 1)}
    return frozenset(found)


def summary_of(fields: Fields) -> tuple[str, int | None]:
    """Return a condensation's summary, and before which of the events that are left it stands (None: nowhere)."""
    told = fields_of(fields.get("args")) if "action" in fields else fields
    offset = told.get("summary_offset")
    return text_of(told.get("summary")), offset if type(offset) is int and offset >= 0 else None


def unclear(fields: Fields) -> tuple[str, ...]:
    """Say what is not known of an event that is nothing to the conversation."""
    for name, known in (("kind", _V1_SILENT), ("action", _SILENT_ACTIONS), ("observation", _SILENT_RESULTS)):
        if name in fields:
            own = fields[name]
            return () if own in known else (f"of {name} {shown(own)}, which is not known here",)
    return ("that is no event",)


def flat(values: Sequence[object]) -> list[object]:
    """Give the events of a history; the items of the oldest kind are pairs of an action and what was observed."""
    found: list[object] = []
    for value in values:
        found += value if isinstance(value, list) and value and all(isinstance(one, dict) for one in value) else [value]
    return found
