"""Which session a request goes on from: the one that shares most with it, and never one that is busy."""

from __future__ import annotations

from eventsource.machine.state import Config, State
from eventsource.messages import AssistantMessage, Message, TextContent, UserMessage
from projections.pairing import ContextMessage
from refold.http.proxy.alignment import said
from refold.http.proxy.known_sessions import KnownSessions, SessionMatch

ASKED = UserMessage(content="Do I need a coat?")
TOLD = AssistantMessage(content=(TextContent(text="Yes."),))
NEXT = UserMessage(content="And shoes?")


def known(*sessions: tuple[str, tuple[Message, ...]], system_prompt: str = "") -> KnownSessions:
    found = KnownSessions()
    for session, messages in sessions:
        own = [ContextMessage(seq, message) for seq, message in enumerate(messages, start=1)]
        found.put(session, len(own), own, State(config=Config(system_prompt=system_prompt)))
    return found


REQUEST = [said(message) for message in (ASKED, TOLD, NEXT)]


def test_the_session_that_shares_most_is_gone_on_from() -> None:
    sessions = known(("short", (ASKED,)), ("long", (ASKED, TOLD)))
    assert sessions.find(REQUEST, "", set()) == SessionMatch("long", 2, whole=True, answered=True)


def test_a_busy_session_is_not_gone_on_from_but_forked() -> None:
    sessions = known(("busy", (ASKED, TOLD)))
    assert sessions.find(REQUEST, "", {"busy"}) == SessionMatch("busy", 2, whole=False, answered=True)


def test_of_two_that_share_as_much_the_one_that_is_free_is_chosen() -> None:
    sessions = known(("busy", (ASKED, TOLD)), ("free", (ASKED, TOLD)))
    assert sessions.find(REQUEST, "", {"busy"}) == SessionMatch("free", 2, whole=True, answered=True)
    assert sessions.find(REQUEST, "", {"free"}) == SessionMatch("busy", 2, whole=True, answered=True)


def test_where_only_prompts_are_shared_the_system_prompt_must_be_the_same() -> None:
    sessions = known(("oslo", (ASKED,)), system_prompt="Be brief.")
    assert sessions.find(REQUEST, "Be brief.", set()) == SessionMatch("oslo", 1, whole=True)
    assert sessions.find(REQUEST, "Be long.", set()) is None
