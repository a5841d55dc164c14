"""Options that every command has, and what several have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

import click

from eventsource.durations import duration_us
from eventsource.errors import DurationError
from eventsource.log.defaults import utc_now_us

Examples = Sequence[tuple[str, str]]

WHERE = "The log: this file, postgresql://... or http://..., else REFOLD_DB's, else refold.db in your data folder."

JSON_HELP = "Print exactly one JSON document."


@dataclass
class SharedOptions:
    """The values of the options that every command has, before or after its name."""

    db: str | None = None
    json: bool = False


def since(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int:
    """Read a time that lies back: how long (`7d`), or a date or time of this computer's. Returns: UTC microseconds."""
    if value is None:
        return 0
    try:
        return utc_now_us() - duration_us(value)
    except DurationError:
        pass
    try:
        return int(datetime.fromisoformat(value).astimezone().timestamp() * 1_000_000)
    except (OSError, OverflowError, ValueError) as error:
        expected = f"expected how long ago or a date, such as 7d, 12h or 2026-11-20, found {value!r}"
        raise click.BadParameter(expected, ctx, parameter) from error


def write_examples(formatter: click.HelpFormatter, examples: Examples) -> None:
    """Write the section that every help begins with: each example, and what it is for, beside it or below."""
    formatter.write("Examples:\n")
    widths = sorted({len(line) for line, _ in examples}, reverse=True)

    def fits(width: int) -> bool:
        return all(len(line) > width or width + len(says) + 4 <= formatter.width for line, says in examples)

    width = next(filter(fits, widths), 0)
    for line, says in examples:
        formatter.write(f"  {line:<{width}}  {says}\n" if len(line) <= width else f"  {line}\n      {says}\n")


def shared_options() -> list[click.Parameter]:
    """Return the options that stand before or after a command's name."""

    def note(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
        choices = ctx.ensure_object(SharedOptions)
        if parameter.name == "db" and isinstance(value, str):
            if not value:
                raise click.BadParameter("expected a file or URL, found nothing", ctx, parameter)
            choices.db = value
        elif value is True:
            choices.json = True

    return [
        click.Option(["--json"], is_flag=True, expose_value=False, callback=note, help=JSON_HELP),
        click.Option(["--db"], metavar="FILE", expose_value=False, callback=note, help=WHERE),
    ]


class Settings(TypedDict):
    """What `click.command` takes besides the class."""

    context_settings: dict[str, object]


SETTINGS: Settings = {"context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 100}}
