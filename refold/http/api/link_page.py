"""The page behind a link: the question, and the buttons that answer it. No script, nothing from elsewhere."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence

from starlette.responses import Response

from eventsource.codec import from_json
from eventsource.machine.approvals import REASON
from replay.html.blocks import esc, paragraph, pre, when

from ...waits import Waiting
from .headers import SAFE_HEADERS

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { margin: 12vh auto; max-width: 40rem; padding: 0 1.5rem }
h1 { font-size: 1.3rem; font-weight: 550 }
pre { overflow: auto; padding: .75rem; border: 1px solid color-mix(in srgb, currentColor 15%, transparent);
  border-radius: 4px; font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere }
label { display: block; margin: 1rem 0 .25rem }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .4rem }
button { font: inherit; padding: .4rem 1.2rem; margin: 1.2rem .6rem 0 0; cursor: pointer }
p.dim { opacity: .65 }
"""
_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    f"style-src 'sha256-{b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
_HEADERS: Mapping[str, str] = {"cache-control": "no-store", "content-security-policy": _POLICY, **SAFE_HEADERS}

_ANSWERS: Mapping[str, Sequence[tuple[str, str, str]]] = {
    REASON: (("approve", "true", "Approve"), ("approve", "false", "Deny")),
    "in_doubt": (("text", "rerun", "Run it again"), ("text", "fail", "Let it fail")),
    "repeat": (
        ("text", "rerun", "Run it again"),
        ("text", "adopt", "Take its parent's result"),
        ("text", "fail", "Let it fail"),
    ),
}


def question_page(title: str, wait: Waiting, value_schema: Mapping[str, object]) -> Response:
    """Ask: what is waited for, and a button for each answer; a value is typed in."""
    asked = f"May {wait.tool} be called?" if wait.reason == REASON else f"The run {wait.words}."
    parts = [f"<h1>{esc(asked)}</h1>"]
    if wait.tool:
        parts.append(pre(json.dumps(wait.arguments, indent=2, ensure_ascii=False)))
    parts.append('<form method="post">')
    answers = _ANSWERS.get(wait.reason)
    if wait.reason == REASON:
        parts.append('<label for="reason">Why (the model reads it)</label><input id="reason" name="reason">')
    if answers is None and value_schema.get("type") == "boolean":
        answers = (("text", "true", "Yes"), ("text", "false", "No"))
    if answers is None:
        parts.append('<label for="text">Answer</label><input id="text" name="text" required autofocus>')
        answers = (("outcome", "completed", "Answer"), ("outcome", "cancelled", "Cancel"))
    for name, value, words in answers:
        bare = ' formnovalidate=""' if value == "cancelled" else ""
        parts.append(f'<button name="{name}" value="{value}"{bare}>{words}</button>')
    parts.append("</form>")
    facts = [esc(title)] if title else []
    facts += [f"decides itself at {when(wait.deadline_us)} UTC"] if wait.deadline_us is not None else []
    parts.append(f'<p class="dim">{", ".join(facts)}</p>' if facts else "")
    return _page(asked, "".join(parts), 200)


def decided_page(outcome: str, *, again: bool = False) -> Response:
    """Tell that it was decided: just now, or before."""
    said = f"It was decided before: {outcome}." if again else f"Thank you. It is decided: {outcome}."
    return _page("Decided", f"<h1>{esc(said)}</h1>{paragraph('You may close this page.')}", 409 if again else 200)


def missing_page(status: int, detail: str) -> Response:
    """Tell that nothing can be done by this link, or why an answer was not taken."""
    return _page("Refold", f"<h1>{esc(detail[:1].upper() + detail[1:])}.</h1>", status)


def outcome_words(outcome: str, value: object) -> str:
    """Say how a wait ended."""
    if outcome != "completed":
        return outcome.replace("_", " ")
    if isinstance(value, dict) and isinstance(value.get("approve"), bool):
        return "approved" if value["approve"] else "denied"
    return json.dumps(value, ensure_ascii=False)[:200]


def typed_value(text: str) -> object:
    """Read a value as a person types it: JSON, or else a text."""
    try:
        return from_json(text)
    except ValueError:
        return text


def _page(title: str, body: str, status: int) -> Response:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{esc(title)}</title>'
    page = f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{body}</body></html>'
    return Response(page, status, _HEADERS, media_type="text/html")
