"""What a run is begun with: a prompt, as the inputs that are queued of it."""

from __future__ import annotations

from eventsource.events import QueuePush
from eventsource.prompts import as_messages


def prompt_pushes(prompt: object, *, where: str) -> tuple[QueuePush, ...]:
    """Make of a prompt what a run is begun with."""
    return tuple(QueuePush(queue="prompt", message=message) for message in as_messages(prompt, where=where))
