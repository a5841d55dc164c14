"""What needs no key and no network: an agent that looks around in the current folder, and a model that calls nobody."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from os import scandir
from pathlib import Path, PurePath

from eventsource.codec import clean_text, read_object
from eventsource.errors import ToolFailure
from eventsource.events import ModelRef
from eventsource.messages import AssistantMessage, Message, TextContent, ToolResultMessage, UserMessage
from eventsource.models.scripted.model import ScriptedModel
from eventsource.models.scripted.script import Answer, call
from eventsource.request import Request
from eventsource.tools.tool import tool

from .agent import Agent

QUESTION = "What is in this folder?"
BRIEFLY = "Answer in one line."
_LISTED = 40  # names of a folder that are told
_LOOKED_AT = 10_000  # names of a folder that are looked at: it may be huge
_READ_BYTES = 2_000
_TEXTS = {".md", ".txt", ".rst", ".toml", ".json", ".yaml", ".yml", ".py", ".js", ".ts", ".go", ".rs", ".c", ".html"}


@tool(effect="idempotent")
def list_files(folder: str) -> str:
    """List a folder, the current one or one below; folders end with a slash, hidden names are left out."""
    with _refusing(folder), scandir(_below(folder)) as entries:
        shown = (entry for entry in islice(entries, _LOOKED_AT) if not entry.name.startswith("."))
        names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in shown]
    left = len(names) - _LISTED
    more = [f"... and {left}{' or' if len(names) == _LOOKED_AT else ''} more"] if left > 0 else []
    return "\n".join([*map(_on_a_line, heapq.nsmallest(_LISTED, names)), *more]) or "(empty)"


@tool(effect="idempotent")
def read_file(path: str) -> str:
    """Read the beginning of a text file in the current folder or below."""
    with _refusing(path):
        file = _below(path)
        if not file.is_file():
            raise ToolFailure(f"{path}: there is no such file")
        with file.open("rb") as opened:
            data = opened.read(_READ_BYTES)
    if b"\0" in data:
        raise ToolFailure(f"{path}: it is no text")
    return data.decode("utf-8", "ignore") or "(empty)"


def _on_a_line(name: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in clean_text(name))


def _below(name: str) -> Path:
    here = Path.cwd().resolve()
    path = (here / name).resolve()
    if not path.is_relative_to(here):
        raise ToolFailure(f"{name}: only this folder and what is below may be read")
    return path


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ToolFailure(f"{name}: {error.strerror or error}") from error
    except (ValueError, RuntimeError) as error:  # a NUL in the name; a link that leads to itself
        raise ToolFailure(f"{name}: {error}") from error


def _demo_answer(request: Request) -> Answer:
    """Answer as the demo's model: list the folder, read what tells most, say what was found."""
    question, since = _last_question(request.messages)
    results = [message for message in since if isinstance(message, ToolResultMessage)]
    listed = next((_text(one) for one in results if one.tool_name == "list_files" and not one.is_error), None)
    if not results:
        return [*_words("I'll look around first."), call("list_files", {"folder": "."})]
    if listed is None:
        return _words(f"I could not look into this folder: {_text(results[-1])}")
    names = [] if listed == "(empty)" else listed.split("\n")
    wanted = _most_telling(names, question)
    if wanted is not None and len(results) == 1:
        return [*_words(f"{wanted} may say what this is about."), call("read_file", {"path": wanted})]
    read = results[-1] if len(results) > 1 else None
    return _words(_found(names, wanted, read, briefly=BRIEFLY in request.system_prompt))


