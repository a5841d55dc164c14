"""Tools: what a model may call, made of Python functions."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal, Unpack, get_args, overload

import msgspec

from ..codec import clean_text, from_json, read_object, to_json
from ..durations import Duration, duration_text, duration_us
from ..errors import DurationError, InvalidTextError, ToolArgumentsError, ToolDefinitionError, ToolFailure
from ..events import EffectKind, ToolMode, ToolSpec
from ..machine.approvals import NO_APPROVAL, Approval, ApprovalRule
from ..user_code.argument_checks import checked
from ..user_code.calls import CLEAN_UP_S, UserCall, attempt
from ..user_code.error_words import words
from .arguments import Check, CheckedArguments, check_arguments, refuse
from .context import CallHeld, ToolContext
from .options import ToolOptions
from .property_names import wire_properties
from .results import ToolOutcome, failure, to_outcome

# What every provider takes; some are stricter and say so themselves.
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function a model may call, and how it is told of it. Calling the tool calls the function, unchecked."""

    spec: ToolSpec
    function: Callable[..., object]
    _check: Check
    _call: Callable[[CheckedArguments, ToolContext], object]
    approval: Approval = NO_APPROVAL
    takes_context: bool = False
    HOW_TO_GET: ClassVar[str] = (
        "@tool on a function makes one; json_tool(name, schema, function) from a JSON Schema; "
        "agent.as_tool() of an agent"
    )

    def __post_init__(self) -> None:
        """Let the specification, which the log holds, say when a call needs an approval."""
        object.__setattr__(self, "spec", msgspec.structs.replace(self.spec, approval=self.approval.kind))

    def __call__(self, *arguments: object, **named: object) -> object:
        """Call the function itself."""
        return self.function(*arguments, **named)

    @checked("approval", "timeout", "default")
    def asking(
        self,
        approval: ApprovalRule,
        *,
        timeout: Duration | None = None,
        default: Literal["approve", "deny"] = "deny",
    ) -> Tool:
        """Make a tool that differs in when its calls must be agreed to, for tools that others made.

        `timeout`, `default`: as `approval_timeout` and `approval_default` of `@tool`.
        """
        asked: ToolOptions = {"approval": approval, "approval_timeout": timeout, "approval_default": default}
        return dataclasses.replace(self, approval=_approval(self.spec.name, asked))

    def prepare(self, arguments_text: str, *, coerce: bool) -> CheckedArguments:
        """Check the arguments a model wrote, as JSON text; empty text is an empty object.

        Without `coerce`, "1" is no number. With it, what can be converted to the declared types is, and the result's
        `changed` and `text` say what is passed on. Each result is for one execution.

        Raises: ToolArgumentsError, whose text is for the model.
        """
        properties = read_object(self.spec.schema).get("properties")
        renamed = wire_properties(properties) if isinstance(properties, dict) else {}
        checked = attempt(
            lambda: check_arguments(self.spec.name, self._check, arguments_text, coerce=coerce, renamed=renamed)
        )
        if isinstance(checked.value, CheckedArguments):
            return checked.value
        if isinstance(checked.error, ToolArgumentsError):
            raise checked.error
        problem = "" if checked.error is None else words(checked.error)  # a check of the tool's author raised it
        refuse(self.spec.name, (f"root: could not be checked: {problem}",), arguments_text)

    async def execute(
        self, arguments: CheckedArguments, context: ToolContext, *, clean_up_s: float = CLEAN_UP_S
    ) -> ToolOutcome:
        """Run the function and turn whatever comes of it into an outcome; only a cancellation of this call is raised.

        A plain function runs in a thread of its own, with the caller's context variables. Cancelling this call, and the
        tool's time limit, cancel an async function, which has `clean_up_s` to end; a thread cannot be stopped: it goes
        on, and what it does or reports from then on is dropped.
        """

        def begin() -> object:
            value = self._call(arguments, context)
            if inspect.isawaitable(value):
                return self._awaited(value, context)
            context.close()
            return self._outcome(value)

        limit_us = self.spec.timeout_us
        running = UserCall(begin, thread="" if _is_async(self.function) else f"tool {self.spec.name}")
        context.begin()
        try:
            ended = await running.run(limit_s=limit_us / 1_000_000 or None, clean_up_s=clean_up_s)
        finally:
            context.end(running=running.running)
        if ended.late:
            said = f"Tool execution timed out after {duration_text(limit_us)}"
            return failure(
                ToolFailure(f"{said}, still running; its result will be dropped" if running.running else said)
            )
        if isinstance(ended.error, CallHeld):
            raise ended.error
        if isinstance(ended.error, asyncio.CancelledError):
            return failure(ToolFailure("The tool was cancelled by something it waited for; the run was not"))
        if ended.error is not None:
            return failure(ended.error)
        return ended.value if isinstance(ended.value, ToolOutcome) else self._outcome(ended.value)

    async def _awaited(self, value: Awaitable[object], context: ToolContext) -> ToolOutcome:
        try:
            return self._outcome(await value)
        finally:
            context.close()

    def _outcome(self, value: object) -> ToolOutcome:
        """Make an outcome of what the function returned, whatever its class does when it is looked at."""
        ended = attempt(lambda: to_outcome(value, tool=self.spec.name))
        if isinstance(ended.value, ToolOutcome):
            return ended.value
        problem = "" if ended.error is None else words(ended.error)
        return failure(ToolFailure(f'Tool "{self.spec.name}" ran, but what it returned cannot be kept: {problem}'))


