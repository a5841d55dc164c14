"""The tool bash: a command in a shell. It begins in a folder and may go anywhere; so it is asked for by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from eventsource.tools.context import ToolContext
from eventsource.tools.results import ToolOutcome, tool_result
from eventsource.tools.tool import Tool, tool
from eventsource.user_code.argument_checks import checked

from .confined_folder import ConfinedFolder
from .hide_keys import hide_keys, key_variables
from .processes import OUTPUT_BYTES, ProgramResult, run_program

LONGEST_S = 600


@checked()
def shell_tool(root: str | Path = ".") -> Tool:
    """Make the tool `bash`. Nothing confines it: a command can do whatever this program can.

    Keys of model providers are not in its environment, and this process's own, and its memory, are hidden from now on
    (`hide_keys`). What a command leaves in the background ends with it, daemons included.

    Raises: OSError when there is no such folder, or no shell.
    """
    folder = ConfinedFolder(root).path
    shell = shutil.which("bash") or shutil.which("sh")
    if shell is None:
        raise FileNotFoundError(2, "there is neither bash nor sh", "bash")
    hide_keys()

    async def bash(
        command: str, context: ToolContext, timeout_s: Annotated[int, Field(ge=1, le=LONGEST_S)] = 120
    ) -> ToolOutcome:
        """Run a command in bash, in the working folder; stdin is empty, background processes end with the command."""
        ended = await run_program(
            [shell, "-c", command],
            folder=folder,
            timeout_s=timeout_s,
            stop=context.signal,
            environment=_environment(os.environ),
            report=context.update,
        )
        return _outcome(ended, timeout_s)

    return tool(bash, effect="once", mode="sequential")


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Remove the keys of providers, whatever variables hold them; ask programs not to page, colour or prompt."""
    keys = key_variables(given)
    kept = {name: value for name, value in given.items() if name not in keys}
    return {**kept, "TERM": "dumb", "PAGER": "cat", "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0"}


def _outcome(ended: ProgramResult, timeout_s: int) -> ToolOutcome:
    match ended.why, ended.code:
        case "exit", 0:
            remark = "" if ended.output else "[it printed nothing]"
        case "exit", code:
            remark = f"[exit code {code}]" if code > 0 else f"[ended by signal {-code}]"
        case "time", _:
            remark = f"[not done after {timeout_s} s: ended, with all it had started]"
        case _:
            remark = f"[ended: it printed more than {OUTPUT_BYTES:,} bytes]"
    if ended.left:
        remark += f"[could not be ended, and still runs: {', '.join(map(str, ended.left))}]"
    output = ended.output if not remark or not ended.output or ended.output.endswith("\n") else f"{ended.output}\n"
    details = {"exit_code": ended.code, "ended_by": ended.why}
    return ToolOutcome(tool_result(output + remark, details=details), is_error=bool(ended.why != "exit" or ended.code))
