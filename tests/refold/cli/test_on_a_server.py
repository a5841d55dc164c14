"""The commands work on a log in PostgreSQL as they do on one in a file, and never print its password."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsource.log.place import shown
from refold.cli.exit_codes import LOG, NO, OK, USAGE
from tests.postgres import empty_schema
from tests.refold.shell import Shell

PASSWORD = "gr8: secret@home"
pytestmark = pytest.mark.slow


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    """Name a schema that is not there yet."""
    with empty_schema(postgres) as place:
        yield place


@pytest.fixture
def shell(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell(tmp_path, db=url)
    shell.good("db", "init", url)
    return shell


def test_a_conversation_on_a_server_is_run_found_forked_and_archived(shell: Shell, url: str) -> None:
    session = shell.said("Do I need a coat?")
    fork = shell.json("fork", session, "--at", "4")
    assert isinstance(fork, dict)
    shell.good("continue", str(fork["id"]), "-m", f"scripted:{shell.script}", "--prompt", "And in Bergen?")
    assert [row["id"] for row in json.loads(shell.good("ls", "--json"))] == [fork["id"], session]
    assert "Oslo is cold and wet." in shell.good("show", session)
    assert session in shell.good("search", "cold AND wet")
    assert shell("search", "warm and dry").exit_code == NO
    shell.good("archive", session)
    assert session in shell.good("search", "cold AND wet")
    assert "Oslo is cold and wet." in shell.good("show", session)
    assert "no defect" in shell.good("verify")
    assert "by itself" in shell.good("vacuum")
    assert shell.json("db", "check") == {"path": shown(url), "format": 2, "problems": []}
    assert shell.json("db", "rebuild") == {"wrong": 0}


def test_whoever_made_an_empty_log_is_told_how_to_go_on(shell: Shell, postgres: str) -> None:
    with empty_schema(postgres) as other:
        said = shell("db", "init", other)
    assert "is an empty log" in said.stdout
    assert "Next: export REFOLD_DB=URL, or refold db copy URL" in said.stderr


def test_a_log_is_copied_to_a_server_and_back_with_every_digest(shell: Shell, url: str, postgres: str) -> None:
    session = shell.said("Do I need a coat?")
    shell.good("erase", session, "1", "--yes")
    shell.good("archive", shell.said("And gloves?"))
    file, again = shell.folder / "copy.db", shell.folder / "again.db"
    rows = shell.json("ls")
    assert shell.json("db", "copy", file) == {"path": str(file), "sessions": 2}
    assert shell.json("ls", "--db", file) == rows
    with empty_schema(postgres) as other:
        told = shell.good("db", "copy", other, "--db", file)
        assert "2 sessions copied" in told
        assert shell.json("ls", "--db", other) == rows
        assert "no defect" in shell.good("verify", "--db", other)
        refused = shell("db", "copy", other, "--db", file)
        assert (refused.exit_code, "there are sessions in this log" in refused.stderr) == (LOG, True)
        shell.good("run", "More?", "-m", f"scripted:{shell.script}", "--db", other)
        shell.good("backup", again, "--db", other)
    assert len(json.loads(shell.good("ls", "--json", "--db", again))) == 3
    assert "no defect" in shell.good("verify", "--db", again)
    refused = shell("db", "copy", file)
    assert refused.exit_code == LOG
    assert file.exists()


def test_a_log_on_a_server_is_made_by_init_alone_and_once(shell: Shell, url: str, postgres: str) -> None:
    again = shell("db", "init", url)
    assert (again.exit_code, "there is a log already" in again.stderr) == (LOG, True)
    with empty_schema(postgres) as other:
        for words in (["ls"], ["run", "hi", "-m", "scripted"], ["db", "check"], ["db", "upgrade"]):
            refused = shell(*words, "--db", other)
            assert (refused.exit_code, "refold db init" in refused.stderr) == (LOG, True), words
    assert shell("db", "init", shell.folder / "file.db").exit_code == LOG
    assert shell("db", "check", url).exit_code == USAGE
    assert shell("db", "copy").exit_code == USAGE
    assert shell("db", "rebuild", "--role", "nobody").exit_code == USAGE


def test_what_is_not_as_this_release_makes_it_is_said_and_set_right(shell: Shell, url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as server:
        server.execute("DROP TRIGGER events_stay ON events")
        server.execute("CREATE OR REPLACE FUNCTION no_truncate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'")
        checked = shell("db", "check")
        assert (checked.exit_code, shell("verify").exit_code) == (NO, NO)
        assert "the trigger events_stay of events is missing" in checked.stdout
        assert "the function no_truncate is missing, or not as this release makes it" in checked.stdout
        shell.good("db", "upgrade")
        shell.good("db", "check")
        shell.good("verify")


@pytest.mark.parametrize(
    "place",
    [
        "postgresql://somebody:{}@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?user=somebody&password={}",
        "postgresql://somebody:{}@127.0.0.1:1x/db",
        "postgres://somebody:{}@[::1/db",
    ],
)
def test_a_password_is_never_printed(shell: Shell, place: str) -> None:
    from urllib.parse import quote

    place = place.format(quote(PASSWORD, safe=""))
    for words in (["ls"], ["demo"], ["db", "copy", place, "--db", os.devnull], ["db", "init", place], ["vacuum"]):
        said = shell(*words, "--db", place, trace=False)
        assert said.exit_code != OK
        for secret in (PASSWORD, quote(PASSWORD, safe=""), "secret"):
            assert secret not in said.stdout + said.stderr, words
