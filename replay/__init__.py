"""Going back, sideways and on: replay, re-execute, fork, diff, import, export.

A name is loaded when it is first used: every pytest run loads the plugin in here, and must not pay for the rest.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adopt import adopt
    from .diff import SessionDiff, diff
    from .formats import detect, import_file
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

_FILES = {
    "Diverged": "replay",
    "Mismatch": "mismatch",
    "RefoldSession": "pytest_plugin",
    "Replay": "replay",
    "ReplayReport": "replay",
    "SessionDiff": "diff",
    "Why": "why",
    "adopt": "adopt",
    "detect": "formats",
    "diff": "diff",
    "export_pi": "formats.pi.write",
    "export_session": "formats.refold.write",
    "import_file": "formats",
    "replay": "replay",
    "session_page": "html",
    "why": "why",
}


def __getattr__(name: str) -> object:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_FILES[name]}", __name__), name)


class _Package(ModuleType):
    """Keeps the function `replay` in its place when the file of that name is loaded, which would put itself there."""

    def __setattr__(self, name: str, value: object) -> None:
        own = isinstance(value, ModuleType) and name in _FILES
        super().__setattr__(name, getattr(value, name) if own else value)


sys.modules[__name__].__class__ = _Package
