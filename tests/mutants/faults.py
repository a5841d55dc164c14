"""Faults put in by hand: each is a mistake that all tests once let pass, with the tests that notice it now."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """What stands in a file, what the mistake makes of it, and the tests that must fail then."""

    name: str
    path: str
    right: str
    wrong: str
    tests: tuple[str, ...]


_ORACLE = "tests/conformance/test_oracle.py"
_STREAMS = f"{_ORACLE}::test_the_stream_equals_the_founding_loops"
_NEXT = f"{_ORACLE}::test_after_any_run_a_request_holds_no_failed_answer_and_no_open_call"

FAULTS = (
    Fault(
        "an abort gives no time of grace",
        "eventsource/runner/tool_batch.py",
        "await asyncio.sleep(self._context.grace_s)",
        "await asyncio.sleep(0)",
        ("tests/eventsource/runner/test_tool_batch.py",),
    ),
    Fault(
        "a cancelled recording is an error",
        "eventsource/runner/recorder.py",
        "if not isinstance(error, Exception) and writer.state.aborted is None:",
        "if False:",
        ("tests/eventsource/runner/test_recorder.py",),
    ),
    Fault(
        "partial results are not redacted",
        "eventsource/admission.py",
        "case MessageUpdate():\n            return event\n",
        "case MessageUpdate():\n            return event\n"
        '        case _ if hasattr(event, "partial"):\n            return event\n',
        ("tests/eventsource/test_admission.py",),
    ),
    Fault(
        "a turn uses more than what its task's parent has left",
        "refold/tasks/turns.py",
        "        if problem := execution.budget.problem():\n            writer.outcome",
        "        if (problem := execution.budget.problem()) and not execution.root:\n            writer.outcome",
        ("tests/refold/tasks/test_budgets.py",),
    ),
    Fault(
        "the proxy goes on in a busy session",
        "refold/http/proxy/known_sessions.py",
        "                _goes_on(chosen, shared, busy) and",
        "                _goes_on(chosen, shared, set()) and",
        ("tests/refold/http/test_known_sessions.py",),
    ),
    Fault(
        "the proxy chooses a busy session where another is free",
        "refold/http/proxy/known_sessions.py",
        "if _goes_on(one, shared, busy)] or found",
        "if _goes_on(one, shared, set())] or found",
        ("tests/refold/http/test_known_sessions.py",),
    ),
    Fault(
        "a follower is not told of a lost tail",
        "eventsource/log/follow.py",
        "    raise TailLostError(session, last.seq, (await log.info(session)).head)",
        "    return page",
        ("tests/eventsource/log/test_follow.py",),
    ),
    Fault(
        "the altered rest of an erased event passes",
        "eventsource/log/sql/verify.py",
        "            if problem:\n                self._find(seq, problem)\n            return b[:32]",
        "            return b[:32]",
        ("tests/eventsource/log/sql/test_verify.py",),
    ),
    Fault(
        "usage in x_groq is not read",
        "eventsource/models/openai/chat_reader.py",
        'groq.get("usage") if isinstance(groq, dict) else None',
        "None",
        ("tests/eventsource/models/openai/test_chat_reader.py",),
    ),
    Fault(
        "only the first of several polled messages is delivered",
        "eventsource/runner/loop.py",
        "for message in messages or ()]",
        "for message in list(messages or ())[:1]]",
        (_STREAMS,),
    ),
    Fault(
        "details of results are lost",
        "projections/context.py",
        "        details=result.details,\n",
        "",
        (_STREAMS,),
    ),
    Fault(
        "the system prompt is lost from the second request on",
        "projections/context.py",
        "        system_prompt=config.system_prompt,\n        tools",
        '        system_prompt="" if len(sent) > 2 else config.system_prompt,\n        tools',
        (_STREAMS,),
    ),
    Fault(
        "tools are lost from the second request on",
        "projections/context.py",
        "        tools=config.tools,\n        options",
        "        tools=() if len(sent) > 2 else config.tools,\n        options",
        (_STREAMS,),
    ),
    Fault(
        "failed answers are kept",
        "projections/context.py",
        'message.stop_reason in ("error", "aborted")',
        "False",
        (_NEXT,),
    ),
    Fault(
        "what code does beside its end is recorded behind it",
        "refold/tasks/execution.py",
        "        if self._left:\n            raise asyncio.CancelledError",
        "        if False:\n            raise asyncio.CancelledError",
        ("tests/refold/tasks/test_children.py",),
    ),
    Fault(
        "a session is claimed for each of its children that is due",
        "eventsource/log/sql/leases.py",
        "if any(lease.session == runner for lease in taken):",
        "if False:",
        ("tests/eventsource/log/sql/test_leases.py",),
    ),
    Fault(
        "a store that loses an answer is a failure of the task's code",
        "refold/tasks/execution.py",
        "        try:\n            yield\n        except RefoldError as error:\n            await self.give_up(error)",
        "        yield",
        ("tests/refold/tasks/test_children.py",),
    ),
)
