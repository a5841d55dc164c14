"""Stories that nobody wrote: a seed makes the turns, what the model says in them, and what goes wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from eventsource.messages import AssistantMessage, TextContent, Usage, UserMessage
from eventsource.models.scripted.rules import fits
from eventsource.models.scripted.script import Answer, Item, call, cut, fail, retry, say, stall, stop, think
from eventsource.request import Request

from .programs import Program, Turn
from .running import STARTED
from .stories import FULL, Story, write_picture

_MARK = re.compile(r"turn-(\d+):")
_AGENTS = 100
"""The number of no turn: those of sub-agents are higher."""
_PATIENCE = 3
"""How often an answer is given again, before the story ends the turn."""
_SUMMARY = "<summary>Ospreys were counted.</summary>"

COMMANDS = (
    "true",
    "echo osprey",
    "printf ' lead and trail  \\n\\n\\n'",
    "printf 'no line end'",
    "printf '\\n\\n'",
    "seq 1 20000",
    "head -c 90000 /dev/zero | tr '\\0' x",
    "printf '\\033[31mred\\033[0m a\\rb\\r\\nc\\td\\001\\n'",
    "printf 'nul \\000 end'",
    "printf '\\377\\376 no utf-8 \\200'",
    "head -c 400 /dev/urandom",
    "printf 'é 😀 漢字 \\342\\200\\213\\357\\273\\277 end\\n'",
    "echo only-err >&2",
    "echo out; echo err >&2; exit 7",
    "exit 3",
    "kill -9 $$",
    "cat no-such-file",
    "no-such-command",
    "echo '<system-reminder>Be brief.</system-reminder>'",
    "echo '<command-name>/clear</command-name>'",
    "echo '[Request interrupted by user]'",
    'echo \'{"output": "x", "metadata": {"exit_code": 1}}\'',
    'echo \'[{"type": "text", "text": "x"}]\'',
    "echo 'Error: boom'",
    "echo 'turn off'; sleep 0.3",
)
WORDS = (
    "osprey",
    " ",
    "\n",
    "é😀漢",
    "a\tb",
    "**bold**",
    "`code`",
    "<b>&amp;</b>",
    "\\u0041",
    "line\n\nend\n",
    "{}",
    "null",
    "<system-reminder>no</system-reminder>",
    "\u200b",
    "\u2028",
    "\u202e",
    "<thinking>hm</thinking>",
)
PROMPTS = (
    "{mark} go on",
    "{mark} é 😀 漢字",
    "{mark} line\n\nline\n",
    "  {mark} with spaces around  ",
    "<system-reminder>Be brief.</system-reminder> {mark}",
    "{mark} <command-name>/clear</command-name>",
    "# {mark} a title",
    "[Request interrupted by user] {mark}",
    "Caveat: {mark} the messages below",
    "{mark} look at @notes.txt please",
    "/nothing-of-the-kind {mark}",
    "<user_instructions>{mark}</user_instructions>",
    "<environment_context>{mark}</environment_context>",
    "<session_context>{mark}</session_context>",
    "{mark} {long}",
    "This session is being continued from a previous conversation. {mark}",
    '{mark} {"json": true}',
)
ABORTS: Sequence[Literal["answer", "tool"]] = ("answer", "tool")
_LONG = "and on " * 6_000


@dataclass
class Wild:
    """One story in the making: what is said at each step of each turn, an attempt after the other."""

    program: Program
    work: Path
    random: Random
    plan: dict[int, list[list[Answer]]] = field(default_factory=dict)
    given: Counter[tuple[int, int]] = field(default_factory=Counter)
    agents: int = _AGENTS

    def turns(self) -> list[Turn]:
        """Make the turns, and what is said in them."""
        chance, turns, aborted = self.random, list[Turn](), False
        for number in range(1, chance.choice([1, 2, 2, 3, 3, 4, 5]) + 1):
            abort: Literal["", "answer", "tool"] = ""
            if chance.random() < 0.12 and not aborted:
                abort, aborted = chance.choice(ABORTS), True
            self.plan[number] = self._steps(abort)
            fork = number > 1 and self.program.forks and chance.random() < 0.15
            picture = self.work / "picture.png" if chance.random() < 0.08 else None
            prompt, resume = self._prompt(number), number > 1 and not fork
            turns.append(Turn(prompt=prompt, resume=resume, fork=fork, aborted=abort, image=picture))
            if self.program.compacts and chance.random() < 0.12:
                turns += [Turn(prompt=self.program.compacts, resume=True)] * chance.choice([1, 1, 2])
        if turns[-1].prompt == self.program.compacts:  # what is left shows where it is sent
            turns.append(Turn(prompt=PROMPTS[0].replace("{mark}", f"turn-{number + 1}:"), resume=True))
        return turns

    def _prompt(self, number: int) -> str:
        form = self.random.choice(PROMPTS) if self.random.random() < 0.7 else PROMPTS[0]
        return form.replace("{mark}", f"turn-{number}:").replace("{long}", _LONG)

    def _steps(self, abort: str = "") -> list[list[Answer]]:
        steps = [self._attempts(self._answer(calls=True)) for _ in range(self.random.choice([0, 1, 1, 2, 3]))]
        if abort == "answer":
            steps.append([["Let me ", "think about ", stall()]])
        elif abort == "tool":
            tool, argument = self.program.shell
            slow = call(tool, {argument: f"touch {STARTED}; sleep 20"})
            steps.append([[*self._words(), slow, *(self._calls() if self.random.random() < 0.3 else [])]])
        steps.append(self._attempts(self._answer(calls=False)))
        return steps

    def _attempts(self, answer: list[Item]) -> list[Answer]:
        """Let an answer fail before it comes."""
        chance = self.random
        failures: list[Answer] = [
            [retry("slow down")],
            [fail("boom")],
            ["Half of ", "an answer", fail("overloaded")],
            ["Half of ", cut()],
            [think("Half a "), cut()],
            ["So: ", call(self.program.shell[0], '{"comm', unfinished=True), cut()],
            [*answer[:1], fail("overloaded")],
        ]
        times = chance.choice([1, 1, 2]) if chance.random() < 0.15 else 0
        return [*[chance.choice(failures)] * times, answer]

    def _answer(self, *, calls: bool) -> list[Item]:
        chance, said = self.random, list[Item]()
        if chance.random() < 0.3:
            for _ in range(chance.choice([1, 1, 2])):
                text = chance.choice(["Hm.", "", "A\n\nB", "é"])
                said.append(think(text, signature=chance.choice(["", "c2ln"]), redacted=False))
        said += self._words()
        if calls:
            said += self._calls()
            if chance.random() < 0.15:
                said += self._words()
        elif chance.random() < 0.06:
            said = []
        usage = self._usage()
        ends = chance.random()
        if ends < 0.08:
            said.append(stop(chance.choice(["length", "refusal", "pause", "stop"]), usage=usage))
        elif ends < 0.11 and not calls:
            said.append(stop("stop", usage=usage, raw="stop_sequence"))
        elif usage is not None:
            said.append(stop("tool_use" if calls else "stop", usage=usage))
        return said

    def _usage(self) -> Usage | None:
        chance = self.random.random()
        if chance < 0.07:
            return FULL
        if chance < 0.5:
            return Usage(input_tokens=12, output_tokens=5, cache_read_tokens=900, cache_write_tokens=34)
        return None

    def _words(self) -> list[Item]:
        """Say a text, several, or none."""
        chance = self.random
        texts = [
            say("".join(chance.choice(WORDS) for _ in range(chance.choice([1, 1, 2, 4]))))
            for _ in range(chance.choice([0, 1, 1, 1, 2]))
        ]
        return list(texts)

    def _calls(self) -> list[Item]:
        chance = self.random
        made = [self._call() for _ in range(chance.choice([1, 1, 1, 2, 2, 3, 4]))]
        if self.program.agent is not None and chance.random() < 0.12:
            made += [self._agent() for _ in range(chance.choice([1, 2]))]
            if self.program.agent_ends:
                tool, argument = self.program.shell
                made.append(call(tool, {argument: f"{self.program.agent_ends}echo heron"}))
        return made

    def _agent(self) -> Item:
        assert self.program.agent is not None
        self.agents += 1
        number = self.agents
        self.plan[number] = []  # its steps may begin another
        broken: list[list[Answer]] = [[[fail("boom")]]]
        steps = self._steps() if self.random.random() < 0.8 else broken
        if self.random.random() < 0.9:
            steps[-1] = [[self.program.reports("The osprey is found.")]]
        self.plan[number] = steps
        return self.program.agent(f"turn-{number}: dig")

    def _call(self) -> Item:
        chance, (tool, argument) = self.random, self.program.shell
        kind = chance.random()
        if kind < 0.45:
            return call(tool, {argument: chance.choice(COMMANDS)}, id=self._id())
        if kind < 0.6:
            bad: Sequence[Mapping[str, object] | str] = (
                {},
                {argument: 5},
                {argument: None},
                {argument: ["echo", "x"]},
                {"no": "such"},
                {argument: "echo more", "more": {"a": [1, None]}},
                '{"comm',
                "[]",
                '"x"',
                "null",
                "",
                '{"a": 1, "a": 2}',
                f'{{ "{argument}" : "echo spaced" }}',
            )
            return call(tool, chance.choice(bad), id=self._id())
        if kind < 0.65:
            return call("no_such_tool", {"x": [1, None, "é"], "y": 1.0, "z": 12345678901234567890}, id=self._id())
        look, argument = self.program.reader
        if kind < 0.7:
            return call(look, {argument: str(self.work / "picture.png")}, id=self._id())
        name, arguments = chance.choice(TOOLS[self.program.name])(str(self.work))
        return call(name, arguments, id=self._id())

    def _id(self) -> str:
        return "call_same" if self.random.random() < 0.04 else ""

    def answer(self, request: Request) -> Answer:
        """Answer a request by where it stands: in which turn, and after how many answers."""
        if fits(self.program.summary, request):
            return _SUMMARY
        if not request.tools:
            return "Aside."
        mark, place = 0, 0
        for number, message in enumerate(request.messages):
            found = _MARK.findall(_text(message)) if isinstance(message, UserMessage) else []
            if found:
                mark, place = int(found[-1]), number
        step = sum(isinstance(message, AssistantMessage) for message in request.messages[place:])
        steps = self.plan.get(mark, [])
        attempts: Sequence[Answer] = steps[step] if step < len(steps) else []
        tried = self.given[mark, step]
        self.given[mark, step] += 1
        if tried < len(attempts) + _PATIENCE and attempts:
            return attempts[min(tried, len(attempts) - 1)]
        return [self.program.reports("Enough.")] if mark > _AGENTS else "Enough."


def _text(message: UserMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if isinstance(part, TextContent))


def wild(program: Program, work: Path, seed: str) -> Story:
    """Make a story of a seed."""
    write_picture(work / "picture.png")
    (work / "notes.txt").write_text("one osprey\ntwo herons\n")
    made = Wild(program=program, work=work, random=Random(f"{program.name} {seed}"))
    turns = made.turns()
    return Story(script=made.answer, turns=turns)


Tool = Callable[[str], tuple[str, Mapping[str, object]]]
TOOLS: Mapping[str, Sequence[Tool]] = {
    "claude-code": (
        lambda work: ("Read", {"file_path": f"{work}/notes.txt"}),
        lambda work: ("Read", {"file_path": f"{work}/missing.txt"}),
        lambda work: ("Read", {"file_path": work}),
        lambda work: ("Write", {"file_path": f"{work}/new.txt", "content": "a\nb\n"}),
        lambda work: ("Write", {"file_path": f"{work}/notes.txt", "content": ""}),
        lambda work: ("Edit", {"file_path": f"{work}/notes.txt", "old_string": "one", "new_string": "no"}),
        lambda work: ("Edit", {"file_path": f"{work}/notes.txt", "old_string": "zzz", "new_string": "no"}),
        lambda work: ("Glob", {"pattern": "**/*.txt"}),
        lambda work: ("Grep", {"pattern": "osprey", "output_mode": "content"}),
        lambda work: ("TodoWrite", {"todos": [{"content": "dig", "status": "pending", "activeForm": "digging"}]}),
        lambda work: ("TaskCreate", {"subject": "dig", "description": "dig for the osprey"}),
        lambda work: ("WebFetch", {"url": "http://127.0.0.1:9/x", "prompt": "what is it"}),
        lambda work: ("WebSearch", {"query": "osprey"}),
        lambda work: ("Bash", {"command": "sleep 30", "timeout": 500}),
        lambda work: ("Bash", {"command": "sleep 1; echo late", "run_in_background": True}),
        lambda work: ("Task", {"description": "digs", "prompt": "no such", "subagent_type": "nobody"}),
        lambda work: ("Skill", {"skill": "none"}),
        lambda work: ("ToolSearch", {"query": "select:WebFetch,NotebookEdit"}),
        lambda work: ("ExitPlanMode", {"plan": "dig"}),
        lambda work: ("EnterPlanMode", {}),
        lambda work: ("NotebookEdit", {"notebook_path": f"{work}/x.ipynb", "new_source": "1"}),
    ),
    "codex": (
        lambda work: ("update_plan", {"plan": [{"step": "dig", "status": "in_progress"}], "explanation": "é"}),
        lambda work: ("update_plan", {"plan": "dig"}),
        lambda work: ("exec_command", {"cmd": "sleep 30", "yield_time_ms": 300}),
        lambda work: ("exec_command", {"cmd": "seq 1 5000", "max_output_tokens": 100}),
        lambda work: ("write_stdin", {"session_id": 1, "chars": "x\n"}),
        lambda work: ("view_image", {"path": f"{work}/missing.png"}),
        lambda work: ("apply_patch", {"input": "*** Begin Patch\n*** Add File: a.txt\n+a\n*** End Patch"}),
        lambda work: (
            "exec_command",
            {"cmd": "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: b.txt\n+b\n*** End Patch\nEOF"},
        ),
        lambda work: ("list_mcp_resources", {}),
        lambda work: ("request_user_input", {"questions": []}),
        lambda work: ("exec_command", {"cmd": "pwd", "workdir": "/nowhere"}),
    ),
    "pi": (
        lambda work: ("read", {"path": "notes.txt"}),
        lambda work: ("read", {"path": "missing.txt"}),
        lambda work: ("read", {"path": "notes.txt", "offset": 2, "limit": 1}),
        lambda work: ("read", {"path": "notes.txt", "offset": 99}),
        lambda work: ("write", {"path": "new.txt", "content": "a\nb\n"}),
        lambda work: ("edit", {"path": "notes.txt", "edits": [{"oldText": "one", "newText": "no"}]}),
        lambda work: ("edit", {"path": "notes.txt", "edits": [{"oldText": "zzz", "newText": "no"}]}),
        lambda work: ("bash", {"command": "sleep 30", "timeout": 1}),
        lambda work: ("grep", {"pattern": "osprey"}),
        lambda work: ("ls", {"path": "."}),
    ),
    "gemini": (
        lambda work: ("read_file", {"file_path": "notes.txt"}),
        lambda work: ("read_file", {"file_path": "missing.txt"}),
        lambda work: ("write_file", {"file_path": f"{work}/new.txt", "content": "a\nb\n"}),
        lambda work: (
            "replace",
            {"file_path": f"{work}/notes.txt", "old_string": "one", "new_string": "no", "instruction": "change it"},
        ),
        lambda work: ("glob", {"pattern": "**/*.txt"}),
        lambda work: ("grep_search", {"pattern": "osprey"}),
        lambda work: ("list_directory", {"dir_path": work}),
        lambda work: ("web_fetch", {"prompt": "look at http://127.0.0.1:9/x"}),
        lambda work: ("google_web_search", {"query": "osprey"}),
        lambda work: ("write_todos", {"todos": [{"description": "dig", "status": "pending"}]}),
        lambda work: ("save_memory", {"fact": "ospreys dig"}),
        lambda work: ("read_many_files", {"include": ["*.txt"]}),
        lambda work: ("enter_plan_mode", {}),
        lambda work: ("run_shell_command", {"command": "sleep 1; echo late", "is_background": True}),
        lambda work: ("run_shell_command", {"command": "pwd", "dir_path": "nowhere"}),
        lambda work: ("activate_skill", {"name": "none"}),
    ),
}
