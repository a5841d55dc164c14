"""Typed answers: a pydantic type as a JSON Schema for the model, and its answer read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from eventsource.contained import by_signal
from eventsource.errors import OutputError
from eventsource.outcome import Outcome
from eventsource.raised import words

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


class Output(Generic[T]):
    """The type that an agent's last answer must have."""

    def __init__(self, output: type[T]) -> None:
        from pydantic import TypeAdapter  # slow to load

        self._adapter: TypeAdapter[T] = TypeAdapter(output)
        self._name = getattr(output, "__name__", str(output))

    @property
    def schema(self) -> dict[str, object]:
        """The JSON Schema that the model is told."""
        return self._adapter.json_schema()

    def read_ended(self, text: str, ended: Outcome) -> T:
        """Read a run's last answer. Raises: OutputError, of a run that is not done with the words of its end."""
        if ended.status != "done":
            raise OutputError(self._name, f"the run ended as {ended.status}: {ended.reason}")
        return self.read(text)

    def read(self, text: str) -> T:
        """Read an answer. Raises: OutputError, with what does not fit."""
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


def _without_fence(text: str) -> str:
    """Take JSON out of the code fence that many models put around it."""
    inner = text.strip()
    if inner.startswith("```") and inner.endswith("```") and "\n" in inner:
        return inner[inner.index("\n") : -3]
    return inner
