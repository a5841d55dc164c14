"""Printing a run as it goes on, or as it once did: text as it streams, calls and results a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsource.control_characters import plain
from eventsource.events import (
    AgentEnd,
    Compaction,
    ConfigChange,
    Event,
    Fork,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    Retry,
    ToolExecutionEnd,
    ToolExecutionStart,
)
from eventsource.messages import AssistantMessage, Message, UserMessage
from projections import LifecycleEvent, text_of

from .events import event_text, result_text
from .formatting import duration, shorten

if TYPE_CHECKING:
    from .console import TextConsole


class RunPrinter:
    """Prints events: answers on one console, all else on another (which may be the same one).

    `inputs`: what people said is printed too.
    """

    def __init__(self, answers: TextConsole, notes: TextConsole, *, inputs: bool = False, indent: str = "") -> None:
        self._answers, self._notes, self._inputs, self._indent = answers, notes, inputs, indent
        self._shows_thinking = notes.is_terminal
        self._open: TextConsole | None = None
        self._streamed = False
        self._failed = ""

    def print_event(self, shown: LifecycleEvent) -> None:
        """Print an event of a run."""
        match shown.event:
            case MessageStart(role="assistant"):
                self._streamed = False
            case MessageUpdate(kind="text_delta", delta=delta):
                self._write(self._answers, delta)
            case MessageUpdate(kind="thinking_delta", delta=delta) if self._shows_thinking:
                self._write(self._notes, delta, "dim italic")
            case MessageUpdate(kind="text_end" | "thinking_end"):
                self.close()
            case MessageEnd(interrupted=how):
                self._message(shown.message, interrupted=how is not None)
            case ToolExecutionStart() as start:
                arguments = start.arguments or (shown.call.arguments if shown.call is not None else "")
                self._print_note(f"→ {start.name} {shorten(arguments, 100)}".rstrip(), "yellow")
            case ToolExecutionEnd(is_error=is_error) if shown.result is not None:
                self._print_note(f"  {result_text(shown.result, 100)}", "red" if is_error else "dim")
            case Retry() as again:
                self._retry(again, shown.at_us)
            case AgentEnd() if shown.outcome is not None and shown.outcome.status != "done":
                self._print_note(f"({shown.outcome.status}: {shown.outcome.reason})", "red")
            case _:
                pass

    def print_other(self, event: Event) -> None:
        """Print an event that stands outside of runs."""
        match event:
            case MessageAdopt(message=message):
                self._message(message, interrupted=False)
                for call in message.tool_calls if isinstance(message, AssistantMessage) else ():
                    self._print_note(f"→ {call.name} {shorten(call.arguments, 100)}".rstrip(), "yellow")
                if not isinstance(message, UserMessage | AssistantMessage):
                    self._print_note(f"  {shorten(text_of(message), 100)}", "dim")
            case Compaction(summary=summary):
                self._print_note(f"(compacted: {shorten(summary, 100)})", "magenta")
            case ConfigChange():
                self._print_note(f"({event_text(event)})", "dim")
            case Fork():
                self._print_note("(a fork begins here)", "magenta")
            case _:
                pass

    def _retry(self, again: Retry, at_us: int) -> None:
        """Print that the model is asked again: when, and why."""
        wait_us = again.not_before_us - at_us
        when = f"in {duration(wait_us)}" if wait_us > 0 else "now"
        why = (self._failed or again.cause) if again.cause == "error" else again.cause
        self._print_note(f"(the model's answer failed, asking again {when}: {shorten(why, 300)})", "magenta")

    def close(self) -> None:
        """End the line that is open."""
        if self._open is not None:
            self._open.print_piece("\n")
            self._open = None

    def _message(self, message: Message | None, *, interrupted: bool) -> None:
        """Print what of an ended message has not streamed."""
        self.close()
        if isinstance(message, AssistantMessage):
            self._failed = message.error
            if message.text and not self._streamed:
                self._write(*((self._notes, message.text, "dim") if interrupted else (self._answers, message.text)))
                self.close()
            if interrupted:
                self._print_note("(it broke off here: kept in the log, out of the context)", "magenta")
        elif isinstance(message, UserMessage) and self._inputs:
            self._print_note(f"you: {text_of(message)}", "bold green")
        self._streamed = False

    def _print_note(self, text: str, style: str) -> None:
        self.close()
        self._notes.print_parts((self._indented(plain(text)), style))

    def _write(self, console: TextConsole, text: str, style: str = "") -> None:
        """Print a piece of a text that goes on."""
        if self._open is not console:
            self.close()
            console.print_piece(self._indent)
        self._streamed = self._streamed or console is self._answers
        self._open = console
        shown = plain(text).replace("\n", f"\n{self._indent}")
        if style:
            console.print_parts((shown, style), end="")
        else:
            console.print_piece(shown)

    def _indented(self, text: str) -> str:
        return "\n".join(f"{self._indent}{line}" for line in text.split("\n"))
