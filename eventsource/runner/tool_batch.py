"""Running a batch of tool calls: each gets its start before it runs, and its end as soon as it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from ..background import running
from ..errors import ToolArgumentsError
from ..events import (
    Event,
    Place,
    Refusal,
    RepeatedTools,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    WaitStart,
)
from ..machine.approvals import ApprovalRule, Decision, approval_key, denial, question, read_decision
from ..machine.call_rules import is_approved
from ..machine.guards import find_call
from ..machine.refusals import ABORTED, ABORTED_RUNNING
from ..machine.repeated_calls import NOT_AGAIN, FindRepeat, adopted_pair, ask_about, judge, may_repeat
from ..machine.steps import CallRun, RunTools, refused_end
from ..messages import AssistantMessage, ToolCall
from ..tools.arguments import CheckedArguments
from ..tools.context import CallHeld, Reports, RunningCall, ToolContext, idempotency_key
from ..tools.results import ToolOutcome, to_result
from ..tools.tool import Tool
from ..user_code.calls import CLEAN_UP_S
from .flushing import flushing
from .hooks import (
    Ask,
    HookAbortedError,
    HookError,
    Hooks,
    ToolOutcomeShown,
    ToolRequest,
    ToolRevision,
    ToolVerdict,
    read_verdict,
)
from .reply import FLUSH_UPDATES
from .writer import Writer

V = TypeVar("V")

_HELD = Decision(False, "not decided yet")


@dataclass(frozen=True, kw_only=True)
class BatchContext:
    """What a batch needs of its run.

    `find_repeat` knows the calls that another branch has made, `repeated_tools` what becomes of those made again.
    `grace_s`: how long a tool may go on after an abort. `note_abort` puts an abort that was signalled on record.
    `ask` asks a callback, `note_hook_error` puts on record what one raised, which ends the run.
    `under_way` says that tools run, and nothing is being decided.
    """

    tools: Mapping[str, Tool]
    hooks: Hooks
    deps: object
    grace_s: float
    deadline_us: int | None
    aborting: asyncio.Event
    note_abort: Callable[[], None]
    ask: Ask
    note_hook_error: Callable[[HookError], None]
    under_way: Callable[[], AbstractContextManager[None]]
    find_repeat: FindRepeat | None = None
    repeated_tools: RepeatedTools = "ask"


class _Ready(msgspec.Struct, frozen=True):
    run: CallRun
    call: ToolCall
    tool: Tool
    arguments: CheckedArguments


class _Ended(msgspec.Struct, frozen=True):
    outcome: ToolOutcome
    by_machine: bool = False


class BatchRunner(Generic[V]):
    """Performs one `RunTools` step."""

    def __init__(self, writer: Writer[V], context: BatchContext, message: AssistantMessage) -> None:
        self._writer, self._context, self._message = writer, context, message
        self._inbox: asyncio.Queue[tuple[_Ready, Reports | _Ended | WaitStart]] = asyncio.Queue()
        self._waits: list[Event] = []
        self._starts: list[Event] = []

    async def run(self, step: RunTools) -> None:
        """Start the calls in order, then record updates and ends as they come.

        When outside input comes before the starts are on record, nothing has run and the machine is asked again.
        """
        if self._asks(step) and not await self._writer.flush():
            return
        ready = []
        for run in step.calls:
            try:
                prepared = await self._prepare(run)
            except HookError as error:
                self._writer.forget_decisions()
                self._context.note_hook_error(error)
                return
            if prepared is not None:
                ready.append(prepared)
        # waits first: a started call without an end is a lost one
        if not await self._writer.intend(*self._waits, *self._starts) or self._context.aborting.is_set() or not ready:
            return
        with self._context.under_way():
            async with flushing(self._writer):
                await self._perform(ready)

    def _asks(self, step: RunTools) -> bool:
        tools = (self._context.tools.get(run.name) for run in step.calls)
        rules = any(tool is not None and callable(tool.approval.rule) for tool in tools)
        return rules or self._context.hooks.before_tool_call is not None

    def _approval(self, run: CallRun, tool: Tool) -> ApprovalRule:
        """Find the rule that a call's batch began with; one from before tools' rules were on record has the tool's.

        A function is the tool's own; where the tool has none any more, whether it would ask cannot be known: it asks.
        """
        call = find_call(self._writer.state, run.place.message_seq, run.place.content_index)
        kind, own = call.approval if call is not None else None, tool.approval.rule
        if kind is None or (kind == "by_arguments" and callable(own)):
            return own
        return "never" if kind == "never" else "always"

    async def _prepare(self, run: CallRun) -> _Ready | None:
        """Decide a call's start; None when it is refused, or waits for somebody."""
        block = self._message.content[run.place.content_index]
        if run.refused is not None or not isinstance(block, ToolCall):
            self._refuse(_start(run, refused=run.refused or "unknown", reason=run.reason))
            return None
        tool = self._context.tools[run.name]
        try:
            prepared = await self._agreed(run, block, tool)
        except ToolArgumentsError as error:
            self._refuse(_start(run, refused="invalid", reason=str(error)))
            return None
        if prepared is None:
            return None
        arguments, written = prepared
        if await self._made_before(run, block, written):
            return None
        self._starts.append(self._begin(run, written))
        return _Ready(run, block, tool, arguments)

    def _begin(self, run: CallRun, arguments: str | None) -> ToolExecutionStart:
        """Make the start of a call that runs; without a question, where there is a rule, it says that none was due."""
        call = find_call(self._writer.state, run.place.message_seq, run.place.content_index)
        by_arguments = call is not None and call.approval == "by_arguments"
        unasked = by_arguments and call is not None and not is_approved(call, arguments)
        return msgspec.structs.replace(_start(run, arguments=arguments), no_approval_needed=unasked)

    async def _agreed(self, run: CallRun, call: ToolCall, tool: Tool) -> tuple[CheckedArguments, str | None] | None:
        """Find the arguments that hook and people agree to, and their text if it is not the model's; None: not now."""
        coerce = self._writer.state.in_force.policies.coerce
        text, approved, changed, given = call.arguments, set[str](), False, False
        while True:
            arguments = tool.prepare(text, coerce=coerce and not given)
            approved |= {arguments.text} if changed else set()
            verdict = await self._before(run, call, arguments.text)
            if verdict.block:
                self._refuse(_start(run, refused="blocked", reason=verdict.reason))
                return None
            if verdict.arguments is not None and verdict.arguments != arguments.text:
                arguments, changed = tool.prepare(verdict.arguments, coerce=coerce), True
            changed = changed or arguments.changed
            decision = (
                None if arguments.text in approved else await self._decision(run, tool, arguments, changed=changed)
            )
            if decision is None or (decision.approve and decision.arguments in (None, arguments.text)):
                changed = changed or (decision is not None and decision.arguments is not None)
                return arguments, arguments.text if changed else None
            if not decision.approve:
                if decision is not _HELD:
                    self._refuse(_start(run, refused="blocked", reason=denial(decision)))
                return None
            text, changed, given = decision.arguments or "", True, True

    async def _decision(
        self, run: CallRun, tool: Tool, arguments: CheckedArguments, *, changed: bool
    ) -> Decision | None:
        """Find what was decided on a call, or let it wait for that; None when nobody need agree."""
        key = approval_key(run.place, arguments.text)
        token = self._writer.state.token(key)
        if token is not None and token.end is not None:
            return read_decision(token.end)
        rule = self._approval(run, tool)
        if callable(rule) and token is None:
            try:
                needed = await self._context.ask(lambda: rule(arguments.values), bool)
            except HookAbortedError:
                raise
            except HookError as error:
                return Decision(False, f"whether it needs an approval could not be found out: {error}")
        else:
            needed = rule != "never"
        if not needed:
            return None
        asked = question(tool.approval, run.place, arguments.text, self._writer.now_us(), changed=changed)
        self._waits += asked if token is None else asked[1:]
        return _HELD

    async def _made_before(self, run: CallRun, call: ToolCall, arguments: str | None) -> bool:
        """Settle a `once` call that another branch has made, or let it wait; False when it is to be made."""
        find, mode, place = self._context.find_repeat, self._context.repeated_tools, run.place
        known = find_call(self._writer.state, place.message_seq, place.content_index)
        if find is None or run.attempt > 1 or known is None or may_repeat(known.effect):
            return False
        if mode == "live" and run.answer is None:
            return False
        repeat = await find(place, run.name, call.arguments if arguments is None else arguments)
        if repeat is None:
            return False
        match judge(repeat, mode, run.answer):
            case "run":
                return False
            case "adopt":
                self._starts += adopted_pair(place, run.name, repeat, attempt=run.attempt, arguments=arguments)
            case "refuse":
                self._refuse(_start(run, arguments=arguments, refused="blocked", reason=NOT_AGAIN))
            case "ask":
                self._waits.append(ask_about(place))
        return True

    async def _before(self, run: CallRun, call: ToolCall, arguments: str) -> ToolVerdict:
        hook = self._context.hooks.before_tool_call
        if hook is None:
            return ToolVerdict()
        shown = ToolRequest(call, run.place, arguments)
        try:
            return await self._context.ask(lambda: hook(shown), read_verdict)
        except HookAbortedError:
            raise
        except HookError as error:
            return ToolVerdict(block=True, reason=str(error))

    def _refuse(self, start: ToolExecutionStart) -> None:
        place = Place(message_seq=start.message_seq, content_index=start.content_index)
        self._starts += (start, refused_end(place))

    async def _perform(self, ready: list[_Ready]) -> None:
        keys = {r.run.place.content_index: await self._writer.recorder_of(r.run.place) for r in ready}
        calls = (self._one(r, keys[r.run.place.content_index]) for r in ready)
        open_calls = len(ready)
        async with running(*calls) as tasks, running(self._give_up(tasks)):
            while open_calls:
                item, news = await self._inbox.get()
                self._context.note_abort()
                if isinstance(news, Reports):
                    await self._report(item, news)
                    continue
                if isinstance(news, WaitStart):
                    self._writer.outcome(news)
                else:
                    await self._end(item, news)
                open_calls -= 1
                if open_calls:
                    await self._writer.flush()

    async def _report(self, item: _Ready, reports: Reports) -> None:
        """Record what was reported; of much, no more is taken before it is recorded."""
        taken, place = reports.take(), item.run.place
        self._writer.outcome(
            *(
                ToolExecutionUpdate(message_seq=place.message_seq, content_index=place.content_index, partial=partial)
                for partial in taken
            )
        )
        if len(taken) > FLUSH_UPDATES:
            await self._writer.flush()

    async def _one(self, ready: _Ready, session: str) -> None:
        reports: Reports = Reports(lambda: self._inbox.put_nowait((ready, reports)))
        context = ToolContext(
            deps=self._context.deps,
            call=RunningCall(
                place=ready.run.place,
                id=ready.call.id,
                name=ready.run.name,
                idempotency_key=idempotency_key(session, ready.run.place),
            ),
            session=self._writer.session,
            deadline_us=self._deadline_us(ready.tool),
            signal=self._context.aborting,
            report=reports.put,
            full=lambda: reports.full,
        )
        clean_up_s = CLEAN_UP_S * self._context.grace_s
        try:
            ended: _Ended | WaitStart = _Ended(
                await ready.tool.execute(ready.arguments, context, clean_up_s=clean_up_s)
            )
        except CallHeld as held:
            ended = WaitStart(key=held.key, reason=held.reason, call=ready.run.place)
        except asyncio.CancelledError:
            said = ABORTED_RUNNING if context.left_running else ABORTED
            ended = _Ended(ToolOutcome(said, is_error=True), by_machine=True)
        self._inbox.put_nowait((ready, ended))

    def _deadline_us(self, tool: Tool) -> int | None:
        """Compute when a call that begins now must be over: by the run's time, or by its own."""
        own_us = self._writer.now_us() + tool.spec.timeout_us if tool.spec.timeout_us else None
        return min((limit for limit in (self._context.deadline_us, own_us) if limit is not None), default=None)

    async def _give_up(self, tasks: list[asyncio.Task[None]]) -> None:
        await self._context.aborting.wait()
        await asyncio.sleep(self._context.grace_s)
        for task in tasks:
            task.cancel()

    async def _end(self, ready: _Ready, ended: _Ended) -> None:
        outcome, failed = ended.outcome, None
        hook = self._context.hooks.after_tool_call
        if hook is not None and not ended.by_machine:
            shown = ToolOutcomeShown(ready.call, ready.run.place, outcome.result, outcome.is_error)
            try:
                outcome = await self._context.ask(lambda: hook(shown), lambda revision: _revised(outcome, revision))
            except HookError as error:
                failed = error
        self._writer.outcome(
            ToolExecutionEnd(
                message_seq=ready.run.place.message_seq,
                content_index=ready.run.place.content_index,
                result=outcome.result,
                is_error=outcome.is_error,
                decided="machine" if ended.by_machine else "executed",
            )
        )
        if failed is not None:
            self._context.note_hook_error(failed)


def _revised(outcome: ToolOutcome, revision: ToolRevision | None) -> ToolOutcome:
    """Put what `after_tool_call` answered in place of what the tool said. Raises: InvalidTextError."""
    if revision is None:
        return outcome
    return ToolOutcome(
        outcome.result if revision.result is None else to_result(revision.result),
        outcome.is_error if revision.is_error is None else bool(revision.is_error),
    )


def _start(
    run: CallRun, *, arguments: str | None = None, refused: Refusal | None = None, reason: str = ""
) -> ToolExecutionStart:
    return ToolExecutionStart(
        message_seq=run.place.message_seq,
        content_index=run.place.content_index,
        name=run.name,
        attempt=run.attempt,
        arguments=arguments,
        refused=refused,
        reason=reason,
    )
