"""The command `continue`: go on from wherever a session's log stops."""

from __future__ import annotations

import click
import msgspec

from eventsource.machine.state import Config, Phase, State
from eventsource.machine.steps import Suspend, can_continue, expired, next_step

from ..child_sessions import due_children
from ..log import Log
from ..run import RunStatus
from ..session import Session
from ..status import find_standing
from .arguments.agents import agent_options, named_agent, named_model, recorded_agent
from .arguments.tools import tool_options, toolbelt, tools_of
from .arguments.values import read_prompt
from .command import command
from .exit_codes import OF_RUN, OK, STUCK
from .terminal.live_run import drive
from .terminal.next_steps import going_on, next_note, tell_next
from .terminal.screen import Screen


@command(
    "continue",
    ("refold continue ID", "as the log says: same model, same prompt"),
    ("refold continue ID -m openai:gpt-5", "another model goes on"),
    ('refold continue ID --prompt "Shorter, please."', "say something more"),
    ("refold continue ID --agent my_agents:weather", "a session with tools needs their code"),
    ("refold continue ID --tools", "the tools of this command are there again"),
    ("refold continue ID -m scripted", "nobody is called: see what would happen"),
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
    belt = toolbelt()
    if no_tools and agent_name is not None:
        raise click.UsageError("--no-tools goes without --agent: an agent says itself which tools it has")
    said = read_prompt(prompt) if prompt is not None else None
    async with named_agent(agent_name, model_name, system) as (agent, deps):
        model = named_model(model_name) if model_name is not None and agent is None else None
        target = await log.find(session)
        state = await target.state()
        idle = state.phase is Phase.IDLE and not state.queue and not state.waits and not state.wanted
        if said is None and idle and not can_continue(state) and not state.task:
            return await _nothing_to_do(screen, target)
        bare = said is None and agent is None and model is None and system is None and belt.empty
        rests = said is None and bool(state.task) and state.phase is Phase.IDLE
        if rests or (bare and (state.task or await _only_waits(log, target, state))):
            return await _say_stands(screen, target)
        if agent is not None:
            return await drive(screen, agent, target, said, deps)
        async with tools_of(belt, target.id, Config() if no_tools else state.config) as tools:
            agent = recorded_agent(target.id, state.config, model, system, tools=() if no_tools else tools)
            return await drive(screen, agent, target, said, deps)


async def _nothing_to_do(screen: Screen, session: Session) -> int:
    info = await session.info()
    head, stands = info.head, await find_standing(session.core.log, info)
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
        next_note(screen, screen.command("trigger", "MODULE:NAME"), " PAYLOAD (for another run)")
        return OF_RUN[status]
    screen.note(f"Session {session.id} has nothing to continue: {what}.")
    next_note(screen, await going_on(screen, session, "--prompt", "TEXT"))
    return OF_RUN[status]


async def _only_waits(log: Log, session: Session, state: State) -> bool:
    """Say whether nothing can be done before somebody answers, or a time comes."""
    if not isinstance(next_step(state), Suspend) or expired(state, log.clock()):
        return False
    return not await due_children(log.store, session.id, state, log.clock())


async def _say_stands(screen: Screen, session: Session) -> int:
    """Say how a session stands that this command cannot go on with: it waits, or is a task's."""
    info = await session.info()
    stands = await find_standing(session.core.log, info)
    if screen.as_json:
        waits = [msgspec.to_builtins(wait) for wait in stands.waits]
        told = {"id": session.id, "status": stands.status, "head": info.head, "text": "", "error": ""}
        screen.json({**told, "usage": {}, "waits": waits})
    reason = f": it {stands.reason}" if stands.waits else f": {stands.reason}" if stands.reason else ""
    what = f"is a run of task {info.task}, {stands.status}" if info.task else f"is {stands.status}"
    screen.note(f"Session {session.id} {what}{reason}")
    await tell_next(screen, session)
    return STUCK if stands.status == "stuck" else OK
