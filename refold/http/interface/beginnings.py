"""What sessions and runs are made of, and what a run came to."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventsource.messages import Usage

from ...run_result import RunStatus
from .values import Anything, Text

LONGEST_S = 300.0
"""For the end of a run to be waited for, in one request."""


class NewSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A session to be made, or a run of a task to be started for a worker.

    `name`: its id; one is made without it. `title`: a name that `find` knows too. `named`, in place of these: a whole
    id or a title; the session that is called so, made of that title only if there is none. With `task`: that task's
    `payload` (any JSON), and tags. `key`, or the header Idempotency-Key: the same key makes the same session, once.
    """

    name: Text | None = None
    title: Text = ""
    named: Text | None = None
    task: Text | None = None
    payload: Anything | msgspec.UnsetType = msgspec.UNSET
    key: Text | None = None
    tags: tuple[Text, ...] = ()


class WaitQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`wait`: seconds to wait for the end of the run; without it the answer comes as soon as it has begun."""

    wait: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_S)] = 0.0


class PromptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said: a text, a message, or a list of messages or of texts and images.

    `key`: as the header Idempotency-Key; the same key says it once.
    """

    prompt: Anything
    key: Text | None = None


class RunAnswer(msgspec.Struct, frozen=True):
    """A run that has ended, or waits for somebody (`status`); `text`: the last answer's."""

    session: str
    head: int
    status: RunStatus
    text: str
    error: str
    usage: Usage
