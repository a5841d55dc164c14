"""Real sessions and scripted trees of pi: imported, every leaf has the context that pi's own reader builds there."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eventsource.codec import read_object
from eventsource.envelope import Recorded
from eventsource.events import Place
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, CustomMessage, Message, ToolResultMessage
from projections import CONTEXT, ContextView, convert, history, messages, parts, project
from replay.formats import ImportReport, import_file
from replay.formats.jsonl import Findings, read_lines
from replay.formats.known import find_known
from replay.formats.pi.dialect import is_record
from replay.formats.pi.file import PI
from replay.formats.pi.messages import write_message
from replay.formats.pi.write import export_pi
from replay.formats.plan import Kinds
from replay.formats.reading import FirstPass

DATA = Path(os.environ.get("REFOLD_DATA", Path(__file__).parents[3] / "shared" / "data")).resolve()
FOLDS, TRANSCRIPTS = DATA / "oracle" / "session-fold", DATA / "transcripts" / "pi"
CONTEXTS = sorted(FOLDS.glob("*.contexts.json"))
SESSIONS = sorted([*TRANSCRIPTS.glob("*.jsonl"), *FOLDS.glob("*.jsonl")])
TREES = json.loads(text.read_text()) if (text := FOLDS / "tree-ops.golden.json").is_file() else {}
if not SESSIONS:
    pytest.skip(f"needs recorded sessions; there are none in {DATA} (set REFOLD_DATA)", allow_module_level=True)


class Lies(NamedTuple):
    """Where an entry of a file went: which of the report's branches, the seq that names it, and its last."""

    branch: int
    seq: int
    last_seq: int


async def places(log: EventLog, path: Path, report: ImportReport) -> dict[str, Lies]:
    """Find where each entry of a file lies, by its digest, as an import that comes again does."""
    (source,) = PI.sessions(path, growing=False)
    first = FirstPass(source, {})
    dialect, outline = first.dialect, first.outline
    known = await find_known(log, report.source, Kinds(dialect.format))
    assert known is not None
    numbers = {branch.session: number for number, branch in enumerate(report.branches)}
    entries = [line for line in source.records(Findings()) if not dialect.is_header(line)]
    found: dict[str, Lies] = {}
    for number, (line, digest) in enumerate(zip(entries, outline.digests(), strict=True), 1):
        there = known.entries.find(digest)
        assert there is not None
        place = Lies(numbers[known.branches[there.branch].session], there.seq, there.last)
        found[dialect.name([line], number)] = place
    return found


def content(path: Path) -> bytes:
    return path.read_bytes()


