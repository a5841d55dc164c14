"""What programs do differently by themselves: the only ways in which a file may part from what passed on the wire.

Each is a rule about any conversation; one that no story needs fails the tests.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby, takewhile
from typing import Literal

from projections.pairing import NO_RESULT

from .compare import UNSEEN, Conversation, Exchange, Said, begun, conversation, headless

_ANSWERS = ("reply", "thought", "call")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One of them: what of an account is left out, or becomes something else, before the accounts are compared.

    program: whose it is; empty: of each. where: in which account; `question`: a whole exchange, known by what is asked
    last, that is not in the file. kind: of what is said, a pattern of all of it. text: a pattern at its beginning.
    becomes: what is left of it; None: nothing. call: a pattern of a call's id, of which the last group is left. begins:
    only in a conversation whose first text has this pattern. unanswered: only a call that has no result, and what
    stands for that. last: only where nothing else follows. bare: only an exchange in which a model is offered no tool.
    as_one: the texts of an answer are one, before its calls, without what shows nothing. calls_last: the calls of an
    answer stand behind its texts. by_chance: it holds in stories that chance makes alone.
    """

    program: str = ""
    where: Literal["wire", "file", "both", "question"]
    kind: str = ".*"
    text: str = ""
    becomes: str | None = None
    call: str = ""
    begins: str = ""
    unanswered: bool = False
    last: bool = False
    bare: bool = False
    as_one: bool = False
    calls_last: bool = False
    by_chance: bool = False
    why: str


