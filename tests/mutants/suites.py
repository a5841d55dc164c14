"""Which tests are to notice a fault in which module: the quickest first, since the first that fails is enough."""

from __future__ import annotations

from typing import NamedTuple


class Suite(NamedTuple):
    """Modules, and the files of tests that cover them."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


_CORE = "tests/eventsource"
_FORKS = "tests/refold/test_fork_keeps.py::test_at_every_seq_of_a_history_a_fork_asks_with_what_the_turn_there_delivers"

SUITES = (
    Suite(
        (
            "eventsource/state.py",
            "eventsource/guards.py",
            "eventsource/evolve.py",
            "eventsource/steps.py",
            "eventsource/calls.py",
            "eventsource/backoff.py",
            "eventsource/roles.py",
        ),
        (
            f"{_CORE}/test_diagram.py",
            f"{_CORE}/test_state.py",
            f"{_CORE}/test_task_rules.py",
            f"{_CORE}/test_answer_rules.py",
            f"{_CORE}/test_guards.py",
            f"{_CORE}/test_steps.py",
            f"{_CORE}/test_evolve.py",
            f"{_CORE}/test_calls.py",
            f"{_CORE}/test_roles.py",
            _FORKS,
        ),
    ),
    Suite(
        ("eventsource/approvals.py",),
        (f"{_CORE}/test_approvals.py",),
    ),
    Suite(
        ("eventsource/outcome.py",),
        (f"{_CORE}/test_outcome.py",),
    ),
    Suite(
        ("eventsource/writer.py",),
        (f"{_CORE}/test_writer.py", f"{_CORE}/test_recorder.py", f"{_CORE}/test_loop.py"),
    ),
    Suite(
        ("eventsource/loop.py",),
        (f"{_CORE}/test_loop.py", f"{_CORE}/test_batch.py", "tests/refold/test_agent.py"),
    ),
    Suite(
        ("eventsource/log/lineage.py", "replay/lineage.py"),
        (
            f"{_CORE}/log/test_lineage.py",
            f"{_CORE}/log/test_memory.py",
            "tests/replay/test_lineage.py",
            "tests/replay/test_diff.py",
        ),
    ),
    Suite(
        ("eventsource/redaction.py", "eventsource/models/redact.py"),
        (
            f"{_CORE}/models/test_redact.py",
            f"{_CORE}/test_redaction.py",
            f"{_CORE}/test_redaction_everywhere.py",
            f"{_CORE}/test_writer.py",
        ),
    ),
)
