"""What is sent to a task: a text, a message, or any JSON value."""

from __future__ import annotations

from eventsource.codec import read_object
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    Message,
    ToolResultMessage,
    UserMessage,
)

from .typed_json import dump

VALUE = "value"
"""The kind of a message that is a JSON value and no text."""


class InboxMessage:
    """A message that was sent to a task; `seq` is the one of its push."""

    def __init__(self, seq: int, message: Message) -> None:
        self.seq, self.message = seq, message

    def __repr__(self) -> str:
        return f"InboxMessage({self.seq}, {self.message!r})"

    @property
    def value(self) -> object:
        """Its text, or the JSON value that was sent; a message with images or of another role as JSON."""
        match self.message:
            case UserMessage(content=str() as text):
                return text
            case CustomMessage(kind="value", body=body):
                return read_object(body).get("value")
            case _:
                return read_object(dump(self.message, where="message"))


def as_message(value: object) -> Message:
    """Make a message of whatever is sent."""
    match value:
        case str():
            return UserMessage(content=value)
        case UserMessage() | AssistantMessage() | ToolResultMessage() | CustomMessage():
            return value
        case _:
            return CustomMessage(kind=VALUE, body=dump({"value": value}, where="message"))
