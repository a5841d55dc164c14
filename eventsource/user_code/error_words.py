"""What code raised, in words: one text for the model, a person and the log, whatever the exception is."""

from __future__ import annotations

import traceback
from types import TracebackType

from ..codec import clean_text
from ..errors import RefoldError

WORDS_LIMIT = 20_000
"""Characters of an error's text that are kept; those of a tool's result have the result's own limit."""
TRACE_LIMIT = 20_000
"""Characters of a traceback that are kept: its beginning and its end."""
_HEAD = 4_000
_MOST_NESTED = 50
_OWN = ("eventsource", "refold", "replay", "projections")
# Their text is a value, a place or a figure, and no sentence.
_NOT_A_SENTENCE = (LookupError, StopIteration, StopAsyncIteration, ArithmeticError, AssertionError)


def words(error: BaseException, *, most: int = WORDS_LIMIT, typed: bool = False) -> str:
    """Describe what was raised: its text, with its type where the text alone says too little. Never empty.

    Of a group, the first error, with its type and the number of the others. A text that cannot be made is named so.
    `typed`: the type is said whatever the text.
    """
    first, others = _first(error)
    named = type(first).__name__
    try:
        text = clean_text(str.__str__(str(first))).strip()
    except BaseException as problem:  # a broken __str__ must not end the run
        text, named = "", f"{named} (its text cannot be made: {type(problem).__name__})"
    typed = typed or first is not error or not isinstance(first, Exception) or isinstance(first, _NOT_A_SENTENCE)
    if not text:
        said = named
    elif (typed and not isinstance(first, RefoldError)) or not any(map(str.isalpha, text)):
        said = f"{named}: {text}"
    else:
        said = text
    said = said if len(said) <= most else f"{said[:most]}… ({len(said) - most:,} more characters)"
    return f"{said} (and {others} more)" if others else said


def trace(error: BaseException) -> str:
    """Write a traceback from the first frame that is not ours on; the middle of a long one is left out."""
    try:
        made = traceback.TracebackException(type(error), error, _theirs(error.__traceback__), compact=True)
        text = clean_text("".join(made.format()))
    except BaseException as problem:  # what people's classes do when they are looked at is theirs
        return f"{type(error).__name__} (its traceback cannot be written: {type(problem).__name__})"
    if len(text) <= TRACE_LIMIT:
        return text
    left_out = len(text) - TRACE_LIMIT
    return f"{text[:_HEAD]}\n… ({left_out:,} characters left out)\n{text[_HEAD + left_out :]}"


def _first(error: BaseException) -> tuple[BaseException, int]:
    """Find the first error within groups, and how many others there are."""
    others = 0
    for _ in range(_MOST_NESTED):
        if not isinstance(error, BaseExceptionGroup):
            break
        others += len(error.exceptions) - 1
        error = error.exceptions[0]
    return error, others


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    found = trace
    while found is not None and str(found.tb_frame.f_globals.get("__name__", "")).partition(".")[0] in _OWN:
        found = found.tb_next
    return found if found is not None else trace
