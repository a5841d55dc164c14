"""The command `proxy`: stand between an agent and its provider, and record what passes."""

from __future__ import annotations

import click

from ..log import Log
from .arguments.address import address_options, print_address, warn_if_public
from .command import command
from .exit_codes import NO, OK
from .terminal.formatting import count
from .terminal.screen import Screen

UPSTREAM_HELP = "Where requests go on to: a base URL; or openai=URL, anthropic=URL, google=URL for one protocol's."


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
@click.option(
    "--allow-drift", is_flag=True, help="With --replay: answer though model, prompt, tools or options changed."
)
async def proxy(
    screen: Screen,
    log: Log,
    host: str,
    port: int,
    allow_hosts: tuple[str, ...],
    upstreams: tuple[str, ...],
    replayed: str | None,
    live: bool,
    allow_drift: bool,
) -> int:
    """Stand between an agent, in any language, and its provider: what passes by becomes a log, with no code changed.

    Start the agent with ANTHROPIC_BASE_URL=http://127.0.0.1:8787, or OPENAI_BASE_URL=http://127.0.0.1:8787/v1.

    Bytes pass as they are, keys too, which are never stored. A request goes on with the session whose messages it
    begins with; where it says something else, it is a fork. If the log fails, the agent does not notice; you do.
    """
    from ..http import ProxyRecorder, Replaying, Upstreams, proxying, serving

    if live and replayed is None:
        raise click.UsageError("--live goes with --replay")
    if allow_drift and replayed is None:
        raise click.UsageError("--allow-drift goes with --replay")
    found = await log.find(replayed) if replayed is not None else None
    replaying = await Replaying.of(found, allow_drift=allow_drift) if found is not None else None
    recorder = ProxyRecorder(
        log, lose=lambda what: screen.note((what, "red")), note=lambda what: screen.note((what, "yellow"))
    )
    warn_if_public(host)
    async with (
        proxying(recorder, Upstreams(upstreams), replaying=replaying, live=live) as answering,
        serving(answering, host=host, port=port, allow_hosts=allow_hosts) as running,
    ):
        print_address("Listening at", running.url)
        await running.until_interrupted()
    for drift in replaying.drifts if replaying is not None else ():
        screen.note(("answered all the same: ", "yellow"), drift)
    screen.note((f"{count(recorder.recorded, 'exchange')} on record, {recorder.lost} lost", "dim"))
    return NO if recorder.lost else OK
