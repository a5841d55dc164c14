"""Commands that look into one session: show, context."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import click
import msgspec

from eventsource.codec import from_json
from eventsource.envelope import Recorded, SessionInfo
from eventsource.errors import MissingModelError, UnknownSessionError
from eventsource.log.load import load, read_all
from eventsource.machine.state import Config
from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    Message,
    ThinkingContent,
    ToolResultMessage,
    UserMessage,
)
from eventsource.request import Request, request_sha256
from projections import CALLS, CONTEXT, read_transcript, text_of, tool_calls
from projections.calls import CallChild, CallView
from projections.transcript import Said

from ..log import Log
from ..models import find_recorded_model
from ..session import Session
from ..spending import inherited_tokens
from ..status import Standing, find_standing, standing_at
from .command import command
from .ending import going_on, next_note, tell_end
from .eventlines import describe, kind_of, message_role
from .files import check_target, write_file
from .listing import row_json
from .screen import Screen, write
from .showing_task import load_view, show_task, told
from .wording import clock, count, moment, short, size

T = TypeVar("T")

PAGE = 50
"""Messages or events that a terminal gets at once."""
_CUT_LINES = 8
_ROLE_STYLES = {"user": "bold green", "assistant": "bold cyan", "tool_result": "bold yellow"}


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
        await _show_events(screen, found, at=at, window=window, updates=updates, follow=follow)
        return
    reached, state, view = await load(found.core.log, found.id, context=CONTEXT, upto=at)
    earlier, said, later = window.of_all([one for one in read_transcript(view) if one.seq > after])
    info = await found.info()
    stands = await find_standing(found.core.log, info) if reached == info.head else standing_at(state)
    inherited = await inherited_tokens(log.store, info)
    task = await load_view(found, reached) if info.task else None
    if screen.as_json:
        row = row_json(info, inherited) | {"status": stands.status, "reason": stands.reason}
        row |= {"run": told(task)} if task is not None else {}
        screen.json({**row, "at": reached, "phase": state.phase.value, "transcript": said})
        return
    _show_head(screen, info, reached, view.config, stands, inherited)
    if task is not None:
        await show_task(screen, found, task, now=reached == info.head, full=full)
    width = len(str(reached))
    _say_rest(screen, info.id, "earlier message", earlier)
    made = await _calls_of(found, reached) if any(one.calls for one in said) else {}
    for one in said:
        show_said(screen, one, width, full=full)
        await _show_made(screen, found, made.get(one.seq, ()), width, full=full)
    _say_rest(screen, info.id, "later message", later, after=said[-1].seq if said else after)
    if stands.reason:
        screen.line()
        style = "yellow" if stands.status in ("waiting", "queued") else "red"
        screen.folded_line(f"{stands.status}: {stands.reason}", style)
    if reached == info.head and not last:
        if info.task and stands.status == "failed":
            next_note(screen, screen.command("trigger", "MODULE:NAME"), " PAYLOAD (for another run)")
        else:
            again = await going_on(screen, found)
            tell_end(screen, info.id, stands.status, "", stands.waits, again=again, said=True)
    if screen.out.is_terminal and said:
        screen.note((f"\nGo back to any seq: {screen.command('fork', info.id)} --at N", "dim"))


@command(
    "context",
    ("refold context ID", "what the next call would send"),
    ("refold context ID --at 42", "what the `model_request` at 42 sent, or one there would"),
    ("refold context ID --at 42 --json", "the request as data, with its digest"),
    ("refold context ID --wire", "the very bytes, in the model's protocol"),
)
@click.argument("session")
@click.option("--at", "at", type=click.IntRange(min=0), metavar="N", help="At this seq, not at the head.")
@click.option("--full", is_flag=True, help="Cut nothing.")
@click.option("--wire", is_flag=True, help="Print the body that goes over the wire, as JSON.")
async def context(screen: Screen, log: Log, session: str, at: int | None, full: bool, wire: bool) -> None:
    """Print the exact request a model would get at the head, or at a seq; of a past call, the one it got."""
    found = await log.find(session)
    request = await found.request(at)
    if wire:
        screen.raw_json(_body(found.id, request))
    elif screen.as_json:
        screen.json({"session": found.id, "at": at, "request_sha256": request_sha256(request), "request": request})
    else:
        _show_request(screen, request, full=full)


def _body(session: str, request: Request) -> bytes:
    model = find_recorded_model(Config(model=request.model)) if request.model.api else None
    body = model.encode(request) if model is not None else None
    if body is None:
        spoken = request.model.api or "nothing"
        raise MissingModelError(session, f"the log's model speaks {spoken}, which has no wire; --json has the request")
    return body.body


def _show_head(
    screen: Screen, info: SessionInfo, reached: int, config: Config, stands: Standing, inherited: tuple[int, int]
) -> None:
    screen.cut_line((info.id, "bold"), f"  {info.title}" if info.title else "")
    model = f"{config.model.provider}:{config.model.model}" if config.model is not None else ""
    words = [f"at {reached:,} of {info.head:,} events" if reached < info.head else count(info.head, "event")]
    words += [count(info.messages, "message"), stands.status, model, f"updated {moment(info.updated_at_us)}"]
    tokens = info.input_tokens + info.output_tokens - sum(inherited)
    words += [f"{count(tokens, 'token')}{' of its own' if info.parent is not None else ''}"] if tokens else []
    if info.parent is not None:
        words += [f"fork of {info.parent} at {info.fork_seq}"]
        words += [f"{count(sum(inherited), 'token')} inherited"] if sum(inherited) else []
    for line in _wrapped(", ".join(word for word in words if word), screen.width):
        screen.line((line, "dim"))


def show_said(screen: Screen, said: Said, width: int, *, full: bool) -> None:
    """Print one message: its seq, who said it and when, and what."""
    style = _ROLE_STYLES.get(said.role, "bold magenta") if said.seen else "dim"
    role = f"result of {said.tool}" if said.role == "tool_result" else said.role
    note = f"  {short(said.note)}" if said.note else "" if said.seen else "  not in the context"
    screen.line()
    screen.cut_line(
        (f"{said.seq:>{width}}", "dim"),
        "  ",
        (role, style),
        (f"  {moment(said.at_us)}", "dim"),
        ("  error", "red") if said.is_error else "",
        (note, "red" if said.note else "dim"),
    )
    text_style = "" if said.seen else "dim"
    cut = not full and said.role not in ("user", "assistant", "summary")
    if full and said.thinking:
        _show_text(screen, said.thinking, width, style="dim italic", cut=False)
    _show_text(screen, said.text, width, style=text_style, cut=cut)
    _show_text(screen, f"({count(said.images, 'image')})" if said.images else "", width, style="dim", cut=False)
    for _, name, arguments in said.calls:
        shown = arguments if full else short(arguments, 200)
        _show_text(screen, f"→ {name} {shown}".rstrip(), width, style=text_style or "yellow", cut=False)


async def _calls_of(session: Session, upto: int) -> dict[int, list[CallView]]:
    """Read what became of the calls of each message."""
    _, _, trail = await load(session.core.log, session.id, context=CALLS, upto=upto)
    found: dict[int, list[CallView]] = {}
    for call in tool_calls(trail):
        found.setdefault(call.place.message_seq, []).append(call)
    return found


async def _show_made(screen: Screen, session: Session, calls: Sequence[CallView], width: int, *, full: bool) -> None:
    """Print what results do not say of a message's calls: who decided, other arguments, sessions that work on them."""
    for call in calls:
        name = f"{call.name}: " if len(calls) > 1 else ""
        if call.decided is not None:
            _show_text(screen, f"  {name}{call.decided.words}", width, style="dim", cut=False)
        given = call.arguments if call.asked is not None else call.decided.arguments if call.decided else None
        if given is not None:
            ran = f"run with {given}" if call.attempts else f"to be run with {given}"
            _show_text(screen, f"  {name}{ran if full else short(ran, 200)}", width, style="yellow", cut=False)
        for child in call.children:
            words = f"  {name}worked on in session {child.session}: {await _child_words(session, child)}"
            _show_text(screen, words, width, style="dim", cut=False)


