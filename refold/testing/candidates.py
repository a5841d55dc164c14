"""Events that might come next in a state, kind by kind, most of them legal there: what histories are walked with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

import msgspec

from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ChildEnd,
    ChildStart,
    Compaction,
    ConfigChange,
    ContextEdit,
    Custom,
    Erase,
    Event,
    Fork,
    Label,
    LoopContext,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    MetadataSet,
    ModelRef,
    ModelRequest,
    Origin,
    Place,
    Policies,
    QueueClear,
    QueuePush,
    Resume,
    Retry,
    StepEnd,
    StepStart,
    StreamUpdate,
    TaskEnd,
    TaskStart,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    ToolResult,
    ToolSpec,
    TurnEnd,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from eventsource.machine.approvals import REASON, verdict
from eventsource.machine.state import INBOX, CallState, Kind, State
from eventsource.machine.steps import next_attempts
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    CustomMessage,
    ImageContent,
    ProviderContent,
    StopReason,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from eventsource.values import QueueName

ORIGIN = Origin(source="elsewhere", session="s", entry="e")
DONE = ToolResult(content=(TextContent(text="done"),))
SCHEMA = msgspec.Raw(b'{"type":"object"}')
TOOLS = (
    ToolSpec(name="read", schema=SCHEMA, effect="pure"),
    ToolSpec(name="send", schema=SCHEMA, effect="once"),
    ToolSpec(name="put", schema=SCHEMA, effect="idempotent"),
)
ASKED = (
    ToolSpec(name="read", schema=SCHEMA, effect="pure", approval="by_arguments"),
    ToolSpec(name="send", schema=SCHEMA, effect="once", approval="always"),
    ToolSpec(name="put", schema=SCHEMA, effect="idempotent", approval="never"),
)
"""The same tools, of which some calls must be agreed to."""
MODEL = ModelRef(api="scripted", provider="scripted", model="scripted")
CONFIGS = (
    ConfigChange(model=MODEL, system_prompt="Be brief.", tools=TOOLS),
    ConfigChange(policies=Policies()),
    ConfigChange(policies=Policies(tools="sequential")),
    ConfigChange(policies=Policies(tools="sequential", steering="after_batch", steering_queue="all", retries=1)),
    ConfigChange(policies=Policies(follow_up_queue="all", length_calls="run", in_doubt="ask", partial="kept")),
    ConfigChange(policies=Policies(tools="sequential", in_doubt="ask", turn_limit=3, token_limit=40)),
    ConfigChange(tools=(ToolSpec(name="read", schema=SCHEMA, effect="pure", mode="sequential"), *TOOLS[1:])),
    ConfigChange(model=MODEL, options=msgspec.Raw(b'{"temperature":0}')),
    ConfigChange(tools=()),
    ConfigChange(tools=ASKED),
    ConfigChange(tools=ASKED, policies=Policies(tools="sequential", in_doubt="ask")),
)
MESSAGES = (
    UserMessage(content="Do I need a coat?"),
    UserMessage(content=(TextContent(text="Look: \u2028🧥"), ImageContent(data="aW1n", media_type="image/png"))),
    CustomMessage(kind="note", body=msgspec.Raw(b'{"text":"remember"}')),
)
ADOPTED = (
    *MESSAGES,
    AssistantMessage(content=(ToolCall(id="c", name="read"),), stop_reason="tool_use"),
    AssistantMessage(stop_reason="error", error="broken"),
    ToolResultMessage(tool_call_id="c", tool_name="read", content=DONE.content),
)


def calling(*names: str, reason: StopReason = "tool_use") -> AssistantMessage:
    """Make an assistant message that says a word and calls tools; their ids repeat, as they may."""
    calls = [ToolCall(id=f"call_{name}", name=name, arguments="{}") for name in names]
    return AssistantMessage(
        content=(TextContent(text="Let me see."), *calls), stop_reason=reason, usage=Usage(input_tokens=9)
    )


CALLING = (
    calling("read"),
    calling("read", "send"),
    calling("send", "put", "read"),
    calling("read", "read", "nowhere"),
    calling("read", "put", reason="length"),
    calling("nowhere", reason="pause"),
)
FINAL = (
    AssistantMessage(content=(TextContent(text="Yes."),), usage=Usage(output_tokens=5)),
    AssistantMessage(stop_reason="pause"),
    AssistantMessage(content=(ThinkingContent(thinking="Hm.", signature="s"),), stop_reason="length"),
    AssistantMessage(content=(ProviderContent(api="x", block=msgspec.Raw(b'{"a":1}')),), stop_reason="refusal"),
)
FAILED = (
    AssistantMessage(stop_reason="error", error="overloaded"),
    AssistantMessage(stop_reason="aborted", error="Request was aborted"),
    AssistantMessage(content=(ToolCall(id="cut", name="read", arguments="{"),), stop_reason="error", error="cut"),
)


def candidates(state: State, seq: int, kind: Kind) -> list[Event]:
    """List events of a kind that might come at this seq."""
    return list(_CANDIDATES[kind](state, seq))


def _calls(state: State) -> list[tuple[Place, CallState]]:
    return [(state.batch.place(call), call) for call in state.batch.calls] if state.batch is not None else []


def _holders(state: State) -> list[Place | None]:
    """List the calls that a wait or a child may belong to; outside a batch, None alone."""
    return [place for place, _ in _calls(state)] or [None]


def _input_starts(state: State, seq: int) -> Sequence[Event]:
    return [MessageStart(role="input", push_seq=push.seq) for push in state.queue]


def _result_starts(state: State, seq: int) -> Sequence[Event]:
    return [MessageStart(role="tool_result", call=place) for place, _ in _calls(state)]


def _updates(state: State, seq: int) -> Sequence[Event]:
    blocks = state.stream.blocks if state.stream is not None else ()
    fresh = len(blocks)
    found = [
        MessageUpdate(kind="text_start", content_index=fresh),
        MessageUpdate(kind="thinking_start", content_index=fresh, redacted=True),
        MessageUpdate(kind="tool_call_start", content_index=fresh, id="c", name="read"),
        MessageUpdate(kind="provider_block", content_index=fresh, api="x", block=msgspec.Raw(b"[1]")),
    ]
    for index, block in enumerate(blocks):
        if block == "text":
            found.append(MessageUpdate(kind="text_delta", content_index=index, delta="ab🧥"))
            found.append(MessageUpdate(kind="text_end", content_index=index))
        elif block == "thinking":
            found.append(MessageUpdate(kind="thinking_delta", content_index=index, delta="hm"))
            found.append(MessageUpdate(kind="thinking_end", content_index=index, signature="s"))
        elif block == "tool_call":
            found.append(MessageUpdate(kind="tool_call_delta", content_index=index, delta='{"a":'))
            found.append(MessageUpdate(kind="tool_call_end", content_index=index, arguments="{}"))
    return found


def _interrupted(state: State, seq: int) -> Sequence[Event]:
    content: tuple[AssistantContent, ...] = (TextContent(text="Half of"),)
    message = AssistantMessage(content=content, stop_reason="aborted")
    return [MessageEnd(message=message, interrupted="dropped"), MessageEnd(message=message, interrupted="kept")]


def _tool_starts(state: State, seq: int) -> Sequence[Event]:
    found: list[Event] = []
    for place, call in _calls(state):
        start = ToolExecutionStart(
            message_seq=place.message_seq, content_index=place.content_index, name=call.name, attempt=call.attempt + 1
        )
        refusals = ("skipped", "unknown", "invalid", "blocked", "length", "aborted", "adopted")
        found += [start, msgspec.structs.replace(start, arguments='{"n":1}')]
        found.append(msgspec.structs.replace(start, no_approval_needed=True))
        found.append(msgspec.structs.replace(start, refused=refusals[seq % len(refusals)], reason="why"))
    return found


def _tool_updates(state: State, seq: int) -> Sequence[Event]:
    return [
        ToolExecutionUpdate(message_seq=place.message_seq, content_index=place.content_index, partial=DONE)
        for place, _ in _calls(state)
    ]


def _tool_ends(state: State, seq: int) -> Sequence[Event]:
    found: list[Event] = []
    for place, _ in _calls(state):
        end = ToolExecutionEnd(message_seq=place.message_seq, content_index=place.content_index)
        found.append(msgspec.structs.replace(end, result=DONE))
        found.append(msgspec.structs.replace(end, result=ToolResult(terminate=True)))
        found.append(msgspec.structs.replace(end, is_error=True, decided="machine"))
        found.append(msgspec.structs.replace(end, result=DONE, decided="adopted", origin=ORIGIN))
    return found


def _requests(state: State, seq: int) -> Sequence[Event]:
    attempt = state.run.attempt + 1 if state.run is not None else 1
    return [ModelRequest(attempt=attempt, request_sha256="0" * 64)]


def _wait_starts(state: State, seq: int) -> Sequence[Event]:
    keys = [f"wait{seq}", *(token.key for token in state.tokens)]
    waits = [WaitStart(key=key, deadline_us=9, call=place) for key in keys for place in _holders(state)]
    attempts = [event for event in next_attempts(state) if isinstance(event, WaitStart)]
    asked = [
        WaitStart(key=f"approval:{seq}", reason=REASON, deadline_us=9, call=place, arguments=arguments)
        for place, _ in _calls(state)
        for arguments in (None, '{"n":1}')
    ]
    return [*attempts[:1], *waits, *asked, WaitStart(key=f"inbox{seq}", reason=INBOX)]


def _wait_ends(state: State, seq: int) -> Sequence[Event]:
    keys = {wait.key: 0 for wait in state.waits} | {token.key: 0 for token in state.tokens}
    inboxes = [wait.key for wait in state.waits if wait.reason == INBOX]
    taking = [
        WaitEnd(key=key, outcome="completed", push_seq=push.seq) for key in inboxes for push in state.queued("inbox")
    ]
    return taking + [
        end
        for key in keys
        for end in (
            WaitEnd(key=key, outcome="completed", value=msgspec.Raw(b'"rerun"'), decided_by="a person"),
            WaitEnd(key=key, outcome="completed", value=verdict(approve=True, arguments={"n": 1})),
            WaitEnd(key=key, outcome="completed", value=verdict(approve=False, reason="too much")),
            WaitEnd(key=key, outcome="timed_out"),
            WaitEnd(key=key, outcome="cancelled"),
        )
    ]


def _child_starts(state: State, seq: int) -> Sequence[Event]:
    return [ChildStart(key=f"child{seq}", child="c", call=place) for place in _holders(state)]


def _pushes(state: State, seq: int) -> Sequence[Event]:
    return [QueuePush(queue=queue, message=m) for queue in get_args(QueueName) for m in MESSAGES]


def _resumes(state: State, seq: int) -> Sequence[Event]:
    taken = [Resume(why="continue", push_seq=state.taken.seq)] if state.taken is not None else []
    return [
        *taken,
        Resume(why="continue"),
        Resume(why="crash", runner="r"),
        Resume(why="wait"),
        Resume(why="takeover"),
        Resume(why="turn"),
        Resume(why="stuck", problem="no such code"),
    ]


def _task_starts(state: State, seq: int) -> Sequence[Event]:
    start = TaskStart(task="report", payload=msgspec.Raw(b"1"), parent="p", tags=("t",))
    return [
        start,
        TaskStart(task="report", attempt=state.attempt + 1),
        TaskStart(task="report", attempt=state.attempt + 1, retries=2, backoff_us=10),
        TaskStart(task="report", attempt=state.attempt + 1, retries=1, backoff_us=10, rules=1),
    ]


def _step_starts(state: State, seq: int) -> Sequence[Event]:
    again = [
        StepStart(key=tried.key, attempt=tried.failures + 1, retries=tried.retries, backoff_us=tried.backoff_us)
        for tried in state.tried
    ]
    fresh = StepStart(key=f"step{seq}")
    return [fresh, StepStart(key="again", attempt=2), *again, msgspec.structs.replace(fresh, retries=2, backoff_us=5)]


def _retries(state: State, seq: int) -> Sequence[Event]:
    attempts = [event for event in next_attempts(state) if isinstance(event, Retry)]
    return [*attempts, Retry(cause="overloaded"), Retry(cause="overloaded", not_before_us=5)]


def _of(*events: Event) -> Callable[[State, int], Sequence[Event]]:
    return lambda state, seq: events


_ENDS = (MessageEnd(),)
_CANDIDATES: Mapping[Kind, Callable[[State, int], Sequence[Event]]] = {
    Kind.AGENT_START: _of(AgentStart(), AgentStart(reason="continue"), AgentStart(reason="follow_up")),
    Kind.TURN_START: _of(TurnStart()),
    Kind.INPUT_START: _input_starts,
    Kind.ASSISTANT_START: _of(
        MessageStart(role="assistant"),
        MessageStart(role="assistant", streamed=False),
        MessageStart(role="assistant", model="another"),
    ),
    Kind.RESULT_START: _result_starts,
    Kind.UPDATE: _updates,
    Kind.INPUT_END: _of(*_ENDS),
    Kind.END_CALLS: _of(*(MessageEnd(message=message) for message in CALLING)),
    Kind.END_FINAL: _of(*(MessageEnd(message=message) for message in FINAL)),
    Kind.END_FAILED: _of(*(MessageEnd(message=message) for message in FAILED)),
    Kind.END_INTERRUPTED: _interrupted,
    Kind.RESULT_MORE: _of(*_ENDS),
    Kind.RESULT_LAST: _of(*_ENDS),
    Kind.END_STRAY: _of(*_ENDS),
    Kind.TOOL_START: _tool_starts,
    Kind.TOOL_UPDATE: _tool_updates,
    Kind.TOOL_END: _tool_ends,
    Kind.TURN_END: _of(TurnEnd()),
    Kind.AGENT_END: _of(AgentEnd(), AgentEnd(reason="error", error="broken"), AgentEnd(reason="limit")),
    Kind.MODEL_REQUEST: _requests,
    Kind.RETRY: _retries,
    Kind.MESSAGE_ADOPT: _of(*(MessageAdopt(message=message, origin=ORIGIN, sent_at_us=1) for message in ADOPTED)),
    Kind.WAIT_START: _wait_starts,
    Kind.CHILD_START: _child_starts,
    Kind.STEP_START: _step_starts,
    Kind.STEP_END: lambda state, seq: [
        StepEnd(key=key, error=error, jitter_ppm=seq) for key in state.steps for error in ("no", "")
    ],
    Kind.LOOP_CONTEXT: _of(LoopContext(iteration=1, patch=msgspec.Raw(b"[]"))),
    Kind.TASK_START: _task_starts,
    Kind.TASK_END: _of(
        TaskEnd(result=msgspec.Raw(b"2")),
        TaskEnd(error="no", retry_at_us=5),
        TaskEnd(error="no", jitter_ppm=9),
        TaskEnd(error="no", cancelled=True),
    ),
    Kind.QUEUE_PUSH: _pushes,
    Kind.QUEUE_CLEAR: _of(*(QueueClear(queue=queue) for queue in get_args(QueueName))),
    Kind.ABORT_REQUEST: _of(
        AbortRequest(),
        AbortRequest(reason="stop", cause="hook"),
        AbortRequest(reason="error", cause="callback", error="raised"),
        AbortRequest(reason="limit", cause="budget", error="too dear"),
        AbortRequest(cause="cancel", error="not needed"),
    ),
    Kind.CONFIG_CHANGE: _of(*CONFIGS),
    Kind.RESUME: _resumes,
    Kind.FORK: _of(Fork(), Fork(repeated_tools="recorded")),
    Kind.COMPACTION: lambda state, seq: [
        Compaction(summary="so far"),
        Compaction(summary="so", first_kept_seq=seq // 2),
    ],
    Kind.CONTEXT_EDIT: lambda state, seq: [
        ContextEdit(message_seq=seq // 2),
        ContextEdit(message_seq=seq // 2, says_hidden=True),
        ContextEdit(message_seq=seq // 2, replacement=MESSAGES[0]),
    ],
    Kind.TOKEN_CREATE: lambda state, seq: [TokenCreate(key=f"token{seq}", tags=("t",), deadline_us=7)],
    Kind.WAIT_END: _wait_ends,
    Kind.CHILD_END: lambda state, seq: [ChildEnd(key=key, is_error=seq % 2 == 0, tokens=seq) for key in state.children],
    Kind.METADATA_SET: _of(MetadataSet(name="mood", value=msgspec.Raw(b"null")), MetadataSet(name="mood")),
    Kind.STREAM_UPDATE: _of(StreamUpdate(name="progress", item=msgspec.Raw(b"0.5"))),
    Kind.LABEL: lambda state, seq: [Label(text="here", target_seq=seq - 1), Label(text="A coat")],
    Kind.CUSTOM: _of(Custom(kind="app", data=msgspec.Raw(b"{}"))),
    Kind.ERASE: lambda state, seq: [Erase(target_seq=max(1, seq - 1))],
}
