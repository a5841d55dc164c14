"""Going back, sideways and on: replay, fork, diff, import, export."""

from .exporters import export_pi
from .importers import detect, import_file
from .replay import Diverged, Replay, ReplayReport, replay

__all__ = ["Diverged", "Replay", "ReplayReport", "detect", "export_pi", "import_file", "replay"]
