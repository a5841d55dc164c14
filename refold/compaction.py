"""Compaction: replacing the beginning of a session's context, for the model only, by a summary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eventsource.codec import to_json
from eventsource.errors import CompactionError, RefoldError
from eventsource.events import AgentEnd, ChildEnd, ChildStart, Compaction, QueuePush
from eventsource.log.protocol import EventLog
from eventsource.machine.state import Config, Phase
from eventsource.messages import AssistantMessage, UserMessage
from eventsource.models.protocol import Model
from eventsource.runner.hooks import HookError, MaybeAwaitable, ask
from eventsource.runner.lease import hold
from eventsource.runner.loop import Program
from eventsource.runner.writer import Writer
from eventsource.user_code.argument_checks import checked_init
from projections.compaction import as_text, before_cut, choose_cut, context_tokens, first_kept, nearest_cut
from projections.context import ContextView, messages
from projections.pairing import ContextMessage

from .context_fold import CONTEXT
from .session_runner import run_session

KEEP_TOKENS = 20_000
INSTRUCTIONS = (
    "You write the summary that will replace the beginning of a conversation between a user and an assistant with "
    "tools. Whoever reads it must be able to go on with the work without having seen what it replaces.\n"
    "Say, under these headings: the goal; what the user asked for and decided, in their words where they matter; what "
    "was done, and how it came out; what was found out (file names, identifiers, figures, errors, exactly as they "
    "are); what is still open and what comes next. An earlier summary is to be taken over and brought up to date. "
    "Do not answer the conversation and call nothing; write only the summary."
)
SUMMARY_KEY = "compaction:"
"""How the keys begin of the children that write summaries."""


@checked_init
@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a rule gives: the text, and the name of the first message that is kept (0: none is)."""

    text: str
    first_kept_seq: int = 0


CompactionRule = Callable[[Sequence[ContextMessage]], MaybeAwaitable[Summary | None]]


@checked_init
@dataclass(frozen=True, kw_only=True)
class CompactionPolicy:
    """When a context is compacted, and how.

    limit_tokens: before a model call whose context is estimated to be larger, it is compacted; 0: only on demand.
    keep_tokens: so much of the end is kept as it is. model: who writes the summary, a name or a model object; without
    one, the agent's. instructions: the summariser's system prompt. rule: a function of the context's messages that
    gives the summary instead of a model, or None to leave the context alone.
    """

    limit_tokens: int = 0
    keep_tokens: int = KEEP_TOKENS
    model: str | Model | None = None
    instructions: str = INSTRUCTIONS
    rule: CompactionRule | None = None


