"""Commands that run a session: run, continue."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click
import msgspec

from eventsource.errors import UnknownSessionError
from eventsource.machine.state import Config, Phase, State
from eventsource.machine.steps import Suspend, can_continue, expired, next_step
from projections.titles import title_of

from ..agent import Agent
from ..child_sessions import due_children
from ..log import LAST, Log
from ..output import recorded_check
from ..run import Run, RunStatus
from ..session import Session
from ..signals import on_signal
from ..status import find_standing
from ..stream import AgentStream
from .agents import agent_options, named_agent, named_model, recorded_agent
from .command import command
from .ending import going_on, next_note, tell_end, tell_next
from .exits import OF_RUN, OK, STUCK
from .screen import Screen
from .telling import Teller
from .toolbelt import tool_options, toolbelt, tools_of
from .wording import count, short

BEGINNING = 6
"""Signs of an id that name its session where an unknown name begins a new one; ids have twelve."""
SESSION_HELP = (
    f"Where: a title, new or not, an id, or the beginning of one ({BEGINNING} signs at least); else a new session."
)


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
    said, belt = _read_prompt(prompt), toolbelt()
    async with named_agent(agent_name, model_name, system) as (agent, deps):
        model = named_model(model_name) if model_name is not None and agent is None else None
        if agent is None and model is None and session is None:
            raise click.UsageError("say who answers: -m vendor:model, -m scripted, or --agent module:name")
        known = agent is None and model is None  # then the log must say who answers
        config = await config_of(log, session, exists=known) if agent is None else Config()
        async with tools_of(belt, session or "", config) as tools:
            if agent is None:
                agent = recorded_agent(session or "", config, model, system, tools=tools)
            agent.config()  # what cannot begin makes no session
            target = await session_of(screen, log, session)
            if session is None:
                await target.label(title_of(said))
            return await _drive(screen, agent, target, said, deps)


async def session_of(screen: Screen, log: Log, name: str | None) -> Session:
    """Find the session that a name means, or create one of that title. Whose id a name only begins is said."""
    if name is None:
        return await log.session()
    found = await _known(log, name)
    if found is None:
        return await log.session(name)
    if found.id.startswith(name) and found.id != name:
        info = await found.info()
        screen.note(f"goes on in {found.id}", f", {short(info.title)}" if info.title else "")
    return found


async def _known(log: Log, name: str) -> Session | None:
    """Look a session up by its title, its id or a beginning of it that is long enough to be no new title."""
    if name == LAST:
        return await log.find(name)
    try:
        return await log.find(await log.store.resolve(name, prefix=len(name) >= BEGINNING))
    except UnknownSessionError as error:
        if error.candidates:
            raise
    return None


async def config_of(log: Log, name: str | None, *, exists: bool) -> Config:
    """Read the configuration that a session has; none if it is not there, unless it has to be."""
    if name is None:
        return Config()
    found = await _known(log, name)
    if found is None:
        if exists:
            raise UnknownSessionError(name)
        return Config()
    return (await found.state()).config


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
    said = _read_prompt(prompt) if prompt is not None else None
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
            return await _drive(screen, agent, target, said, deps)
        async with tools_of(belt, target.id, Config() if no_tools else state.config) as tools:
            agent = recorded_agent(target.id, state.config, model, system, tools=() if no_tools else tools)
            return await _drive(screen, agent, target, said, deps)


def _read_prompt(given: str) -> str:
    text = sys.stdin.read() if given == "-" else given
    if not text.strip():
        raise click.UsageError("the prompt is empty")
    return text


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


async def _drive(screen: Screen, agent: Agent[object], session: Session, prompt: str | None, deps: object) -> int:
    """Run, tell what happens, and say how it ended."""
    if agent.output is None and (fault := recorded_check(agent.options)[1]):
        screen.note(f"Answers are not checked: the output schema on record cannot be used: {fault}")
    stop = asyncio.Event()
    teller = Teller(screen.out, screen.err)
    with _interrupts(stop):
        ended = await tell_run(agent.stream(prompt, session=session, deps=deps, signal=stop), stop, screen, teller)
    if screen.as_json:
        screen.json(_summary(ended))
    await _say_end(screen, ended, stopped=stop.is_set())
    return OF_RUN[ended.status]


async def tell_run(stream: AgentStream[object], stop: asyncio.Event, screen: Screen, teller: Teller) -> Run[object]:
    """Tell a run to its end. Whatever keeps it from being told (nobody reads any more, Ctrl-C) aborts it first."""
    try:
        async for shown in stream.lifecycle():
            if not screen.as_json:
                teller.show(shown)
        teller.close()
    except BaseException:
        stop.set()
        with suppress(Exception):  # it is the first one that counts
            await stream.run()
        raise
    return await stream.run()


def _summary(ended: Run[object]) -> dict[str, object]:
    return {
        "id": ended.session.id,
        "status": ended.status,
        "head": ended.head,
        "text": ended.text,
        "error": ended.error,
        "usage": ended.usage,
        "waits": [msgspec.to_builtins(wait) for wait in ended.waits],
    }


async def _say_end(screen: Screen, ended: Run[object], *, stopped: bool) -> None:
    tokens = ended.usage.total_tokens
    words = [ended.status, count(ended.head, "event"), *([count(tokens, "token")] if tokens else [])]
    screen.note((f"\nsession {ended.session.id}: {', '.join(words)}", "dim"))
    again = await going_on(screen, ended.session)
    if stopped and ended.status == "aborted":
        screen.note("Interrupted; the session is kept.")
        next_note(screen, again)
    else:
        said = ended.error if screen.as_json else ""
        tell_end(screen, ended.session.id, ended.status, said, ended.waits, again=again)


@contextmanager
def _interrupts(stop: asyncio.Event) -> Iterator[None]:
    """Turn the first Ctrl-C into an abort that is recorded; the second one ends the program at once."""
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if stop.is_set():
            loop.remove_signal_handler(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        stop.set()

    if not on_signal(signal.SIGINT, call=interrupt):
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
