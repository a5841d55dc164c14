"""What may go wrong between a client and a server; what the server's log refuses is the library's own error again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import msgspec

from eventsource import errors
from eventsource.errors import RefoldError

from ..http.interface.problems import Problem
from ..tasks import errors as task_errors


@dataclass(eq=False, repr=False)
class ClientError(RefoldError):
    """A server did not do what it was asked for, and no error of the library says why.

    `status`: of its answer, 0 when none came; then what was asked for may have been done or not, if it changes
    anything. `error`: the name of the error there, if it has one that is not known here.
    """

    url: str
    status: int
    problem: str
    error: str = ""

    def __str__(self) -> str:
        said = self.problem or "the server did not do what it was asked for"
        return f"{self.url}: {said}" + (f" (status {self.status})" if self.status else "")


@cache
def _known() -> Mapping[str, type[RefoldError]]:
    """Return the errors that a server's log may raise, by name."""
    found = (*vars(errors).values(), *vars(task_errors).values())
    return {one.__name__: one for one in found if isinstance(one, type) and issubclass(one, RefoldError)}


def error_of(url: str, problem: Problem) -> RefoldError:
    """Return the library's error that a problem is, with its fields; a ClientError for any other."""
    kind = _known().get(problem.error)
    if kind is not None:
        try:
            found = msgspec.convert(problem.fields, kind)
        except (msgspec.ValidationError, TypeError):  # of another release
            found = None
        if found is not None and str(found) == problem.detail:
            return found
    return ClientError(url, problem.status, problem.detail, problem.error)
