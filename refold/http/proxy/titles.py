"""What a session of a client is called: the first words of the person in it, not of what programs put around them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from eventsource.events import QueuePush
from eventsource.first_words import title_of_first, typed_words
from eventsource.messages import Message, TextContent, UserContent, UserMessage

_ASKED = re.compile(r"^#+ My request for [^\n]*:\s*", re.MULTILINE)
"""What a person typed follows it, in prompts of Codex's extensions for editors."""
_PROGRAM = re.compile(
    r"# AGENTS\.md instructions|Caveat: The messages below|\[Request interrupted|"
    r"This session is being continued from a previous conversation|Another language model started to solve"
)
"""How texts begin that clients write in a person's place, without a tag around them."""


def title_of_prompts(messages: Sequence[Message]) -> str:
    """Make a title of what a person typed first; of the first prompt, if nothing was typed; empty without one."""
    typed = (typed_words(text) for text in _texts(messages))
    prompts = (QueuePush(queue="prompt", message=one) for one in messages if isinstance(one, UserMessage))
    return next((words for words in typed if words), "") or title_of_first(prompts)


def _texts(messages: Sequence[Message]) -> Iterator[str]:
    """Yield the texts that may be a person's; what a message says in another role is not."""
    for message in messages:
        if not isinstance(message, UserMessage) or not isinstance(message.raw, msgspec.UnsetType):
            continue
        content = message.content
        parts = [content] if isinstance(content, str) else map(_text, content)
        for text in parts:
            asked = _ASKED.search(text)
            said = text[asked.end() :] if asked is not None else text
            if not _PROGRAM.match(said.lstrip()):
                yield said


def _text(part: UserContent) -> str:
    """Return a part's text; what was kept as it came is no text."""
    return part.text if isinstance(part, TextContent) and isinstance(part.raw, msgspec.UnsetType) else ""
