"""A command is in the file that has its name, and what commands share is in the folders beside them."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from refold.cli import group
from refold.cli.group import module_of, refold

CLI = Path(group.__file__).parent
COMMANDS = [name for _, listed in group.SECTIONS for name, _ in listed]
NO_COMMANDS = {"__init__", "group", "command", "exit_codes"}  # what makes commands


def test_a_file_beside_the_commands_is_a_command() -> None:
    assert {path.stem for path in CLI.glob("*.py")} == {module_of(name) for name in COMMANDS} | NO_COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_defined_in_the_file_that_has_its_name(name: str) -> None:
    command = refold.commands.get(name) or refold.get_command(refold.make_context("refold", [name]), name)
    assert command is not None
    assert command.callback is not None
    assert Path(inspect.getfile(inspect.unwrap(command.callback))) == CLI / f"{module_of(name)}.py"


def test_no_file_imports_a_command() -> None:
    """What two commands share is in one of the folders, so that a command can be read, changed or removed alone."""
    commands = {module_of(name) for name in COMMANDS}
    wrong = []
    for file in CLI.rglob("*.py"):
        depth = len(file.relative_to(CLI).parts)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == depth:
                named = [node.module] if node.module else [alias.name for alias in node.names]
                wrong += [f"{file.relative_to(CLI)}: {name}" for name in named if name in commands]
    assert wrong == []
