"""The journal of a task's code: the fold of what its log already answers, so that it can run again from the top."""

from __future__ import annotations

import msgspec

from eventsource.codec import from_json
from eventsource.envelope import Recorded
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ChildEnd,
    ChildStart,
    Event,
    Fork,
    Label,
    LoopContext,
    MessageEnd,
    MetadataSet,
    QueuePush,
    Resume,
    Retry,
    StepEnd,
    StepStart,
    TaskEnd,
    TaskStart,
    TokenCreate,
    WaitEnd,
    WaitStart,
)
from eventsource.log.row import WAKING
from eventsource.machine.approvals import is_question
from eventsource.machine.outcome import Ending, ending
from eventsource.machine.state import CHILD
from eventsource.messages import AssistantMessage, Json, Message, Usage

from .json_patch import apply

OperationKey = tuple[str, str]
"""An operation of a task's code: its kind (step, wait, token, child, loop), and its key."""


class StepRecord(msgspec.Struct):
    """A step: its input, how often it began and failed, and what came of it; a turn's answers and end too.

    `waiting`: the key of the wait for its next attempt, while that is open. `retried`: what model calls of a turn used
    that were made again.
    """

    input_sha256: str = ""
    attempts: int = 0
    failures: int = 0
    waiting: str = ""
    start_seq: int = 0
    end_seq: int = 0
    result: Json = msgspec.UNSET
    error: str = ""
    usage: Usage | None = None
    retried: Usage = Usage()
    answers: tuple[AssistantMessage, ...] = ()
    ending: Ending = Ending()

    @property
    def done(self) -> bool:
        """True when the last attempt ended, well or badly."""
        return self.end_seq > self.start_seq


class ChildRecord(msgspec.Struct):
    """A child: its session, how it ended, and whether it belongs to the session this one was forked from."""

    session: str
    end: ChildEnd | None = None
    lost: bool = False


