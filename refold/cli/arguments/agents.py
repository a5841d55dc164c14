"""Which agent and which model a command line names."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from types import ModuleType

import click

from eventsource.codec import read_object
from eventsource.errors import ArgumentError, MissingModelError, MissingToolError
from eventsource.machine.state import Config
from eventsource.models.protocol import Model
from eventsource.tools.tool import Tool
from eventsource.user_code.argument_types import described, shown
from eventsource.user_code.calls import by_signal
from eventsource.user_code.error_words import words

from ...agent import Agent
from ...models import find_model, find_recorded_model


@asynccontextmanager
async def open_named_agent(
    agent_name: str | None, model_name: str | None, system: str | None
) -> AsyncIterator[tuple[Agent[object] | None, object]]:
    """Open the agent that was named, with the model and system prompt that were, and its deps; (None, None) without."""
    if agent_name is None:
        yield None, None
        return
    async with open_agent(agent_name) as (agent, deps):
        changes: dict[str, object] = {}
        if model_name is not None:
            changes["model"] = named_model(model_name)
        if system is not None:
            changes["system"] = system
        yield (agent.replace(**changes) if changes else agent), deps


def recorded_agent(
    session: str, config: Config, model: Model | None, system: str | None, *, tools: Sequence[Tool] | None = None
) -> Agent[object]:
    """Build the agent that a log's configuration describes, with what was named in place of what it says.

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
        from ...demo import echo_model

        return echo_model()
    if ":" not in name:
        raise click.UsageError(f"-m {name}: expected vendor:model, such as anthropic:claude-sonnet-4-5, or scripted")
    return find_model(name)


@asynccontextmanager
async def open_agent(name: str) -> AsyncIterator[tuple[Agent[object], object]]:
    """Import `module:name`, from the current folder too, and yield the agent and its deps.

    It is an Agent, or a function that takes nothing and gives one, or (agent, deps). It may be async, and may yield
    instead: what it does after that is done when the command ends.

    Raises: UsageError when there is no such thing, it is none of these, or deps are missing.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise click.UsageError(f"--agent {name}: expected module:name, such as my_agents:weather")
    module = load_module(f"--agent {name}", module_name)
    if not hasattr(module, attribute):
        raise click.UsageError(f"--agent {name}: expected an Agent; {attribute} is not there")
    async with _closing(name) as stack:
        made = await _call_factory(name, getattr(module, attribute), stack)
        agent, deps = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
        if not isinstance(agent, Agent):
            raise click.UsageError(f"--agent {name}: expected an Agent, or (agent, deps); {attribute} is {shown(made)}")
        if deps is None and agent.deps_type is not None:
            wanted = described(agent.deps_type)
            advice = "name a function that takes nothing and returns (agent, deps)"
            raise click.UsageError(f"--agent {name}: its tools need {wanted} as deps, and it comes without: {advice}")
        try:
            agent.check_deps(deps)
        except ArgumentError as error:
            raise click.UsageError(f"--agent {name}: {error}") from error
        yield agent, deps


@asynccontextmanager
async def _closing(name: str) -> AsyncIterator[AsyncExitStack]:
    """Close at the end what an agent's function opened; it sees what went wrong meanwhile. Raises: UsageError."""
    stack = AsyncExitStack()
    try:
        yield stack
    except BaseException as error:
        await stack.__aexit__(type(error), error, error.__traceback__)
        raise
    try:
        await stack.aclose()
    except Exception as error:  # it may raise anything
        raise click.UsageError(f"--agent {name}: closing it failed: {words(error, typed=True)}") from error


async def _call_factory(name: str, found: object, stack: AsyncExitStack) -> object:
    """Call a function that returns an agent; what is no function is returned as it is. Raises: UsageError."""
    if isinstance(found, Agent | tuple) or not callable(found):
        return found
    if inspect.isasyncgenfunction(found):
        found = asynccontextmanager(found)
    elif inspect.isgeneratorfunction(found):
        found = contextmanager(found)
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError) as error:
        raise click.UsageError(f"--agent {name}: expected a function that takes nothing: {error}") from error
    try:
        made = found()
        if inspect.isawaitable(made):
            made = await made
        if isinstance(made, AbstractAsyncContextManager):
            return await stack.enter_async_context(made)
        return stack.enter_context(made) if isinstance(made, AbstractContextManager) else made
    except BaseException as error:  # it may raise anything
        if by_signal(error) or isinstance(error, asyncio.CancelledError):
            raise
        raise click.UsageError(f"--agent {name}: making it failed: {words(error, typed=True)}") from error


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
