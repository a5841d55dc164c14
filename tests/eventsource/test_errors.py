"""Every error says something, whatever it was made of, and can be pickled."""

from __future__ import annotations

import importlib
import inspect
import pickle
from itertools import chain

import pytest

from eventsource import errors
from eventsource.errors import RefoldError

MORE = ("eventsource.models.catalog", "eventsource.models.options", "refold.mcp", "refold.tasks.errors")

_WHERE = {"path": "a file", "where": "a field"}


def kinds() -> list[type[RefoldError]]:
    modules = (importlib.import_module(name) for name in MORE)
    found = chain(vars(errors).values(), *(vars(module).values() for module in modules))
    classes = {one for one in found if isinstance(one, type) and issubclass(one, RefoldError)}
    return sorted(classes, key=lambda kind: kind.__name__)


def empty(kind: type[RefoldError]) -> RefoldError:
    """Make an error that says as little as it can."""
    needed = [
        parameter
        for parameter in list(inspect.signature(kind.__init__).parameters.values())[1:]
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    least = {"str": "", "int": 0}
    return kind(*(_WHERE.get(one.name, least.get(str(one.annotation), ())) for one in needed))


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_no_error_has_an_empty_text(kind: type[RefoldError]) -> None:
    error = empty(kind)
    assert " " in str(error).strip()
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (kind, str(error))


def test_a_plain_error_says_what_it_was_given() -> None:
    assert str(RefoldError("somebody else took the new session")) == "somebody else took the new session"
    assert len(str(RefoldError())) > 10
