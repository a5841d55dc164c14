"""How agents are pointed at a proxy: by their environment, by flags, or by a folder of settings of their own."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import urlsplit

from replay.formats.fields import fields_of, text_of
from replay.formats.pi.write import agent_folder

from ..terminal.screen import Screen

HERE = "{url}"
"""Stands in a command line for the proxy's address."""
_VARIABLES: Mapping[str, tuple[str, str]] = {
    "ANTHROPIC_BASE_URL": ("anthropic", ""),
    "OPENAI_API_BASE": ("openai", "/v1"),
    "OPENAI_BASE_URL": ("openai", "/v1"),
    "GOOGLE_GEMINI_BASE_URL": ("google", ""),
}
"""Variables that clients read, whose protocol they are for, and the path of the provider's own."""
_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY")
_LOCAL = "127.0.0.1,localhost"
_CHATGPT = "https://chatgpt.com/backend-api/codex"
_PI_PROVIDERS: Mapping[str, tuple[str, str]] = {
    "anthropic": ("anthropic", ""),
    "openai": ("openai", "/v1"),
    "google": ("google", "/v1beta"),
}
_PI_APIS: Mapping[str, str] = {
    "anthropic-messages": "anthropic",
    "openai-responses": "openai",
    "openai-completions": "openai",
    "google-generative-ai": "google",
}


class Pointing:
    """A command line and an environment, of which each base URL leads to a proxy.

    `upstreams`: where requests of each protocol go on to, for `Upstreams`; what nobody named before is not there. Of a
    base URL the path stays, so that a request's path is the one that its upstream gets.
    """

    def __init__(self, line: Sequence[str], environment: Mapping[str, str], url: str) -> None:
        self.line = [word.replace(HERE, url) for word in line]
        self.environment: MutableMapping[str, str] = dict(environment)
        self._url = url
        self._upstreams: dict[str, str] = {}
        for name, (whose, path) in _VARIABLES.items():
            self.environment[name] = self.base(whose, environment.get(name, ""), path)
        for name in ("no_proxy", "NO_PROXY"):  # what goes to this machine goes by no proxy of somebody else
            named = self.environment.get(name, "")
            self.environment[name] = f"{named},{_LOCAL}" if named else _LOCAL

    def without_keys(self) -> None:
        """Let an agent begin that has no key: nobody will look at it."""
        for name in _KEYS:
            self.environment.setdefault(name, "any")

    @property
    def upstreams(self) -> list[str]:
        """Where requests go on to, one of each protocol for which somebody named it."""
        return [f"{whose}={origin}" for whose, origin in self._upstreams.items()]

    def base(self, whose: str, given: str, path: str) -> str:
        """Return the base URL that leads to the proxy in place of one that was given, or of the provider's own."""
        if not given:
            return self._url + path
        parts = urlsplit(given)
        self._upstreams[whose] = f"{parts.scheme}://{parts.netloc}"
        return self._url + parts.path.rstrip("/")


@contextmanager
def pointed(line: Sequence[str], environment: Mapping[str, str], url: str) -> Iterator[Pointing]:
    """Point an agent at a proxy; what is made for that is gone afterwards."""
    pointing = Pointing(line, environment, url)
    place = next((number for number, word in enumerate(line[:2]) if _name(word) in _KNOWN), None)
    if place is None:
        yield pointing
        return
    with _KNOWN[_name(line[place])](pointing, place + 1):
        yield pointing


def print_unreached(screen: Screen, program: str) -> None:
    """Say that a program asked nothing, and how it is pointed at the proxy."""
    screen.note(
        ("no request came through", "yellow"),
        f": {program} takes its base URL from elsewhere than ANTHROPIC_BASE_URL, OPENAI_BASE_URL and "
        f"GOOGLE_GEMINI_BASE_URL; write {HERE} for the address where it takes it, such as --base-url {HERE}/v1",
    )


def _name(word: str) -> str:
    return Path(word).name.removesuffix(".exe").removesuffix(".cmd").removesuffix(".js")


