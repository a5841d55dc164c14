"""Calls that a function cannot take: what was meant, in words, also where another library has the word."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..errors import ArgumentError
from .argument_types import shown

# A parameter, and what it is called elsewhere (pydantic-ai, openai-agents, langgraph, vendors' clients); of several
# that a word could mean, the first one that the function has.
_ELSEWHERE: Sequence[tuple[str, str]] = (
    ("system", "system_prompt system_message instructions instruction developer_prompt prompt state_modifier"),
    ("model", "model_name model_id llm chat_model language_model client"),
    ("tools", "functions function_tools toolsets toolset tool"),
    ("output", "output_type result_type response_model response_format output_schema structured_output"),
    ("deps_type", "dependencies_type context_type"),
    ("deps", "dependencies context run_context"),
    ("options", "model_settings settings model_kwargs config generation_config"),
    ("hooks", "callbacks"),
    ("limit_tokens", "max_tokens token_limit"),
    ("turn_limit", "max_turns max_steps max_iterations recursion_limit request_limit"),
    ("token_limit", "max_total_tokens total_tokens_limit budget"),
    ("output_retries", "result_retries"),
    ("retries", "max_retries retry max_attempts attempts"),
    ("prompt", "input inputs message messages user_prompt query question text content"),
    ("session", "session_id thread_id thread conversation conversation_id message_history history memory"),
    ("timeout_ms", "timeout timeout_s timeout_seconds"),
    ("timeout", "timeout_ms timeout_s timeout_seconds"),
    ("max_duration", "timeout timeout_s time_limit"),
    ("signal", "abort abort_signal cancellation_token"),
    ("key", "idempotency_key request_id"),
    ("approval", "requires_approval needs_approval require_approval confirm"),
    ("id", "name task_name task_id"),
    ("name", "name_override tool_name agent_name title id"),
    ("title", "name"),
    ("description", "description_override doc docstring help"),
    ("mode", "execution_mode sequential"),
    ("payload", "payload_type input_type input schema"),
    ("result", "result_type output output_type return_type"),
    ("returns", "result_type output_type return_type"),
    ("schema", "parameters input_schema json_schema params_json_schema args_schema"),
    ("function", "fn func handler on_invoke_tool execute"),
    ("path", "file filename db database url uri db_path"),
    ("system_prompt", "system instructions"),
    ("approve", "approved decision"),
    ("at", "seq"),
    ("reason", "message error"),
)
_OPTIONS = (
    "temperature max_tokens thinking tool_choice stop cache extra_body top_p top_k seed max_output_tokens "
    "max_completion_tokens frequency_penalty presence_penalty reasoning reasoning_effort stop_sequences"
)
_ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_DEPS = "`deps_type=` is their type; deps themselves are given to run, stream and resume"


def mistaken_call(
    where: str,
    signature: inspect.Signature,
    args: Sequence[object],
    named: Mapping[str, object],
    inner: Callable[[], Mapping[str, tuple[str, ...]]] = dict,
) -> ArgumentError | None:
    """Return what of a call a signature has no place for, or lacks; None when it fits.

    `inner`: the parameters that are made of fields, as `policies` of those of `Policies`: the class's name and fields.
    """
    try:
        signature.bind(*args, **named)
    except TypeError as error:
        problem = str(error)
    else:
        return None
    where = where.removesuffix(".__init__")
    parameters = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
    names = [one.name for one in parameters if one.kind not in (one.POSITIONAL_ONLY, *_ANY)]
    by_place = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    given = args[len(signature.parameters) - len(parameters) :]
    takes = f"it takes {', '.join(f'{name}=' for name in names)}" if names else "it takes none"
    any_name = any(one.kind is one.VAR_KEYWORD for one in parameters)
    for name in named:  # no value is shown: it may be a key
        if name not in names and not any_name:
            advice = _advice(name, names, inner()) or takes
            return ArgumentError(where, name, "one of its arguments", "none of this name", advice)
    if len(given) > len(by_place) and not any(one.kind is one.VAR_POSITIONAL for one in parameters):
        most = f"{len(by_place)} at most without a name" if by_place else "none without a name"
        return ArgumentError(where, "arguments", most, shown(given[len(by_place)]), takes)
    needed = [one for one in parameters if one.default is one.empty and one not in by_place[: len(given)]]
    missing = next((one for one in needed if one.kind not in _ANY and one.name not in named), None)
    if missing is not None:
        return ArgumentError(where, missing.name, "a value", "none", f"give `{missing.name}=...`")
    return ArgumentError(where, "arguments", "each once", problem)


def _advice(name: str, names: Sequence[str], inner: Mapping[str, tuple[str, ...]]) -> str:
    """Guess which argument was meant by a name; empty when nobody can tell."""
    if name == "deps" and "deps_type" in names:
        return _DEPS
    if name in _OPTIONS.split() and "options" in names:
        return f'give options={{"{name}": ...}}'
    elsewhere = [one for one, words in _ELSEWHERE if name in words.split()]
    for parameter, (kind, *fields) in inner.items():
        field = next((one for one in (name, *elsewhere) if one in fields), "")
        if field and not any(one in names for one in elsewhere):
            return f"give {parameter}={kind}({field}=...)"
    meant = next((one for one in elsewhere if one in names), "")
    meant = meant or next(iter(difflib.get_close_matches(name, names, 1, 0.7)), "")
    if meant:
        return f"did you mean `{meant}=`?"
    for parameter, (kind, *fields) in inner.items():
        if close := difflib.get_close_matches(name, fields, 1, 0.75):
            return f"did you mean {parameter}={kind}({close[0]}=...)?"
    return ""


class CheckedStructMeta(msgspec.StructMeta):
    """Makes a msgspec struct say what of a call it has no place for; such a class can have no `__init__` of its own."""

    if not TYPE_CHECKING:  # which read the fields

        def __call__(self, *args: object, **named: object) -> object:
            """Make one. Raises: ArgumentError."""
            try:
                return super().__call__(*args, **named)
            except TypeError:
                mistake = mistaken_call(self.__qualname__, inspect.signature(self), args, named)
                if mistake is None:
                    raise
            raise mistake
