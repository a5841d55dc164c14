"""Values on a command line: JSON or text, and a prompt that may come from stdin."""

from __future__ import annotations

import sys

import click

from eventsource.codec import from_json


def json_or_text(given: str) -> object:
    """Read JSON; what is none is a text."""
    try:
        return from_json(given)
    except ValueError:
        return given


def read_prompt(given: str) -> str:
    """Return the prompt, read from stdin where it is `-`. Raises: UsageError for an empty one."""
    text = sys.stdin.read() if given == "-" else given
    if not text.strip():
        raise click.UsageError("the prompt is empty")
    return text
