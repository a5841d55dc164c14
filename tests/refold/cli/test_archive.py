"""`refold archive` and `refold vacuum`: what is over takes little room, and is there as before."""

from __future__ import annotations

import asyncio

from refold import open_log
from tests.refold.shell import Shell


def test_an_archived_session_is_shown_searched_forked_and_gone_on_with(shell: Shell) -> None:
    session = shell.said("Oslo?")
    before = shell.good("show", session, "--full")
    exported = shell.good("export", session)
    done = shell("archive", session)
    assert (done.exit_code, done.stdout.split()[0]) == (0, session)
    assert "1 session archived." in done.stderr
    assert "vacuum" in done.stderr
    assert shell.good("show", session, "--full") == before
    assert shell.good("export", session) == exported
    assert session in shell.good("search", "oslo")
    shell.good("replay", session)
    fork = shell.good("fork", session, "--at", 4).strip()
    shell.good("verify")
    rows = {row["id"]: row for row in shell.json("ls")}  # type: ignore[attr-defined]
    assert rows[session]["archived_at_us"]
    assert rows[fork]["archived_at_us"] is None
    shell.good("continue", session, "--prompt", "And Bergen?", "-m", f"scripted:{shell.script}")
    assert {row["archived_at_us"] for row in shell.json("ls")} == {None}  # type: ignore[attr-defined]


def test_what_is_older_is_archived_and_what_is_open_is_named(shell: Shell) -> None:
    one, other = shell.said("Oslo?"), shell.said("Bergen?")
    steered = shell.said("Rome?")
    shell.good("steer", steered, "and Paris?")
    assert "0 sessions archived." in shell("archive", "--older-than", "1d").stderr
    done = shell("archive", "--older-than", "0s")
    assert {line.split()[0] for line in done.stdout.splitlines()} == {one, other}
    assert f"1 session not closed: {steered}." in done.stderr
    assert shell.json("archive", "--older-than", "0s") == {"archived": [], "open": [steered]}
    refused = shell("archive", steered)
    assert refused.exit_code == 5
    assert "not closed (status: queued)" in refused.stderr
    assert shell("archive").exit_code == shell("archive", one, "--older-than", "1d").exit_code == 2
    assert shell("archive", "nobody").exit_code == 3


def test_vacuum_gives_the_room_back(shell: Shell) -> None:
    for _ in range(9):
        shell.said("Oslo? " * 3_000)
    shell.good("archive", "--older-than", "0s")
    told = shell.json("vacuum")
    assert isinstance(told, dict)
    size = (shell.folder / "refold.db").stat().st_size
    assert told["after_bytes"] == size < told["before_bytes"] * 0.7
    assert "before" in shell.good("vacuum")
    shell.good("verify")


async def test_of_a_session_that_holds_nothing_it_is_said(shell: Shell) -> None:
    async with open_log(shell.folder / "refold.db") as log:
        session = (await log.session("empty")).id
    done = await asyncio.to_thread(shell, "archive", session)
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"{session} holds nothing." in done.stderr
    assert "0 sessions archived." in done.stderr
