"""For tests of code that uses Refold: any event, any legal history, and a state machine for your own agent.

Needs Hypothesis (`pip install hypothesis`).
"""

from .events import events
from .histories import histories
from .machine import AgentMachine, agent_machine

__all__ = ["AgentMachine", "agent_machine", "events", "histories"]
