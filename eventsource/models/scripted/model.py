"""A model that says what a script tells it to: for tests, demonstrations, and trying things without a key."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from ...errors import ArgumentError
from ...events import MessageUpdate, ModelRef
from ...messages import AssistantMessage
from ...request import Request
from ...user_code.argument_checks import checked
from ...user_code.argument_types import shown
from ..protocol import CallOptions, StreamEnd, StreamEvent, StreamRetry, StreamStart, StreamUsage, WireBody
from .script import (
    Answer,
    CutItem,
    DeafItem,
    PauseItem,
    StallItem,
    StreamedAnswer,
    Words,
    fail,
    follows,
    read_answer,
    steps,
    words,
)

SCRIPTED = ModelRef(api="scripted", provider="scripted", model="scripted")
ABORTED_TEXT = "Request was aborted"
EXHAUSTED_TEXT = "script exhausted"


class ScriptedCall(msgspec.Struct, frozen=True):
    """One call of the model, for a test to look at."""

    request: Request
    options: CallOptions


class ScriptedModel:
    """Answers by a script: a sequence of answers, or a function that makes one of the request.

    An answer is a text, a whole message (comes unstreamed), or a list: strings (deltas of one text block), items
    (`say`, `think`, `call`, `stop`, `fail`, ...), stream events as they are (a second StreamStart, a delta before the
    start), and functions, which are called (and awaited) when their turn comes. The start and the end of the stream
    need not be written. After the last answer, every call fails with "script exhausted".

    `by="call"`: the n-th call gets the n-th answer. `by="request"`: the answer that follows the last one found in the
    request; so another process, a fork, or a history that comes from elsewhere gets the answer that makes sense there.
    An answer that leaves nothing in the context (a failure) is given once in a process, then the one after it.

    Source: docs/decisions/0033-which-scripted-answer.md
    """

    def __init__(
        self,
        answers: Sequence[Answer] | Callable[[Request], Answer],
        *,
        by: Literal["call", "request"] = "call",
        ref: ModelRef = SCRIPTED,
        pace_ms: int = 0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Take the script; `pace_ms` is slept before every delta, `sleep` takes seconds.

        Raises: ArgumentError for what is no answer.
        """
        self._answers = answers if callable(answers) else _read(answers)
        self._said: list[Words | None] = []
        if by == "request" and not callable(self._answers):
            self._said = [words(answer) for answer in self._answers]
        self._by, self._ref, self._pace_s, self._sleep = by, ref, pace_ms / 1000, sleep
        self._times: dict[int, int] = {}
        self.asked: list[ScriptedCall] = []

    @property
    def ref(self) -> ModelRef:
        """Which model this is."""
        return self._ref

    def encode(self, request: Request) -> WireBody | None:
        """Return None: a script has no wire."""
        return None

    async def stream(self, request: Request, options: CallOptions) -> AsyncIterator[StreamEvent]:
        """Play the next answer; see `Model.stream`, which `cut`, `deaf` and bare stream events may break on purpose."""
        self.asked.append(ScriptedCall(request, options))
        number, answer = self.choose(request)
        signal, transcript, heeds = options.signal or asyncio.Event(), StreamedAnswer(), True
        aborted = AssistantMessage(stop_reason="aborted", error=ABORTED_TEXT)
        for step in steps(answer, number):
            if heeds and signal.is_set():
                yield transcript.end(aborted)
                return
            match step:
                case CutItem():
                    return
                case DeafItem():
                    heeds = False
                case PauseItem():
                    await self._sleep(step.pause_ms / 1000)
                case StallItem():
                    await (signal if heeds else asyncio.Event()).wait()
                    yield transcript.end(aborted)
                    return
                case AssistantMessage():
                    yield transcript.end(step)
                case StreamStart() | MessageUpdate():
                    if self._pace_s and isinstance(step, MessageUpdate) and step.delta:
                        await self._sleep(self._pace_s)
                    transcript.add(step)
                    yield step
                case StreamUsage() | StreamRetry() | StreamEnd():
                    yield step
                case _:
                    done = step()
                    if inspect.isawaitable(done):
                        await done

    def choose(self, request: Request) -> tuple[int, Answer]:
        """Take the answer to a request, and its number (from 1)."""
        if callable(self._answers):
            return len(self.asked), read_answer(self._answers(request), len(self.asked))
        number = len(self.asked) - 1
        if self._by == "request":
            place = follows(self._said, request)
            number, self._times[place] = place, self._times.get(place, 0) + 1
            for _ in range(self._times[place] - 1):
                if number < len(self._said) and self._said[number] is None:
                    number += 1
        answer = self._answers[number] if number < len(self._answers) else [fail(EXHAUSTED_TEXT)]
        return number + 1, answer


def _read(answers: Sequence[object]) -> list[Answer]:
    if not isinstance(answers, str | list | tuple):
        expected = "a list of answers, or a function that makes an answer of a request"
        raise ArgumentError(
            "ScriptedModel", "answers", expected, shown(answers), "scripted('first', 'second') is shorter"
        )
    given = [answers] if isinstance(answers, str) else answers
    return [read_answer(answer, number) for number, answer in enumerate(given, 1)]


@checked("answers")
def scripted(*answers: Answer | Callable[[Request], Answer], by: Literal["call", "request"] = "call") -> ScriptedModel:
    """Make a model of its answers: `scripted(call("weather", {"city": "Oslo"}), ["Rain", "."])`.

    A function alone makes each answer of the request. Raises: ArgumentError for what is no answer.
    """
    first = answers[0] if len(answers) == 1 else None
    if callable(first):
        return ScriptedModel(first, by=by)
    return ScriptedModel(_read(answers), by=by)