async def _child_words(session: Session, child: CallChild) -> str:
    """Say how a child ended, or how it stands, and what it used."""
    status, tokens = child.status, child.tokens
    if child.status != "open":
        return ", ".join([status, *([count(tokens, "token")] if tokens else [])])
    try:
        info = await session.core.log.info(child.session)
    except UnknownSessionError:
        return "not begun"
    stands, tokens = await find_standing(session.core.log, info), info.input_tokens + info.output_tokens
    return ", ".join([stands.status, *([count(tokens, "token")] if tokens else [])])


def _show_text(screen: Screen, text: str, width: int, *, style: str, cut: bool) -> None:
    """Print text below its seq, indented; a terminal gets it wrapped to its width."""
    lines = text.strip("\n").expandtabs(4).split("\n") if text.strip("\n") else []
    left = len(lines) - _CUT_LINES
    if cut and left > 1:
        lines = lines[:_CUT_LINES]
    room = screen.width - width - 2
    for line in lines:
        if cut and len(line) > 1000:
            line = f"{line[:1000]}… ({len(line) - 1000:,} characters more)"
        for piece in _wrapped(line, room):
            screen.line(" " * (width + 2), (piece, style))
    if cut and left > 1:
        screen.line(" " * (width + 2), (f"… {count(left, 'line')} more (--full)", "dim"))


def _wrapped(line: str, room: int) -> Sequence[str]:
    if len(line) <= room:
        return (line,)
    return textwrap.wrap(line, max(room, 20), replace_whitespace=False, break_on_hyphens=False) or ("",)


