"""The options that say who answers; what they name is found by `agents`, which loads what runs agents."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

MODEL_HELP = (
    "Who answers: vendor:model, such as anthropic:claude-sonnet-4-5; scripted:FILE, a file of answers; "
    "or scripted, which says what it was asked and calls nobody."
)

AGENT_HELP = (
    "Your agent: an Agent in a module that can be imported from here, or a function that gives it, or (agent, deps)."
)


def agent_options(function: F) -> F:
    """Add the options that say who answers."""
    for option in (
        click.option("--system", metavar="TEXT", help="The system prompt, in place of the one in force."),
        click.option("--agent", "agent_name", metavar="MODULE:NAME", help=AGENT_HELP),
        click.option("-m", "--model", "model_name", metavar="MODEL", help=MODEL_HELP),
    ):
        function = option(function)
    return function
