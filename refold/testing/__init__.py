"""For tests of code that uses Refold: models that play scripts; any event, any history, a machine of your agent.

`events`, `histories` and `agent_machine` need Hypothesis (`pip install hypothesis`), and are loaded when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from eventsource.models.scripted import Answer, Rule, ScriptedModel, When, call, fail, rule, scripted, stop

if TYPE_CHECKING:
    from .event_strategies import events
    from .history_strategies import histories
    from .machine import AgentMachine, agent_machine

__all__ = [
    "AgentMachine",
    "Answer",
    "Rule",
    "ScriptedModel",
    "When",
    "agent_machine",
    "call",
    "events",
    "fail",
    "histories",
    "rule",
    "scripted",
    "stop",
]

_LATER = {
    "AgentMachine": "machine",
    "agent_machine": "machine",
    "events": "event_strategies",
    "histories": "history_strategies",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)
