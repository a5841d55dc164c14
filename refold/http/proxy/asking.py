"""Recording a request: what it says that is not on record yet, and that a model is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from eventsource.codec import read_object, to_json
from eventsource.events import AbortRequest, ContextEdit, Label, MetadataSet, ModelRef, ModelRequest, Resume
from eventsource.machine.config_diff import difference
from eventsource.machine.state import Config, Phase
from eventsource.messages import AssistantMessage, Message, ToolResultMessage
from eventsource.models.wire import inner
from eventsource.request import Request, request_sha256
from eventsource.runner.advance import advance
from eventsource.runner.recorder import POLICIES
from eventsource.runner.writer import Writer
from projections.context import ContextView

from ...context_fold import CONTEXT
from ..wires.client_name import ClientName
from .alignment import Alignment, Rewrite, Said, align, said
from .child_links import ChildLinks
from .client_messages import record_messages
from .finding import write_name
from .prefix_match import as_on_record, expected_messages
from .surroundings import read_surroundings
from .titles import title_of_prompts

CODEC = "client/1"
"""The codec of a body that the client wrote."""
TASK_STAYS = "a client goes on from here; the task goes on in the session this one was forked from"


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A request with all that was said before, as it is to be recorded.

    `sent`: its messages with the answers that say nothing, by which no session is found.
    `made`: the session was made for it, as a new one, as a fork, or as the fork in which a summary is asked for;
    `parent`: the session that it is a fork of. `renamed`: the session has no name yet, and its client gives it one.
    `unkept`: what of it is not to be had.
    """

    request: Request
    sent: Sequence[Message] = ()
    asked: Sequence[Said]
    client: ClientName
    ref: ModelRef
    body_sha256: str
    made: Literal["", "new", "fork", "summary"] = ""
    parent: str = ""
    renamed: bool = False
    unkept: str = ""

    def beside(self, writer: Writer[ContextView]) -> Alignment:
        """Lay it beside a session that it goes on from."""
        own = [said(part.message) for part in expected_messages(writer.view)]
        return align(own, self.asked, named=bool(self.client.session))

    def goes_on(self, writer: Writer[ContextView]) -> bool:
        """Return whether it has all that a session has."""
        return self.beside(writer).own == len(expected_messages(writer.view))

    def left(self, writer: Writer[ContextView]) -> Sequence[Message]:
        """Return what it says that a session does not have."""
        return self.request.messages[self.beside(writer).asked :]

    def losses(self) -> Iterator[str]:
        """Say what of the exchange cannot be kept."""
        if self.unkept:
            yield self.unkept
        wanted = _answers_wanted(read_object(self.request.options))
        if wanted > 1:
            yield f"n={wanted}: the client asked for {wanted} answers; the first is on record, the others are not"


def _answers_wanted(options: Mapping[str, object]) -> int:
    """Read how many answers a request wants, in the words of OpenAI or of Google."""
    extra = inner(options, "extra_body")
    wanted = extra.get("n", inner(extra, "generationConfig").get("candidateCount"))
    return wanted if type(wanted) is int else 1


async def record_request(writer: Writer[ContextView], talk: Conversation, links: ChildLinks) -> None:
    """Record what a request says that is not on record yet, and that the model is asked."""
    request = talk.request
    if writer.state.phase in (Phase.REQUESTED, Phase.STREAMING):
        writer.outcome(Resume(why="crash", runner=writer.lease.owner if writer.lease is not None else ""))
    if writer.state.task:
        writer.outcome(AbortRequest(cause="cancel", error=TASK_STAYS))
    await advance(writer)
    beside = talk.beside(writer)
    left = request.messages[beside.asked :]
    _name(writer, talk, left)
    config = Config(
        model=talk.ref,
        system_prompt=request.system_prompt,
        tools=request.tools,
        options=request.options,
        policies=POLICIES,
    )
    change = difference(writer.state.config, config)
    if change is not None:
        writer.outcome(change)
    _rewrite(writer, beside.rewritten, request.messages)
    await record_messages(writer, left, links)
    recorded = False
    while not recorded:  # what others append first makes it a new decision
        await advance(writer)
        if writer.state.run is None:  # nothing was said, or the run ended before it asked (at a limit)
            writer.outcome(Resume(why="continue"))
            await advance(writer)
        run = writer.state.run
        sent = CONTEXT.select(writer.view, as_on_record(writer.view, talk.sent))
        recorded = await writer.intend(
            ModelRequest(
                attempt=run.attempt + 1 if run is not None else 1,
                request_sha256=request_sha256(CONTEXT.requests().build(writer.view, sent)),
                body_sha256=talk.body_sha256,
                body_codec=CODEC,
                selection=sent,
            )
        )


def _name(writer: Writer[ContextView], talk: Conversation, left: Sequence[Message]) -> None:
    """Say what a session that was just made is called, and what its client calls it."""
    if talk.renamed:
        writer.outcome(write_name(talk.client))
    if not talk.made:
        return
    title = f"summary for {talk.parent}" if talk.made == "summary" else title_of_prompts(left)
    if title:
        writer.outcome(Label(text=title))
    if talk.client.program and talk.made == "new":
        writer.outcome(MetadataSet(name="agent", value=to_json(talk.client.program)))
    if talk.made == "new":
        where = read_surroundings(talk.request.system_prompt, talk.request.messages)
        for name, value in (("folder", where.folder), ("branch", where.branch)):
            if value:
                writer.outcome(MetadataSet(name=name, value=to_json(value)))
    if talk.client.session:
        writer.outcome(write_name(talk.client))


def _rewrite(writer: Writer[ContextView], rewritten: Sequence[Rewrite], messages: Sequence[Message]) -> None:
    """Record what the client now says in place of what was said; what it leaves out is not shown to the model.

    A result, or an answer with calls, that is left out stays: the request says by itself that it is not sent.
    """
    own = expected_messages(writer.view)
    for one in rewritten:
        part = own[one.own]
        if one.asked is not None:
            writer.outcome(ContextEdit(message_seq=part.seq, replacement=messages[one.asked]))
        elif not isinstance(part.message, ToolResultMessage) and not _calls(part.message):
            writer.outcome(ContextEdit(message_seq=part.seq))


def _calls(message: Message) -> bool:
    return isinstance(message, AssistantMessage) and bool(message.tool_calls)
