"""A session as a test: the file that pytest runs, beside a recording of the session."""

from __future__ import annotations

import json
import re

import msgspec

from eventsource.machine.outcome import outcome
from eventsource.machine.state import Phase, State
from eventsource.messages import AssistantMessage
from projections.context import history, is_failed

from .index import At

_TEXT_CHARACTERS = 2_000
"""A longer answer is compared by its beginning."""


class PytestFile(msgspec.Struct, frozen=True, kw_only=True):
    """A test for pytest, and the recording that it reads.

    `path`, `source`: of the test. `recording`: the file that it names, beside it; `command` writes that, and so does
    what is read at `recording_url`.
    """

    path: str
    source: str
    recording: str
    command: str
    recording_url: str


class NoTestError(ValueError):
    """There is no test of a session up to a seq; the words say why."""


def pytest_file(at: At) -> PytestFile:
    """Make a test of a session up to a seq. Raises: NoTestError where a run is under way, or none was made."""
    state, info = at.state, at.info
    if state.phase is not Phase.IDLE or state.ended is None:
        what = "a run is under way" if state.phase is not Phase.IDLE else "no run has ended"
        raise NoTestError(f"session {info.id}, seq {at.seq}: {what} there; choose a seq at which a run has ended")
    recording = f"sessions/{_slug(info.id)}.jsonl"
    command = f"refold export {info.id} --at {at.seq} -o {recording}"
    return PytestFile(
        path=f"test_{_slug(info.title or info.first_words or info.id)}.py",
        source=_source(at, recording, command),
        recording=recording,
        command=command,
        recording_url=f"/api/sessions/{info.id}/export?upto={at.seq}",
    )


def _source(at: At, recording: str, command: str) -> str:
    """Write the test: how the last run ended, and what it said last."""
    info = at.info
    name = _slug(info.title or info.first_words or info.id)
    lines = [
        f'"""Session {info.id} up to seq {at.seq}: today\'s agent must ask what was asked then.',
        "",
        f"The recording is made by: {command}",
        "It needs a fixture `refold_agent` that gives the agent. `pytest --refold-update` goes live where it differs.",
        '"""',
        "",
        "",
        f"def test_{name}(refold_session) -> None:",
        f"    again = refold_session({json.dumps(recording)})",
        f"    assert again.run.status == {json.dumps(_status(at.state))}",
    ]
    text = _last_text(at)
    if text and len(text) <= _TEXT_CHARACTERS:
        lines.append(f"    assert again.run.text == {_literal(text)}")
    elif text:
        lines.append(f"    assert again.run.text.startswith({_literal(text[:_TEXT_CHARACTERS])})")
    return "\n".join(lines) + "\n"


def _status(state: State) -> str:
    return outcome(state.ending).status


def _last_text(at: At) -> str:
    answers = [entry.message for entry in history(at.view) if isinstance(entry.message, AssistantMessage)]
    return answers[-1].text if answers and not is_failed(answers[-1]) else ""


def _literal(text: str) -> str:
    return ascii(text) if not text.isprintable() else json.dumps(text, ensure_ascii=False)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40].strip("_") or "session"
