"""The command `serve-script`: answer any client from a file of answers, as a provider would."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from .arguments.address import address_options, print_address, warn_if_public
from .arguments.options import SETTINGS, shared_options
from .command import RefoldCommand


@click.command("serve-script", cls=RefoldCommand, **SETTINGS)
@click.argument("file", type=click.Path(path_type=Path))
@address_options(8765)
@click.option(
    "--pace", "pace_ms", metavar="MS", type=click.IntRange(0), default=0, help="Wait so long before each delta."
)
def serve_script(file: Path, host: str, port: int, allow_hosts: tuple[str, ...], pace_ms: int) -> None:
    """Answer OpenAI's, Anthropic's and Google's protocols from a FILE of answers: test any client without a provider.

    FILE is a JSON list. An answer is a text, or a list of texts and items: ["Hello.", [{"call": "weather",
    "arguments": {"city": "Oslo"}}], "It rains."]. {"when": {"said": "title"}, "answer": "Oslo"} is a rule: it answers
    what says so, whenever that is asked; "system", "tool" and "schema" can be wanted too.

    Point a client's base URL at it: OPENAI_BASE_URL with /v1 behind it, ANTHROPIC_BASE_URL as it is.
    """
    from ..http import ScriptServer, load_served_script, serving

    server = ScriptServer(load_served_script(file), pace_ms=pace_ms)
    warn_if_public(host)

    async def serve() -> None:
        async with serving(server, host=host, port=port, grace_s=1, allow_hosts=allow_hosts) as running:
            print_address("Answering at", running.url)
            await running.until_interrupted()

    asyncio.run(serve())


serve_script.params += shared_options()
serve_script.examples = (
    ("refold serve-script answers.json", "on port 8765, until Ctrl-C"),
    ("refold serve-script answers.json --port 0 --pace 20", "on a free port; a word every 20 ms"),
)
