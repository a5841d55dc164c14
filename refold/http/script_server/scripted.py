"""A server that answers by a script, in the protocol in which it is asked: to test any client without a provider."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from eventsource.errors import ScriptFileError
from eventsource.events import MessageUpdate
from eventsource.messages import AssistantMessage
from eventsource.models.protocol import StreamEnd, StreamRetry, StreamStart
from eventsource.models.scripted.file import read_answers, read_json
from eventsource.models.scripted.model import ScriptedModel
from eventsource.models.scripted.rules import ScriptEntry
from eventsource.models.scripted.script import Answer, CutItem, PauseItem, StallItem, steps
from eventsource.request import Request

from ..guard import unpacked
from ..server import CutError, Exchange
from ..wires.answers import AnswerSender, answer_json, expected, refuse
from ..wires.protocol import Asked, Wire, read_body
from ..wires.routes import family, find_wire
from .behaviours import PLAIN, Behaviour, Body

MODEL = "scripted"
_KEPT = 1_000  # requests that are kept to be looked at


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What a scripted server says, and how it behaves: the n-th behaviour is the n-th request's, then all goes well."""

    answers: Sequence[ScriptEntry]
    behaviours: tuple[Behaviour, ...] = ()


def load_served_script(path: str | Path) -> Script:
    """Read a script: a list of answers, as `load_script` reads it, or an object with `answers` and `behaviours`.

    Raises: ScriptFileError.
    """
    name = str(path)
    given = read_json(name)
    if not isinstance(given, dict):
        return Script(answers=read_answers(name, given))
    if unknown := set(given) - {"answers", "behaviours"}:
        raise ScriptFileError(name, f"expected answers and behaviours, found {sorted(unknown)[0]!r}")
    answers = read_answers(name, given.get("answers"))
    try:
        behaviours = msgspec.convert(given.get("behaviours", []), tuple[Behaviour, ...])
    except msgspec.ValidationError as error:
        problem = str(error)
        raise ScriptFileError(name, f"behaviours: {problem[:1].lower()}{problem[1:]}") from error
    return Script(answers=answers, behaviours=behaviours)


class ScriptServer:
    """Answers each request with the answer of a script that fits what it holds, or with what a function makes of it.

    `pace_ms` passes before every delta. `asked` keeps the last requests, for a test to look at.
    """

    def __init__(
        self, script: Script | Sequence[ScriptEntry] | Callable[[Request], Answer], *, pace_ms: int = 0
    ) -> None:
        self._behaviours = script.behaviours if isinstance(script, Script) else ()
        self._model = ScriptedModel(script.answers if isinstance(script, Script) else script, by="request")
        self._pace_s = pace_ms / 1000
        self._requests = 0
        self.asked: deque[Asked] = deque(maxlen=_KEPT)

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one exchange."""
        wire, body = find_wire(exchange.path), unpacked(await exchange.body(), exchange.header("content-encoding"))
        if exchange.method == "GET" and exchange.path.endswith("/models"):
            await answer_json(exchange, 200, _models(family(exchange)))
            return
        behaviour = self._behaviour()
        if behaviour.first_byte_ms:
            await exchange.wait(behaviour.first_byte_ms / 1000)
        given = read_body(body) if wire is not None and exchange.method == "POST" else None
        if wire is None or exchange.method != "POST":
            error = (find_wire("/chat/completions") or wire, 404, f"nothing is at {exchange.method} {exchange.path}")
        elif behaviour.status != 200:
            error = (wire, behaviour.status, behaviour.message or f"status {behaviour.status}, as scripted")
        elif given is None:
            error = (wire, 400, "the body is no JSON object")
        else:
            asked = wire.read(exchange.target, given, MODEL)
            self.asked.append(asked)
            await self._say(wire, asked, Body(exchange, behaviour))
            return
        await refuse(exchange, *error, retry_after=behaviour.retry_after)

    def _behaviour(self) -> Behaviour:
        self._requests += 1
        listed = self._behaviours
        return listed[self._requests - 1] if self._requests <= len(listed) else PLAIN

    async def _say(self, wire: Wire, asked: Asked, body: Body) -> None:
        number, answer = self._model.choose(asked.request)
        said = list(steps(answer, number))
        sender = AnswerSender(wire, asked, expected(said, f"{wire.api.replace('-', '_')}_{self._requests}"), body)
        for step in said:
            match step:
                case PauseItem():
                    await body.exchange.wait(step.pause_ms / 1000)
                case StallItem():
                    await sender.stall()
                case CutItem():
                    raise CutError
                case MessageUpdate():
                    if self._pace_s and step.delta:
                        await body.exchange.wait(self._pace_s)
                    await sender.take(step)
                case StreamStart() | StreamRetry() | StreamEnd() | AssistantMessage():
                    await sender.take(step)
                case _:
                    pass  # deaf, and calls into a test: a file holds none that matter here


def _models(whose: str) -> object:
    """List the one model there is, in the words of either."""
    if whose == "google":
        methods = ["generateContent", "streamGenerateContent"]
        return {"models": [{"name": f"models/{MODEL}", "displayName": MODEL, "supportedGenerationMethods": methods}]}
    if whose == "anthropic":
        model = {"type": "model", "id": MODEL, "display_name": MODEL, "created_at": "1970-01-01T00:00:00Z"}
        return {"data": [model], "has_more": False, "first_id": MODEL, "last_id": MODEL}
    return {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "refold"}]}
