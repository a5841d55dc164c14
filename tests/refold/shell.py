"""Running the command in a test: each call is one command line, with a log and a script of answers of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner, Result

from refold.cli.group import refold

ANSWERS: Sequence[object] = (
    ["Oslo ", "is ", "cold ", "and ", "wet."],
    [{"think": "A coat."}, "Yes, ", "take ", "a coat."],
)


class Shell:
    """A folder with a log in it, unless the log is elsewhere."""

    def __init__(self, folder: Path, *, db: str = "") -> None:
        self.folder = folder
        self.script = folder / "answers.json"
        self.script.write_text(json.dumps(ANSWERS))
        self._runner = CliRunner(
            env={"REFOLD_DB": db or str(folder / "refold.db"), "COLUMNS": "100", "NO_COLOR": "1", "REFOLD_TRACE": "0"}
        )

    def __call__(self, *words: str | int | Path, input: str | None = None, trace: bool = False) -> Result:  # noqa: A002  # click's word
        """Run a command line; an exception that is not the command's exit is raised here."""
        env = {"REFOLD_TRACE": "1"} if trace else None
        result = self._runner.invoke(refold, [str(word) for word in words], input=input, env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def good(self, *words: str | int | Path, input: str | None = None) -> str:  # noqa: A002  # click's word
        """Run a command line that must succeed; give what it prints."""
        result = self(*words, input=input)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def json(self, *words: str | int | Path) -> object:
        """Run a command line with --json that must succeed; give what it says."""
        document: object = json.loads(self.good(*words, "--json"))
        return document

    def said(self, prompt: str, *words: str) -> str:
        """Run a prompt with the script's answers; give the session's id."""
        run = json.loads(self.good("run", prompt, "-m", f"scripted:{self.script}", "--json", *words))
        assert run["status"] == "done"
        return str(run["id"])
