"""The coding agents that the tests run: how each is pointed at a proxy, told what to do, and where its sessions are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eventsource.models.scripted.rules import When
from eventsource.models.scripted.script import CallItem, Item, call

CACHE = Path(os.environ.get("REFOLD_CLIENTS", "~/.cache/refold/clients")).expanduser()
"""Where the programs are installed, each in a folder of its own."""
COMPACTS_AT = 100_000
"""Tokens at which a program that counts them by itself shortens its context."""
LOCKS = Path(__file__).parent / "locks"
"""What is installed of each: package, version and everything below it, with digests."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One run of a program: a prompt, in a new session, in the last one (`resume`) or in a copy of it (`fork`).

    aborted: the program is interrupted as soon as the model has begun to answer, or a tool has started.
    image: a picture beside the prompt.
    """

    prompt: str
    resume: bool = False
    fork: bool = False
    aborted: Literal["", "answer", "tool"] = ""
    image: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program.

    settle: writes its settings into an empty home, and returns its environment. command: its arguments for a turn;
    the session's file is None for a new one. files: where its session files are, below its home.
    shell, reader: its tools that run a command and show a picture, and the name of their only argument.
    agent: how a sub-agent is called with a prompt, if it has any; agent_ends: a command that waits for its end, if the
    call does not; reports: how a sub-agent says what it found. summary: what its request for a summary says.
    compacts: the prompt that shortens its context; empty: it does so when the context is full.
    forks: it can go on with a copy of a session; says_forks: its file says of which.
    """

    name: str
    binary: str
    files: str
    shell: tuple[str, str]
    reader: tuple[str, str]
    agent: Callable[[str], CallItem] | None
    agent_ends: str = ""
    reports: Callable[[str], Item] = str
    summary: When
    compacts: str = ""
    forks: bool = True
    says_forks: bool = False
    settle: Callable[[Path, str], Mapping[str, str]]
    command: Callable[[Turn, Path | None], list[str]]

    @property
    def path(self) -> Path:
        """Where it would be installed."""
        return CACHE / self.name / "node_modules" / ".bin" / self.binary

    @property
    def missing(self) -> str:
        """Why it cannot be run here; empty if it can."""
        return "" if self.path.exists() else f"{self.name} is not installed: make clients"


def _claude_settings(home: Path, url: str) -> Mapping[str, str]:
    off = ("DISABLE_TELEMETRY", "DISABLE_AUTOUPDATER", "DISABLE_ERROR_REPORTING")
    quiet = dict.fromkeys((*off, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "IS_SANDBOX"), "1")
    return {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "any", **quiet}


def _claude(turn: Turn, session: Path | None) -> list[str]:
    resumed = ["--resume", session.stem] if session is not None else []
    forked = ["--fork-session"] if turn.fork else []
    return ["-p", *resumed, *forked, "--dangerously-skip-permissions", turn.prompt]


def _codex_settings(home: Path, url: str) -> Mapping[str, str]:
    (home / ".codex").mkdir(exist_ok=True)
    provider = {"name": "local", "base_url": f"{url}/v1", "wire_api": "responses", "env_key": "OPENAI_API_KEY"}
    lines = [
        'model = "gpt-5"',
        'model_provider = "local"',
        f"model_auto_compact_token_limit = {COMPACTS_AT}",
        "[model_providers.local]",
        *(f"{name} = {json.dumps(value)}" for name, value in provider.items()),
    ]
    (home / ".codex" / "config.toml").write_text("\n".join(lines))
    return {"OPENAI_API_KEY": "any"}


def _codex(turn: Turn, session: Path | None) -> list[str]:
    named = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", session.stem) if session is not None else None
    verb = [] if named is None else ["fork" if turn.fork else "resume", named[0]]
    free = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    pictures = ["--image", str(turn.image)] if turn.image is not None else []
    return ["exec", *verb, *free, *pictures, "--", turn.prompt]


def _pi_settings(home: Path, url: str) -> Mapping[str, str]:
    folder = home / ".pi" / "agent"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "models.json").write_text(json.dumps({"providers": {"anthropic": {"baseUrl": url}}}))
    short = {"compaction": {"enabled": True, "keepRecentTokens": 1}}
    (folder / "settings.json").write_text(json.dumps(short))
    return {"PI_TELEMETRY": "0"}


def _pi(turn: Turn, session: Path | None) -> list[str]:
    model = ["--provider", "anthropic", "--model", "claude-sonnet-4-5", "--api-key", "any"]
    named = [] if session is None else ["--fork" if turn.fork else "--session", str(session)]
    pictures = [f"@{turn.image}"] if turn.image is not None else []
    return ["-p", "--offline", *model, *named, *pictures, turn.prompt]


def _gemini_settings(home: Path, url: str) -> Mapping[str, str]:
    (home / ".gemini").mkdir(exist_ok=True)
    security = {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}}
    off = {"privacy": {"usageStatisticsEnabled": False}, "telemetry": {"enabled": False}}
    short = {"model": {"compressionThreshold": 0.01}}  # of a million tokens
    (home / ".gemini" / "settings.json").write_text(json.dumps({"security": security, **off, **short}))
    return {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "any"}


def _gemini(turn: Turn, session: Path | None) -> list[str]:
    resumed = ["--resume", "latest"] if session is not None else []
    pictures = f"@{turn.image.name} " if turn.image is not None else ""
    return [*resumed, "--yolo", "-m", "gemini-2.5-pro", "-p", pictures + turn.prompt]


CLAUDE_CODE = Program(
    name="claude-code",
    binary="claude",
    files=".claude/projects/*/*.jsonl",
    shell=("Bash", "command"),
    reader=("Read", "file_path"),
    agent=lambda prompt: call("Agent", {"description": "digs", "prompt": prompt, "subagent_type": "general-purpose"}),
    summary=When(said="summary of the conversation"),
    compacts="/compact",
    says_forks=True,
    settle=_claude_settings,
    command=_claude,
)
CODEX = Program(
    name="codex",
    binary="codex",
    files=".codex/sessions/*/*/*/*.jsonl",
    shell=("exec_command", "cmd"),
    reader=("view_image", "path"),
    agent=lambda prompt: call("spawn_agent", {"message": prompt}, signature='{"namespace": "multi_agent_v1"}'),
    agent_ends='until grep -qs \'"type":"task_complete"\' ~/.codex/sessions/*/*/*/*; do sleep 0.05; done; ',
    summary=When(said="CONTEXT CHECKPOINT"),
    says_forks=True,
    settle=_codex_settings,
    command=_codex,
)
PI = Program(
    name="pi",
    binary="pi",
    files=".pi/agent/sessions/*/*.jsonl",
    shell=("bash", "command"),
    reader=("read", "path"),
    agent=None,
    summary=When(system="context summarization assistant"),
    says_forks=True,
    settle=_pi_settings,
    command=_pi,
)
GEMINI = Program(
    name="gemini",
    binary="gemini",
    files=".gemini/tmp/*/chats/*.jsonl",
    shell=("run_shell_command", "command"),
    reader=("read_file", "file_path"),
    agent=lambda prompt: call("invoke_agent", {"agent_name": "generalist", "prompt": prompt}),
    reports=lambda text: call("complete_task", {"result": {"response": text}}),
    summary=When(said="state_snapshot"),
    forks=False,
    settle=_gemini_settings,
    command=_gemini,
)
PROGRAMS = (CLAUDE_CODE, CODEX, PI, GEMINI)
