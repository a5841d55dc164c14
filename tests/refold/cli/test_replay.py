"""`refold replay`: a record is proved, or played."""

from __future__ import annotations

from tests.refold.cli.reading import events
from tests.refold.shell import Shell


def test_replay_proves_a_record_and_plays_it_as_it_was(shell: Shell) -> None:
    session = shell.said("Oslo?")
    report = shell.json("replay", session)
    assert isinstance(report, dict)
    assert report["difference"] is None
    assert report["given"] + report["predicted"] == len(events(shell, session))
    played = shell.good("replay", session, "--speed", "1000")
    assert "you: Oslo?\nOslo is cold and wet.\n" in played
    assert played.endswith("no difference\n")
    stepped = shell.good("replay", session, "--step", input="\n\nq\n")
    assert [line.split()[0] for line in stepped.splitlines()[:3]] == ["1", "2", "3"]
    assert shell("replay", session, "--speed", "2", "--step").exit_code == 2
    assert shell("replay", session, "--at", "9999").exit_code == 3
