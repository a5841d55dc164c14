"""What an operator hears of runs, through Python's `logging`: nothing is shown unless the program sets it up.

Each record has `session` and, where it is about an event, `seq` as attributes. Texts are those of the log, redacted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ..envelope import Recorded
from ..events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    Event,
    MessageEnd,
    Resume,
    Retry,
    StepEnd,
    TaskEnd,
    TaskStart,
    ToolExecutionEnd,
)
from ..machine.refusals import ABORTED_RUNNING
from ..messages import TextContent
from ..models.secrets import redact_known
from ..user_code.error_words import trace, words

_SHOWN = 500


def logger(name: str) -> logging.Logger:
    """Find the logger of a module; that of its package has a handler that does nothing, so that nothing is printed."""
    package = logging.getLogger(name.partition(".")[0])
    if not any(isinstance(handler, logging.NullHandler) for handler in package.handlers):
        package.addHandler(logging.NullHandler())
    return logging.getLogger(name)


LOGGER = logger("eventsource.run")


def log_events(session: str, recorded: Sequence[Recorded], tool_name: Callable[[ToolExecutionEnd], str]) -> None:
    """Log those of a run's new events that an operator needs: how it began and ended, and what went wrong."""
    for one in recorded:
        found = _said(one.event, tool_name)
        if found is not None:
            level, said = found
            extra = {"session": session, "seq": one.seq}
            LOGGER.log(level, "session %s, seq %d: %s", session, one.seq, said, extra=extra)


def log_raised(session: str, seq: int, error: BaseException, redact: Callable[[str], str]) -> None:
    """Log what a callback of the program raised, with its traceback, which is in no event. `seq`: the last one then."""
    said = redact(redact_known(f"a callback raised {words(error, typed=True)}\n{trace(error)}")).rstrip()
    LOGGER.warning("session %s, seq %d: %s", session, seq, said, extra={"session": session, "seq": seq})


def _said(event: Event, tool_name: Callable[[ToolExecutionEnd], str]) -> tuple[int, str] | None:
    match event:
        case AgentStart(reason=reason):
            return logging.INFO, f"run started ({reason})"
        case AgentEnd(reason=reason, error=error):
            level = logging.WARNING if reason in ("error", "limit") else logging.INFO
            return level, f"run ended: {reason}" + _because(error)
        case AbortRequest(reason=reason, cause=cause, error=error) if reason != "stop":
            return logging.INFO, f"asked to end by a {cause}: {reason}" + _because(error)
        case Retry(cause=cause):
            return logging.WARNING, f"to be tried again: {_short(cause)}"
        case MessageEnd(message=message) if message is not None and message.stop_reason == "error":
            return logging.WARNING, f"the model's answer failed: {_short(message.error)}"
        case Resume(why=why) if why in ("crash", "takeover"):
            return logging.INFO, f"taken up again ({why})"
        case ToolExecutionEnd() if event.is_error and event.decided == "executed" and event.result is not None:
            texts = (part.text for part in event.result.content if isinstance(part, TextContent))
            return logging.WARNING, f"tool {tool_name(event)} failed: {_short(' '.join(texts))}"
        case ToolExecutionEnd(result=result) if result == ABORTED_RUNNING:
            return logging.WARNING, f"tool {tool_name(event)} was given up and still runs"
        case TaskStart(task=task, attempt=attempt):
            return logging.INFO, f"task {task} started, attempt {attempt}"
        case TaskEnd(error=error):
            again = event.retry_at_us is not None
            level = logging.WARNING if error else logging.INFO
            return level, f"task ended{' and is tried again' if again else ''}" + _because(error)
        case StepEnd(key=key, error=error) if error:
            return logging.WARNING, f"step {key} failed: {_short(error)}"
        case _:
            return None


def _because(error: str) -> str:
    return f": {_short(error)}" if error else ""


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
