"""The title that a prompt gives its session: the first words of a person in it, whatever programs put around them."""

from __future__ import annotations

import re

from .wording import short

_LONGEST = 20_000
_BLOCK = re.compile(r"<([A-Za-z][\w.-]*)(?:\s[^<>]*)?>.*?</\1\s*>", re.DOTALL)
_FENCE = re.compile(r"^(```|~~~).*?^\1[^\S\n]*$", re.DOTALL | re.MULTILINE)
_WRAPPED = re.compile(r"<(?:command-args|user_query|user_message|query|prompt|question)>(.*?)</", re.DOTALL)


def title_of(prompt: str) -> str:
    """Make a title: blocks in tags and fenced texts are left out, unless nothing else is said."""
    text = prompt[:_LONGEST]
    wrapped = " ".join(said for said in _WRAPPED.findall(text) if said.strip())
    bare = _BLOCK.sub(" ", _FENCE.sub(" ", text))
    return next((short(said) for said in (bare, wrapped, text) if said.strip()), "")
