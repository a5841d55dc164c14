"""The command `context`: print the exact request a model would get, or got."""

from __future__ import annotations

from itertools import chain

import click
import msgspec

from eventsource.codec import from_json
from eventsource.errors import MissingModelError
from eventsource.machine.state import Config
from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    Message,
    ThinkingContent,
    ToolResultMessage,
    UserMessage,
)
from eventsource.models.own_tools import own_tools
from eventsource.request import Request, request_sha256
from projections import text_of
from projections.transcript import own_blocks

from ..log import Log
from ..models import find_recorded_model
from .command import command
from .terminal.events import message_role
from .terminal.formatting import count, shorten
from .terminal.messages import ROLE_STYLES, print_own, print_text
from .terminal.screen import Screen


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
        _print_request(screen, request, full=full)


def _body(session: str, request: Request) -> bytes:
    model = find_recorded_model(Config(model=request.model)) if request.model.api else None
    body = model.encode(request) if model is not None else None
    if body is None:
        spoken = request.model.api or "nothing"
        raise MissingModelError(session, f"the log's model speaks {spoken}, which has no wire; --json has the request")
    return body.body


def _print_request(screen: Screen, request: Request, *, full: bool) -> None:
    ref = request.model
    address = f" at {ref.base_url}" if ref.base_url else ""
    screen.line(
        ("model    ", "dim"), f"{ref.provider}:{ref.model} ({ref.api}){address}" if ref.api else "none is named"
    )
    if from_json(request.options):
        screen.line(("options  ", "dim"), msgspec.json.encode(request.options).decode())
    for tool in chain(request.tools, own_tools(request.options)):
        screen.line(("tool     ", "dim"), tool.name, (f"  {shorten(tool.description, 80)}", "dim"))
    if request.system_prompt:
        screen.line(("system", "dim"))
        print_text(screen, request.system_prompt, 2, style="", cut=not full)
    for number, message in enumerate(request.messages, 1):
        screen.line()
        role = message_role(message)
        named = f" {message.tool_name}" if isinstance(message, ToolResultMessage) else ""
        failed = isinstance(message, ToolResultMessage) and message.is_error
        screen.line(
            (f"{number}/{len(request.messages)}  ", "dim"),
            (role + named, ROLE_STYLES.get(role, "bold")),
            ("  error", "red") if failed else "",
        )
        _print_message(screen, message, full=full)


def _print_message(screen: Screen, message: Message, *, full: bool) -> None:
    if isinstance(message, AssistantMessage):
        thought = "\n".join(block.thinking for block in message.content if isinstance(block, ThinkingContent))
        print_text(screen, thought, 2, style="dim italic", cut=not full)
    print_text(screen, text_of(message), 2, style="", cut=not full)
    if isinstance(message, AssistantMessage):
        for call in message.tool_calls:
            arguments = call.arguments if full else shorten(call.arguments, 200)
            print_text(screen, f"→ {call.name} {arguments}".rstrip(), 2, style="yellow", cut=False)
        print_own(screen, own_blocks(message), 2, full=full)
    if isinstance(message, UserMessage | ToolResultMessage):
        images = sum(isinstance(block, ImageContent) for block in message.content)
        print_text(screen, f"({count(images, 'image')})" if images else "", 2, style="dim", cut=False)
