"""The command `calls`: list tool calls and what came of them."""

from __future__ import annotations

import click

from eventsource.log.load import load
from projections import CALLS, tool_calls
from projections.calls import CallView

from ..log import Log
from .command import command
from .terminal.events import result_text
from .terminal.formatting import duration, shorten
from .terminal.screen import Screen


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
        rows = [_row(call) for call in listed]
        screen.table(("place", "tool", "status", "took", "arguments", "decided", "result"), rows, right=("took",))


def _row(call: CallView) -> tuple[str, ...]:
    tries = f" (attempt {call.attempts})" if call.attempts > 1 else ""
    status = f"refused: {call.refused}" if call.refused else call.status + tries
    came = result_text(call.result, 200) if call.result is not None else ""
    place = f"{call.place.message_seq}.{call.place.content_index}"
    asked = f" (asked for {shorten(call.asked, 40)})" if call.asked is not None else ""
    decided = call.decided.words if call.decided is not None else ""
    return (place, call.name, status, duration(call.duration_us), shorten(call.arguments, 40) + asked, decided, came)
