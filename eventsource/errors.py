"""Everything this program raises on purpose: fields for programs, a sentence for people."""

from __future__ import annotations


class RefoldError(Exception):
    """The root of all errors a caller can do something about."""

    def __str__(self) -> str:
        """Say what happened: what the error was given, or else what its class stands for."""
        return super().__str__() or (type(self).__doc__ or type(self).__name__).partition("\n")[0]


class ArgumentError(RefoldError, TypeError):
    """A function was called with something that it does not take; nothing happened.

    `where`: the function; `parameter`: whose value it is; `expected` and `found` in words; `advice`: what to do.
    """

    def __init__(self, where: str, parameter: str, expected: str, found: str, advice: str = "") -> None:
        super().__init__(where, parameter, expected, found, advice)
        self.where, self.parameter, self.expected, self.found, self.advice = where, parameter, expected, found, advice

    def __str__(self) -> str:
        said = f"{self.where}: {self.parameter}: expected {self.expected}, found {self.found}"
        return f"{said}; {self.advice}" if self.advice else said


class NoEventLoopError(RefoldError, RuntimeError):
    """Something that works beside its caller was asked for where no event loop runs; nothing happened."""

    def __init__(self, where: str, advice: str = "") -> None:
        super().__init__(where, advice)
        self.where, self.advice = where, advice

    def __str__(self) -> str:
        said = f"{self.where} needs a running event loop: call it in an async function, run by asyncio.run(...)"
        return f"{said}; {self.advice}" if self.advice else said


class IllegalEventError(RefoldError):
    """This event cannot follow in this phase: the log was not written by this program."""

    def __init__(self, session: str, seq: int, phase: str, event: str, reason: str) -> None:
        super().__init__(session, seq, phase, event, reason)
        self.session, self.seq, self.phase, self.event, self.reason = session, seq, phase, event, reason

    def __str__(self) -> str:
        where = f"session {self.session}, seq {self.seq}" if self.session else f"seq {self.seq}"
        return f"{where}: {self.event} cannot follow in phase {self.phase}: {self.reason}"


class ConflictError(RefoldError):
    """Another writer appended first; reload and ask the machine again."""

    def __init__(self, session: str, expected: int, head: int) -> None:
        super().__init__(session, expected, head)
        self.session, self.expected, self.head = session, expected, head

    def __str__(self) -> str:
        return f"session {self.session}: expected head {self.expected}, found {self.head}"


class FencedError(RefoldError):
    """The lease was lost: another owner goes on, this one must stop."""

    def __init__(self, session: str, epoch: int, current: int) -> None:
        super().__init__(session, epoch, current)
        self.session, self.epoch, self.current = session, epoch, current

    def __str__(self) -> str:
        return (
            f"session {self.session}: another runner took it over (epoch {self.epoch} was superseded by epoch "
            f"{self.current}); what is on record stands, nothing more is recorded here"
        )


class LeaseHeldError(RefoldError):
    """Another runner holds the session."""

    def __init__(self, session: str, owner: str, expires_at_us: int) -> None:
        super().__init__(session, owner, expires_at_us)
        self.session, self.owner, self.expires_at_us = session, owner, expires_at_us

    def __str__(self) -> str:
        from datetime import UTC, datetime

        until = datetime.fromtimestamp(self.expires_at_us / 1_000_000, UTC).isoformat(timespec="seconds")
        return f"session {self.session} is being run by {self.owner}, whose lease lasts until {until}"


class OutcomeUnknownError(RefoldError):
    """The store failed at commit: what was appended may be there or not; read the head, then decide."""

    def __init__(self, session: str, expected: int, cause: str) -> None:
        super().__init__(session, expected, cause)
        self.session, self.expected, self.cause = session, expected, cause

    def __str__(self) -> str:
        return (
            f"session {self.session}: an append after seq {self.expected} failed at commit ({self.cause}); "
            "it may be stored or not: read the head"
        )


class StoreError(RefoldError):
    """The store could not do it and nothing was stored: a full disk, a locked or read-only file, not a log at all."""

    def __init__(self, path: str, problem: str, advice: str) -> None:
        super().__init__(path, problem, advice)
        self.path, self.problem, self.advice = path, problem, advice

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}; {self.advice}"


class CorruptLogError(RefoldError):
    """Digest, gap or decoding says the log was changed; nothing is repaired silently."""

    def __init__(self, session: str, seq: int, expected: str, found: str) -> None:
        super().__init__(session, seq, expected, found)
        self.session, self.seq, self.expected, self.found = session, seq, expected, found

    def __str__(self) -> str:
        return f"session {self.session}, seq {self.seq}: expected {self.expected}, found {self.found}"


