"""The check of what ends a wait: a token's value against its schema, a decision on a call against its tool's."""

from __future__ import annotations

from ..codec import from_json, read_object
from ..errors import TokenValueError
from ..events import Place, WaitEnd
from ..messages import Json
from ..tools.arguments import Refused
from ..user_code.error_words import words
from .approvals import AGAIN, REASON
from .guards import find_call
from .state import State

_DECISION = frozenset(("approve", "reason", "arguments"))


def check_end(state: State, end: WaitEnd) -> None:
    """Check that what is open takes what it is ended with, so that nothing is spent on a mistake.

    Raises: TokenValueError with what does not fit, and where.
    """
    token, wait = state.token(end.key), next((wait for wait in state.waits if wait.key == end.key), None)
    if end.outcome != "completed" or end.push_seq or (wait is None and (token is None or token.end is not None)):
        return
    value = from_json(end.value)
    if token is not None:
        if token.untyped:
            raise TokenValueError(end.key, "its type was erased, so no value can be checked; cancel what waits for it")
        _check_value(end.key, token.value_schema, value)
    if wait is not None and wait.reason == REASON and wait.call is not None:
        _check_decision(state, end.key, wait.call, value)


def _check_decision(state: State, key: str, place: Place, value: object) -> None:
    """Check that a value decides on a call, and that its tool, as the log describes it, takes the arguments in it."""
    if value in (AGAIN, "fail"):
        return
    if not isinstance(value, dict) or not isinstance(value.get("approve"), bool):
        raise TokenValueError(key, "a call is approved or denied: approve=True or approve=False")
    if unknown := sorted(value.keys() - _DECISION):
        raise TokenValueError(key, f"a decision has approve, reason and arguments, not {', '.join(unknown)}")
    if (arguments := value.get("arguments")) is None:
        return
    if not value["approve"]:
        raise TokenValueError(key, "arguments go with an approval, and this is a denial")
    if not isinstance(arguments, dict):
        raise TokenValueError(key, "arguments: must be an object")
    call = find_call(state, place.message_seq, place.content_index)
    spec = state.in_force.tool(call.name) if call is not None else None
    if spec is None:
        return
    from ..tools.json_schema import schema_check

    try:
        checked = schema_check(spec.name, read_object(spec.schema))(arguments, coerce=False)
    except Exception as error:  # a schema's own faults, such as a reference that leads nowhere
        raise TokenValueError(key, f"arguments of {spec.name}: cannot be checked: {words(error)}") from error
    if isinstance(checked, Refused):
        raise TokenValueError(key, f"arguments of {spec.name}: {'; '.join(checked.problems)}")


def _check_value(key: str, schema: Json, value: object) -> None:
    """Check that a token takes a value."""
    wanted = read_object(schema)
    if not wanted:
        return
    import jsonschema  # type: ignore[import-untyped, unused-ignore]  # no stubs; slow to load, so only here
    import referencing

    validator = jsonschema.Draft202012Validator(wanted, registry=referencing.Registry())
    problems = [
        f"{'/'.join(map(str, error.absolute_path)) or 'value'}: {error.message}"
        for error in validator.iter_errors(value)
    ]
    if problems:
        raise TokenValueError(key, "; ".join(problems))
