"""Which agent and which model a command line means."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import click

from eventsource.codec import read_object
from eventsource.contained import by_signal
from eventsource.errors import MissingModelError, MissingToolError
from eventsource.models.protocol import Model
from eventsource.raised import words
from eventsource.state import Config
from eventsource.tools import Tool

from ..agent import Agent
from ..models import find_model, find_recorded_model

F = TypeVar("F", bound=Callable[..., object])

MODEL_HELP = (
    "Who answers: vendor:model, such as anthropic:claude-sonnet-4-5; scripted:FILE, a file of answers; "
    "or scripted, which says what it was asked and calls nobody."
)
AGENT_HELP = "Your agent: the name of an Agent in a module that can be imported from here."


def agent_options(function: F) -> F:
    """Add the options that say who answers."""
    for option in (
        click.option("--system", metavar="TEXT", help="The system prompt, in place of the one in force."),
        click.option("--agent", "agent_name", metavar="MODULE:NAME", help=AGENT_HELP),
        click.option("-m", "--model", "model_name", metavar="MODEL", help=MODEL_HELP),
    ):
        function = option(function)
    return function


def named_agent(agent_name: str | None, model_name: str | None, system: str | None) -> Agent[object] | None:
    """Make the agent that was named, with the model and system prompt that were; None when no agent was."""
    if agent_name is None:
        return None
    agent = load_agent(agent_name)
    changes: dict[str, object] = {}
    if model_name is not None:
        changes["model"] = named_model(model_name)
    if system is not None:
        changes["system"] = system
    return agent.replace(**changes) if changes else agent


def recorded_agent(
    session: str, config: Config, model: Model | None, system: str | None, *, tools: Sequence[Tool] | None = None
) -> Agent[object]:
    """Make the agent that a log's configuration describes, but for what was named instead.

    Raises: MissingToolError when it has tools and none are given: they are code; MissingModelError when its model
        cannot be called.
    """
    if config.tools and tools is None:
        raise MissingToolError(session, config.tools[0].name, ())
    found = model or find_recorded_model(config)
    if found is None:
        ref = config.model
        said = f"it was answered by {ref.provider}:{ref.model}" if ref is not None else "no model is named in it"
        raise MissingModelError(session, f"{said}; say who answers now: -m vendor:model, or -m scripted")
    options: Mapping[str, object] = read_object(config.options)
    prompt = config.system_prompt if system is None else system
    return Agent(found, system=prompt, tools=tools or (), policies=config.policies, options=options)


def named_model(name: str) -> Model:
    """Find a model by the name it has on the command line.

    Raises: UsageError for a name that is none; UnknownModelError; ScriptFileError.
    """
    if name == "scripted":
        from ..demo import stand_in

        return stand_in()
    if ":" not in name:
        raise click.UsageError(f"-m {name}: expected vendor:model, such as anthropic:claude-sonnet-4-5, or scripted")
    return find_model(name)


def load_agent(name: str) -> Agent[object]:
    """Import `module:name`, from the current folder too.

    Raises: UsageError when there is no such thing, or it is no Agent.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise click.UsageError(f"--agent {name}: expected module:name, such as my_agents:weather")
    module = load_module(f"--agent {name}", module_name)
    agent = getattr(module, attribute, None)
    if not isinstance(agent, Agent):
        found = f"is a {type(agent).__name__}" if hasattr(module, attribute) else "is not there"
        raise click.UsageError(f"--agent {name}: expected an Agent; {attribute} {found}")
    return agent


def load_module(name: str, module_name: str) -> ModuleType:
    """Import a module, from the current folder too. Raises: UsageError, with what was asked for (`name`)."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise click.UsageError(f"{name}: importing it failed: {error}") from error
        raise click.UsageError(f"{name}: no module {module_name!r} here or on Python's path") from error
    except BaseException as error:  # a module may do anything when it is imported
        if by_signal(error):
            raise
        raise click.UsageError(f"{name}: importing it failed: {words(error, typed=True)}") from error
