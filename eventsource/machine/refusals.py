"""What the model reads when a tool call did not run, or when nobody knows whether it did."""

from __future__ import annotations

from ..events import ToolExecutionStart, ToolResult
from ..messages import TextContent

ABORT_TEXT = "Request was aborted"
INTERRUPT_TEXT = "The stream was interrupted"


def _text(text: str) -> ToolResult:
    return ToolResult(content=(TextContent(text=text),))


ABORTED = _text("Tool execution was aborted")
ABORTED_RUNNING = _text("Tool execution was aborted; it is still running and its result will be dropped")
LOST_CHILD = _text(
    "The child session of this call runs on in the session this one was forked from; its result is not known here"
)
UNKNOWN_OUTCOME = _text(
    "The outcome of this call is unknown: the process ended while it ran, and it is not safe to run it again"
)


def refusal_result(start: ToolExecutionStart) -> ToolResult:
    """Build the result of a refused call; the result stands nowhere else in the log."""
    match start.refused:
        case "skipped":
            return _text("Skipped due to queued user message.")
        case "unknown":
            return _text(f"Tool {start.name} not found")
        case "length":
            return _text(
                f'Tool call "{start.name}" was not executed: the response hit the output token limit, so its arguments '
                "may be truncated. Re-issue the tool call with complete arguments."
            )
        case "aborted":
            return _text("Tool call was not executed: the run was aborted")
        case "blocked":
            return _text(start.reason or "Tool execution was blocked")
        case _:
            return _text(start.reason)