class Compactor:
    """Compacts one session for one runner. `program` calls the summariser; its tools and hooks are not used."""

    def __init__(self, log: EventLog, policy: CompactionPolicy, program: Program[ContextView]) -> None:
        self._log, self._policy = log, policy
        self._program: Program[ContextView] = Program(
            model=program.model,
            context=CONTEXT,
            clock=program.clock,
            api_key=program.api_key,
            secrets=program.secrets,
            deadline_us=program.deadline_us,
        )
        self._failed = False

    async def before_request(self, writer: Writer[ContextView], aborting: asyncio.Event) -> None:
        """Compact the context that a model is about to get if it is too large; a failure leaves it as it is.

        What was decided before is on record then; when others came first it is void, and nothing is compacted.
        After a failure, this runner does not try again. Raises: HookError when the rule raises.
        """
        limit = self._policy.limit_tokens
        if not limit or self._failed or context_tokens(writer.view) <= limit or not await writer.flush():
            return
        try:
            await self.compact(writer, aborting)
        except CompactionError:
            self._failed = True  # the child's session and its end say why

    async def compact(self, writer: Writer[ContextView], aborting: asyncio.Event | None = None) -> Compaction | None:
        """Compact the context as it stands, where there is something that can be cut off.

        Returns: what was recorded; None when there was nothing to do.
        Raises: CompactionError when the model wrote no summary; HookError when the rule raises.
        """
        if writer.state.phase not in (Phase.OPEN, Phase.IDLE):
            return None
        rule = self._policy.rule
        done = await (self._by_model(writer, aborting) if rule is None else self._by_rule(writer, rule))
        if done is not None:
            writer.outcome(done)
            await writer.flush()
        return done

    async def _by_rule(self, writer: Writer[ContextView], rule: CompactionRule) -> Compaction | None:
        view = writer.view
        said = messages(view)
        summary = await ask(lambda: rule(said))
        if summary is None:
            return None
        try:
            place = nearest_cut(view, summary.first_kept_seq)
        except ValueError as error:
            raise HookError(f"the rule of compaction keeps what is not there: {error}") from error
        if place is None:
            return None
        return Compaction(
            summary=summary.text, first_kept_seq=first_kept(view, place), tokens_before=context_tokens(view)
        )

    async def _by_model(self, writer: Writer[ContextView], aborting: asyncio.Event | None) -> Compaction | None:
        view = writer.view
        place = choose_cut(view, self._policy.keep_tokens)
        if place is None:
            return None
        for stale in [key for key in writer.state.children if key.startswith(SUMMARY_KEY)]:
            writer.outcome(ChildEnd(key=stale, is_error=True, result=to_json("the process ended while it ran")))
        child = (await self._log.create(title=f"summary for {writer.session}", started_by=writer.session)).id
        while not await writer.intend(ChildStart(key=f"{SUMMARY_KEY}{child}", child=child)):
            if writer.state.closing:
                return None
        try:
            text, problem = await self._summarise(child, as_text(before_cut(view, place)), aborting)
        except RefoldError as error:
            text, problem = "", str(error)
        ended = problem if problem else f"{len(text)} characters"
        writer.outcome(ChildEnd(key=f"{SUMMARY_KEY}{child}", is_error=bool(problem), result=to_json(ended)))
        if problem:
            await writer.flush()
            raise CompactionError(writer.session, child, problem)
        return Compaction(
            summary=text, first_kept_seq=first_kept(view, place), tokens_before=context_tokens(view), child=child
        )

    async def _summarise(self, child: str, text: str, aborting: asyncio.Event | None) -> tuple[str, str]:
        """Have a model write the summary in a session of its own. Returns: the text, or the problem."""
        model = self._program.model
        asked = UserMessage(content=f"<conversation>\n{text}\n</conversation>\n\nWrite the summary.")
        session_run = await run_session(
            self._log,
            child,
            self._program,
            wanted=Config(model=model.ref if model is not None else None, system_prompt=self._policy.instructions),
            opening=[QueuePush(queue="prompt", message=asked)],
            signal=aborting,
        )
        last = CONTEXT.messages(session_run.view)[-1:]
        answer = last[0].text.strip() if last and isinstance(last[0], AssistantMessage) else ""
        for end in (recorded.event for recorded in session_run.recorded):
            if isinstance(end, AgentEnd) and end.reason != "stop":
                return "", end.error or f"the summary ended with {end.reason}"
        return answer, "" if answer else "the summary is empty"


async def compact(
    log: EventLog, session: str, compactor: Compactor, program: Program[ContextView]
) -> Compaction | None:
    """Compact an idle session now, whatever its size. Returns: what was recorded; None when nothing can be cut off.

    Raises: CompactionError; LeaseHeldError when somebody runs the session.
    """
    redact = program.secrets.redact
    writer = Writer(log, session, context=CONTEXT, clock=program.clock, on_commit=lambda events: None, redact=redact)
    async with hold(log, session) as held:
        writer.lease = held.lease
        await writer.load()
        if writer.state.phase is not Phase.IDLE:
            raise CompactionError(session, "", "its run is unfinished; resume it first")
        try:
            return await compactor.compact(writer)
        except HookError as error:
            raise CompactionError(session, "", str(error)) from error
