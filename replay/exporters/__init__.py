"""Sessions written in the formats of other agents."""

from .pi import ExportBranch, export_pi, write_pi

__all__ = ["ExportBranch", "export_pi", "write_pi"]
