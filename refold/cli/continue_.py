"""The command `continue`: go on from wherever a session's log stops."""

from __future__ import annotations

import click
import msgspec

from eventsource.machine.state import Config, Phase, State
from eventsource.machine.steps import Suspend, can_continue, expired, next_step

from ..child_sessions import due_children
from ..log import Log
from ..run_result import RunStatus
from ..session import Session
from ..status import find_status
from .arguments.agent_options import agent_options
from .arguments.agents import named_model, open_named_agent, recorded_agent
from .arguments.tools import open_tools, selected_tools, tool_options
from .arguments.values import read_prompt
from .command import command
from .exit_codes import OK, RUN_EXIT_CODES, STUCK
from .terminal.live_run import run_and_print
from .terminal.next_steps import continue_command, print_next, print_next_steps
from .terminal.screen import Screen


@command(
    "continue",
    ("refold continue ID", "as the log says: same model, same prompt"),
    ("refold continue ID -m openai:gpt-5", "another model goes on"),
    ('refold continue ID --prompt "Shorter, please."', "say something more"),
    ("refold continue ID --agent my_agents:weather", "a session with tools needs their code"),
    ("refold continue ID --tools", "the tools of this command are there again"),
    ("refold continue ID -m scripted", "nobody is called: see what would happen"),
    local=True,
)
@click.argument("session")
@agent_options
@tool_options
@click.option("--prompt", metavar="TEXT", help="Say something; -: read it from stdin.")
@click.option("--no-tools", is_flag=True, help="Go on without the session's tools.")
async def continue_(
    screen: Screen,
    log: Log,
    session: str,
    model_name: str | None,
    agent_name: str | None,
    system: str | None,
    prompt: str | None,
    no_tools: bool,
) -> int:
    """Go on from wherever a session's log stops: after a crash, a failed answer, a wait, or in a fork.

    What the log says is kept but for what is named here. An answer that broke off is closed, and asked for again.
    """
    selection = selected_tools()
    if no_tools and agent_name is not None:
        raise click.UsageError("--no-tools goes without --agent: an agent says itself which tools it has")
    said = read_prompt(prompt) if prompt is not None else None
    async with open_named_agent(agent_name, model_name, system) as (agent, deps):
        model = named_model(model_name) if model_name is not None and agent is None else None
        target = await log.find(session)
        state = await target.state()
        idle = state.phase is Phase.IDLE and not state.queue and not state.waits and not state.wanted
        if said is None and idle and not can_continue(state) and not state.task:
            return await _nothing_to_do(screen, target)
        bare = said is None and agent is None and model is None and system is None and selection.empty
        rests = said is None and bool(state.task) and state.phase is Phase.IDLE
        if rests or (bare and (state.task or await _only_waits(log, target, state))):
            return await _print_standing(screen, target)
        if agent is not None:
            return await run_and_print(screen, agent, target, said, deps)
        async with open_tools(selection, target.id, Config() if no_tools else state.config) as tools:
            agent = recorded_agent(target.id, state.config, model, system, tools=() if no_tools else tools)
            return await run_and_print(screen, agent, target, said, deps)


async def _nothing_to_do(screen: Screen, session: Session) -> int:
    info = await session.info()
    head, stands = info.head, await find_status(session.core.log, info)
    ends: dict[str, RunStatus] = {"failed": "error", "refused": "refused", "limit": "limit", "aborted": "aborted"}
    status = ends.get(stands.status, "done")
    error = stands.reason if status != "done" else ""
    what = "its last answer is complete" if head else "nothing was said in it"
    what += f", but its run ended as {status}: {error}" if error else ""
    if screen.as_json:
        screen.json({"id": session.id, "status": status, "head": head, "text": "", "error": error, "usage": {}})
    if info.task:
        how = f"failed: {error}" if status == "error" else stands.status if status != "done" else "is done"
        screen.note(f"Session {session.id} is a run of task {info.task}, which has ended: it {how}")
        print_next(screen, screen.command("trigger", "MODULE:NAME"), " PAYLOAD (for another run)")
        return RUN_EXIT_CODES[status]
    screen.note(f"Session {session.id} has nothing to continue: {what}.")
    print_next(screen, await continue_command(screen, session, "--prompt", "TEXT"))
    return RUN_EXIT_CODES[status]


async def _only_waits(log: Log, session: Session, state: State) -> bool:
    """Return whether nothing can be done before a wait is answered or its time comes."""
    if not isinstance(next_step(state), Suspend) or expired(state, log.clock()):
        return False
    return not await due_children(log.store, session.id, state, log.clock())


async def _print_standing(screen: Screen, session: Session) -> int:
    """Print the status of a session that this command cannot continue: it waits, or is a task's."""
    info = await session.info()
    stands = await find_status(session.core.log, info)
    if screen.as_json:
        waits = [msgspec.to_builtins(wait) for wait in stands.waits]
        fields = {"id": session.id, "status": stands.status, "head": info.head, "text": "", "error": ""}
        screen.json({**fields, "usage": {}, "waits": waits})
    reason = f": it {stands.reason}" if stands.waits else f": {stands.reason}" if stands.reason else ""
    what = f"is a run of task {info.task}, {stands.status}" if info.task else f"is {stands.status}"
    screen.note(f"Session {session.id} {what}{reason}")
    await print_next_steps(screen, session)
    return STUCK if stands.status == "stuck" else OK
