"""Commands that serve HTTP: serve-script, proxy."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from ..log import Log
from .command import RefoldCommand, command
from .exits import NO, OK
from .options import SETTINGS, Choices, shared_options
from .screen import Screen, write
from .wording import count

F = TypeVar("F", bound=Callable[..., object])
UPSTREAM_HELP = "Where requests go on to: a base URL; or openai=URL, anthropic=URL, google=URL for one protocol's."


def address_options(port: int) -> Callable[[F], F]:
    """Add the options that say where to listen."""

    def add(function: F) -> F:
        for option in (
            click.option(
                "--host",
                metavar="ADDRESS",
                default="127.0.0.1",
                show_default=True,
                help="This machine alone, or wider.",
            ),
            click.option(
                "--port",
                metavar="N",
                type=click.IntRange(0, 65535),
                default=port,
                show_default=True,
                help="0: a free one.",
            ),
            click.option(
                "--allow-host",
                "allow_hosts",
                metavar="NAME",
                multiple=True,
                help="Another name by which clients may ask for this server, or a page's host.",
            ),
        ):
            function = option(function)
        return function

    return add


def warn_of(host: str) -> None:
    """Say it if others than this machine may come in."""
    try:
        own = ipaddress.ip_address(host).is_loopback
    except ValueError:
        own = host == "localhost"
    if not own:
        write(f"refold: everybody who reaches {host} may use this server; nothing is asked of them", error=True)


def tell(what: str, url: str) -> None:
    """Say where the server is, as soon as it can be reached."""
    as_json = click.get_current_context().ensure_object(Choices).json
    write(msgspec.json.encode({"url": url}).decode() if as_json else f"{what} {url}")


@click.command("serve-script", cls=RefoldCommand, **SETTINGS)
@click.argument("file", type=click.Path(path_type=Path))
@address_options(8765)
@click.option(
    "--pace", "pace_ms", metavar="MS", type=click.IntRange(0), default=0, help="Wait so long before each delta."
)
def serve_script(file: Path, host: str, port: int, allow_hosts: tuple[str, ...], pace_ms: int) -> None:
    """Answer OpenAI's, Anthropic's and Google's protocols from a FILE of answers: test any client without a provider.

    FILE is a JSON list. An answer is a text, or a list of texts and items: ["Hello.", [{"call": "weather",
    "arguments": {"city": "Oslo"}}], "It rains."].

    Point a client's base URL at it: OPENAI_BASE_URL with /v1 behind it, ANTHROPIC_BASE_URL as it is.
    """
    from ..http import ScriptServer, load_served_script, serving

    server = ScriptServer(load_served_script(file), pace_ms=pace_ms)
    warn_of(host)

    async def serve() -> None:
        async with serving(server, host=host, port=port, grace_s=1, allow_hosts=allow_hosts) as running:
            tell("Answering at", running.url)
            await running.until_interrupted()

    asyncio.run(serve())


@command(
    "proxy",
    ("refold proxy", "on port 8787, until Ctrl-C; requests go on to whom their protocol comes from"),
    ("refold proxy --upstream openai=https://openrouter.ai/api/v1", "OpenAI's protocols go elsewhere"),
    ("refold proxy --replay ID", "the same run again, without a provider"),
    creates=True,
)
@address_options(8787)
@click.option("--upstream", "upstreams", metavar="[WHOSE=]URL", multiple=True, help=UPSTREAM_HELP)
@click.option("--replay", "replayed", metavar="ID", help="Answer from this session; what it lacks is refused.")
@click.option("--live", is_flag=True, help="With --replay: what it lacks goes to the provider, and on record.")
async def proxy(
    screen: Screen,
    log: Log,
    host: str,
    port: int,
    allow_hosts: tuple[str, ...],
    upstreams: tuple[str, ...],
    replayed: str | None,
    live: bool,
) -> int:
    """Stand between an agent, in any language, and its provider: what passes by becomes a log, with no code changed.

    Start the agent with ANTHROPIC_BASE_URL=http://127.0.0.1:8787, or OPENAI_BASE_URL=http://127.0.0.1:8787/v1.

    Bytes pass as they are, keys too, which are never stored. A request goes on with the session whose messages it
    begins with; where it says something else, it is a fork. If the log fails, the agent does not notice; you do.
    """
    from ..http import Recording, Replaying, Upstreams, proxying, serving

    if live and replayed is None:
        raise click.UsageError("--live goes with --replay")
    replaying = await Replaying.of(await log.find(replayed)) if replayed is not None else None
    recording = Recording(log, lose=lambda what: screen.note((what, "red")))
    warn_of(host)
    async with (
        proxying(recording, Upstreams(upstreams), replaying=replaying, live=live) as answering,
        serving(answering, host=host, port=port, allow_hosts=allow_hosts) as running,
    ):
        tell("Listening at", running.url)
        await running.until_interrupted()
    screen.note((f"{count(recording.recorded, 'exchange')} on record, {recording.lost} lost", "dim"))
    return NO if recording.lost else OK


serve_script.params += shared_options()
serve_script.examples = (
    ("refold serve-script answers.json", "on port 8765, until Ctrl-C"),
    ("refold serve-script answers.json --port 0 --pace 20", "on a free port; a word every 20 ms"),
)