DIFFERENCES: Sequence[Difference] = (
    Difference(
        where="both",
        kind="cut .*",
        why="an answer that was interrupted or failed is kept by some and dropped by others; no request holds it",
    ),
    Difference(
        where="both",
        kind="(cut )?(reply|thought)",
        text=r"\s*$",
        why="white space alone says nothing: who sends it again, and beside what, does not matter",
    ),
    Difference(
        where="both",
        kind="prompt",
        text=r"The conversation history before this point was compacted[^<]*<summary>\n(.*)\n</summary>$",
        becomes=r"\1",
        why="a log says in its own words, which are those of pi, that what follows is a summary",
    ),
    Difference(
        program="claude-code",
        where="wire",
        kind="system",
        why="what it says of its tools, skills and agents is made anew for each request",
    ),
    Difference(
        program="claude-code",
        where="file",
        kind="system",
        text="<task-notification>",
        by_chance=True,
        why="that something ended in the background is told in a reminder, or as if a person said it",
    ),
    Difference(
        program="claude-code",
        where="wire",
        kind="prompt",
        text="<task-notification>",
        by_chance=True,
        why="that something ended in the background is told in a reminder, or as if a person said it",
    ),
    Difference(
        program="claude-code",
        where="wire",
        kind="prompt",
        text=r"<system-reminder>.*</system-reminder>\s*$",
        why="reminders are made anew for each request",
    ),
    Difference(
        program="claude-code",
        where="both",
        kind="prompt",
        text=r"(.*?)\n+$",
        becomes=r"\1",
        why="texts that follow one another are joined with a line end",
    ),
    Difference(
        program="claude-code",
        where="question",
        text="CRITICAL: Respond with TEXT ONLY",
        why="how it asks for a summary is not kept, nor the words around the summary",
    ),
    Difference(
        program="claude-code",
        where="both",
        kind="reply",
        text=r"No response requested\.$",
        by_chance=True,
        why="no model said that: it stands behind a prompt that had no answer when the session was resumed",
    ),
    Difference(
        program="claude-code",
        where="question",
        text="Perform a web search for the query",
        by_chance=True,
        why="its tool that searches the web asks a model of its own",
    ),
    Difference(
        program="claude-code",
        where="both",
        kind="prompt",
        text=r"\[Your previous response had no visible output",
        by_chance=True,
        why="where an answer says nothing it asks again; a session that is resumed sends that, and goes on before it",
    ),
    Difference(
        program="claude-code",
        where="both",
        kind="prompt",
        text="<local-command-stdout>Not enough messages to compact",
        by_chance=True,
        why="what a command says that came to nothing is sent once, as the session is resumed, which goes on before it",
    ),
    Difference(
        program="claude-code",
        where="both",
        kind="prompt",
        text=r"\[Request interrupted by user for tool use\]$",
        by_chance=True,
        why="behind parallel calls it is sent once, as the session is resumed, which goes on before it",
    ),
    Difference(
        program="claude-code",
        where="both",
        kind="call",
        text=r"Task (\{.*)",
        becomes=r"Agent \1",
        by_chance=True,
        why="a tool that is called by its old name has that in the file, and its new one in the next request",
    ),
    Difference(
        program="claude-code",
        where="both",
        kind="reply",
        calls_last=True,
        by_chance=True,
        why="where a tool is done before the answer ends, what is said behind its call may be sent before that",
    ),
    Difference(
        program="claude-code",
        where="both",
        kind="call|failed",
        unanswered=True,
        why="a call that was interrupted stays in the file, if there was time to write it, and is not sent again",
    ),
    Difference(
        program="codex",
        where="wire",
        kind="prompt",
        text="You are performing a CONTEXT CHECKPOINT",
        why="how it asks for a summary is not kept, but the summary is",
    ),
    Difference(
        program="gemini",
        where="file",
        kind="call|result|failed",
        text="(.*)",
        becomes=r"\1",
        call=r"\w+?__(.+)",
        why="it keeps a call's id with the tool's name before it, and takes that off before it sends it",
    ),
    Difference(
        program="codex",
        where="both",
        kind="thought",
        by_chance=True,
        why="the reasoning of an answer that failed is sent again with the next one; of a request, a log counts none",
    ),
    Difference(
        program="codex",
        where="both",
        kind="prompt",
        text="<turn_aborted>",
        by_chance=True,
        why="what it says of an interruption is written at once, and sent if the session goes on",
    ),
    Difference(
        program="codex",
        where="wire",
        kind="call",
        last=True,
        by_chance=True,
        why="when a session ends its sub-agents are interrupted: what an answer calls just then is not written down",
    ),
    Difference(
        program="gemini",
        where="both",
        kind="reply",
        as_one=True,
        by_chance=True,
        why="it keeps what an answer says as one text, without spaces around it and signs that nobody sees",
    ),
    Difference(
        program="gemini",
        where="both",
        kind="thought",
        by_chance=True,
        why="it sends no thought again, so that of a session which is resumed no request holds one",
    ),
    Difference(
        program="gemini",
        where="wire",
        kind="prompt",
        text=r"\[System: You previously (generated thoughts but failed|returned an empty response)",
        by_chance=True,
        why="where an answer says nothing it asks again, and keeps neither",
    ),
    Difference(
        program="gemini",
        where="question",
        text="",
        bare=True,
        by_chance=True,
        why="its tools that look into the web ask a model of their own",
    ),
    Difference(
        program="gemini",
        where="wire",
        kind="reply",
        text=r"\[(The previous response was interrupted before it completed|Tool execution completed)\.\]$",
        by_chance=True,
        why="what stands for an answer that did not come is made anew for each request",
    ),
    Difference(
        program="gemini",
        where="both",
        kind="prompt",
        text="<session_context>",
        why="what it says of the folder is made anew by each process",
    ),
    Difference(
        program="gemini",
        where="both",
        kind="call|failed",
        unanswered=True,
        why="a call that was interrupted is dropped with what would have come of it",
    ),
    Difference(
        program="gemini",
        where="wire",
        kind="failed",
        text=r"Unauthorized tool call: '[^']*' is not available to this agent\.$",
        by_chance=True,
        why="of a call that a sub-agent may not make the result alone is kept; without its call it is sent to no model",
    ),
    Difference(
        program="gemini",
        where="file",
        kind="picture",
        begins=r"turn-\d+: dig$",
        by_chance=True,
        why="a picture that a tool gives a sub-agent stands with its call, and is not sent",
    ),
    Difference(
        program="gemini",
        where="question",
        text="(Generate a new|Critically evaluate the) <state_snapshot>",
        why="how it asks for a summary is not kept, but the summary is",
    ),
    Difference(
        program="gemini",
        where="file",
        kind="result",
        text="Output submitted and task completed",
        why="what the last call of a sub-agent gives is never sent",
    ),
    Difference(
        program="pi",
        where="question",
        text="<conversation>",
        why="how it asks for a summary is not kept, but the summary is",
    ),
    Difference(
        program="pi",
        where="file",
        kind="failed",
        text=re.escape(NO_RESULT),
        becomes="No result provided",
        why="what stands for a result that never came is made anew for each request",
    ),
)


