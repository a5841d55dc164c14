"""What this program raises on purpose, and the form of it: fields for programs, a sentence for people.

Errors of one part only stand in that part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class ErrorFields:
    """What every exception with fields has: it is a dataclass, and its `_TEXT` the sentence, with fields in braces."""

    _TEXT: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Keep the fields as the arguments, so that the exception can be pickled."""
        self.args = tuple(vars(self).values())

    def __str__(self) -> str:
        """Say what happened: what the exception was given, or else what its class stands for."""
        if self._TEXT:
            return self._TEXT.format_map(vars(self))
        return super().__str__() or (type(self).__doc__ or type(self).__name__).partition("\n")[0]


class RefoldError(ErrorFields, Exception):
    """The root of all errors a caller can do something about."""


@dataclass(eq=False, repr=False)
class ArgumentError(RefoldError, TypeError):
    """A function was called with something that it does not take; nothing happened.

    `where`: the function; `parameter`: whose value it is; `expected` and `found` in words; `advice`: what to do.
    """

    where: str
    parameter: str
    expected: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        said = f"{self.where}: {self.parameter}: expected {self.expected}, found {self.found}"
        return f"{said}; {self.advice}" if self.advice else said


@dataclass(eq=False, repr=False)
class NoEventLoopError(RefoldError, RuntimeError):
    """Something that works beside its caller was asked for where no event loop runs; nothing happened."""

    where: str
    advice: str = ""

    def __str__(self) -> str:
        said = f"{self.where} needs a running event loop: call it in an async function, run by asyncio.run(...)"
        return f"{said}; {self.advice}" if self.advice else said


@dataclass(eq=False, repr=False)
class IllegalEventError(RefoldError):
    """This event cannot follow in this phase: the log was not written by this program."""

    session: str
    seq: int
    phase: str
    event: str
    reason: str

    def __str__(self) -> str:
        where = f"session {self.session}, seq {self.seq}" if self.session else f"seq {self.seq}"
        return f"{where}: {self.event} cannot follow in phase {self.phase}: {self.reason}"


@dataclass(eq=False, repr=False)
class ConflictError(RefoldError):
    """Another writer appended first; reload and ask the machine again."""

    session: str
    expected: int
    head: int
    _TEXT: ClassVar[str] = "session {session}: expected head {expected}, found {head}"


@dataclass(eq=False, repr=False)
class FencedError(RefoldError):
    """The lease was lost: another owner goes on, this one must stop."""

    session: str
    epoch: int
    current: int
    _TEXT: ClassVar[str] = (
        "session {session}: another runner took it over (epoch {epoch} was superseded by epoch {current}); "
        "what is on record stands, nothing more is recorded here"
    )


@dataclass(eq=False, repr=False)
class LeaseHeldError(RefoldError):
    """Another runner holds the session."""

    session: str
    owner: str
    expires_at_us: int

    def __str__(self) -> str:
        from datetime import UTC, datetime

        until = datetime.fromtimestamp(self.expires_at_us / 1_000_000, UTC).isoformat(timespec="seconds")
        return f"session {self.session} is being run by {self.owner}, whose lease lasts until {until}"


@dataclass(eq=False, repr=False)
class OutcomeUnknownError(RefoldError):
    """The store failed at commit: what was appended may be there or not; read the head, then decide."""

    session: str
    expected: int
    cause: str

    def __str__(self) -> str:
        who = f"session {self.session}: " if self.session else ""
        what = f"an append after seq {self.expected}" if self.expected else "a change"
        return f"{who}{what} failed at commit ({self.cause}); it may be stored or not: read the head"


@dataclass(eq=False, repr=False)
class StoreError(RefoldError):
    """The store could not do it and nothing was stored: a full disk, a locked or read-only file, not a log at all."""

    path: str
    problem: str
    advice: str
    _TEXT: ClassVar[str] = "{path}: {problem}; {advice}"


