"""The check of a value that completes a token against the JSON Schema its maker recorded."""

from __future__ import annotations

from .codec import read_object
from .errors import TokenValueError
from .messages import Json


def check_value(key: str, schema: Json, value: object) -> None:
    """Hold that a token takes a value. Raises: TokenValueError with what does not fit, and where."""
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