class Window(NamedTuple):
    """Which part of a long list is shown: `last` from the end, `limit` from the beginning, None: all."""

    after: int
    last: int | None
    limit: int | None

    @staticmethod
    def of(screen: Screen, *, after: int, last: int | None, limit: int | None) -> Window:
        """Choose: a terminal gets a page where nobody says how much, everything else the whole."""
        if last is None and limit is None and screen.out.is_terminal and not screen.as_json:
            return Window(after, None if after else PAGE, PAGE if after else None)
        return Window(after, last, limit)

    def of_all(self, listed: Sequence[T]) -> tuple[int, Sequence[T], int]:
        """Take it out of a list. Returns: how many are left out before it, itself, how many behind it."""
        if self.last is not None:
            return max(len(listed) - self.last, 0), listed[-self.last :], 0
        shown = listed if self.limit is None else listed[: self.limit]
        return 0, shown, len(listed) - len(shown)


def _say_rest(screen: Screen, session: str, what: str, number: int, *, after: int = 0) -> None:
    """Say what is not shown, and how to see it."""
    if number:
        how = ("--after", str(after)) if after else ("--limit", str(PAGE))
        begins = "go on" if after else "from the beginning"
        screen.note((f"({count(number, what)} not shown; {begins}: {screen.command('show', session, *how)})", "dim"))


async def _show_events(
    screen: Screen, session: Session, *, at: int | None, window: Window, updates: bool, follow: bool
) -> None:
    """Print events, a line each; of a session that goes on, those that come too."""
    head = (await session.info()).head
    await session.state(at if at is not None and at > head else 0)  # says so if there is no such seq
    after = window.after
    if window.last is not None and updates:
        after = max(after, (at if at is not None else head) - window.last)
    if window.limit is not None:
        log, begun = session.core.log, window.limit
        page: Sequence[Recorded] = await log.read(session.id, after=after, upto=at, limit=begun, updates=updates)
        earlier, later = 0, (at or head) - page[-1].seq if len(page) == begun else 0
    else:
        listed = [one async for one in read_all(session.core.log, session.id, after=after, upto=at, updates=updates)]
        earlier, page, later = window.of_all(listed)
        earlier = max(earlier, after - window.after)
    if screen.as_json:
        events = [{"seq": one.seq, "at_us": one.at_us, "event": one.event} for one in page]
        info = await session.info()
        screen.json({**row_json(info, await inherited_tokens(session.core.log, info)), "events": events})
        return
    width = len(str(head))
    _say_rest(screen, session.id, "earlier event", earlier)
    for one in page:
        show_event(screen, one, width)
    if not follow:
        _say_rest(screen, session.id, "later event", later, after=page[-1].seq if page else after)
    if follow:
        async for one in session.follow(head):
            if updates or kind_of(one.event) != "message_update":
                show_event(screen, one, width)


def show_event(screen: Screen, recorded: Recorded, width: int, *, room: int = 200) -> None:
    """Print an event on one line, which on a terminal it does not leave."""
    kind = kind_of(recorded.event)
    room = max(min(screen.width - width - 42, room), 20)
    said = describe(recorded.event, width=room)
    style = "dim" if kind.endswith("_update") else ""
    stamp = clock(recorded.at_us)
    screen.cut_line((f"{recorded.seq:>{width}}  {stamp}  ", "dim"), (f"{kind:<22}  ", style or "cyan"), (said, style))


def _show_request(screen: Screen, request: Request, *, full: bool) -> None:
    ref = request.model
    address = f" at {ref.base_url}" if ref.base_url else ""
    screen.line(
        ("model    ", "dim"), f"{ref.provider}:{ref.model} ({ref.api}){address}" if ref.api else "none is named"
    )
    if from_json(request.options):
        screen.line(("options  ", "dim"), msgspec.json.encode(request.options).decode())
    for tool in request.tools:
        screen.line(("tool     ", "dim"), tool.name, (f"  {short(tool.description, 80)}", "dim"))
    if request.system_prompt:
        screen.line(("system", "dim"))
        _show_text(screen, request.system_prompt, 2, style="", cut=not full)
    for number, message in enumerate(request.messages, 1):
        screen.line()
        role = message_role(message)
        named = f" {message.tool_name}" if isinstance(message, ToolResultMessage) else ""
        failed = isinstance(message, ToolResultMessage) and message.is_error
        screen.line(
            (f"{number}/{len(request.messages)}  ", "dim"),
            (role + named, _ROLE_STYLES.get(role, "bold")),
            ("  error", "red") if failed else "",
        )
        _show_message(screen, message, full=full)


def _show_message(screen: Screen, message: Message, *, full: bool) -> None:
    if isinstance(message, AssistantMessage):
        thought = "\n".join(block.thinking for block in message.content if isinstance(block, ThinkingContent))
        _show_text(screen, thought, 2, style="dim italic", cut=not full)
    _show_text(screen, text_of(message), 2, style="", cut=not full)
    if isinstance(message, AssistantMessage):
        for call in message.tool_calls:
            arguments = call.arguments if full else short(call.arguments, 200)
            _show_text(screen, f"→ {call.name} {arguments}".rstrip(), 2, style="yellow", cut=False)
    if isinstance(message, UserMessage | ToolResultMessage):
        images = sum(isinstance(block, ImageContent) for block in message.content)
        _show_text(screen, f"({count(images, 'image')})" if images else "", 2, style="dim", cut=False)
