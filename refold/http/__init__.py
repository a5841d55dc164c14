"""HTTP: a server that answers by a script, and a proxy that makes a log of any agent (extra `server`)."""

from __future__ import annotations

from .behaviours import Behaviour
from .scripting import Script, ScriptServer, load_served_script
from .server import Exchange, ServerUnavailableError, Serving, serving

__all__ = [
    "Behaviour",
    "Exchange",
    "Script",
    "ScriptServer",
    "ServerUnavailableError",
    "Serving",
    "load_served_script",
    "serving",
]