def canonical(value: object) -> str:
    """Write JSON as the golden files' program does: keys sorted, and numbers as JavaScript prints them."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        if value.is_integer():
            return str(int(value))
        return f"{Decimal(repr(value)):f}" if abs(value) >= 1e-6 else repr(value).replace("e-0", "e-")
    return json.dumps(value, ensure_ascii=False)


def sha(value: object) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def records(data: bytes) -> list[Mapping[str, Any]]:
    return [record.fields for record in read_lines(data, is_record).records]


class Imported:
    """A file in a log in memory: where its entries went, its report, and the events of each branch."""

    def __init__(
        self,
        places: Mapping[str, Lies],
        report: ImportReport,
        lineages: Sequence[tuple[Recorded, ...]],
        back: bytes,
    ) -> None:
        self.places, self.report, self.lineages, self.back = places, report, lineages, back
        self.names = [{one.seq: name for name, one in places.items() if one.branch == n} for n in range(99)]

    def at(self, entry: str) -> ContextView:
        place = self.places[entry]
        return project(CONTEXT, self.lineages[place.branch][: place.last_seq])


async def load(path: Path) -> Imported:
    async with open_store() as log:
        report = await import_file(log, str(path))
        lineages = [await log.read(branch.session, limit=1_000_000) for branch in report.branches]
        return Imported(await places(log, path, report), report, lineages, await export_pi(log, report.session))


def written(message: Message, at_us: int) -> dict[str, object]:
    return write_message(message, at_us)


def for_model(message: Message, at_us: int) -> dict[str, object] | None:
    """Convert as pi does: its reader leaves failed messages in; they are dropped only where a request is made."""
    sent = convert(message) if isinstance(message, CustomMessage) else message
    return None if sent is None else written(sent, at_us)


def shown(view: ContextView) -> list[tuple[int, dict[str, object], dict[str, object] | None]]:
    times = {entry.seq: entry.at_us for entry in history(view)}
    return [
        (part.seq, written(part.message, times[part.seq]), for_model(part.message, times[part.seq]))
        for part in messages(view)
    ]


def settings(view: ContextView) -> tuple[object, object]:
    ref = view.config.model
    model = None if ref is None else {"provider": ref.provider, "modelId": ref.model}
    return model, read_object(view.config.options).get("thinking", "off")


def named(message: Mapping[str, Any]) -> str:
    """Say what a golden tree says of a message."""
    match message:
        case {"role": "bashExecution", "command": command}:
            return f"$ {command}"
        case {"summary": summary}:
            return str(summary)
        case {"content": str(text)}:
            return text
        case _:
            return "".join(str(block.get("text", "")) for block in message["content"])


@pytest.mark.slow
@pytest.mark.parametrize("path", CONTEXTS, ids=lambda path: path.name)
async def test_every_leaf_of_a_real_session_has_the_context_of_its_own_reader(path: Path) -> None:
    golden = json.loads(content(path))
    loaded = await load(FOLDS / path.name.replace(".contexts.json", ".v3.jsonl"))
    for context in golden["contexts"]:
        branch = loaded.places[context["leaf"]].branch
        view = loaded.at(context["leaf"])
        assert settings(view) == (context["model"], context["thinkingLevel"])
        names = {seq: name for names in loaded.names[: branch + 1] for seq, name in names.items()}
        found = [(names.get(seq), message["role"], sha(message)) for seq, message, _ in shown(view)]
        wanted = [(message.get("entry"), message["role"], message["sha"]) for message in context["messages"]]
        summaries = [name for name, role, _ in found if role == "compactionSummary"]
        assert [(None if name in summaries else name, role, sha) for name, role, sha in found] == wanted
        llm = [message for _, _, message in shown(view) if message is not None]
        said = "".join(str(message["role"])[0] for message in llm)
        assert (len(llm), said, sha(llm)) == (context["llm"]["count"], context["llm"]["roles"], context["llm"]["sha"])


@pytest.mark.parametrize("name", [name for name, tree in TREES.items() if tree["entries"]])
async def test_every_step_of_a_scripted_tree_has_the_context_of_its_own_reader(name: str, tmp_path: Path) -> None:
    tree = TREES[name]
    file = tmp_path / "tree.jsonl"
    header = {"type": "session", "version": 3, "id": "tree", "timestamp": "1970-01-01T00:00:00.000Z", "cwd": "/"}
    file.write_text("".join(json.dumps(line) + "\n" for line in [header, *tree["entries"]]))
    loaded = await load(file)
    assert [dict(line) for line in records(loaded.back)] == [header, *tree["entries"]]
    for step in tree["steps"]:
        view = loaded.at(str(step["leaf"])) if step["leaf"] >= 0 else CONTEXT.initial
        assert settings(view) == (step["model"], step["thinkingLevel"])
        assert [[message["role"], named(message)] for _, message, _ in shown(view)] == step["context"]
        if step is tree["steps"][-1]:
            assert [message for _, _, message in shown(view) if message is not None] == tree["llm"]


@pytest.mark.slow
@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.name)
async def test_a_session_written_back_is_equal_to_what_was_read(path: Path) -> None:
    loaded = await load(path)
    assert records(loaded.back) == records(content(path))
    assert loaded.report.lost == ()


@pytest.mark.slow
@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.name)
async def test_no_request_of_a_real_session_holds_a_call_without_its_result(path: Path) -> None:
    loaded = await load(path)
    for lineage in loaded.lineages:
        view = CONTEXT.initial
        for recorded in lineage:
            view = CONTEXT.step(view, recorded)
        open_calls: Counter[str] = Counter()
        for part in parts(view):
            if isinstance(part.message, AssistantMessage):
                assert part.message.stop_reason not in ("error", "aborted")
                assert not +open_calls
                open_calls.update(call.id for call in part.message.tool_calls)
            elif isinstance(part.message, ToolResultMessage):
                assert part.seq == 0 or isinstance(part.call, Place)
                open_calls.subtract([part.message.tool_call_id])
        assert not +open_calls
        assert min(open_calls.values(), default=0) == 0


EXPECTED = json.loads((DATA / "transcripts" / "expectations.json").read_text())
COUNTED = {name: counts for name, counts in EXPECTED.items() if name.startswith("pi/") and "records" in counts}


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTED)
async def test_an_imported_session_has_the_counts_that_were_taken_independently(name: str) -> None:
    wanted = COUNTED[name]
    loaded = await load(DATA / "transcripts" / name)
    said = [entry.message for entry in history(project(CONTEXT, loaded.lineages[0])) if not entry.summary]
    answers = [message for message in said if isinstance(message, AssistantMessage)]
    results = [message for message in said if isinstance(message, ToolResultMessage)]
    calls = [call.id for message in answers for call in message.tool_calls]
    roles = Counter(str(write_message(message, 0)["role"]) for message in said if message is not None)
    damaged = [note for note in loaded.report.recovered if "damaged line" in note.problem]
    usage = [message.usage for message in answers if message.usage is not None]
    stops = Counter(str(write_message(message, 0)["stopReason"]) for message in answers)
    cost = sum(use.cost_microusd or 0 for use in usage)
    assert loaded.report.entries + 1 == wanted["records"]
    assert loaded.report.version == wanted["version"]
    assert len(damaged) == wanted["lines_with_two_records"]
    assert (roles, stops) == (wanted["roles"], wanted["stop_reasons"])
    assert (len(calls), len(calls) - len(set(calls))) == (wanted["tool_calls"], wanted["duplicate_tool_call_ids"])
    answered = {message.tool_call_id for message in results}
    assert sorted(set(calls) - answered) == sorted(wanted["dangling_tool_calls"])
    assert sorted(answered - set(calls)) == sorted(wanted["orphan_results"])
    assert sum(use.input_tokens for use in usage) == wanted["usage"]["input"]
    assert sum(use.output_tokens for use in usage) == wanted["usage"]["output"]
    assert sum(use.cache_read_tokens for use in usage) == wanted["usage"]["cacheRead"]
    assert sum(use.cache_write_tokens for use in usage) == wanted["usage"]["cacheWrite"]
    assert abs(cost - wanted["cost_total"] * 1_000_000) <= len(usage)
    assert Counter(f"{message.provider}/{message.model}" for message in answers) == wanted["providers"]


@pytest.mark.slow
@pytest.mark.parametrize("path", CONTEXTS, ids=lambda path: path.name)
async def test_a_version_1_file_written_as_version_3_is_what_its_own_program_makes_of_it(
    path: Path, tmp_path: Path
) -> None:
    golden = json.loads(content(path))
    source = TRANSCRIPTS / golden["source"]
    if source not in SESSIONS:
        pytest.skip(f"the session {golden['source']} is not there")
    # pi skips a line with two records; a repaired session has them apart
    lines = content(source).split(b"\n")
    if not golden["repaired"]:
        damaged = {note.number for note in read_lines(content(source), is_record).recovered}
        lines = [line for number, line in enumerate(lines, 1) if number not in damaged]
    file = tmp_path / source.name
    file.write_bytes(b"\n".join(lines))
    async with open_store() as log:
        report = await import_file(log, str(file))
        back = records(await export_pi(log, report.session, version=3))
    wanted = records(content(FOLDS / path.name.replace(".contexts.json", ".v3.jsonl")))
    assert back[1:] == wanted[1:]
    assert back[0] == wanted[0]