class Table:
    """The differences of one program, and how often each was needed."""

    def __init__(self, program: str, rows: Sequence[Difference] = DIFFERENCES, *, by_chance: bool = False) -> None:
        self.rows = [row for row in rows if row.program in ("", program) and (by_chance or not row.by_chance)]
        self.used = Counter[Difference]()

    def wire(self, exchanges: Sequence[Exchange], file: Sequence[Conversation]) -> list[Conversation]:
        """Read the account of the wire; what an answer calls at its end stands as it does in the file, if it does."""
        asked = [conversation(exchange) for exchange in exchanges if not self._is_question(exchange)]
        return [self._called(said, file) or self._apply("wire", said) for said in asked]

    def _called(self, said: Conversation, file: Sequence[Conversation]) -> Conversation | None:
        """Find the file's account of a conversation that calls may end whose results are in no request with them."""
        whole = self._apply("wire", said, calls_stay=True)
        forms, _ = headless([whole, tuple(map(_as_javascript, whole))])
        return next((one for one in forms if any(other[: len(one)] == one for other in file)), None)

    def begun(self, exchanges: Sequence[Exchange]) -> list[Conversation]:
        """Read what may be kept of answers that failed, and what was said before a question that is not."""
        kept = [one for exchange in exchanges for one in begun(exchange)]
        for exchange in filter(self._is_question, exchanges):
            asked = conversation(Exchange(exchange.request, None))
            last = max(place for place, one in enumerate(asked) if one.kind == "prompt")
            kept.append(asked[:last])
        return [self._apply("wire", one) for one in kept]

    def file(self, contexts: Sequence[Conversation]) -> list[Conversation]:
        """Read the account of the file."""
        return [self._apply("file", one) for one in contexts]

    def _is_question(self, exchange: Exchange) -> bool:
        prompts = [one.text for one in conversation(Exchange(exchange.request, None)) if one.kind == "prompt"]
        for row in self.rows:
            if row.bare and exchange.request.tools:
                continue
            if row.where == "question" and prompts and re.match(row.text, prompts[-1]):
                self.used[row] += 1
                return True
        return False

    def _apply(self, where: str, said: Conversation, *, calls_stay: bool = False) -> Conversation:
        """Apply the rows; `calls_stay`: those of the last answer, which nothing has followed yet."""
        first = said[0].text if said else ""
        rows = [row for row in self.rows if row.where in (where, "both") and re.match(row.begins, first)]
        said = _as_one(said) if any(row.as_one for row in rows) else said
        said = _calls_last(said) if any(row.calls_last for row in rows) else said
        rows = [row for row in rows if not (row.as_one or row.calls_last)]
        drops = [row for row in rows if row.becomes is None and not (row.unanswered or row.last)]
        answered = _answered(said, drops)
        end = len(said) - sum(1 for _ in takewhile(lambda one: one.kind in _ANSWERS, reversed(said)))
        answered |= set(range(end, len(said))) if calls_stay else set()
        kept: list[Said] = []
        for place, one in enumerate(said):
            left: Said | None = one
            for row in rows:
                if left is None:
                    continue
                if row.unanswered and place in answered:
                    continue
                if row.last and (calls_stay or not all(_found(row, other) for other in said[place:])):
                    continue
                if found := _found(row, left):
                    self.used[row] += 1
                    left = _left(row, left, found)
            kept += [left] if left is not None else []
        return tuple(kept)


def _answered(said: Conversation, drops: Sequence[Difference]) -> set[int]:
    """Find the places of results that are left, and of their calls; an id may come again."""
    found, calls = set[int](), dict[str, set[int]]()
    for place, one in enumerate(said):
        if one.kind == "call":
            calls[one.call] = {place} | calls.get(one.call, set()) - found
        elif one.kind in ("result", "failed") and one.text != NO_RESULT and not any(_found(row, one) for row in drops):
            found |= {place} | calls.get(one.call, set())
    return found


def _as_javascript(said: Said) -> Said:
    """Write the numbers of a call as a program in JavaScript reads them."""
    name, _, arguments = said.text.partition(" ")
    try:
        whole = json.loads(arguments, parse_int=_number, parse_float=_number) if said.kind == "call" else None
    except ValueError:
        return said
    return said if whole is None else said._replace(text=f"{name} {json.dumps(whole, sort_keys=True)}")


def _number(text: str) -> float:
    number = Decimal(repr(float(text)))
    return int(number) if number == int(number) else float(text)


def _as_one(said: Conversation) -> Conversation:
    """Join the texts of each answer, before its calls, and leave out what shows nothing."""
    told: list[Said] = []
    for answers, group in groupby(said, key=lambda one: one.kind in _ANSWERS):
        parts = list(group)
        text = UNSEEN.sub("", "".join(one.text for one in parts if one.kind == "reply")).strip()
        told += [Said("reply", text)] if answers and text else []
        told += [one for one in parts if one.kind != "reply"]
    return tuple(told)


def _calls_last(said: Conversation) -> Conversation:
    """Put the calls of each answer behind what it says."""
    told: list[Said] = []
    for answers, group in groupby(said, key=lambda one: one.kind in _ANSWERS):
        told += sorted(group, key=lambda one: answers and one.kind == "call")
    return tuple(told)


def _found(row: Difference, said: Said) -> re.Match[str] | None:
    if not re.fullmatch(row.kind, said.kind) or (row.call and not re.fullmatch(row.call, said.call)):
        return None
    return re.match(row.text, said.text, re.DOTALL)


def _left(row: Difference, said: Said, found: re.Match[str]) -> Said | None:
    if row.becomes is None:
        return None
    call = re.fullmatch(row.call, said.call) if row.call else None
    return said._replace(text=found.expand(row.becomes), call=call[1] if call is not None else said.call)
