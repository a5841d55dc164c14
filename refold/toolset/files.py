"""The file tools, put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eventsource.tools.tool import Tool, tool
from eventsource.user_code.argument_checks import checked

from .confined_folder import ConfinedFolder
from .grep_tool import GrepTool
from .read_tools import ReadTools
from .write_tools import WriteTools

FILE_TOOLS = ("read", "ls", "grep", "write", "edit")


@checked()
def file_tools(root: str | Path = ".", names: Sequence[str] = FILE_TOOLS) -> list[Tool]:
    """Make tools that work on the files of one folder, and never outside it.

    Args:
        root: the folder; links that lead out of it are refused, whenever they were made.
        names: which of `FILE_TOOLS`.

    Raises: OSError when there is no such folder; ValueError for an unknown name.
    """
    if unknown := sorted(set(names) - set(FILE_TOOLS)):
        raise ValueError(f"names: no file tool is called {unknown[0]!r}; there are {', '.join(FILE_TOOLS)}")
    folder = ConfinedFolder(root)
    reading, writing = ReadTools(folder), WriteTools(folder)
    made = {
        "read": tool(reading.read, effect="idempotent"),
        "ls": tool(reading.ls, effect="idempotent"),
        "grep": tool(GrepTool(folder).grep, effect="idempotent"),
        "write": tool(writing.write, effect="once", mode="sequential"),
        "edit": tool(writing.edit, effect="once", mode="sequential"),
    }
    return [made[name] for name in FILE_TOOLS if name in names]
