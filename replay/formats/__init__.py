"""Session files, our own and those of other agents: which format a file has, and a folder for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsource.lazy_names import load_when_asked

if TYPE_CHECKING:
    from .formats import FORMATS, detect, import_file
    from .jsonl import LineNote
    from .refold.read import REFOLD, import_refold
    from .report import ImportedBranch, ImportReport
    from .warm import WarmFiles

__all__ = [
    "FORMATS",
    "REFOLD",
    "ImportReport",
    "ImportedBranch",
    "LineNote",
    "WarmFiles",
    "detect",
    "import_file",
    "import_refold",
]

load_when_asked(
    __name__,
    {
        ".formats": "FORMATS detect import_file",
        ".jsonl": "LineNote",
        ".refold.read": "REFOLD import_refold",
        ".report": "ImportedBranch ImportReport",
        ".warm": "WarmFiles",
    },
)