@contextmanager
def _claude(pointing: Pointing, place: int) -> Iterator[None]:
    """Point Claude Code, of whose settings a base URL would stand before the environment's."""
    own = Path(pointing.environment.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser() / "settings.json"
    files = [Path(".claude/settings.local.json"), Path(".claude/settings.json"), own]
    named = [text_of(fields_of(_read_json(file).get("env")).get("ANTHROPIC_BASE_URL")) for file in files]
    if given := next((one for one in named if one), ""):
        settings = {"env": {"ANTHROPIC_BASE_URL": pointing.base("anthropic", given, "")}}
        pointing.line[place:place] = ["--settings", json.dumps(settings)]
    yield


@contextmanager
def _codex(pointing: Pointing, place: int) -> Iterator[None]:
    """Point Codex, which takes the base URL of its provider from its settings: flags stand before these."""
    home = Path(pointing.environment.get("CODEX_HOME") or "~/.codex").expanduser()
    try:
        settings: Mapping[str, object] = tomllib.loads((home / "config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = {}
    profile = _flag(pointing.line, "-p", "--profile") or text_of(settings.get("profile"))
    chosen = fields_of(fields_of(settings.get("profiles")).get(profile))
    provider = text_of(chosen.get("model_provider")) or text_of(settings.get("model_provider")) or "openai"
    given = text_of(fields_of(fields_of(settings.get("model_providers")).get(provider)).get("base_url"))
    name = f"model_providers.{provider}.base_url"
    if provider == "openai":
        name, given = "openai_base_url", text_of(settings.get("openai_base_url"))
        signed_in = _read_json(home / "auth.json")
        if not given and signed_in.get("tokens") and not signed_in.get("OPENAI_API_KEY"):
            given = _CHATGPT
    base = pointing.base("openai", given, "/v1") if given else pointing.environment["OPENAI_BASE_URL"]
    pointing.line[place:place] = ["-c", f"{name}={json.dumps(base)}"]
    yield


def _flag(line: Sequence[str], *names: str) -> str:
    return next((after for word, after in pairwise(line) if word in names), "")


@contextmanager
def _pi(pointing: Pointing, place: int) -> Iterator[None]:
    """Point pi, which takes base URLs from a file: it gets a folder of its own, in which all else is as it was."""
    own = agent_folder(pointing.environment)
    own.mkdir(parents=True, exist_ok=True)
    (own / "sessions").mkdir(exist_ok=True)
    models, settings = _read_json(own / "models.json"), _read_json(own / "settings.json")
    providers = dict(fields_of(models.get("providers")))
    chosen = _flag(pointing.line, "--provider") or text_of(settings.get("defaultProvider"))
    own_api = _PI_APIS.get(text_of(fields_of(providers.get(chosen)).get("api")))
    known = {chosen: (own_api, "")} if own_api and chosen not in _PI_PROVIDERS else _PI_PROVIDERS
    for name, (whose, path) in known.items():
        said = fields_of(providers.get(name))
        given = text_of(said.get("baseUrl"))
        providers[name] = {**said, "baseUrl": pointing.base(whose, given, path)}
    made = Path(mkdtemp(prefix="refold-pi-"))
    try:
        for one in own.iterdir():
            if one.name != "models.json":
                (made / one.name).symlink_to(one)
        (made / "models.json").write_text(json.dumps({**models, "providers": providers}), encoding="utf-8")
        pointing.environment["PI_CODING_AGENT_DIR"] = str(made)
        yield
    finally:
        for one in made.iterdir():  # what pi has put there stays with its other files
            if not one.is_symlink() and one.name != "models.json" and not (own / one.name).exists():
                shutil.move(one, own / one.name)
        shutil.rmtree(made)


def _read_json(path: Path) -> Mapping[str, object]:
    """Read a file of settings; one that is not there, or is none, says nothing."""
    try:
        return fields_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return {}


_KNOWN: Mapping[str, Callable[[Pointing, int], AbstractContextManager[None]]] = {
    "claude": _claude,
    "codex": _codex,
    "pi": _pi,
}
"""Agents that take a base URL from elsewhere than their environment."""
