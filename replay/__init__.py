"""Going back, sideways and on: replay, re-execute, fork, diff, import, export.

A name is loaded when it is first asked for: every pytest run loads the plugin in here, and must not pay for the rest.
"""

from typing import TYPE_CHECKING

from eventsource.lazy_names import load_when_asked

if TYPE_CHECKING:
    from .adopt import adopt
    from .diff import SessionDiff, diff
    from .formats import WarmFiles, detect, import_file
    from .formats.pi.write import export_pi
    from .formats.refold.write import export_session
    from .html.page import session_page
    from .mismatch import Mismatch
    from .pytest_plugin import RefoldSession
    from .replay import Diverged, Replay, ReplayReport, replay
    from .why import Why, why

__all__ = [
    "Diverged",
    "Mismatch",
    "RefoldSession",
    "Replay",
    "ReplayReport",
    "SessionDiff",
    "WarmFiles",
    "Why",
    "adopt",
    "detect",
    "diff",
    "export_pi",
    "export_session",
    "import_file",
    "replay",
    "session_page",
    "why",
]

load_when_asked(
    __name__,
    {
        ".adopt": "adopt",
        ".diff": "SessionDiff diff",
        ".formats": "WarmFiles detect import_file",
        ".formats.pi.write": "export_pi",
        ".formats.refold.write": "export_session",
        ".html.page": "session_page",
        ".mismatch": "Mismatch",
        ".pytest_plugin": "RefoldSession",
        ".replay": "Diverged Replay ReplayReport replay",
        ".why": "Why why",
    },
)
