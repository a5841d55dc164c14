"""Commands that count and measure: calls, usage, timeline."""

from __future__ import annotations

from collections.abc import Sequence

import click

from eventsource.log.load import load, read_all
from projections import CALLS, TIMELINE, project, spans, tool_calls
from projections.calls import CallView
from projections.usage import Spent, added, cost_text

from ..log import Log
from ..spending import Entry, Spending, all_spending, spending, summed
from .command import command
from .eventlines import result_text
from .options import since
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
        screen.table(("place", "tool", "status", "took", "arguments", "decided", "result"), rows, right=("took",))


def _call_row(call: CallView) -> tuple[str, ...]:
    tries = f" (attempt {call.attempts})" if call.attempts > 1 else ""
    status = f"refused: {call.refused}" if call.refused else call.status + tries
    came = result_text(call.result, 200) if call.result is not None else ""
    place = f"{call.place.message_seq}.{call.place.content_index}"
    asked = f" (asked for {short(call.asked, 40)})" if call.asked is not None else ""
    decided = call.decided.words if call.decided is not None else ""
    return (place, call.name, status, duration(call.duration_us), short(call.arguments, 40) + asked, decided, came)


@command(
    "usage",
    ("refold usage ID", "tokens and money of one session, by model"),
    ("refold usage --since 7d", "of all sessions, in the last seven days"),
    ("refold usage --by day", "of all sessions, day by day"),
)
@click.argument("session", required=False)
@click.option(
    "--by", type=click.Choice(["model", "day", "session"]), default="model", help="Add up by. [default: model]"
)
@click.option("--since", metavar="WHEN", callback=since, help="Only answers since then: `7d`, `12h`, `2026-11-20`.")
async def usage(screen: Screen, log: Log, session: str | None, by: str, since: int) -> None:
    """Count what answers used: of one session, or of all.

    Each answer counts once, in the session that recorded it: a fork does not count what it inherited, nor a session
    what its children used; of one session both are said beside it.
    """
    if session is not None:
        spent = await spending(log.store, (await log.find(session)).id, since_us=since)
        if screen.as_json:
            screen.json(_session_json(spent, by))
        else:
            show_spending(screen, spent, by)
        return
    with screen.busy("reading every session"):
        entries = [entry async for entry in all_spending(log.store, since_us=since)]
    if screen.as_json:
        screen.json(_json(entries, by))
    elif not entries:
        screen.note("No answer says what it used.")
    else:
        _show_entries(screen, entries, by)


def _json(entries: Sequence[Entry], by: str) -> dict[str, object]:
    total = added(entry.spent for entry in entries)
    unpriced = sorted({entry.model for entry in entries if entry.spent.unpriced})
    return {
        "calls": total.calls,
        "unpriced": total.unpriced,
        "unpriced_models": unpriced,
        "total": total.usage,
        f"by_{by}": [
            {by: name, "calls": spent.calls, "unpriced": spent.unpriced, "usage": spent.usage}
            for name, spent in summed(entries, by).items()
        ],
    }


def _session_json(spent: Spending, by: str) -> dict[str, object]:
    """Write what one session spent; `total` is its own, what is counted elsewhere stands beside it."""
    children = {"ids": spent.child_ids, "spent": spent.children}
    elsewhere = {"inherited": spent.inherited, "adopted": spent.adopted, "children": children}
    return {"id": spent.session, **_json(spent.entries, by), **elsewhere}


def show_spending(screen: Screen, spent: Spending, by: str) -> None:
    """Print what a session used, and what counts elsewhere."""
    if spent.entries:
        _show_entries(screen, spent.entries, by)
    else:
        screen.note("No answer of its own says what it used.")
    elsewhere = (
        ("inherited from its parent", spent.inherited),
        ("adopted from other sessions", spent.adopted),
        (f"used by its {count(len(spent.child_ids), 'child session')}", spent.children),
    )
    for what, other in elsewhere:
        if other.calls:
            tokens = f"{other.usage.total_tokens:,} tokens, {cost_text(other)}"
            screen.note((f"Not counted here: {tokens} {what}.", "dim"))


def _show_entries(screen: Screen, entries: Sequence[Entry], by: str) -> None:
    sums = summed(entries, by)
    names = (by, "answers", "input", "output", "cache read", "cache write", "cost")
    rows = [_usage_row(name, spent) for name, spent in sums.items()]
    rows += [_usage_row("all", added(sums.values()))] if len(rows) > 1 else []
    screen.table(names, rows, right=names[1:])
    unpriced: dict[str, int] = {}
    for entry in entries:
        if entry.spent.unpriced:
            unpriced[entry.model] = unpriced.get(entry.model, 0) + entry.spent.unpriced
    if unpriced:
        named = ", ".join(f"{name} ({count(number, 'answer')})" for name, number in unpriced.items())
        screen.note((f"No price is known for {named}.", "dim"))


def _usage_row(name: str, spent: Spent) -> tuple[str, ...]:
    used = spent.usage
    tokens = (spent.calls, used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens)
    return (name, *(f"{number:,}" for number in tokens), cost_text(spent))


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
