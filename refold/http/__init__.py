"""HTTP: sessions over HTTP, a server that answers by a script, and a proxy that records any agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsource.lazy_names import load_when_asked

if TYPE_CHECKING:
    from .api.credentials import server_token
    from .api.links import signed_url
    from .api.serving import serving_log
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
    "server_token",
    "serving",
    "serving_log",
    "signed_url",
]

load_when_asked(
    __name__,
    {
        ".api.credentials": "server_token",
        ".api.links": "signed_url",
        ".api.serving": "serving_log",
        ".proxy.proxy": "proxying",
        ".proxy.recorder": "ProxyRecorder",
        ".proxy.upstreams": "Upstreams",
        ".script_server.behaviours": "Behaviour",
        ".script_server.recorded": "Replaying",
        ".script_server.scripted": "Script ScriptServer load_served_script",
        ".server": "Exchange ServerUnavailableError Serving serving",
    },
)