def _found(names: Sequence[str], wanted: str | None, read: ToolResultMessage | None, *, briefly: bool) -> str:
    if not names:
        return "This folder is empty. Start the demo in a folder with files in it, and I will say what they are."
    begins = ""
    if read is not None and read.is_error:
        begins = f"{wanted} could not be read ({_text(read)})."
    elif read is not None:
        lines = [line.strip("#=-*/ \t") for line in _text(read).split("\n")]
        line = next((line for line in lines if line.count(" ") > 2), lines[0])  # a heading alone says little
        begins = f"{wanted} begins: “{line[:70].rstrip()}{'…' if len(line) > 70 else ''}”"
    if briefly:
        return f"{_how_many(names)}. {begins}".strip()
    return (
        f"This folder holds {_how_many(names)}.\n{begins or 'None of it is a text that I would read first.'}\n"
        "More I cannot say: I am a script, and no model was called.\n"
        "Each word of this answer is an event in the log: it can be replayed, cut\n"
        "anywhere and continued from there."
    )


def _how_many(names: Sequence[str]) -> str:
    more = names[-1].startswith("... and ")
    shown = names[:-1] if more else names
    folders = sum(name.endswith("/") for name in shown)
    kinds = Counter(PurePath(name).suffix for name in shown if not name.endswith("/") and PurePath(name).suffix)
    if more:
        return f"many files and folders, {shown[0]} the first of them"
    files = len(shown) - folders
    words = [f"{files} file{'s' * (files != 1)}", f"{folders} folder{'s' * (folders != 1)}"]
    mostly = f" (mostly {kinds.most_common(1)[0][0]})" if kinds and kinds.most_common(1)[0][1] > 1 else ""
    return " and ".join(word for word, number in zip(words, (files, folders), strict=True) if number) + mostly


def _most_telling(names: Sequence[str], question: str) -> str | None:
    """Choose a file: the one that was asked for, else a README, else any text."""
    files = [name for name in names if not name.endswith("/") and not set(name) & {"?", "�"}]
    texts = [name for name in files if PurePath(name).suffix.lower() in _TEXTS]
    asked = [name for name in files if name in question]
    readme = [name for name in files if name.lower().startswith("readme")]
    return next(iter([*asked, *readme, *texts]), None)


def _echo_answer(request: Request) -> Answer:
    """Answer as the model `scripted`: say what was asked, and that nobody was called."""
    last = request.messages[-1] if request.messages else None
    match last:
        case None:
            said = "Nothing was said so far."
        case ToolResultMessage():
            said = f"The last thing said was the result of {last.tool_name}: “{_one_line(_text(last))}”"
        case _:
            said = f"You said: “{_one_line(_text(last))}”"
    number = len(request.messages)
    return _words(
        f"(scripted) No model was called. {said} A model named with -m would get "
        f"{number} message{'s' * (number != 1)} and answer here."
    )


def _last_question(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    at = max((n for n, message in enumerate(messages) if isinstance(message, UserMessage)), default=-1)
    return (_text(messages[at]) if at >= 0 else ""), messages[at + 1 :]


def _text(message: Message) -> str:
    if isinstance(message, AssistantMessage):
        return message.text
    if isinstance(message, UserMessage | ToolResultMessage):
        content = message.content
        blocks = () if isinstance(content, str) else content
        return content if isinstance(content, str) else "\n".join(b.text for b in blocks if isinstance(b, TextContent))
    return str(read_object(message.body).get("content", ""))


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:79]}…"


def _words(text: str) -> list[str]:
    """Cut a text into the pieces in which it streams."""
    return re.findall(r"\S+\s*", text)


def demo_model(*, pace_ms: int = 15) -> ScriptedModel:
    """Make the demo's model; it pauses before each word, so that one can watch."""
    return ScriptedModel(_demo_answer, ref=ModelRef(api="scripted", provider="scripted", model="demo"), pace_ms=pace_ms)


def echo_model() -> ScriptedModel:
    """Make the model `scripted`: it says what it was asked, and calls nobody."""
    return ScriptedModel(_echo_answer)


agent: Agent[object] = Agent(
    demo_model(),
    system="You look around in folders and say what you find.",
    tools=[list_files, read_file],
)
"""The demo's agent, for the command line: --agent refold.demo:agent."""