@dataclass(eq=False, repr=False)
class CorruptLogError(RefoldError):
    """Digest, gap or decoding says the log was changed; nothing is repaired silently."""

    session: str
    seq: int
    expected: str
    found: str
    _TEXT: ClassVar[str] = "session {session}, seq {seq}: expected {expected}, found {found}"


@dataclass(eq=False, repr=False)
class TailLostError(RefoldError):
    """A follower saw events that are no longer there: a power cut took a tail that was not yet durable."""

    session: str
    seen: int
    head: int
    _TEXT: ClassVar[str] = (
        "session {session}: events up to seq {seen} were seen, but the log now differs or ends at {head}; read it again"
    )


@dataclass(eq=False, repr=False)
class UnknownSessionError(RefoldError):
    """No session of that name, or more than one."""

    name: str
    candidates: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.candidates:
            shown = ", ".join(self.candidates[:5])
            return f"{self.name!r} names {len(self.candidates)} sessions ({shown}); give the id of one"
        return f"no session {self.name!r}; `refold ls` lists them"


@dataclass(eq=False, repr=False)
class UnknownSeqError(RefoldError):
    """The session has no such seq, or nothing of the wanted kind is there."""

    session: str
    seq: int
    head: int
    problem: str = ""

    def __str__(self) -> str:
        return f"session {self.session}: {self.problem or 'no such seq'}: {self.seq} (the head is {self.head})"


@dataclass(eq=False, repr=False)
class UnknownLabelError(RefoldError):
    """No bookmark of that text in the session, or more than one."""

    session: str
    text: str
    seqs: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.seqs:
            places = ", ".join(map(str, self.seqs))
            return f"session {self.session}: {self.text!r} is a bookmark at {places}; name the seq"
        return f"session {self.session}: no bookmark {self.text!r}; `refold tree {self.session}` shows them"


@dataclass(eq=False, repr=False)
class SessionExistsError(RefoldError):
    """A session of that id is already there."""

    session: str
    _TEXT: ClassVar[str] = "session {session} already exists"


@dataclass(eq=False, repr=False)
class HasForksError(RefoldError):
    """The session cannot be deleted: others begin in it."""

    session: str
    forks: tuple[str, ...]

    def __str__(self) -> str:
        return f"session {self.session} has forks that begin in it ({', '.join(self.forks[:5])}); delete them first"


@dataclass(eq=False, repr=False)
class SessionOpenError(RefoldError):
    """Only a closed session is archived: nothing of it runs, waits or is queued, and its last message has ended."""

    session: str
    status: str
    _TEXT: ClassVar[str] = "session {session} is not closed (status: {status}); archive it when nothing of it is open"


@dataclass(eq=False, repr=False)
class EventTooLargeError(RefoldError):
    """An event is larger than the log takes."""

    session: str
    event: str
    size_bytes: int
    limit_bytes: int
    _TEXT: ClassVar[str] = "session {session}: {event} of {size_bytes} bytes exceeds the limit of {limit_bytes} bytes"


@dataclass(eq=False, repr=False)
class InvalidTextError(RefoldError):
    """A value cannot be stored as JSON text: a lone surrogate, NaN or an infinity."""

    where: str
    problem: str
    _TEXT: ClassVar[str] = "{where}: {problem}"


@dataclass(eq=False, repr=False)
class MissingToolError(RefoldError):
    """A call must run now and this process lacks its tool; nothing was appended."""

    session: str
    tool: str
    available: tuple[str, ...]

    def __str__(self) -> str:
        have = ", ".join(self.available) or "none"
        return (
            f"session {self.session}: the log calls for tool {self.tool!r}, this process has {have}; "
            "name the agent that has it (--agent module:name), or what it came from (--mcp, --tools, --bash)"
        )


@dataclass(eq=False, repr=False)
class MissingModelError(RefoldError):
    """A run needs a model and neither the caller nor the log names one that can be called."""

    session: str
    problem: str

    def __str__(self) -> str:
        problem = self.problem or "nobody named a model that can be called"
        return f"session {self.session}: {problem}" if self.session else problem


@dataclass(eq=False, repr=False)
class ContinueRefusedError(RefoldError):
    """There is nothing to continue from."""

    problem: str
    _TEXT: ClassVar[str] = "cannot continue: {problem}"


