"""`refold export`: a session as a file, in the form that is asked for."""

from __future__ import annotations

import json

import pytest

from tests.refold.cli.reading import events
from tests.refold.shell import Shell


@pytest.mark.parametrize("form", ["openai-chat", "anthropic", "pydantic-ai"])
def test_a_session_is_written_as_a_library_takes_it_also_up_to_a_seq(form: str, shell: Shell) -> None:
    session = shell.said("Oslo?", "--session", "oslo")
    shell.said("And a coat?", "--session", "oslo")
    whole = shell.good("export", session, "--format", form)
    json.loads(whole)
    assert ("Oslo?" in whole, "And a coat?" in whole) == (True, True)
    asked = [one["seq"] for one in events(shell, session) if one["type"] == "model_request"]
    early = shell.good("export", session, "--format", form, "--at", str(asked[0]))
    assert ("Oslo?" in early, "And a coat?" in early) == (True, False)
    if form != "anthropic":
        shell.good("export", session, "--format", form, "-o", str(shell.folder / "out.json"))
        report = shell.json("import", str(shell.folder / "out.json"))
        assert isinstance(report, list)
        assert (report[0]["format"], report[0]["title"]) == (form, "Oslo?")


def test_a_file_that_holds_all_branches_ends_at_no_seq(shell: Shell) -> None:
    session = shell.said("Oslo?")
    refused = shell("export", session, "--format", "pi", "--at", "3")
    assert refused.exit_code == 2
    assert "a file of pi holds all branches" in refused.stderr
