"""Errors as answers: a status, and the sentence of the error as problem+json (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

import msgspec

from eventsource import errors
from eventsource.errors import ErrorFields, RefoldError

from ...tasks.errors import NoTaskError, TaskPayloadError
from ..guard import RefusedError
from ..interface.problems import MEDIA_TYPE, Problem


@dataclass(eq=False, repr=False)
class ProblemError(ErrorFields, Exception):
    """Raised to answer with a problem that no error of the library stands for.

    `retry_after_s`: when to ask again, if that helps.
    """

    status: int
    detail: str
    error: str = ""
    retry_after_s: int | None = None
    _TEXT: ClassVar[str] = "{detail}"


_PHRASES: Mapping[int, str] = {413: "Content Too Large", 422: "Unprocessable Content"}
_STATUSES: Mapping[type[RefoldError], int] = {
    errors.ArgumentError: 422,
    errors.ConflictError: 409,
    errors.ContinueRefusedError: 409,
    errors.CorruptLogError: 500,
    errors.DurationError: 422,
    errors.EventTooLargeError: 413,
    errors.FencedError: 409,
    errors.HasForksError: 409,
    errors.IllegalEventError: 409,
    errors.InvalidTextError: 422,
    errors.LeaseHeldError: 409,
    errors.MissingModelError: 409,
    errors.MissingToolError: 409,
    errors.OutcomeUnknownError: 503,
    errors.SessionExistsError: 409,
    errors.SessionOpenError: 409,
    errors.StoreError: 503,
    errors.TailLostError: 409,
    errors.TokenValueError: 422,
    errors.UnknownLabelError: 404,
    errors.UnknownSeqError: 404,
    errors.UnknownSessionError: 404,
    errors.UnreadMessageError: 409,
    errors.WaitOverError: 409,
    NoTaskError: 404,
    TaskPayloadError: 422,
}
"""What each error means; another one of the library's is a request that cannot be done: 422."""


def status_of(error: RefoldError) -> int:
    """Return the status of an error; the nearest class in the table counts."""
    return next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), 422)


def phrase(status: int) -> str:
    """Return what a status is called (RFC 9110); Python calls some of them by older names before 3.13."""
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def problem_of(error: Exception) -> Problem:
    """Describe an error; one that should not happen says so, and nothing of what it is."""
    match error:
        case ProblemError():
            return problem(error.status, error.detail, error=error.error)
        case RefusedError():
            return problem(error.status, error.problem)
        case RefoldError():
            return problem(status_of(error), str(error), error=type(error).__name__, fields=_fields(error))
        case _:
            return problem(500, "this should not happen; the server has said on its stderr what it was")


def problem(status: int, detail: str, *, error: str = "", fields: Mapping[str, object] | None = None) -> Problem:
    """Make a problem; its title is what the status means."""
    return Problem(title=phrase(status), status=status, detail=detail, error=error, fields=fields or {})


def refusal(refused: RefusedError) -> tuple[str, bytes]:
    """Write the refusal of a request that was not looked at any further."""
    return MEDIA_TYPE, msgspec.json.encode(problem(refused.status, refused.problem))


def _fields(error: RefoldError) -> Mapping[str, object]:
    """Return what an error says beside its sentence, as far as it is plain data."""
    plain = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(error).items()
        if not name.startswith("_") and isinstance(value, str | int | tuple | None)
    }
    return {name: value for name, value in plain.items() if name != "args"}
