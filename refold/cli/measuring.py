"""Commands that count and measure: calls, usage, timeline."""

from __future__ import annotations

import click

from eventsource.loading import load, read_all
from eventsource.messages import Usage
from projections import CALLS, TIMELINE, USAGE, project, spans, tool_calls
from projections.calls import CallView
from projections.usage import UsageView

from ..log import Log
from .command import command
from .eventlines import result_text
from .screen import Screen
from .wording import clock, count, duration, short


@command(
    "calls",
    ("refold calls ID", "every call: place, arguments, what came of it"),
    ("refold calls ID --failed", "those that failed or were refused"),
)
@click.argument("session")
@click.option("--failed", is_flag=True, help="Only calls that failed or were refused.")
async def calls(screen: Screen, log: Log, session: str, failed: bool) -> None:
    """List tool calls. A call's place is the seq of its message and its number in the content."""
    found = await log.find(session)
    _, _, trail = await load(log.store, found.id, context=CALLS)
    listed = [call for call in tool_calls(trail) if not failed or call.status in ("failed", "refused")]
    if screen.as_json:
        screen.json(listed)
    elif not listed:
        screen.note("No tool was called." if not failed else "No call failed.")
    else:
        rows = [_call_row(call) for call in listed]
        screen.table(("place", "tool", "status", "took", "arguments", "result"), rows, right=("took",))


def _call_row(call: CallView) -> tuple[str, ...]:
    tries = f" (attempt {call.attempts})" if call.attempts > 1 else ""
    status = f"refused: {call.refused}" if call.refused else call.status + tries
    came = result_text(call.result, 200) if call.result is not None else ""
    place = f"{call.place.message_seq}.{call.place.content_index}"
    return (place, call.name, status, duration(call.duration_us), short(call.arguments, 40), came)


@command("usage", ("refold usage ID", "tokens and money, by model"))
@click.argument("session")
async def usage(screen: Screen, log: Log, session: str) -> None:
    """Count what the answers of a session used, those it shares with its parent included."""
    found = await log.find(session)
    _, _, view = await load(log.store, found.id, context=USAGE)
    if screen.as_json:
        by_model = [{"model": name, "usage": used} for name, used in view.by_model]
        screen.json(
            {
                "id": found.id,
                "calls": view.calls,
                "total": view.total,
                "adopted": view.adopted,
                "unpriced": view.unpriced,
                "by_model": by_model,
            }
        )
    else:
        show_usage(screen, view)


def show_usage(screen: Screen, view: UsageView) -> None:
    """Print what answers used, by model."""
    if not view.calls:
        screen.note("No answer says what it used.")
        return
    names = ("model", "input", "output", "cache read", "cache write", "cost")
    rows = [_usage_row(name, used) for name, used in view.by_model]
    rows += [_usage_row("all", view.total)] if len(rows) > 1 else []
    screen.table(names, rows, right=names[1:])
    if view.unpriced:
        screen.note((f"The price of {count(view.unpriced, 'answer')} is not known.", "dim"))


def _usage_row(name: str, used: Usage) -> tuple[str, ...]:
    tokens = (used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens)
    cost = "" if used.cost_microusd is None else f"${used.cost_microusd / 1_000_000:.4f}"
    return (name, *(f"{number:,}" for number in tokens), cost)


@command("timeline", ("refold timeline ID", "runs, turns, model calls with the time to their first token, tools"))
@click.argument("session")
async def timeline(screen: Screen, log: Log, session: str) -> None:
    """Say when runs, turns, model calls, tool calls and waits began, and how long they took."""
    found = await log.find(session)
    history = [recorded async for recorded in read_all(log.store, found.id)]
    listed = spans(project(TIMELINE, history))
    if screen.as_json:
        screen.json(listed)
    elif not listed:
        screen.note("Nothing ran here: what it holds came from elsewhere.")
    else:
        indent = {"run": "", "turn": "  "}
        rows = [
            (
                str(span.start_seq),
                clock(span.started_at_us),
                duration(span.duration_us) or "(open)",
                duration(span.first_token_us),
                f"{indent.get(span.kind, '    ')}{span.kind} {span.name}{f'  {span.note}' if span.note else ''}",
            )
            for span in listed
        ]
        screen.table(("seq", "began", "took", "first token", "what"), rows, right=("seq", "took", "first token"))
