"""The tool grep. It searches in a process of its own: an unlucky pattern can take for ever, and hold up this one."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePath

from eventsource.errors import ToolFailure
from eventsource.tools.context import ToolContext

from .confined_folder import ConfinedFolder, refusing
from .ignore_files import outer_rules
from .processes import run_program

_TIME_S = 20.0
_PROGRAM = Path(__file__).with_name("grep_program.py")


class GrepTool:
    """Searches one folder."""

    def __init__(self, root: ConfinedFolder) -> None:
        self._root = root

    async def grep(
        self,
        pattern: str,
        context: ToolContext,
        path: str = ".",
        files: str = "*",
        ignore_case: bool = False,  # noqa: FBT001, FBT002  # models name their arguments
        ignored: bool = False,  # noqa: FBT001, FBT002  # as above
    ) -> str:
        """Find lines that match a regular expression (Python's) in the working folder, or in a file or folder of it.

        `files` selects by name, such as *.py. Hidden folders, links and files that are no text are left out, and so is
        what .gitignore files name, unless `ignored` is true.
        """
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ToolFailure(f"the pattern is no regular expression: {error}") from error
        with (
            refusing(path),
            self._opened(path) as (descriptor, name),
            self._root.folder(PurePath()) as root,
            outer_rules(self._root.path) as rules,
        ):
            asked = {
                "library": _library(),
                "rules": None if ignored else rules,
                "descriptor": descriptor,
                "root": root,
                "name": name,
                "pattern": pattern,
                "files": files,
                "any": ignore_case,
            }
            ended = await run_program(
                [sys.executable, "-I", "-S", str(_PROGRAM), json.dumps(asked)],
                folder=self._root.path,
                timeout_s=_TIME_S,
                stop=context.signal,
                keep_open=[descriptor, root, *(opened for opened, _ in rules)],
            )
        if ended.why != "exit":
            raise ToolFailure(f"{ended.output}[not done after {_TIME_S:.0f} s; ask for less, or more simply]")
        if ended.code:
            raise ToolFailure(f"the search failed: {ended.output.strip()[-300:]}")
        return ended.output or "[no line matches]"

    @contextmanager
    def _opened(self, path: str) -> Iterator[tuple[int, str]]:
        """Open what is to be searched, and say what its lines are called by."""
        real = self._root.find(path)
        if (self._root.path / real).is_file():
            with self._root.file(path) as descriptor:
                yield descriptor, path
        else:
            with self._root.folder(real) as descriptor:
                yield descriptor, "" if real == PurePath() else real.as_posix()


@cache
def _library() -> str:
    """Find the folder that pathspec lies in: the program imports nothing else from there."""
    found = find_spec("pathspec")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("pathspec is not installed", name="pathspec")
    return str(Path(found.origin).parent.parent)