class TailLostError(RefoldError):
    """A follower saw events that are no longer there: a power cut took a tail that was not yet durable."""

    def __init__(self, session: str, seen: int, head: int) -> None:
        super().__init__(session, seen, head)
        self.session, self.seen, self.head = session, seen, head

    def __str__(self) -> str:
        return (
            f"session {self.session}: events up to seq {self.seen} were seen, but the log now differs "
            f"or ends at {self.head}; read it again"
        )


class UnknownSessionError(RefoldError):
    """No session of that name, or more than one."""

    def __init__(self, name: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(name, candidates)
        self.name, self.candidates = name, candidates

    def __str__(self) -> str:
        if self.candidates:
            shown = ", ".join(self.candidates[:5])
            return f"{self.name!r} names {len(self.candidates)} sessions ({shown}); give the id of one"
        return f"no session {self.name!r}; `refold ls` lists them"


class UnknownSeqError(RefoldError):
    """The session has no such seq, or nothing of the wanted kind is there."""

    def __init__(self, session: str, seq: int, head: int, problem: str = "") -> None:
        super().__init__(session, seq, head, problem)
        self.session, self.seq, self.head, self.problem = session, seq, head, problem

    def __str__(self) -> str:
        return f"session {self.session}: {self.problem or 'no such seq'}: {self.seq} (the head is {self.head})"


class UnknownLabelError(RefoldError):
    """No bookmark of that text in the session, or more than one."""

    def __init__(self, session: str, text: str, seqs: tuple[int, ...] = ()) -> None:
        super().__init__(session, text, seqs)
        self.session, self.text, self.seqs = session, text, seqs

    def __str__(self) -> str:
        if self.seqs:
            places = ", ".join(map(str, self.seqs))
            return f"session {self.session}: {self.text!r} is a bookmark at {places}; name the seq"
        return f"session {self.session}: no bookmark {self.text!r}; `refold tree {self.session}` shows them"


class SessionExistsError(RefoldError):
    """A session of that id is already there."""

    def __init__(self, session: str) -> None:
        super().__init__(session)
        self.session = session

    def __str__(self) -> str:
        return f"session {self.session} already exists"


class HasForksError(RefoldError):
    """The session cannot be deleted: others begin in it."""

    def __init__(self, session: str, forks: tuple[str, ...]) -> None:
        super().__init__(session, forks)
        self.session, self.forks = session, forks

    def __str__(self) -> str:
        return f"session {self.session} has forks that begin in it ({', '.join(self.forks[:5])}); delete them first"


class EventTooLargeError(RefoldError):
    """An event is larger than the log takes."""

    def __init__(self, session: str, event: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(session, event, size_bytes, limit_bytes)
        self.session, self.event, self.size_bytes, self.limit_bytes = session, event, size_bytes, limit_bytes

    def __str__(self) -> str:
        return (
            f"session {self.session}: {self.event} of {self.size_bytes} bytes exceeds the limit "
            f"of {self.limit_bytes} bytes"
        )


class InvalidTextError(RefoldError):
    """A value cannot be stored as JSON text: a lone surrogate, NaN or an infinity."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(where, problem)
        self.where, self.problem = where, problem

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


class MissingToolError(RefoldError):
    """A call must run now and this process lacks its tool; nothing was appended."""

    def __init__(self, session: str, tool: str, available: tuple[str, ...]) -> None:
        super().__init__(session, tool, available)
        self.session, self.tool, self.available = session, tool, available

    def __str__(self) -> str:
        have = ", ".join(self.available) or "none"
        return (
            f"session {self.session}: the log calls for tool {self.tool!r}, this process has {have}; "
            "name the agent that has it (--agent module:name), or what it came from (--mcp, --tools, --bash)"
        )


class MissingModelError(RefoldError):
    """A run needs a model and neither the caller nor the log names one that can be called."""

    def __init__(self, session: str, problem: str) -> None:
        super().__init__(session, problem)
        self.session, self.problem = session, problem

    def __str__(self) -> str:
        problem = self.problem or "nobody named a model that can be called"
        return f"session {self.session}: {problem}" if self.session else problem


class ContinueRefusedError(RefoldError):
    """There is nothing to continue from."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"cannot continue: {self.problem}"


class ToolArgumentsError(RefoldError):
    """A model's arguments do not fit the tool's schema; the model reads this text."""

    def __init__(self, tool: str, problems: tuple[str, ...], received: str) -> None:
        super().__init__(tool, problems, received)
        self.tool, self.problems, self.received = tool, problems, received

    def __str__(self) -> str:
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        return f'Validation failed for tool "{self.tool}":\n{lines}\n\nReceived arguments:\n{self.received}'


class ToolDefinitionError(RefoldError):
    """A function or schema cannot become a tool."""

    def __init__(self, tool: str, problem: str) -> None:
        super().__init__(tool, problem)
        self.tool, self.problem = tool, problem

    def __str__(self) -> str:
        return f"tool {self.tool}: {self.problem}"


class ToolFailure(RefoldError):  # noqa: N818  # what a tool raises to say that it failed; not an error of this program
    """Raised by a tool to fail with a text for the model and, if it likes, details for the program."""

    def __init__(self, message: str, details: object = None) -> None:
        super().__init__(message, details)
        self.message, self.details = message, details

    def __str__(self) -> str:
        return self.message or "the tool failed and did not say why"


class ScriptFileError(RefoldError):
    """A file of scripted answers cannot be used; `answer` and `item` count from 1, 0 where it is not about one."""

    def __init__(self, path: str, problem: str, answer: int = 0, item: int = 0) -> None:
        super().__init__(path, problem, answer, item)
        self.path, self.problem, self.answer, self.item = path, problem, answer, item

    def __str__(self) -> str:
        where = [self.path]
        where += [f"answer {self.answer}"] if self.answer else []
        where += [f"item {self.item}"] if self.item else []
        return f"{', '.join(where)}: {self.problem}"


class TranscriptError(RefoldError):
    """A file is not a session this program can read; `line` is 0 where it is not about one."""

    def __init__(self, path: str, problem: str, line: int = 0) -> None:
        super().__init__(path, problem, line)
        self.path, self.problem, self.line = path, problem, line

    def __str__(self) -> str:
        where = f"{self.path}, line {self.line}" if self.line else self.path
        return f"{where}: {self.problem}"


class OutputError(RefoldError):
    """An answer does not have the type that was asked for."""

    def __init__(self, output: str, problem: str) -> None:
        super().__init__(output, problem)
        self.output, self.problem = output, problem

    def __str__(self) -> str:
        problem = self.problem or "an answer does not have the type that was asked for"
        return f"output {self.output}: {problem}" if self.output else problem


class WaitOverError(RefoldError):
    """A wait or token cannot be decided: it has ended, or was never there; `outcome` says how it ended, if known."""

    def __init__(self, session: str, key: str, outcome: str) -> None:
        super().__init__(session, key, outcome)
        self.session, self.key, self.outcome = session, key, outcome

    def __str__(self) -> str:
        if self.outcome:
            return f"session {self.session}: {self.key} was decided already: {self.outcome.replace('_', ' ')}"
        return f"session {self.session}: no wait or token {self.key} is open"


class TokenValueError(RefoldError):
    """A token was to be completed with a value that it does not take; it stays open."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(key, problem)
        self.key, self.problem = key, problem

    def __str__(self) -> str:
        return f"token {self.key} does not take this value: {self.problem}"


class DurationError(RefoldError):
    """A text is no length of time."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(text, problem)
        self.text, self.problem = text, problem

    def __str__(self) -> str:
        return f"duration {self.text!r}: {self.problem}"


class RecorderError(RefoldError):
    """A foreign loop was recorded in a way that makes no legal log; what it recorded before stands."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem or "the recorded loop makes no legal log"


class CompactionError(RefoldError):
    """A summary could not be written; the session stands as it was."""

    def __init__(self, session: str, child: str, problem: str) -> None:
        super().__init__(session, child, problem)
        self.session, self.child, self.problem = session, child, problem

    def __str__(self) -> str:
        where = f" (session {self.child} holds the attempt)" if self.child else ""
        return f"session {self.session} was not compacted: {self.problem}{where}; nothing is lost"


class UnreadMessageError(RefoldError):
    """A message was sent to a session in which nobody would ever read it; nothing was recorded."""

    def __init__(self, session: str, task: str) -> None:
        super().__init__(session, task)
        self.session, self.task = session, task

    def __str__(self) -> str:
        why = f"its task {self.task} has ended" if self.task else "no task runs in it; `steer` speaks to a model"
        return f"session {self.session}: nobody would read this message: {why}"