@dataclass(eq=False, repr=False)
class ToolArgumentsError(RefoldError):
    """A model's arguments do not fit the tool's schema; the model reads this text."""

    tool: str
    problems: tuple[str, ...]
    received: str

    def __str__(self) -> str:
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        return f'Validation failed for tool "{self.tool}":\n{lines}\n\nReceived arguments:\n{self.received}'


@dataclass(eq=False, repr=False)
class ToolDefinitionError(RefoldError):
    """A function or schema cannot become a tool."""

    tool: str
    problem: str
    _TEXT: ClassVar[str] = "tool {tool}: {problem}"


@dataclass(eq=False, repr=False)
class ToolFailure(RefoldError):  # noqa: N818  # what a tool raises to say that it failed; not an error of this program
    """Raised by a tool to fail with a text for the model and, if it likes, details for the program."""

    message: str
    details: object = None

    def __str__(self) -> str:
        return self.message or "the tool failed and did not say why"


@dataclass(eq=False, repr=False)
class ScriptFileError(RefoldError):
    """A file of scripted answers cannot be used; `answer` and `item` count from 1, 0 where it is not about one."""

    path: str
    problem: str
    answer: int = 0
    item: int = 0

    def __str__(self) -> str:
        where = [self.path]
        where += [f"answer {self.answer}"] if self.answer else []
        where += [f"item {self.item}"] if self.item else []
        return f"{', '.join(where)}: {self.problem}"


@dataclass(eq=False, repr=False)
class TranscriptError(RefoldError):
    """A file is not a session this program can read; `line` is 0 where it is not about one."""

    path: str
    problem: str
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.path}, line {self.line}" if self.line else self.path
        return f"{where}: {self.problem}"


@dataclass(eq=False, repr=False)
class OutputError(RefoldError):
    """An answer does not have the type that was asked for."""

    output: str
    problem: str

    def __str__(self) -> str:
        problem = self.problem or "an answer does not have the type that was asked for"
        return f"output {self.output}: {problem}" if self.output else problem


@dataclass(eq=False, repr=False)
class WaitOverError(RefoldError):
    """A wait or token cannot be decided: it has ended, or was never there; `outcome` says how it ended, if known."""

    session: str
    key: str
    outcome: str

    def __str__(self) -> str:
        if self.outcome:
            return f"session {self.session}: {self.key} was decided already: {self.outcome.replace('_', ' ')}"
        return f"session {self.session}: no wait or token {self.key} is open"


@dataclass(eq=False, repr=False)
class TokenValueError(RefoldError):
    """A token was to be completed with a value that it does not take; it stays open."""

    key: str
    problem: str
    _TEXT: ClassVar[str] = "token {key} does not take this value: {problem}"


@dataclass(eq=False, repr=False)
class DurationError(RefoldError):
    """A text is no length of time."""

    text: str
    problem: str
    _TEXT: ClassVar[str] = "duration {text!r}: {problem}"


@dataclass(eq=False, repr=False)
class RecorderError(RefoldError):
    """A foreign loop was recorded in a way that makes no legal log; what it recorded before stands."""

    problem: str

    def __str__(self) -> str:
        return self.problem or "the recorded loop makes no legal log"


@dataclass(eq=False, repr=False)
class CompactionError(RefoldError):
    """A summary could not be written; the session stands as it was."""

    session: str
    child: str
    problem: str

    def __str__(self) -> str:
        where = f" (session {self.child} holds the attempt)" if self.child else ""
        return f"session {self.session} was not compacted: {self.problem}{where}; nothing is lost"


@dataclass(eq=False, repr=False)
class UnreadMessageError(RefoldError):
    """A message was sent to a session in which nobody would ever read it; nothing was recorded."""

    session: str
    task: str

    def __str__(self) -> str:
        why = f"its task {self.task} has ended" if self.task else "no task runs in it; `steer` speaks to a model"
        return f"session {self.session}: nobody would read this message: {why}"
