"""Asking before something is removed."""

from __future__ import annotations

import sys

import click

from .screen import confirm


def confirm_removal(question: str, *, yes: bool) -> None:
    """Ask unless `yes`. Raises: UsageError where nobody can answer; Abort when the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is nobody to ask here; --yes says that it is meant")
    if not confirm(question):
        raise click.Abort
