"""What the programs are made to do: scripts by rule, since programs ask more than they are told to."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eventsource.messages import Usage
from eventsource.models.scripted.rules import Rule, rule
from eventsource.models.scripted.script import CallItem, Item, call, stall, stop, think

from .programs import COMPACTS_AT, Program, Turn
from .running import STARTED, Answers

FULL = Usage(input_tokens=2 * COMPACTS_AT, output_tokens=10)
"""So many tokens that a program which counts them shortens its context."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """A script, and the turns that a program takes against it."""

    script: Answers
    turns: Sequence[Turn]


def _run(program: Program, command: str) -> CallItem:
    name, argument = program.shell
    return call(name, {argument: command})


def every_shape(program: Program, work: Path) -> Story:
    """Thinking, parallel calls, tools that fail or are not there, pictures; a second prompt, and a copy of it all."""
    picture = write_picture(work / "picture.png")
    look, argument = program.reader
    first: list[Item] = [
        think("Hm."),
        "Both ",
        "at once.",
        _run(program, "echo osprey-1"),
        _run(program, "echo osprey-2; exit 3"),
    ]
    script = [
        rule(first, said="Run two commands"),
        rule([call("no_such_tool", {"x": [1, None, "é"]})], said="osprey-2"),
        rule([_run(program, "printf 'a\\tb\\n\\n  c \\n'; exit 1")], said="no_such_tool"),
        rule(["One failed, ", "and one is unknown."], said="a\tb"),
        rule(["Now the picture.", call(look, {argument: str(picture)})], said="Look at it"),
        rule("A way of its own.", said="Another way"),
        rule("And on.", said="Go on"),
        rule("I looked."),
    ]
    turns = [
        Turn(prompt="Run two commands"),
        Turn(prompt="Look at it", resume=True),
        Turn(prompt="Another way", fork=True),
        Turn(prompt="Go on", resume=True),
    ]
    return Story(script=script, turns=turns if program.forks else [*turns[:2], turns[3]])


def picture_in_a_prompt(program: Program, work: Path) -> Story:
    """A picture beside a prompt."""
    picture = write_picture(work / "picture.png")
    turns = [Turn(prompt="What is that?", image=picture), Turn(prompt="Sure?", resume=True)]
    return Story(script=[rule("A picture.", said="What is that"), rule("Sure.", said="Sure")], turns=turns)


def interrupted_answer(program: Program, work: Path) -> Story:
    """An answer is interrupted, and the session goes on."""
    script = [
        rule("One.", said="First"),
        rule(["Let me ", "think about ", stall()], said="Second"),
        rule("Three.", said="Third"),
    ]
    turns = [
        Turn(prompt="First"),
        Turn(prompt="Second", resume=True, aborted="answer"),
        Turn(prompt="Third", resume=True),
    ]
    return Story(script=script, turns=turns)


def interrupted_tool(program: Program, work: Path) -> Story:
    """A tool is interrupted, and the session goes on."""
    slow = f"touch {STARTED}; sleep 20"
    script = [rule(["Go.", _run(program, slow)], said="Be slow"), rule("I am back.", said="Are you there")]
    turns = [Turn(prompt="Be slow", aborted="tool"), Turn(prompt="Are you there?", resume=True)]
    return Story(script=script, turns=turns)


def sub_agent(program: Program, work: Path) -> Story:
    """A sub-agent works beside another call, and calls a tool itself."""
    agent = program.agent
    assert agent is not None
    script = [
        rule([_run(program, "echo osprey-3")], said="Dig for the osprey"),
        rule([program.reports("The osprey is found.")], said="osprey-3"),
        rule(
            [agent("Dig for the osprey, please"), _run(program, f"{program.agent_ends}echo heron-4")],
            said="Send somebody",
        ),
        rule("Good work.", said="heron-4"),
        rule("Again, no.", said="Once more"),
    ]
    return Story(script=script, turns=[Turn(prompt="Send somebody"), Turn(prompt="Once more", resume=True)])


def compaction(program: Program, work: Path) -> Story:
    """The context is shortened, on request or because it is full, and the session goes on."""
    script = [
        Rule(when=program.summary, answer="<summary>Ospreys were counted.</summary>"),
        rule("Three.", said="Third"),
        rule("Carried on.", said="Ospreys were counted"),
        rule([_run(program, "echo osprey-5"), stop("tool_use", usage=FULL)], said="First"),
        rule(["One.", stop(usage=FULL)], said="osprey-5"),
        rule("Two.", said="Second"),
    ]
    long = f"First {'and first ' * 5_000}"  # for who counts characters
    turns = [Turn(prompt=long), Turn(prompt="Second", resume=True), Turn(prompt="Third", resume=True)]
    if program.compacts:
        turns.insert(2, Turn(prompt=program.compacts, resume=True))
    return Story(script=script, turns=turns)


STORIES: Mapping[str, Callable[[Program, Path], Story]] = {
    "every_shape": every_shape,
    "picture_in_a_prompt": picture_in_a_prompt,
    "interrupted_answer": interrupted_answer,
    "interrupted_tool": interrupted_tool,
    "sub_agent": sub_agent,
    "compaction": compaction,
}


def write_picture(path: Path) -> Path:
    """Write a small picture that any program can read."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80\x10\x10" * 8) * 8)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path