@overload
def tool(
    function: Callable[..., object],
    /,
    *,
    name: str = "",
    **options: Unpack[ToolOptions],
) -> Tool: ...


@overload
def tool(
    *,
    name: str = "",
    **options: Unpack[ToolOptions],
) -> Callable[[Callable[..., object]], Tool]: ...


@checked("effect", "mode", "timeout", "approval", "approval_timeout", "approval_default")
def tool(
    function: Callable[..., object] | None = None,
    /,
    *,
    name: str = "",
    **options: Unpack[ToolOptions],
) -> Tool | Callable[[Callable[..., object]], Tool]:
    """Make a function a tool: `@tool`, `@tool(effect="pure")` or `tool(thing.method)`.

    Its signature gives the schema, its docstring the descriptions of the tool and of each parameter. A parameter
    annotated `ToolContext` gets the call's context and is not told to the model.

    Args:
        function: sync (runs in a thread) or async.
        name: what the model calls it; the function's own by default.
        options: see `ToolOptions`; `description` stands instead of the docstring.

    Raises:
        ToolDefinitionError: a model could not call this.
    """
    asked = _approval(name, options)

    def make(function: Callable[..., object]) -> Tool:
        from .signature import read_parameters  # pydantic is slow to load

        called = name or _own_name(function)
        if isinstance(function, Tool):
            raise ToolDefinitionError(
                called, "it is a tool already; make another of its function: tool(one.function, ...)"
            )
        parameters = read_parameters(called, function)
        spec = _spec(called, parameters.schema, options, parameters.description)

        def call(arguments: CheckedArguments, context: ToolContext) -> object:
            named = {**arguments.values, **dict.fromkeys(parameters.contexts, context)}
            unnamed = [named.pop(key) for key in parameters.positional]
            return function(*unnamed, **named)

        return Tool(_checked(function, spec), function, parameters.check, call, asked, bool(parameters.contexts))

    return make if function is None else make(function)


