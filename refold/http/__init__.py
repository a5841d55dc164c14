"""HTTP: a server that answers by a script, and a proxy that makes a log of any agent (extra `server`)."""

from __future__ import annotations

from .behaviours import Behaviour
from .proxy import proxying
from .recording import Recording
from .replaying import Replaying
from .scripting import Script, ScriptServer, load_served_script
from .server import Exchange, ServerUnavailableError, Serving, serving
from .upstreams import Upstreams

__all__ = [
    "Behaviour",
    "Exchange",
    "Recording",
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
