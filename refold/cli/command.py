"""Making a command of an async function: examples first in its help, the log opened, its result the exit code."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec

import click

from eventsource.errors import RefoldError, StoreError
from eventsource.log.place import is_http
from eventsource.log.sqlite.database_format import FORMAT, format_of

from ..log import Log, open_log
from .arguments.completion import NAMES, SessionName
from .arguments.files import check_target
from .arguments.log_file import LogFile, log_file
from .arguments.options import SETTINGS, Examples, SharedOptions, shared_options, write_examples
from .terminal.screen import Screen

P = ParamSpec("P")
_ADVICE = (
    "run it where the log is; what reads works here, and steer, abort, decide, complete, send, cancel, label and fork "
    "are done by the server"
)

Body = Callable[Concatenate[Screen, Log, P], Awaitable[int | None]]


class RefoldCommand(click.Command):
    """A command whose help begins with examples."""

    examples: Examples = ()

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then what click writes."""
        write_examples(formatter, self.examples)
        formatter.write_paragraph()
        super().format_help(ctx, formatter)


def command(
    name: str,
    *examples: tuple[str, str],
    creates: bool | Callable[[Mapping[str, object]], bool] = False,
    local: bool = False,
    opens: Callable[[Mapping[str, object]], bool] = lambda values: True,
) -> Callable[[Body[P]], RefoldCommand]:
    """Make a command of an async function that works on the log; what it returns is the exit code (None: 0).

    Args:
        creates: the log is made if it is not there (or whether it is, of the values of a call); other commands then
            find it empty, or say that it is not there.
        local: it needs the log itself, and not what a server does with it over HTTP; so does whatever creates one.
        opens: of the values of a call, whether the log is to be opened for it; else the function is given it closed.
    """

    def wrap(body: Body[P]) -> RefoldCommand:
        @functools.wraps(body)
        def invoke(*args: P.args, **kwargs: P.kwargs) -> int | None:
            choices = click.get_current_context().ensure_object(SharedOptions)
            file = log_file(choices.db)
            makes = creates(kwargs) if callable(creates) else creates
            if (makes or local) and is_http(file.place):
                raise StoreError(
                    file.shown, f"this log is read over HTTP, and `refold {name}` needs it itself", _ADVICE
                )
            screen = Screen(file, as_json=choices.json)

            async def work() -> int | None:
                if not opens(kwargs):
                    return await body(screen, open_log(file.place), *args, **kwargs)
                before = _format(file.path)
                async with opened(file, creates=makes) as log:
                    if before < _format(file.path):
                        screen.note((f"{file.shown} had format {before}, and has format {FORMAT} now.", "dim"))
                    return await body(screen, log, *args, **kwargs)

            return asyncio.run(work())

        made = click.command(name, cls=RefoldCommand, **SETTINGS)(invoke)
        for parameter in made.params:
            if parameter.name in NAMES and parameter.type is click.STRING:
                parameter.type = SessionName()
        made.params += shared_options()
        made.examples = examples
        return made

    return wrap


def _format(path: Path | None) -> int:
    """Return the format of a log in a file; who cannot read it will be told when it is opened."""
    if path is None:
        return FORMAT
    try:
        return format_of(path) or FORMAT if path.exists() else FORMAT
    except (RefoldError, OSError):
        return FORMAT


@asynccontextmanager
async def opened(file: LogFile, *, creates: bool) -> AsyncIterator[Log]:
    """Open the log. One that is not there yet is made, or read as an empty one if nobody said it should be there."""
    path = file.path
    if path is None:
        pass  # a server says itself what is there
    elif creates:
        if file.named_by == "nobody":
            path.parent.mkdir(parents=True, exist_ok=True)
        check_target(path)
    elif not path.exists():
        if file.named_by == "option":
            raise FileNotFoundError(2, "There is no such log; `run`, `import` and `demo` make one", str(path))
        async with open_log() as log:
            yield log
        return
    async with open_log(file.place) as log:
        yield log