@checked("effect", "mode", "timeout", "approval", "approval_timeout", "approval_default")
def json_tool(
    name: str,
    schema: Mapping[str, object],
    function: Callable[..., object],
    **options: Unpack[ToolOptions],
) -> Tool:
    """Make a tool whose arguments are described by a JSON Schema; sync or async.

    The function gets them as one dict, and the call's context if it takes a second parameter. `options`: see
    `ToolOptions`.

    Raises: ToolDefinitionError when a model could not call this.
    """
    from .json_schema import schema_check

    try:
        kept = to_json(dict(schema), where="its schema")
    except InvalidTextError as error:
        raise ToolDefinitionError(name, str(error)) from error
    try:
        takes_context = len(inspect.signature(function).parameters) > 1
    except ValueError:  # a builtin that does not tell
        takes_context = False
    own = from_json(kept)
    check = schema_check(name, own if isinstance(own, dict) else {})

    def call(arguments: CheckedArguments, context: ToolContext) -> object:
        return function(arguments.values, context) if takes_context else function(arguments.values)

    spec = _spec(name, kept, options)
    return Tool(_checked(function, spec), function, check, call, _approval(name, options), takes_context)


def toolbox(tools: Sequence[Tool | Callable[..., object]]) -> dict[str, Tool]:
    """Put tools under their names, in order; a plain function becomes a tool with the defaults of `tool`.

    Raises: ToolDefinitionError when two have one name.
    """
    box: dict[str, Tool] = {}
    for given in tools:
        made = given if isinstance(given, Tool) else tool(given)
        if made.spec.name in box:
            raise ToolDefinitionError(made.spec.name, "two tools have this name; give one another: @tool(name=...)")
        box[made.spec.name] = made
    return box


def _own_name(function: object) -> str:
    """Find what a function is called, behind partials; an object's class stands for it."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, Tool):
        return function.spec.name
    return str(getattr(function, "__name__", type(function).__name__))


def _approval(name: str, options: ToolOptions) -> Approval:
    rule, timeout = options.get("approval", "never"), options.get("approval_timeout")
    default = options.get("approval_default", "deny")
    if not callable(rule) and rule not in ("always", "never"):
        raise ToolDefinitionError(name, f"approval is always, never, or a function of the arguments, not {rule!r}")
    if default not in ("approve", "deny"):
        raise ToolDefinitionError(name, f"approval_default is approve or deny, not {default!r}")
    return Approval(rule, None if timeout is None else duration_us(timeout), default)


def _spec(name: str, schema: msgspec.Raw, options: ToolOptions, description: str = "") -> ToolSpec:
    """Write down what the log keeps of a tool; `description` is its function's own."""
    if not _NAME.fullmatch(name):
        raise ToolDefinitionError(name, "a name has 1 to 128 letters, digits and _ . : -; give it one: name=...")
    effect, mode = options.get("effect", "once"), options.get("mode", "parallel")
    for value, known in ((effect, EffectKind), (mode, ToolMode)):
        if value not in get_args(known):
            raise ToolDefinitionError(name, f"{value!r} is none of {', '.join(get_args(known))}")
    return ToolSpec(
        name=name,
        schema=schema,
        description=clean_text(options.get("description") or description),
        effect=effect,
        mode=mode,
        version=options.get("version", ""),
        timeout_us=_timeout_us(name, options.get("timeout")),
    )


def _timeout_us(name: str, timeout: Duration | float | None) -> int:
    if timeout is None:
        return 0
    try:
        length = timedelta(seconds=timeout) if isinstance(timeout, int | float) else timeout
        length_us = duration_us(length)
    except (DurationError, OverflowError, ValueError, AttributeError) as error:
        problem = f"expected seconds or a duration such as '30s', found {timeout!r}"
        raise ToolDefinitionError(name, f"its timeout cannot be read: {problem}") from error
    if not length_us:
        raise ToolDefinitionError(name, "its timeout is nothing; leave it out for a tool that may take any time")
    return length_us


def _checked(function: Callable[..., object], spec: ToolSpec) -> ToolSpec:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ToolDefinitionError(spec.name, "a generator cannot be a tool; report progress with ToolContext.update")
    return spec


def _is_async(function: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
