"""The callbacks a run may have, and how they are asked: sync or async, and what they raise is told apart."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

import msgspec

from ..events import ModelRef, Place, ToolResult, ToolSpec
from ..messages import AssistantMessage, Json, Message, ToolCall
from ..user_code.argument_checks import check_fields, checked_init
from ..user_code.calls import CLEAN_UP_S, UserCall, attempt
from ..user_code.error_words import words
from ..user_code.mistaken_calls import CheckedStructMeta

T = TypeVar("T")
V = TypeVar("V")
MaybeAwaitable: TypeAlias = T | Awaitable[T]


class HookError(Exception):
    """A callback raised, or answered what it may not; carries the words. `logged`: its traceback was logged."""

    logged = False


class HookAbortedError(HookError):
    """A callback had not answered when its run was aborted."""


class Ask(Protocol):
    """Asks a callback of the run under way, and reads what it answered. Raises: HookError."""

    async def __call__(self, answer: Callable[[], MaybeAwaitable[T]], read: Callable[[T], V]) -> V:
        """Ask; an abort of the run ends the asking."""
        ...


class TurnEnded(msgspec.Struct, frozen=True):
    """What the turn hooks are shown: the turn's assistant message and the context as agent messages."""

    message: AssistantMessage | None
    messages: tuple[Message, ...]


class NextTurn(msgspec.Struct, frozen=True, kw_only=True, metaclass=CheckedStructMeta):
    """What `prepare_next_turn` changes; absent fields stay. A model is named; the run's `models` finds it."""

    model: ModelRef | None = None
    system_prompt: str | None = None
    tools: tuple[ToolSpec, ...] | None = None
    options: Json = msgspec.UNSET


class ToolRequest(msgspec.Struct, frozen=True):
    """What `before_tool_call` is shown: the call, its place, and the arguments as JSON text."""

    call: ToolCall
    place: Place
    arguments: str


class ToolVerdict(msgspec.Struct, frozen=True, kw_only=True, metaclass=CheckedStructMeta):
    """What `before_tool_call` may answer: block the call, or run it with other arguments (JSON text)."""

    block: bool = False
    reason: str = ""
    arguments: str | None = None


class ToolOutcomeShown(msgspec.Struct, frozen=True):
    """What `after_tool_call` is shown: the call, its place, what came of it."""

    call: ToolCall
    place: Place
    result: ToolResult
    is_error: bool


class ToolRevision(msgspec.Struct, frozen=True, kw_only=True, metaclass=CheckedStructMeta):
    """What `after_tool_call` may answer; absent fields stay."""

    result: ToolResult | None = None
    is_error: bool | None = None


@checked_init
@dataclass(frozen=True, kw_only=True)
class Hooks:
    """The callbacks of a run; each may be sync or async, None is never asked.

    What one of them raises ends the run with reason error and its words, but for `before_tool_call`: its words are then
    the call's result. `finish_turn`, asked before a turn ends: `end` ends the run behind it, `continue` makes one more
    turn follow.
    """

    get_steering_messages: Callable[[], MaybeAwaitable[Sequence[Message]]] | None = None
    get_follow_up_messages: Callable[[], MaybeAwaitable[Sequence[Message]]] | None = None
    should_stop_after_turn: Callable[[TurnEnded], MaybeAwaitable[bool]] | None = None
    finish_turn: Callable[[TurnEnded], MaybeAwaitable[Literal["end", "continue"] | None]] | None = None
    prepare_next_turn: Callable[[TurnEnded], MaybeAwaitable[NextTurn | None]] | None = None
    transform_context: Callable[[list[Message]], MaybeAwaitable[Sequence[Message]]] | None = None
    convert_to_llm: Callable[[list[Message]], MaybeAwaitable[Sequence[Message]]] | None = None
    before_tool_call: Callable[[ToolRequest], MaybeAwaitable[ToolVerdict | None]] | None = None
    after_tool_call: Callable[[ToolOutcomeShown], MaybeAwaitable[ToolRevision | None]] | None = None
    get_api_key: Callable[[str], MaybeAwaitable[str | None]] | None = None

    def __post_init__(self) -> None:
        """Check that each is a function or None. Raises: ArgumentError."""
        check_fields(self)


def read_verdict(answered: ToolVerdict | None) -> ToolVerdict:
    """Read what `before_tool_call` answered. Raises: what it does when it is no verdict."""
    if answered is None:
        return ToolVerdict()
    arguments = answered.arguments
    return ToolVerdict(
        block=bool(answered.block), reason=str(answered.reason), arguments=None if arguments is None else f"{arguments}"
    )


async def ask(answer: Callable[[], MaybeAwaitable[T]], *, stop: asyncio.Event | None = None, grace_s: float = 1.0) -> T:
    """Call a callback and await it if it is async, until `grace_s` after `stop` was set.

    Raises: HookError with the words of whatever it raised; HookAbortedError.
    """
    ended = attempt(answer)
    if ended.error is None and inspect.isawaitable(value := ended.value):
        ended = await UserCall(lambda: value).run(stop=stop, grace_s=grace_s, clean_up_s=CLEAN_UP_S * grace_s)
    if ended.late:
        raise HookAbortedError("a callback did not answer before the run was aborted")
    if ended.error is not None:
        raise HookError(words(ended.error)) from ended.error
    return ended.value  # type: ignore[return-value]  # what the callback returned, or what that came to


async def answered(
    answer: Callable[[], MaybeAwaitable[T]],
    read: Callable[[T], V],
    *,
    stop: asyncio.Event | None = None,
    grace_s: float = 1.0,
) -> V:
    """Ask a callback, and read what it answered. Raises: HookError also when that is nothing it may answer."""
    value = await ask(answer, stop=stop, grace_s=grace_s)
    ended = attempt(lambda: read(value))
    if isinstance(ended.error, HookError):
        raise ended.error
    if ended.error is not None:
        raise HookError(f"a callback answered what it may not: {words(ended.error)}") from ended.error
    return ended.value  # type: ignore[return-value]  # what `read` returned
