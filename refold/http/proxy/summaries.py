"""Recording a compaction that a client made: from here on, a summary stands for what was said."""

from __future__ import annotations

from collections.abc import Sequence

from eventsource.events import Compaction, ContextEdit
from eventsource.machine.state import Phase
from eventsource.messages import Message
from eventsource.runner.advance import advance
from eventsource.runner.writer import Writer
from projections.compaction import context_tokens
from projections.context import ContextView

from .client_messages import adopt, end_run
from .prefix_match import expected_messages
from .shortening import Shortened


async def record_summary(writer: Writer[ContextView], found: Shortened, messages: Sequence[Message]) -> None:
    """Record a summary, and the words in which the client sends it.

    If it comes first, it stands in place of all that is not kept behind it. Else the client wrote the beginning anew:
    what stands up to the summary is adopted, and the model does not read the summary by itself.
    """
    await advance(writer)
    if writer.state.phase is Phase.TOOLS:  # calls that the client never answers
        await end_run(writer)
    own = expected_messages(writer.view)
    first = found.place == 0
    kept = own[-found.kept].seq if first and found.kept else 0
    writer.outcome(
        Compaction(
            summary=found.summary,
            first_kept_seq=kept,
            tokens_before=context_tokens(writer.view),
            child=found.by,
            silent=not first,
        )
    )
    await writer.flush()
    if first:
        seq = writer.view.entries[writer.view.summary].seq
        writer.outcome(ContextEdit(message_seq=seq, replacement=messages[0]))
        return
    await end_run(writer)
    adopt(writer, messages[: found.place + 1])
