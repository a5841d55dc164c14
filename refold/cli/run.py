"""The command `run`: send a prompt to a model or an agent."""

from __future__ import annotations

import click

from eventsource.first_words import title_of
from eventsource.machine.state import Config

from ..log import Log
from .arguments.agent_options import agent_options
from .arguments.agents import named_model, open_named_agent, recorded_agent
from .arguments.sessions import SESSION_HELP, find_or_create_session, recorded_config
from .arguments.tools import open_tools, selected_tools, tool_options
from .arguments.values import read_prompt
from .command import command
from .terminal.live_run import run_and_print
from .terminal.screen import Screen


@command(
    "run",
    ('refold run "Why is the sky blue?" -m anthropic:claude-sonnet-4-5', "in a new session"),
    ('refold run "And at night?" -m openai:gpt-5 -c sky', "in the session of that name, new or not"),
    ('refold run "What is this?" -m openai:gpt-5 --tools', "it may look into this folder, and change it"),
    ('refold run --agent my_agents:weather "A coat?"', "with your own agent, its tools and hooks"),
    ("refold run - -m scripted < prompt.txt", "the prompt from a file; nobody is called"),
    creates=True,
)
@click.argument("prompt")
@agent_options
@tool_options
@click.option("-c", "--session", metavar="NAME", help=SESSION_HELP)
async def run(
    screen: Screen,
    log: Log,
    prompt: str,
    model_name: str | None,
    agent_name: str | None,
    system: str | None,
    session: str | None,
) -> int:
    """Say something and run until nothing is left to do. The answer streams to stdout; all else goes to stderr."""
    said, selection = read_prompt(prompt), selected_tools()
    async with open_named_agent(agent_name, model_name, system) as (agent, deps):
        model = named_model(model_name) if model_name is not None and agent is None else None
        if agent is None and model is None and session is None:
            raise click.UsageError("say who answers: -m vendor:model, -m scripted, or --agent module:name")
        known = agent is None and model is None  # then the log must say who answers
        config = await recorded_config(log, session, exists=known) if agent is None else Config()
        async with open_tools(selection, session or "", config) as tools:
            if agent is None:
                agent = recorded_agent(session or "", config, model, system, tools=tools)
            agent.config()  # what cannot begin makes no session
            target = await find_or_create_session(screen, log, session)
            if session is None:
                await target.label(title_of(said))
            return await run_and_print(screen, agent, target, said, deps)