class Journal:
    """Folds a session's facts in order, from the first one on.

    `answered`: the keys of what the log answers, in its order. `open_steps`: those that began and have not ended.
    `last_step`: the one that began last; while a run is under way, its turn. `woken`: the last event came from outside.
    """

    def __init__(self) -> None:
        self.start: TaskStart | None = None
        self.end: TaskEnd | None = None
        self.attempt = 0
        self.token_limit: int | None = None
        self.steps: dict[str, StepRecord] = {}
        self.tokens: dict[str, TokenCreate] = {}
        self.waits: dict[str, WaitStart] = {}
        self.ends: dict[str, WaitEnd] = {}
        self.children: dict[str, ChildRecord] = {}
        self.loops: dict[str, tuple[int, object]] = {}
        self.last_step = ""
        self.woken = False
        self.metadata: dict[str, object] = {}
        self.metadata_count: dict[str, int] = {}
        self.inbox: dict[int, Message] = {}
        self.answered: dict[OperationKey, None] = {}
        self.open_steps: set[str] = set()
        self._worked_us = self._since_us = self._seen_us = 0

    @property
    def is_new(self) -> bool:
        """True when the code has recorded nothing and nothing came for it."""
        return not (self.steps or self.waits or self.tokens or self.children or self.woken)

    def worked_us(self, now_us: int) -> int:
        """Return how long the attempt has worked, without the time in which no process ran it."""
        return self._worked_us + now_us - self._since_us

    def feed(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        self._count_time(recorded)
        self.woken = isinstance(event, WAKING)
        match event:
            case TaskStart():
                self._task_start(event)
            case TaskEnd():
                self.end = event
                self.open_steps.clear()
                for step in self.steps.values():
                    step.waiting = ""
            case StepStart() | StepEnd():
                self._step(recorded.seq, event)
            case AgentStart() | AgentEnd() | AbortRequest():
                self._turn(event)
            case Retry(usage=Usage() as usage):
                for key in self.open_steps:
                    self.steps[key].retried += usage
            case MessageEnd(message=AssistantMessage() as message):
                self._turn(event)
                for key in self.open_steps:
                    self.steps[key].answers += (message,)
            case _:
                self._others(recorded.seq, event)

    def _turn(self, event: AgentStart | AgentEnd | AbortRequest | MessageEnd) -> None:
        for key in self.open_steps:
            self.steps[key].ending = ending(self.steps[key].ending, event)

    def _others(self, seq: int, event: Event) -> None:
        match event:
            case TokenCreate() if not is_question(event):
                self.tokens[event.key] = event
                self.answered["token", event.key] = None
            case WaitStart(step=str() as key) if key:
                self.steps[key].waiting = event.key
            case WaitEnd() if (tried := self._tried(event.key)) is not None:
                tried.waiting = ""
            case WaitStart(call=None) if event.reason != CHILD:
                self.waits[event.key] = event
                self.answered |= {("wait", event.key): None} if event.key in self.ends else {}
            case WaitEnd():
                self.ends.setdefault(event.key, event)
                self.answered |= {("wait", event.key): None} if event.key in self.waits else {}
            case ChildStart(call=None):
                self.children[event.key] = ChildRecord(event.child)
            case ChildEnd() if event.key in self.children:
                self.children[event.key].end = event
                self.answered["child", event.key] = None
            case LoopContext():
                before = self.loops.get(event.key, (0, None))[1]
                patch = msgspec.json.decode(event.patch, type=list[dict[str, object]])
                self.loops[event.key] = (event.iteration, apply(before, patch))
                self.answered["loop", event.key] = None
            case MetadataSet():
                self._metadata(event)
            case QueuePush(queue="inbox"):
                self.inbox[seq] = event.message
            case Fork():
                self._fork()
            case _:
                pass

    def _tried(self, wait: str) -> StepRecord | None:
        """Find the step whose next attempt a wait is for."""
        return next((step for step in self.steps.values() if step.waiting == wait), None)

    def _task_start(self, event: TaskStart) -> None:
        self.attempt, self.end, self.token_limit = event.attempt, None, event.token_limit
        if event.attempt == 1:
            self.start = event
            return
        for key in [key for key, step in self.steps.items() if step.error]:
            del self.steps[key], self.answered["step", key]

    def _step(self, seq: int, event: StepStart | StepEnd) -> None:
        if isinstance(event, StepStart):
            step = self.steps.setdefault(event.key, StepRecord())
            step.input_sha256, step.start_seq = event.input_sha256, seq
            step.answers, step.retried, step.ending = (), Usage(), Ending()
            step.attempts += 1
            self.open_steps.add(event.key)
            self.last_step = event.key
            self.answered.pop(("step", event.key), None)
            return
        step = self.steps[event.key]
        step.end_seq, step.result, step.error, step.usage = seq, event.result, event.error, event.usage
        step.failures += bool(event.error)
        self.answered["step", event.key] = None
        self.open_steps.discard(event.key)

    def _metadata(self, event: MetadataSet) -> None:
        if isinstance(event.value, msgspec.UnsetType):
            self.metadata.pop(event.name, None)
        else:
            self.metadata[event.name] = from_json(event.value)
        if not self.open_steps:  # what a step sets is not set again when the code runs again
            self.metadata_count[event.name] = self.metadata_count.get(event.name, 0) + 1

    def _fork(self) -> None:
        """Remove what is the parent's alone: who waits for it, open tokens and waits; mark running children as lost."""
        if self.start is not None:
            self.start = msgspec.structs.replace(self.start, parent="")
        for key in self.tokens.keys() - self.ends.keys():
            del self.answered["token", key]
        self.tokens = {key: token for key, token in self.tokens.items() if key in self.ends}
        self.waits = {key: wait for key, wait in self.waits.items() if key in self.ends}
        for child in self.children.values():
            child.lost = child.lost or child.end is None

    def _count_time(self, recorded: Recorded) -> None:
        """Keep when this stretch of work began, and when its runner was last seen at work."""
        match recorded.event:
            case TaskStart():
                self._worked_us, self._since_us = 0, recorded.at_us
            case Resume(why=why) if why not in ("continue", "turn", "stuck"):
                self._worked_us += max(0, self._seen_us - self._since_us)
                self._since_us = recorded.at_us
            case WaitEnd() | QueuePush() | AbortRequest() | MetadataSet() | Label() | Fork() | Resume(why="stuck"):
                return
            case _:
                pass
        self._seen_us = recorded.at_us
