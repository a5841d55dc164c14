"""A model that says what a script tells it to: for tests, demonstrations, and trying things without a key."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import cached_property
from typing import Literal

import msgspec

from ...errors import ArgumentError
from ...events import MessageUpdate, ModelRef
from ...messages import AssistantMessage
from ...request import Request
from ...user_code.argument_checks import checked
from ...user_code.argument_types import shown
from ..protocol import CallOptions, StreamEnd, StreamEvent, StreamRetry, StreamStart, StreamUsage, WireBody
from .rules import Rule, ScriptEntry, fits, said_since
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
_SHOWN = 80  # characters of what was said, in an error


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

    Among the answers may stand rules (`rule`), which answer whatever says what they want. The first of the script that
    fits is given: a rule that does, or the answer whose turn it is; rules count for no answer's turn.

    Source: docs/decisions/0033-which-scripted-answer.md
    """

    def __init__(
        self,
        answers: Sequence[ScriptEntry] | Callable[[Request], Answer],
        *,
        by: Literal["call", "request"] = "call",
        ref: ModelRef = SCRIPTED,
        pace_ms: int = 0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Take the script; `pace_ms` is slept before every delta, `sleep` takes seconds.

        Raises: ArgumentError for what is no answer.
        """
        self._function = answers if callable(answers) else None
        self._script = [] if callable(answers) else _read(answers)
        self._in_turn = [place for place, one in enumerate(self._script) if not isinstance(one, Rule)]
        self._by, self._ref, self._pace_s, self._sleep = by, ref, pace_ms / 1000, sleep
        self._times, self._turns = Counter[int](), Counter[int]()
        self.asked: list[ScriptedCall] = []

    @property
    def ref(self) -> ModelRef:
        """Which model this is."""
        return self._ref

    @cached_property
    def _leaves(self) -> list[Words | None]:
        """What each answer leaves in a context: only what is found by a request needs it."""
        return [words(one.answer if isinstance(one, Rule) else one) for one in self._script]

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

    def choose(self, request: Request) -> tuple[str, Answer]:
        """Take the answer to a request, and its number (from 1), which names what it makes: `2`, then `2_2`."""
        if self._function is not None:
            self._turns[-1] += 1
            number = str(self._turns[-1])
            return number, read_answer(self._function(request), f"answer {number}")
        in_turn, turn = self._turn(request)
        for place, one in enumerate(self._script):
            if not isinstance(one, Rule):
                if place == in_turn:
                    self._turns[turn] += 1
                    return str(place + 1), one
            elif fits(one.when, request) and not (self._leaves[place] is None and self._times[place]):
                self._times[place] += 1
                again = self._times[place]
                return str(place + 1) if again == 1 else f"{place + 1}_{again}", one.answer
        return str(len(self._script) + 1), [fail(_exhausted(request) if self._has_rules else EXHAUSTED_TEXT)]

    def _turn(self, request: Request) -> tuple[int, int]:
        """Find the answer whose turn it is, by its place in the script, and as what its turn is counted."""
        if self._by == "call":
            turn, number = -1, self._turns[-1]
        else:
            said = [self._leaves[place] for place in self._in_turn]
            turn = number = follows(said, request)
            for _ in range(self._turns[turn]):
                if number < len(said) and said[number] is None:
                    number += 1
        return self._in_turn[number] if number < len(self._in_turn) else len(self._script), turn

    @property
    def _has_rules(self) -> bool:
        return len(self._in_turn) < len(self._script)


def _exhausted(request: Request) -> str:
    said = said_since(request)
    told = f"what was said last begins with {said[-1][:_SHOWN]!r}" if said else "nothing was said"
    return f"{EXHAUSTED_TEXT}: no rule fits, and no answer is left by turn; {told}"


def _read(answers: Sequence[object]) -> list[ScriptEntry]:
    if not isinstance(answers, str | list | tuple):
        expected = "a list of answers, or a function that makes an answer of a request"
        raise ArgumentError(
            "ScriptedModel", "answers", expected, shown(answers), "scripted('first', 'second') is shorter"
        )
    given = [answers] if isinstance(answers, str) else answers
    return [_read_entry(one, f"answer {number}") for number, one in enumerate(given, 1)]


def _read_entry(given: object, where: str) -> ScriptEntry:
    if isinstance(given, Rule):
        return Rule(when=given.when, answer=read_answer(given.answer, where))
    return read_answer(given, where)


@checked("answers")
def scripted(
    *answers: ScriptEntry | Callable[[Request], Answer], by: Literal["call", "request"] = "call"
) -> ScriptedModel:
    """Make a model of its answers: `scripted(call("weather", {"city": "Oslo"}), ["Rain", "."])`.

    A function alone makes each answer of the request. Raises: ArgumentError for what is no answer.
    """
    first = answers[0] if len(answers) == 1 else None
    if callable(first):
        return ScriptedModel(first, by=by)
    return ScriptedModel(_read(answers), by=by)
