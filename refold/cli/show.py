"""The command `show`: print a session, message by message or event by event."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence

import click

from eventsource.envelope import Recorded, SessionInfo
from eventsource.errors import UnknownSessionError
from eventsource.log.load import load, read_pages
from eventsource.machine.state import Config
from projections import CALLS, CONTEXT, read_transcript, tool_calls
from projections.calls import CallChild, CallView, calls_by_message

from ..log import Log
from ..session import Session
from ..status import SessionStatus, find_status, status_at
from .arguments.files import check_target, write_file
from .command import command
from .terminal.events import print_event
from .terminal.formatting import count, date_time, shorten, size
from .terminal.messages import print_message, print_text, wrapped
from .terminal.next_steps import continue_command, print_next, print_outcome
from .terminal.paging import Window, print_rest
from .terminal.screen import Screen, write
from .terminal.session_rows import stored_row
from .terminal.task import load_view, print_task, task_fields


@command(
    "show",
    ("refold show ID", "what was said; the number before a message is its seq"),
    ("refold show ID --last 3 --full", "the last three messages, nothing cut"),
    ("refold show ID --at 42", "as it was at a seq"),
    ("refold show ID --events", "every fact, a line each"),
    ("refold show ID --updates", "every event, each streamed piece too"),
    ("refold show ID --follow", "and what comes, until Ctrl-C"),
    ("refold show RUN", "of a task: its payload, steps, waits, children and streams, and its result"),
    ("refold show ID --html oslo.html", "as one page for a browser, with its forks"),
)
@click.argument("session")
@click.option("--at", "at", type=click.IntRange(min=0), metavar="N", help="Show it as it was at this seq.")
@click.option(
    "--after", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out what stands up to this seq."
)
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the last N messages or events.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N of them. [default: 50 on a terminal]"
)
@click.option("--full", is_flag=True, help="Cut nothing, and show what models thought.")
@click.option("--events", is_flag=True, help="Show facts, a line each, not messages.")
@click.option("--updates", is_flag=True, help="Show every event, streamed pieces included.")
@click.option("-f", "--follow", is_flag=True, help="Go on with each event that comes.")
@click.option("--html", metavar="FILE", help="Write one HTML page; - writes it to stdout.")
async def show(
    screen: Screen,
    log: Log,
    session: str,
    at: int | None,
    after: int,
    last: int | None,
    limit: int | None,
    full: bool,
    events: bool,
    updates: bool,
    follow: bool,
    html: str | None,
) -> None:
    """Print a session as people read it, or event by event.

    What is dim is not in the context any more: it failed, was compacted away or hidden. Fork at any seq:
    `refold fork ID --at N`, or `--before N` for a message's number. A terminal gets the last 50 messages, or the first
    50 after a seq (`--after`), and is told how to see the rest; a pipe gets all.
    """
    if follow and (screen.as_json or at is not None):
        raise click.UsageError("--follow never ends: it goes with neither --json nor --at")
    if last is not None and limit is not None:
        raise click.UsageError("--last counts from the end, --limit from the beginning: give one of them")
    window = Window.of(screen, after=after, last=last, limit=limit)
    found = await log.find(session)
    if html is not None:
        if html != "-":
            check_target(html)
        page = await found.html()
        if html == "-":
            write(page.removesuffix("\n"))
        else:
            write_file(html, page.encode(), replace=True)
            screen.note((f"{html}: {size(len(page.encode()))}", "dim"))
        return
    if events or updates or follow:
        await _print_events(screen, found, at=at, window=window, updates=updates, follow=follow)
        return
    reached, state, view = await load(found.core.log, found.id, context=CONTEXT, upto=at)
    earlier, said, later = window.select([one for one in read_transcript(view) if one.seq > after])
    info = await found.info()
    stands = await find_status(found.core.log, info) if reached == info.head else status_at(state)
    inherited = (info.inherited_input_tokens, info.inherited_output_tokens)
    task = await load_view(found, reached) if info.task else None
    if screen.as_json:
        row = stored_row(info) | {"status": stands.status, "reason": stands.reason}
        row |= {"run": task_fields(task)} if task is not None else {}
        screen.json({**row, "at": reached, "phase": state.phase.value, "transcript": said})
        return
    _print_head(screen, info, reached, view.config, stands, inherited)
    if task is not None:
        await print_task(screen, found, task, now=reached == info.head, full=full)
    width = len(str(reached))
    print_rest(screen, info.id, "earlier message", earlier)
    made = await _calls_of(found, reached) if any(one.calls for one in said) else {}
    for one in said:
        print_message(screen, one, width, full=full)
        await _print_calls(screen, found, made.get(one.seq, ()), width, full=full)
    print_rest(screen, info.id, "later message", later, after=said[-1].seq if said else after)
    if stands.reason:
        screen.line()
        style = "yellow" if stands.status in ("waiting", "queued") else "red"
        screen.folded_line(f"{stands.status}: {stands.reason}", style)
    if reached == info.head and not last:
        if info.task and stands.status == "failed":
            print_next(screen, screen.command("trigger", "MODULE:NAME"), " PAYLOAD (for another run)")
        else:
            again = await continue_command(screen, found)
            print_outcome(screen, info.id, stands.status, "", stands.waits, again=again, waits_shown=True)
    if screen.out.is_terminal and said:
        screen.note((f"\nGo back to any seq: {screen.command('fork', info.id)} --at N", "dim"))


def _print_head(
    screen: Screen, info: SessionInfo, reached: int, config: Config, stands: SessionStatus, inherited: tuple[int, int]
) -> None:
    screen.cut_line((info.id, "bold"), f"  {info.title}" if info.title else "")
    model = f"{config.model.provider}:{config.model.model}" if config.model is not None else ""
    words = [f"at {reached:,} of {info.head:,} events" if reached < info.head else count(info.head, "event")]
    words += [count(info.messages, "message"), stands.status, model, f"updated {date_time(info.updated_at_us)}"]
    tokens = info.input_tokens + info.output_tokens - sum(inherited)
    words += [f"{count(tokens, 'token')}{' of its own' if info.parent is not None else ''}"] if tokens else []
    if info.parent is not None:
        words += [f"fork of {info.parent} at {info.fork_seq}"]
        words += [f"{count(sum(inherited), 'token')} inherited"] if sum(inherited) else []
    for line in wrapped(", ".join(word for word in words if word), screen.width):
        screen.line((line, "dim"))


async def _calls_of(session: Session, upto: int) -> dict[int, list[CallView]]:
    """Read what became of the calls of each message."""
    _, _, trail = await load(session.core.log, session.id, context=CALLS, upto=upto)
    return calls_by_message(tool_calls(trail))


async def _print_calls(screen: Screen, session: Session, calls: Sequence[CallView], width: int, *, full: bool) -> None:
    """Print what results do not say of a message's calls: who decided, other arguments, sessions that work on them.

    Of a call that came from elsewhere, also that none came with it.
    """
    for call in calls:
        name = f"{call.name}: " if len(calls) > 1 else ""
        if call.adopted and call.status == "open":
            print_text(screen, f"  {name}no result on record", width, style="yellow", cut=False)
        if call.decided is not None:
            print_text(screen, f"  {name}{call.decided.words}", width, style="dim", cut=False)
        given = call.arguments if call.asked is not None else call.decided.arguments if call.decided else None
        if given is not None:
            ran = f"run with {given}" if call.attempts else f"to be run with {given}"
            print_text(screen, f"  {name}{ran if full else shorten(ran, 200)}", width, style="yellow", cut=False)
        for child in call.children:
            words = f"  {name}worked on in session {child.session}: {await _child_words(session, child)}"
            print_text(screen, words, width, style="dim", cut=False)


async def _child_words(session: Session, child: CallChild) -> str:
    """Return how a child ended, or its status now, and what it used."""
    status, tokens = child.status, child.tokens
    if child.status != "open":
        return ", ".join([status, *([count(tokens, "token")] if tokens else [])])
    try:
        info = await session.core.log.info(child.session)
    except UnknownSessionError:
        return "not begun"
    stands, tokens = await find_status(session.core.log, info), info.input_tokens + info.output_tokens
    return ", ".join([stands.status, *([count(tokens, "token")] if tokens else [])])


async def _print_events(
    screen: Screen, session: Session, *, at: int | None, window: Window, updates: bool, follow: bool
) -> None:
    """Print events, a line each; of a session that goes on, those that come too."""
    info = await session.info()
    head = info.head
    await session.state(at if at is not None and at > head else 0)  # says so if there is no such seq
    listed = _EventWindow(session, window, upto=head if at is None else at, updates=updates)
    await listed.begin()
    if screen.as_json:
        pages = (
            [{"seq": one.seq, "at_us": one.at_us, "event": one.event} for one in page] async for page in listed.pages()
        )
        await screen.json_with_list(stored_row(info), "events", pages)
        return
    width = len(str(head))
    print_rest(screen, session.id, "earlier event", listed.earlier)
    async for page in listed.pages():
        for one in page:
            print_event(screen, one, width)
    if not follow:
        print_rest(screen, session.id, "later event", listed.later, after=listed.last)
    if follow:
        async for one in session.follow(head):
            if updates or one.event.type != "message_update":
                print_event(screen, one, width)


class _EventWindow:
    """The events that a window shows, page by page, and how many it leaves out before and, at the end, behind them."""

    def __init__(self, session: Session, window: Window, *, upto: int, updates: bool) -> None:
        self.earlier = self.later = 0
        self.last = window.after
        self._log, self._session, self._window = session.core.log, session.id, window
        self._upto, self._updates = upto, updates
        self._after, self._kept = window.after, list[Recorded]()

    async def begin(self) -> None:
        """Find where it begins; of a window that counts from the end, read it."""
        last = self._window.last
        if last is None:
            return
        if self._updates:
            self._after = max(self._after, self._upto - last)
        kept, found = deque[Recorded](maxlen=last), 0
        async for page in self._read():
            kept.extend(page)
            found += len(page)
        self.earlier, self._kept = max(found - last, self._after - self._window.after), list(kept)

    async def pages(self) -> AsyncIterator[Sequence[Recorded]]:
        """Yield its events."""
        if self._window.last is not None:
            if self._kept:
                yield self._kept
            return
        left = self._window.limit
        async for page in self._read():
            shown = page if left is None else page[:left]
            self.last = shown[-1].seq
            yield shown
            if left is not None and (left := left - len(shown)) == 0:
                self.later = self._upto - self.last
                return

    def _read(self) -> AsyncIterator[tuple[Recorded, ...]]:
        return read_pages(self._log, self._session, after=self._after, upto=self._upto, updates=self._updates)
