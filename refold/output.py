"""Typed answers: a pydantic type as a JSON Schema for the model, and its answer read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from eventsource.errors import OutputError
from eventsource.machine.outcome import RunOutcome
from eventsource.messages import AssistantMessage
from eventsource.user_code.calls import by_signal
from eventsource.user_code.error_words import words

from .local_types import local_names

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


class Output(Generic[T]):
    """The type that an agent's last answer must have; `schema` is what the model is told, absent of a plain text."""

    def __init__(self, output: type[T]) -> None:
        """Raises: TypeError for what pydantic makes no JSON Schema of."""
        given: object = output  # what is no class, such as a union, is given too
        self._name = given.__name__ if isinstance(given, type) else str(given)
        self._adapter: TypeAdapter[T] | None = None
        self.schema: dict[str, object] | None = None
        if output is str:
            return
        from pydantic import TypeAdapter  # slow to load

        try:
            self._adapter = TypeAdapter(output)
            if names := local_names(output):
                self._adapter.rebuild(raise_errors=False, _types_namespace=names)  # using it says what is missing
            self.schema = self._adapter.json_schema()
        except Exception as error:  # pydantic has many, and a type's author too
            problem = words(error).partition("\n")[0]
            raise TypeError(f"output={self._name} is no type that an answer can be read as: {problem}") from error

    def problem(self, answer: AssistantMessage) -> str:
        """Return what does not fit in an answer; empty when it fits."""
        try:
            self.read(answer.text)
        except OutputError as error:
            return error.problem
        return ""

    def read_ended(self, text: str, ended: RunOutcome) -> T:
        """Read a run's last answer. Raises: OutputError, of a run that is not done with the words of its end."""
        if ended.status != "done":
            raise OutputError(self._name, f"the run ended as {ended.status}: {ended.reason}")
        return self.read(text)

    def read(self, text: str) -> T:
        """Read an answer. Raises: OutputError, with what does not fit."""
        if self._adapter is None:
            return text  # type: ignore[return-value]  # the type is str
        from pydantic import ValidationError

        try:
            return self._adapter.validate_json(_without_fence(text))
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'answer'}: {e['msg']}" for e in error.errors())
            raise OutputError(self._name, f"{problems}; the answer was {text[:200]!r}") from error
        except BaseException as error:  # a validator of the type's author may raise anything
            if by_signal(error):
                raise
            raise OutputError(self._name, f"its check raised {words(error)}; the answer was {text[:200]!r}") from error


def recorded_check(options: Mapping[str, object]) -> tuple[Callable[[AssistantMessage], str] | None, str]:
    """Build the check of answers by the JSON Schema that options hold, where nothing else is known of their type.

    Returns: what says what does not fit in an answer; None without a schema, or, with why, of one that cannot be used.
    """
    schema = options.get("output_schema")
    if not schema or not isinstance(schema, Mapping):
        return None, "" if schema is None else "it is no JSON object"
    from eventsource.tools.json_schema import SchemaFaultError, value_check  # slow to load

    try:
        check = value_check(dict(schema))
    except SchemaFaultError as error:
        return None, str(error)

    def problem(answer: AssistantMessage) -> str:
        try:
            problems = check(json.loads(_without_fence(answer.text)))
        except ValueError as error:
            problems = (f"answer: it is no JSON: {error}",)
        return f"{'; '.join(problems)}; the answer was {answer.text[:200]!r}" if problems else ""

    return problem, ""


def _without_fence(text: str) -> str:
    """Remove the code fence that many models put around JSON."""
    inner = text.strip()
    if inner.startswith("```") and inner.endswith("```") and "\n" in inner:
        return inner[inner.index("\n") : -3]
    return inner
