"""`refold why`: where each part of a request comes from."""

from __future__ import annotations

import asyncio

from eventsource.events import Label
from eventsource.log import open_store
from tests.refold.cli.reading import seqs
from tests.refold.shell import Shell


def test_why_says_where_each_part_of_a_request_comes_from(shell: Shell) -> None:
    one = shell.said("Oslo?")
    answer = seqs(shell, one)[1]
    shown = shell.good("why", one, answer)
    assert "its digest is the recorded one" in shown
    assert "prompt queued at" in shown
    assert shell.json("why", one) == shell.json("why", one, answer)  # the last answer, unless told
    found = shell.json("why", one, answer)
    assert isinstance(found, dict)
    assert (found["seq"], found["digest"]) == (answer, "equal")
    assert shell("why", one, 999).exit_code != 0


def test_the_last_answer_is_found_however_much_follows_it(shell: Shell) -> None:
    one = shell.said("Oslo?")
    answer = seqs(shell, one)[1]

    async def label(count: int) -> None:
        async with open_store(str(shell.folder / "refold.db")) as log:
            await log.append(one, [(1, Label(text=f"mark {number}", target_seq=answer)) for number in range(count)])

    asyncio.run(label(600))
    assert shell.json("why", one) == shell.json("why", one, answer)


def test_where_nobody_answered_it_is_about_what_would_be_asked(shell: Shell) -> None:
    async def begin() -> str:
        async with open_store(str(shell.folder / "refold.db")) as log:
            made = (await log.create()).id
            await log.append(made, [(1, Label(text="nobody spoke"))])
            return made

    one = asyncio.run(begin())
    found = shell.json("why", one)
    assert isinstance(found, dict)
    assert found["seq"] == 1
