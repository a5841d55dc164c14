"""The command `refold` itself: its help, its commands (loaded when they are asked for), and how it ends."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from eventsource.errors import RefoldError

from .arguments.options import SETTINGS, shared_options, write_examples
from .exit_codes import INTERRUPTED, MEANINGS, NO, OK, USAGE, error_text, exit_code_of
from .terminal.screen import print_error, write

SECTIONS: Sequence[tuple[str, Sequence[tuple[str, str]]]] = (
    (
        "Run",
        (
            ("demo", "Watch an agent run, its log being replayed, forked and continued."),
            ("run", "Say something to a model; the answer streams as it comes."),
            ("chat", "Talk with a model, steer it, fork on the way."),
            ("continue", "Go on from wherever a session's log stops."),
            ("steer", "Say something to a run under way, from another terminal."),
            ("abort", "End a run under way, from another terminal."),
        ),
    ),
    (
        "Wait and go on",
        (
            ("waits", "List what sessions wait for."),
            ("decide", "Approve or deny a call, or answer what a run waits for."),
            ("complete", "Complete a token that a task waits for."),
            ("send", "Send a message to a task."),
            ("trigger", "Start a run of a task."),
            ("runs", "List runs of tasks."),
            ("cancel", "Cancel a task, and its children."),
            ("worker", "Run the tasks that are due, until stopped."),
        ),
    ),
    (
        "Look",
        (
            ("ui", "Read sessions in a page: what was said, sent and why, at any event."),
            ("ls", "List sessions."),
            ("tree", "Draw sessions and their forks."),
            ("search", "Find a text in what was said."),
            ("show", "Read a session: what was said, or every event."),
            ("follow", "Print each event of a session as it comes, also from a server."),
            ("context", "Print the exact request a model would get, or got."),
            ("why", "Say why a model was sent what it was sent."),
            ("calls", "List tool calls and what came of them."),
            ("usage", "Count tokens and money, by model."),
            ("timeline", "Say how long runs, model calls and tools took."),
        ),
    ),
    (
        "Go back and sideways",
        (
            ("replay", "Replay the record: prove it, or play it as it happened."),
            ("reexecute", "Run today's agent against a recording: does it ask the same?"),
            ("fork", "Begin a session that shares another's events up to a seq."),
            ("diff", "Compare two sessions: branches, or runs of their own."),
            ("adopt", "Take messages of one session into another."),
            ("resume-in", "Go on with a session in Claude Code, Codex or pi."),
            ("compact", "Let a summary stand in place of a session's beginning."),
            ("label", "Name a session, or set a bookmark in it."),
        ),
    ),
    (
        "Keep",
        (
            ("import", "Read session files, of other agents too, into the log."),
            ("export", "Write a session to a file that `import` reads."),
            ("verify", "Find any changed, missing, swapped or added byte."),
            ("backup", "Copy the whole log to a new file while it is in use."),
            ("archive", "Compress closed sessions where they lie."),
            ("vacuum", "Give back the room that nothing uses any more."),
            ("db", "Look after a log as a whole: init, check, copy, upgrade, rebuild."),
            ("erase", "Remove what one event says, for ever."),
            ("delete", "Delete a session, for ever."),
        ),
    ),
    (
        "Serve",
        (
            ("serve", "Let others read, follow, steer and answer sessions over HTTP."),
            ("record", "Run an agent with a proxy of its own, and record it."),
            ("proxy", "Stand before a provider: any agent, in any language, becomes a log."),
            ("serve-script", "Answer any client from a file of answers, as a provider would."),
        ),
    ),
)
"""The commands: name, and the line that the overview has for it. Each is in the file that `module_of` names."""

_COMMANDS = {name: line for _, listed in SECTIONS for name, line in listed}

_EXAMPLES = (
    ("refold demo", "see what this is about: no key, no network"),
    ('refold run "Why is the sky blue?" -m MODEL', "ask one, such as anthropic:claude-sonnet-4-5"),
    ("refold ls", "list sessions"),
    ("refold show ID", "read one: by id, the beginning of an id, or title"),
    ("refold fork ID --at 42", "go back to any seq of it"),
    ("refold continue ID --prompt TEXT", "and on from there"),
)


def module_of(command: str) -> str:
    """Return the name of a command's module: its own, with `_` where Python needs it."""
    return command.replace("-", "_") + "_" * iskeyword(command)


