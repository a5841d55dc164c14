"""Histories of Pydantic AI: how they are told from others, and the one session that each holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..document import document_of
from ..fields import list_of
from ..format import Format, Head, SourceSession
from .dialect import FORMAT, PydanticAIDialect, is_message


def _fits(head: Head) -> bool:
    return head.data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") and is_message(head.document)


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    document = document_of(path)
    yield SourceSession(dialect=PydanticAIDialect, records=document.records(list_of(document.value)))


PYDANTIC_AI = Format(
    name=FORMAT,
    what="message histories of Pydantic AI (all_messages_json)",
    fits=_fits,
    sessions=_sessions,
    owner=lambda _: None,
    beside=lambda _: (),
    folder=lambda _: "",
)
