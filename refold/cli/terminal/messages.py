"""Messages: who said something and when, and the text, indented and wrapped."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from projections.transcript import TranscriptMessage

from .formatting import count, date_time, shorten
from .screen import Screen

_CUT_LINES = 8

ROLE_STYLES = {"user": "bold green", "assistant": "bold cyan", "tool_result": "bold yellow"}


def print_message(screen: Screen, said: TranscriptMessage, width: int, *, full: bool) -> None:
    """Print one message: its seq, who said it and when, and what."""
    style = ROLE_STYLES.get(said.role, "bold magenta") if said.seen else "dim"
    role = f"result of {said.tool}" if said.role == "tool_result" else said.role
    note = f"  {shorten(said.note)}" if said.note else "" if said.seen else "  not in the context"
    screen.line()
    screen.cut_line(
        (f"{said.seq:>{width}}", "dim"),
        "  ",
        (role, style),
        (f"  {date_time(said.at_us)}", "dim"),
        ("  error", "red") if said.is_error else "",
        (note, "red" if said.note else "dim"),
    )
    text_style = "" if said.seen else "dim"
    cut = not full and said.role not in ("user", "assistant", "summary")
    if full and said.thinking:
        print_text(screen, said.thinking, width, style="dim italic", cut=False)
    print_text(screen, said.text, width, style=text_style, cut=cut)
    print_text(screen, f"({count(said.images, 'image')})" if said.images else "", width, style="dim", cut=False)
    for _, name, arguments in said.calls:
        shown = arguments if full else shorten(arguments, 200)
        print_text(screen, f"→ {name} {shown}".rstrip(), width, style=text_style or "yellow", cut=False)
    print_own(screen, said.own, width, full=full)


def print_own(screen: Screen, own: Sequence[tuple[int, str, str]], width: int, *, full: bool) -> None:
    """Print the blocks of an answer that only its provider reads."""
    for _, kind, block in own:
        print_text(screen, f"· {kind} {block if full else shorten(block, 200)}", width, style="dim", cut=False)


def print_text(screen: Screen, text: str, width: int, *, style: str, cut: bool) -> None:
    """Print text below its seq, indented; a terminal gets it wrapped to its width."""
    lines = text.strip("\n").expandtabs(4).split("\n") if text.strip("\n") else []
    left = len(lines) - _CUT_LINES
    if cut and left > 1:
        lines = lines[:_CUT_LINES]
    room = screen.width - width - 2
    for line in lines:
        if cut and len(line) > 1000:
            line = f"{line[:1000]}… ({len(line) - 1000:,} characters more)"
        for piece in wrapped(line, room):
            screen.line(" " * (width + 2), (piece, style))
    if cut and left > 1:
        screen.line(" " * (width + 2), (f"… {count(left, 'line')} more (--full)", "dim"))


def wrapped(line: str, room: int) -> Sequence[str]:
    """Wrap a line that has more than so many characters."""
    if len(line) <= room:
        return (line,)
    return textwrap.wrap(line, max(room, 20), replace_whitespace=False, break_on_hyphens=False) or ("",)