class RefoldGroup(click.Group):
    """The commands by name; a command's module is loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f".{module_of(cmd_name)}", __package__)
        found = (thing for thing in vars(module).values() if isinstance(thing, click.Command))
        return next(command for command in found if command.name == cmd_name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer names of commands, without loading a command, and options."""
        names = [CompletionItem(name, help=line) for name, line in _COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *super(click.Group, self).shell_complete(ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was named. Raises: UsageError, with the name that was probably meant."""
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, _COMMANDS, n=1)
            raise click.UsageError(f"no command {name!r}{f'; did you mean {near[0]!r}?' if near else ''}", ctx)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, commands, options, and what exit codes mean."""
        write_examples(formatter, _EXAMPLES)
        formatter.write_paragraph()
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        for title, listed in SECTIONS:
            with formatter.section(title):
                formatter.write_dl(list(listed), col_max=12)
        super(click.Group, self).format_options(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in MEANINGS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. A reader who has seen enough (`refold show ID | head`) is no error."""
        try:
            code = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            return _leave_pipe()
        return code

    def main(  # type: ignore[override]  # the one way this command is run: it always exits
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **settings: object
    ) -> NoReturn:
        """Run a command line and exit with one of the documented codes; never a traceback, unless REFOLD_TRACE=1.

        `settings`: what else click's own `main` takes; it always exits here, so they change nothing.
        """
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal that cannot show a character
        try:
            code = super().main(args, prog_name or "refold", standalone_mode=False)
            code = code if isinstance(code, int) else OK
        except (KeyboardInterrupt, BaseExceptionGroup, Exception) as error:
            if os.environ.get("REFOLD_TRACE") == "1":
                raise
            code = report(error)
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:
            _leave_pipe()  # what is left would be complained about when the program ends
        sys.exit(code)


def _leave_pipe() -> int:
    """Discard what is still to be written."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.close(devnull)
    return OK


def report(error: BaseException) -> int:
    """Print an error in one sentence on stderr. Returns: its exit code."""
    match error:
        case KeyboardInterrupt() | click.Abort():
            return _fail("interrupted", INTERRUPTED)
        case click.UsageError():
            command = error.ctx.command_path if error.ctx is not None else "refold"
            return _fail(f"{_lowered(error.format_message())}\nSee `{command} --help`.", USAGE)
        case click.ClickException():
            return _fail(_lowered(error.format_message()), error.exit_code)
        case RefoldError() | OSError():
            return _fail(error_text(error), exit_code_of(error))
        case _:
            from eventsource.user_code.error_words import words  # what should not happen is not waited for

            problem = words(error, typed=True)
            return _fail(f"this should not happen: {problem}; REFOLD_TRACE=1 shows where, please report it", NO)


def _fail(text: str, code: int) -> int:
    try:
        print_error(text)
    except OSError:
        pass  # nobody listens
    return code


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:].removesuffix(".") if text[1:2].islower() else text.removesuffix(".")


@click.command(cls=RefoldGroup, invoke_without_command=True, **SETTINGS)
@click.version_option(package_name="refold", message="%(prog)s %(version)s")
@click.pass_context
def refold(ctx: click.Context) -> None:
    """An agent runtime whose only memory is its event log: replay a run, fork it at any event, go on from anywhere."""
    if ctx.invoked_subcommand is None:
        write(ctx.get_help())


refold.params += shared_options()
