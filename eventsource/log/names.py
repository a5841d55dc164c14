"""The ids, titles and names of sessions, by the same rules in every store."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidTextError, UnknownSessionError

_MAX_ID = 200


def check_id(session: str) -> str:
    """Return an id that can be stored and typed.

    Raises: InvalidTextError for an empty or overlong id, white space, control characters and surrogates.
    """
    if not session or len(session) > _MAX_ID or not session.isprintable() or any(sign.isspace() for sign in session):
        raise InvalidTextError(
            "session id", f"{session[:_MAX_ID]!r} must be 1 to {_MAX_ID} printable characters without spaces"
        )
    return session


def check_title(title: str) -> str:
    """Return a title that can be stored. Raises: InvalidTextError for lone surrogates."""
    try:
        title.encode()
    except UnicodeEncodeError as error:
        raise InvalidTextError("title", "the text holds a lone surrogate") from error
    return title


def choose(name: str, titled: Sequence[str], prefixed: Sequence[str]) -> str:
    """Decide which session a name that is no id means: the one with that title, else the one whose id begins so.

    Raises: UnknownSessionError, with the candidates when there is more than one.
    """
    for candidates in (titled if name else (), prefixed if name else ()):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise UnknownSessionError(name, tuple(sorted(candidates)))
    raise UnknownSessionError(name)


def choose_whole(name: str, titled: Sequence[str], *, is_id: bool) -> str:
    """Decide which session a whole name means: the one with that id or that title.

    Raises: UnknownSessionError, with the candidates when it is the id of one and the title of another, or two titles.
    """
    found: list[str] = sorted({*([name] if is_id else ()), *(titled if name else ())})
    if len(found) == 1:
        return found[0]
    raise UnknownSessionError(name, tuple(found))
