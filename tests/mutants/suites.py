"""Which tests are to notice a fault in which module: the quickest first, since the first that fails is enough."""

from __future__ import annotations

from typing import NamedTuple


class Suite(NamedTuple):
    """Modules, and the files of tests that cover them."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


_FORKS = "tests/refold/test_fork_keeps.py::test_at_every_seq_of_a_history_a_fork_asks_with_what_the_turn_there_delivers"

SUITES = (
    Suite(
        (
            "eventsource/machine/state.py",
            "eventsource/machine/guards.py",
            "eventsource/machine/evolve.py",
            "eventsource/machine/steps.py",
            "eventsource/machine/call_rules.py",
            "eventsource/machine/backoff.py",
            "eventsource/machine/roles.py",
        ),
        (
            "tests/eventsource/machine/test_diagram.py",
            "tests/eventsource/machine/test_backoff.py",
            "tests/eventsource/machine/test_state.py",
            "tests/eventsource/machine/test_task_rules.py",
            "tests/eventsource/test_answer_rules.py",
            "tests/eventsource/machine/test_guards.py",
            "tests/eventsource/machine/test_steps.py",
            "tests/eventsource/machine/test_evolve.py",
            "tests/eventsource/machine/test_call_rules.py",
            "tests/eventsource/machine/test_roles.py",
            "tests/eventsource/machine/test_resume_reason.py",
            _FORKS,
        ),
    ),
    Suite(
        ("eventsource/machine/approvals.py",),
        ("tests/eventsource/machine/test_approvals.py",),
    ),
    Suite(
        ("eventsource/machine/outcome.py",),
        ("tests/eventsource/machine/test_outcome.py",),
    ),
    Suite(
        ("eventsource/runner/writer.py",),
        (
            "tests/eventsource/runner/test_writer.py",
            "tests/eventsource/runner/test_recorder.py",
            "tests/eventsource/runner/test_loop.py",
        ),
    ),
    Suite(
        ("eventsource/runner/loop.py",),
        (
            "tests/eventsource/runner/test_loop.py",
            "tests/eventsource/runner/test_loop_edges.py",
            "tests/eventsource/runner/test_tool_batch.py",
            "tests/eventsource/runner/test_hooks.py",
            "tests/eventsource/runner/test_operator_log.py",
            "tests/refold/test_output.py",
            "tests/refold/test_waits.py",
            "tests/refold/test_spending.py",
            "tests/refold/test_agent.py",
            "tests/refold/test_approvals.py",
            "tests/replay/test_repeated_calls.py",
        ),
    ),
    Suite(
        ("eventsource/log/lineage.py", "replay/lineage.py"),
        (
            "tests/eventsource/log/test_lineage.py",
            "tests/eventsource/log/test_memory.py",
            "tests/replay/test_lineage.py",
            "tests/replay/test_diff.py",
        ),
    ),
    Suite(
        ("eventsource/admission.py", "eventsource/models/secrets.py"),
        (
            "tests/eventsource/models/test_secrets.py",
            "tests/eventsource/test_admission.py",
            "tests/eventsource/test_redaction_everywhere.py",
            "tests/eventsource/runner/test_writer.py",
        ),
    ),
)
