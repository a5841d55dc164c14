"""The command chat: say something, watch the answer, and say more while it comes."""

from __future__ import annotations

import asyncio
import signal
import sys

import click

from eventsource.errors import RefoldError
from eventsource.machine.state import Config, Phase
from eventsource.messages import UserMessage
from eventsource.user_code.raised import words
from projections import text_of
from projections.titles import title_of

from ..agent import Agent
from ..log import Log
from ..run import Run
from ..session import Session
from ..signals import on_signal
from .agents import agent_options, named_agent, named_model, recorded_agent
from .chat_commands import COMMANDS, find_command
from .chat_terminal import Terminal
from .command import command
from .ending import tell_end
from .exits import sentence
from .running import SESSION_HELP, config_of, session_of, tell_run
from .screen import Screen
from .telling import Teller
from .toolbelt import tool_options, toolbelt, tools_of


@command(
    "chat",
    ("refold chat -m anthropic:claude-sonnet-4-5", "in a new session"),
    ("refold chat -c sky -m openai:gpt-5 --tools", "in the session of that name, new or not; with file tools"),
    ("refold chat -c sky", "the model that the log names answers"),
    ("refold chat --agent my_agents:weather", "with your own agent"),
    creates=True,
)
@agent_options
@tool_options
@click.option("-c", "--session", metavar="NAME", help=SESSION_HELP)
async def chat(
    screen: Screen, log: Log, model_name: str | None, agent_name: str | None, system: str | None, session: str | None
) -> None:
    """Talk with a model. What you type while it works is steering: it is heard before the next model call.

    Ctrl-C stops an answer and keeps the session; Ctrl-D leaves. /help lists what else there is.
    """
    belt = toolbelt()
    if screen.as_json:
        raise click.UsageError("chat is for people; `refold run --json` prints JSON")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("chat needs a terminal; use `refold run`")
    async with named_agent(agent_name, model_name, system) as (agent, deps):
        model = named_model(model_name) if model_name is not None and agent is None else None
        if agent is None and model is None and session is None:
            raise click.UsageError("say who answers: -m vendor:model, -m scripted, or --agent module:name")
        known = agent is None and model is None
        config = await config_of(log, session, exists=known) if agent is None else Config()
        async with tools_of(belt, session or "", config) as tools:
            if agent is None:
                agent = recorded_agent(session or "", config, model, system, tools=tools)
            target = await session_of(screen, log, session) if session is not None else None
            typed = await _typed(target)
            terminal = Terminal([f"/{name}" for name in COMMANDS], typed)
            told = Screen(screen.log, as_json=False, terminal=terminal.above)
            await Chat(told, log, terminal, agent, target, deps).talk()


async def _typed(session: Session | None) -> list[str]:
    """Give what people said in a session, for the arrow keys."""
    entries = await session.history() if session is not None else ()
    return [text_of(entry.message) for entry in entries if isinstance(entry.message, UserMessage)]


class Chat:
    """A conversation at a terminal. Its state is the log's; here is only who answers, and the run under way."""

    def __init__(
        self,
        screen: Screen,
        log: Log,
        terminal: Terminal,
        agent: Agent[object],
        session: Session | None,
        deps: object,
    ) -> None:
        self.screen, self.log, self.agent, self.session, self._deps = screen, log, agent, session, deps
        self._terminal = terminal
        self._stop = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._more = False

    @property
    def working(self) -> bool:
        """True while a run is under way."""
        return self._terminal.working

    async def talk(self) -> None:
        """Read lines until there are no more, and end what is under way then."""
        on_signal(signal.SIGINT, call=self.interrupt)
        await self.tell_where()
        try:
            while await self._hear():
                pass
        finally:
            self._stop.set()
            if self._work is not None:
                await self._work
            if self.session is not None:
                go_on = self.screen.command("chat", "-c", self.session.id)
                self.screen.note((f"The session is kept: {go_on}", "dim"))
            await self._terminal.above.drained()

    async def tell_where(self) -> None:
        """Say which session this is, and what is unfinished there."""
        if self.session is None:
            self.screen.note(("A new session. /help says what there is; Ctrl-D leaves.", "dim"))
            return
        info = await self.session.info()
        title = f", {info.title}" if info.title else ""
        self.screen.note((f"Session {info.id}{title}. /help says what there is; Ctrl-D leaves.", "dim"))
        await self.tell_unfinished(self.session)

    async def tell_unfinished(self, session: Session) -> None:
        """Say it if a run is unfinished."""
        state = await session.state()
        if state.phase is not Phase.IDLE or state.queue:
            self.screen.note("Its last run is unfinished: /continue goes on, or say something.")

    async def say(self, text: str) -> None:
        """Say something: to the run under way, or to begin one."""
        if self.working and self._stop.is_set() and self._work is not None:
            await self._work  # it is ending, and would not hear it
        if self.session is None:
            self.session = await self.log.session()
            await self.session.label(title_of(text))
        if not self.working:
            self.start(self.session, text)
            return
        await self.session.steer(text)
        self._more = True
        if not self.working:  # it ended meanwhile
            self.start(self.session, None)

    def start(self, session: Session, prompt: str | None) -> None:
        """Begin a run; without a prompt, go on from wherever the log stops."""
        self._stop = asyncio.Event()
        self._terminal.working = True
        self._work = asyncio.create_task(self._run(session, prompt))

    def interrupt(self) -> None:
        """Stop the run under way; without one, say how to leave."""
        if self.working:
            self._stop.set()
        else:
            self.screen.note(("Nothing is under way. Ctrl-D leaves.", "dim"))

    async def _hear(self) -> bool:
        """Read one line and do what it says; false when there are no more."""
        try:
            text = await self._terminal.line()
        except KeyboardInterrupt:
            self.interrupt()
            return True
        except EOFError:
            return False
        try:
            if text.startswith("/"):
                name, argument = find_command(text)
                await COMMANDS[name].does(self, argument)
            elif text.strip():
                await self.say(text)
        except EOFError:
            return False
        except Exception as error:  # whatever it is, the conversation goes on
            self.screen.note((_words(error), "red"))
        return True

    async def _run(self, session: Session, prompt: str | None) -> None:
        try:
            while True:
                self._more = False
                teller = Teller(self.screen.out, self.screen.out)
                stream = self.agent.stream(prompt, session=session, deps=self._deps, signal=self._stop)
                self._say_end(await tell_run(stream, self._stop, self.screen, teller))
                if not self._more or self._stop.is_set():
                    return
                prompt = None
        except Exception as error:  # nobody waits for this task who would say it
            self.screen.note((_words(error), "red"))
        finally:
            self._terminal.working = False
            self._terminal.redraw()

    def _say_end(self, ended: Run[object]) -> None:
        if ended.status == "aborted":
            self.screen.note(("Stopped; what came is kept. /continue asks again, or say something.", "dim"))
        else:
            tell_end(self.screen, ended.session.id, ended.status, "", ended.waits, again="/continue")


def _words(error: Exception) -> str:
    match error:
        case click.UsageError():
            return error.format_message()
        case RefoldError() | OSError():
            return sentence(error)
        case _:
            return f"this should not happen: {words(error, typed=True)}"
