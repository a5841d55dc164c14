"""`refold chat` as a person uses it, in a real terminal; with a script, and through each protocol against a server."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from refold.cli.group import refold as command_line
from tests.refold.terminal import COMMAND, ROOT, Terminal

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")]

VENDORS = ("anthropic", "openai", "ollama", "google")
LONG = " ".join(f"word{number}" for number in range(300))
KEY = "sk-planted-0123456789"
Chat = Callable[..., Terminal]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Give what a process is started with: a log of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "REFOLD_DB": str(tmp_path / "log" / "refold.db"), "NO_COLOR": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "notes.txt").write_text("notes")
    return tmp_path / "work"


@pytest.fixture
def chat(environment: Mapping[str, str], folder: Path) -> Iterator[Chat]:
    """Give what begins a chat with a script of answers; every terminal is closed in the end."""
    opened: list[Terminal] = []

    def begin(answers: object, *words: str) -> Terminal:
        script = folder.parent / f"{len(opened)}.json"
        script.write_text(json.dumps(answers))
        opened.append(Terminal(["chat", "-m", f"scripted:{script}", *words], environment, folder))
        opened[-1].sees("Ctrl-D leaves")
        return opened[-1]

    yield begin
    for terminal in opened:
        terminal.close()


def refold(environment: Mapping[str, str], *words: str, code: int = 0) -> str:
    """Run a command line, in this process, that must end with a code; give what it prints."""
    done = CliRunner(env=environment).invoke(command_line, words)
    assert done.exit_code == code, done.stderr
    return done.stdout


def said(environment: Mapping[str, str], session: str) -> list[tuple[str, str]]:
    """Give what was said in a session and counts, by role."""
    shown = json.loads(refold(environment, "show", session, "--json"))
    return [(one["role"], one["text"]) for one in shown["transcript"] if one["seen"]]


def test_a_conversation_streams_and_is_one_session(chat: Chat, environment: Mapping[str, str]) -> None:
    terminal = chat([["Oslo ", "is ", "cold."], ["Take ", "a coat."]], "-c", "oslo")
    terminal.types("Is Oslo cold?")
    terminal.sees("Oslo is cold.\r\n")
    terminal.types("And now?")
    terminal.sees("Take a coat.\r\n")
    terminal.presses("d")
    terminal.sees("The session is kept: refold chat -c ")
    assert terminal.ends() == 0
    assert said(environment, "oslo") == [
        ("user", "Is Oslo cold?"),
        ("assistant", "Oslo is cold."),
        ("user", "And now?"),
        ("assistant", "Take a coat."),
    ]
    assert refold(environment, "ls", "--open", "--json").split() == ["[]"]


def test_a_session_is_named_by_what_was_said_first_and_not_made_before(
    chat: Chat, environment: Mapping[str, str]
) -> None:
    terminal = chat([["Yes."]])
    terminal.types("/tree")
    terminal.sees("Nothing was said yet.")
    assert json.loads(refold(environment, "ls", "--json")) == []
    terminal.types("Is anybody there?")
    terminal.sees("Yes.\r\n")
    terminal.types("/quit")
    assert terminal.ends() == 0
    assert [row["title"] for row in json.loads(refold(environment, "ls", "--json"))] == ["Is anybody there?"]


def test_what_is_typed_while_it_works_is_steering(chat: Chat, environment: Mapping[str, str], folder: Path) -> None:
    command = "echo begun; until [ -e go ]; do sleep 0.01; done"
    answers = [[{"call": "bash", "arguments": {"command": command}}], ["Briefly, cold."]]
    terminal = chat(answers, "--bash", "-c", "steered")
    terminal.types("Is Oslo cold?")
    terminal.sees("→ bash")
    terminal.sees("steer>")
    terminal.types("Be brief.")
    while '"steering"' not in refold(environment, "show", "steered", "--events", "--json"):
        time.sleep(0.01)
    (folder / "go").touch()
    terminal.sees("Briefly, cold.\r\n")
    terminal.types("/quit")
    assert terminal.ends() == 0
    assert said(environment, "steered")[-2:] == [("user", "Be brief."), ("assistant", "Briefly, cold.")]


def test_ctrl_c_stops_the_answer_and_keeps_the_session(chat: Chat, environment: Mapping[str, str]) -> None:
    terminal = chat([[{"say": ["One ", "two "], "unfinished": True}, {"stall": True}]], "-c", "cut")
    terminal.types("Count.")
    terminal.sees("two")
    terminal.presses("c")
    terminal.sees("Stopped; what came is kept.")
    terminal.presses("c")
    terminal.sees("Nothing is under way.")
    terminal.types("/model scripted")
    terminal.sees("scripted:scripted answers")
    terminal.types("/continue")
    terminal.sees("(scripted) No model was called.")
    terminal.types("/quit")
    assert terminal.ends() == 0
    assert "Request was aborted" in refold(environment, "show", "cut")
    refold(environment, "replay", "cut")
    assert refold(environment, "ls", "--open", "--json").split() == ["[]"]


def test_leaving_in_the_middle_of_an_answer_ends_the_run(chat: Chat, environment: Mapping[str, str]) -> None:
    terminal = chat([[{"say": ["One ", "two "], "unfinished": True}, {"stall": True}]], "-c", "left")
    terminal.types("Count.")
    terminal.sees("two")
    terminal.presses("d")
    assert terminal.ends() == 0
    assert refold(environment, "ls", "--open", "--json").split() == ["[]"]


def test_a_fork_leaves_the_session_as_it_was(chat: Chat, environment: Mapping[str, str]) -> None:
    usage = {"stop": "stop", "usage": {"input_tokens": 1200, "output_tokens": 34}}
    terminal = chat([["Cold.", usage], ["Colder."], ["Coldest."]], "-c", "first")
    terminal.types("Oslo?")
    terminal.sees("Cold.\r\n")
    head = json.loads(refold(environment, "show", "first", "--json"))["head"]
    terminal.types("/cost")
    terminal.sees("1,200")
    terminal.types("/fork")
    terminal.sees(f"shares events 1 to {head} of")
    terminal.types("And Bergen?")
    terminal.sees("Colder.\r\n")
    terminal.types("/tree")
    terminal.sees("← here")
    terminal.types("/open first")
    terminal.sees(", first.")
    terminal.types("/fork 99999")
    terminal.sees("no such seq")
    terminal.types("/fork here")
    terminal.sees("expected a seq; /show has them")
    terminal.types("/show 1")
    terminal.sees("Cold.")
    terminal.types("/quit")
    assert terminal.ends() == 0
    rows = json.loads(refold(environment, "ls", "--json"))
    assert sorted(row["messages"] for row in rows) == [2, 4]
    assert said(environment, "first") == [("user", "Oslo?"), ("assistant", "Cold.")]


def test_what_cannot_be_done_is_a_sentence_and_the_chat_goes_on(chat: Chat) -> None:
    terminal = chat([[{"fail": "the model is asleep"}], ["Awake."]])
    for line, says in (
        ("/fokr", "did you mean /fork?"),
        ("/model gpt", "expected vendor:model"),
        ("/open nowhere", "no session 'nowhere'"),
        ("/help", "is heard before the next model call"),
        ("Hello?", "the model is asleep"),
    ):
        terminal.types(line)
        terminal.sees(says)
    terminal.sees("Next: /continue")
    terminal.types("/quit")
    assert terminal.ends() == 0


def test_a_text_longer_than_the_screen_is_all_there(chat: Chat) -> None:
    terminal = chat([[f"{word} " for word in LONG.split()] + ["\nThe end."]])
    terminal.types("Talk.")
    for word in ("word0 ", "word150 ", "word299", "The end.\r\n"):
        terminal.sees(word)
    terminal.types("/quit")
    assert terminal.ends() == 0


def test_chat_needs_a_terminal(environment: Mapping[str, str], folder: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "chat", "-m", "scripted"], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert (done.returncode, "needs a terminal" in done.stderr) == (2, True)
    assert not (folder.parent / "log" / "refold.db").exists() or json.loads(refold(environment, "ls", "--json")) == []


# --- through the four protocols ------------------------------------------------------------------------------------


@pytest.fixture
def served(environment: dict[str, str], folder: Path) -> Iterator[Mapping[str, str]]:
    """Start `refold serve-script`, and give what leads every vendor's model there."""
    answers: list[object] = [
        ["Let me ", "look.", {"call": "ls", "arguments": {"path": "."}}],
        ["There are ", "notes."],
        [f"{word} " for word in LONG.split()],
    ]
    script = folder.parent / "served.json"
    script.write_text(json.dumps({"answers": answers, "behaviours": [{}, {}, {"stall_after_bytes": 6000}]}))
    server = subprocess.Popen(
        [*COMMAND, "serve-script", str(script), "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip().removeprefix("Answering at ")
    keys = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OLLAMA_API_KEY")
    yield {
        **environment,
        **dict.fromkeys(keys, KEY),
        "ANTHROPIC_BASE_URL": url,
        "OPENAI_BASE_URL": f"{url}/v1",
        "GOOGLE_GEMINI_BASE_URL": url,
        "OLLAMA_HOST": url,
    }
    server.terminate()
    server.communicate(timeout=60)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_chat_that_is_killed_in_an_answer_is_continued(vendor: str, served: Mapping[str, str], folder: Path) -> None:
    terminal = Terminal(["chat", "-m", f"{vendor}:some-model", "-c", "talk", "--tools"], served, folder)
    terminal.types("What is here?")
    terminal.sees("→ ls")
    terminal.sees("notes.txt")
    terminal.sees("There are notes.\r\n")
    terminal.types("Tell me more.")
    terminal.sees("word5 ")
    terminal.kill()
    (row,) = json.loads(refold(served, "ls", "--open", "--json"))
    assert row["title"] == "talk"
    assert refold(served, "continue", "talk", "--tools").strip() == LONG
    assert said(served, "talk")[-1] == ("assistant", f"{LONG} ")
    assert refold(served, "ls", "--open", "--json").split() == ["[]"]
    refold(served, "replay", "talk")
    refold(served, "verify")
    database = b"".join(path.read_bytes() for path in (folder.parent / "log").iterdir() if path.is_file())
    assert KEY.encode() not in database


@pytest.mark.parametrize("vendor", VENDORS)
def test_run_works_through_each_protocol(vendor: str, served: Mapping[str, str], folder: Path) -> None:
    words = ("run", "What is here?", "-m", f"{vendor}:some-model", "-c", "r", "--tools", "--root", str(folder))
    assert refold(served, *words) == "Let me look.\nThere are notes.\n"
    assert [role for role, _ in said(served, "r")] == ["user", "assistant", "tool_result", "assistant"]
