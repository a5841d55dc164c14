"""What is to be read in place of a message: the event that says so."""

from __future__ import annotations

from msgspec.structs import replace

from eventsource.events import ContextEdit
from eventsource.messages import Message, ToolResultMessage
from projections.pairing import ContextMessage
from projections.transcript import with_text


def hiding(standing: ContextMessage) -> ContextEdit:
    """Return what hides a message of the context from the model."""
    return ContextEdit(message_seq=standing.seq, says_hidden=True)


def replacing(standing: ContextMessage, new: str | Message) -> ContextEdit:
    """Return what puts another message in place of one of the context; a text keeps its role and calls."""
    said = with_text(standing.message, new) if isinstance(new, str) else new
    result = standing.message
    if isinstance(said, ToolResultMessage) and isinstance(result, ToolResultMessage):
        said = replace(said, tool_call_id=result.tool_call_id, tool_name=result.tool_name)
    return ContextEdit(message_seq=standing.seq, replacement=said, says_hidden=True)
