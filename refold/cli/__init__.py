"""The command `refold`: a file for each command, and in `group` the list of them."""

from __future__ import annotations

from .group import refold

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process, and exit."""
    refold.main(prog_name="refold")
