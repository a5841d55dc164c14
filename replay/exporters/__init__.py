"""Sessions written as files: Refold's own, and those of other agents."""

from .pi import ExportBranch, export_pi, write_pi
from .refold import export_session

__all__ = ["ExportBranch", "export_pi", "export_session", "write_pi"]
