"""A conversation at a terminal: a prompt begins a run, and what is typed while it works steers it."""

from __future__ import annotations

import asyncio
import signal

import click

from eventsource.errors import RefoldError
from eventsource.first_words import title_of
from eventsource.machine.state import Phase
from eventsource.user_code.error_words import words

from ...agent import Agent
from ...log import Log
from ...run import Run
from ...session import Session
from ...signals import on_signal
from ..exit_codes import error_text
from ..terminal.live_run import print_run
from ..terminal.next_steps import print_outcome
from ..terminal.run_printer import RunPrinter
from ..terminal.screen import Screen
from .slash_commands import COMMANDS, find_command
from .terminal import Terminal


class Conversation:
    """A conversation at a terminal: the agent that answers, and the run under way; the rest is in the log."""

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
        self._steered = False

    @property
    def working(self) -> bool:
        """True while a run is under way."""
        return self._terminal.working

    async def run(self) -> None:
        """Read lines until there are no more, and end what is under way then."""
        on_signal(signal.SIGINT, call=self.interrupt)
        await self.print_session()
        try:
            while await self._read_line():
                pass
        finally:
            self._stop.set()
            if self._work is not None:
                await self._work
            if self.session is not None:
                go_on = self.screen.command("chat", "-c", self.session.id)
                self.screen.note((f"The session is kept: {go_on}", "dim"))
            await self._terminal.above.drained()

    async def print_session(self) -> None:
        """Print which session this is, and whether its run is unfinished."""
        if self.session is None:
            self.screen.note(("A new session. /help says what there is; Ctrl-D leaves.", "dim"))
            return
        info = await self.session.info()
        title = f", {info.title}" if info.title else ""
        self.screen.note((f"Session {info.id}{title}. /help says what there is; Ctrl-D leaves.", "dim"))
        await self.print_unfinished(self.session)

    async def print_unfinished(self, session: Session) -> None:
        """Print it if a run is unfinished."""
        state = await session.state()
        if state.phase is not Phase.IDLE or state.queue:
            self.screen.note("Its last run is unfinished: /continue goes on, or say something.")

    async def send(self, text: str) -> None:
        """Send a text to the run under way, or begin one with it."""
        if self.working and self._stop.is_set() and self._work is not None:
            await self._work  # it is ending, and would not hear it
        if self.session is None:
            self.session = await self.log.session()
            await self.session.label(title_of(text))
        if not self.working:
            self.start(self.session, text)
            return
        await self.session.steer(text)
        self._steered = True
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

    async def _read_line(self) -> bool:
        """Read one line and do what it says; false when there are no more."""
        try:
            text = await self._terminal.read_line()
        except KeyboardInterrupt:
            self.interrupt()
            return True
        except EOFError:
            return False
        try:
            if text.startswith("/"):
                name, argument = find_command(text)
                await COMMANDS[name].action(self, argument)
            elif text.strip():
                await self.send(text)
        except EOFError:
            return False
        except Exception as error:  # whatever it is, the conversation goes on
            self.screen.note((_words(error), "red"))
        return True

    async def _run(self, session: Session, prompt: str | None) -> None:
        try:
            while True:
                self._steered = False
                printer = RunPrinter(self.screen.out, self.screen.out)
                stream = self.agent.stream(prompt, session=session, deps=self._deps, signal=self._stop)
                self._print_end(await print_run(stream, self._stop, self.screen, printer))
                if not self._steered or self._stop.is_set():
                    return
                prompt = None
        except Exception as error:  # nobody waits for this task who would say it
            self.screen.note((_words(error), "red"))
        finally:
            self._terminal.working = False
            self._terminal.redraw()

    def _print_end(self, ended: Run[object]) -> None:
        if ended.status == "aborted":
            self.screen.note(("Stopped; what came is kept. /continue asks again, or say something.", "dim"))
        else:
            print_outcome(self.screen, ended.session.id, ended.status, "", ended.waits, again="/continue")


def _words(error: Exception) -> str:
    match error:
        case click.UsageError():
            return error.format_message()
        case RefoldError() | OSError():
            return error_text(error)
        case _:
            return f"this should not happen: {words(error, typed=True)}"
