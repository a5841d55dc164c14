"""A session given to an agent: a copy in its format, as a new session, where that agent looks for its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import msgspec

from eventsource.errors import TranscriptError
from eventsource.events import ModelRef
from eventsource.log.load import load_state
from eventsource.log.protocol import EventLog
from eventsource.message_text import text_of
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    Message,
    ProviderContent,
    ToolCall,
    ToolResultMessage,
    UserContent,
    UserMessage,
)
from eventsource.models.adapt.history import translated
from eventsource.models.adapt.reasoning import kept_reasoning
from eventsource.models.openai.shared import sent_arguments
from eventsource.models.rules import limits_for
from projections.context import ContextView, parts, pushed

from ..lineage import lineage


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """The session that a copy becomes: its id, the folder in which its agent works, its Git branch, and when."""

    id: str
    folder: str
    branch: str
    at_us: int


class Copied(msgspec.Struct, frozen=True):
    """A copy: its file, and what the model read so far, which is not all in it."""

    data: bytes
    view: ContextView


class ToAgent(msgspec.Struct, frozen=True, kw_only=True):
    """How a session is given to an agent.

    `copy`: writes a session with what it inherits as the model reads it at its head. `path`: where the agent looks for
    a session, by its environment. `around`: what else must be there for that, and what it says. `resume`: the agent's
    own command to go on with it, and with a prompt, if it has one.
    """

    copy: Callable[[EventLog, str, NewSession], Awaitable[Copied]]
    path: Callable[[NewSession, Mapping[str, str]], Path]
    resume: Callable[[NewSession, Path, Sequence[str]], Sequence[str]]
    around: Callable[[NewSession, Path], Mapping[Path, str]] = lambda *_: {}


class HandedOver(msgspec.Struct, frozen=True, kw_only=True):
    """What was given to an agent: the new session, its file, the command that goes on with it, and what is lost.

    `messages`: how many the model reads. `unanswered`: the last of them is a prompt.
    """

    id: str
    path: str
    folder: str
    command: tuple[str, ...]
    messages: int
    unanswered: bool = False
    lost: tuple[str, ...] = ()


async def hand_over(
    log: EventLog,
    session: str,
    agent: str,
    to_agent: ToAgent,
    *,
    folder: str,
    environment: Mapping[str, str],
    at_us: int,
) -> HandedOver:
    """Write a session where an agent looks for its own, under a new id; prompts that wait go into the command.

    Args:
        folder: where the agent is to work.

    Raises: TranscriptError when it holds nothing; FileExistsError; other OSErrors.
    """
    info = await log.info(session)
    new = NewSession(id=str(uuid4()), folder=folder.replace("\0", ""), branch=info.branch, at_us=at_us)
    copied = await to_agent.copy(log, session, new)
    said = [part.message for part in parts(copied.view)]
    if not said:
        raise TranscriptError(session, "holds no message that a model reads; there is nothing to give to an agent")
    path = to_agent.path(new, environment)
    path.parent.mkdir(parents=True, exist_ok=True)
    for beside, text in to_agent.around(new, path).items():
        if not beside.exists():
            beside.write_text(text, encoding="utf-8")
    try:
        with path.open("xb") as file:
            file.write(copied.data)
    except FileExistsError:
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    _, state = await load_state(log, session)
    waiting = [message for push in state.queue if (message := pushed(copied.view, push.seq)) is not None]
    prompt = "\n\n".join(text for message in waiting if (text := text_of(message)))
    return HandedOver(
        id=new.id,
        path=str(path),
        folder=new.folder,
        command=tuple(to_agent.resume(new, path, [prompt] if prompt else [])),
        messages=len(said),
        unanswered=not prompt and isinstance(said[-1], UserMessage),
        lost=(*_lost(copied.view, waiting, own=info.agent == agent), *await _left_out(log, session)),
    )


async def _left_out(log: EventLog, session: str) -> list[str]:
    """Say what a copy lacks of the sessions below it."""
    found = await started_below(log, session)
    return [f"what {found} sub-agent{'s' * (found != 1)} did: their answers are there"] if found else []


async def started_below(log: EventLog, session: str) -> int:
    """Count the sessions that a session began, or what it inherits: no file of one holds them."""
    above = {name for name, _ in await lineage(log, session)}
    found = 0
    after: str | None = None
    while page := await log.sessions(tree=session, after=after):
        found += sum(one.started_by in above for one in page)
        after = page[-1].id
    return found


def _lost(view: ContextView, waiting: Sequence[Message], *, own: bool) -> list[str]:
    """Say what of a session its copy lacks; an agent has a prompt and tools of its own."""
    lost = []
    if view.config.system_prompt and not own:
        lost.append("the system prompt: the agent has its own")
    if view.config.tools and not own:
        lost.append(f"the tools ({', '.join(tool.name for tool in view.config.tools)}): the agent has its own")
    contents = [message.content for message in waiting if isinstance(message, UserMessage)]
    if any(isinstance(part, ImageContent) for content in contents for part in content):
        lost.append("images of the prompt that waits")
    return lost


def bare(message: Message) -> Message:
    """Return a message without what another agent keeps beside what was said."""
    match message:
        case UserMessage(content=content):
            shown = content if isinstance(content, str) else tuple(map(_bare_block, content))
            return msgspec.structs.replace(message, content=shown, raw=msgspec.UNSET)
        case AssistantMessage(content=blocks):
            return msgspec.structs.replace(message, content=tuple(map(_bare_block, blocks)), raw=msgspec.UNSET)
        case ToolResultMessage(content=content):
            shown = tuple(map(_bare_block, content))
            return msgspec.structs.replace(message, content=shown, details=msgspec.UNSET, raw=msgspec.UNSET)
        case _:
            return message


B = TypeVar("B", bound=AssistantContent | UserContent)


def _bare_block(block: B) -> B:
    if isinstance(block, ProviderContent):
        return block
    said = msgspec.structs.replace(block, raw=msgspec.UNSET)
    if isinstance(said, ToolCall) and "custom_tool_call" not in said.signature:
        return msgspec.structs.replace(said, arguments=sent_arguments(said.arguments))
    return said


def fitted(message: Message, model: ModelRef) -> Message:
    """Return a message without what only another agent, or another provider than a model's, can read."""
    said = bare(message)
    if not isinstance(said, AssistantMessage):
        return said
    limits = limits_for(model.api, model, model.provider)
    if said.api not in ("", model.api):
        blocks = [translated(block) for block in said.content]
    else:
        blocks = [kept_reasoning(block, model.api, limits) for block in said.content]
    return msgspec.structs.replace(said, content=tuple(block for block in blocks if block is not None))
