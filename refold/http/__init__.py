"""HTTP: a server that answers by a script, and a proxy that makes a log of any agent (extra `server`)."""

from __future__ import annotations

from .proxy.proxy import proxying
from .proxy.recorder import ProxyRecorder
from .proxy.upstreams import Upstreams
from .script_server.behaviours import Behaviour
from .script_server.recorded import Replaying
from .script_server.scripted import Script, ScriptServer, load_served_script
from .server import Exchange, ServerUnavailableError, Serving, serving

__all__ = [
    "Behaviour",
    "Exchange",
    "ProxyRecorder",
    "Replaying",
    "Script",
    "ScriptServer",
    "ServerUnavailableError",
    "Serving",
    "Upstreams",
    "load_served_script",
    "proxying",
    "serving",
]
