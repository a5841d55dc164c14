"""The command `compact`: let a summary stand in place of a session's beginning."""

from __future__ import annotations

import click

from ..compaction import KEEP_TOKENS, CompactionPolicy
from ..log import Log
from .arguments.agent_options import AGENT_HELP, MODEL_HELP
from .arguments.agents import named_model, open_named_agent, recorded_agent
from .command import command
from .exit_codes import NO
from .terminal.next_steps import print_next
from .terminal.screen import Screen


@command(
    "compact",
    ("refold compact ID", "the model that the log names writes the summary"),
    ("refold compact ID --keep 0 -m anthropic:claude-haiku-4-5", "keep as little as can be, with another model"),
    ("refold compact ID --agent my_agents:weather", "by that agent's policy of compaction"),
    local=True,
)
@click.argument("session")
@click.option(
    "--keep", type=click.IntRange(min=0), metavar="TOKENS", help=f"Keep so much of the end. [default: {KEEP_TOKENS:,}]"
)
@click.option("-m", "--model", "model_name", metavar="MODEL", help=MODEL_HELP)
@click.option("--agent", "agent_name", metavar="MODULE:NAME", help=AGENT_HELP)
async def compact(
    screen: Screen, log: Log, session: str, keep: int | None, model_name: str | None, agent_name: str | None
) -> int | None:
    """Let a summary stand, for the model, in place of a session's beginning; the history stays as it is.

    The summary is written in a session of its own. Forks from before do not see it. The exit code is 1 when there is
    nothing that can be cut off.
    """
    found = await log.find(session)
    model = named_model(model_name) if model_name is not None else None
    async with open_named_agent(agent_name, None, None) as (agent, _):
        if agent is None:
            agent = recorded_agent(found.id, (await found.state()).config, model, None, tools=())
        policy = agent.compaction
        changed = CompactionPolicy(
            limit_tokens=policy.limit_tokens,
            keep_tokens=policy.keep_tokens if keep is None else keep,
            model=policy.model if model is None else model,
            instructions=policy.instructions,
            rule=policy.rule if model is None else None,
        )
        with screen.busy("writing the summary"):
            done = await agent.replace(compaction=changed).compact(found)
    if screen.as_json:
        screen.json({"id": found.id, "compaction": done})
    elif done is None:
        screen.note(f"Nothing of {found.id} can be cut off: all of it is needed, or fits what is kept.")
    else:
        screen.line(done.summary)
        kept = f"from {done.first_kept_seq} on is kept" if done.first_kept_seq else "none is kept"
        written = f"; written in {done.child}" if done.child else ""
        screen.note(f"\nIt stands for about {done.tokens_before:,} tokens; what was said {kept}{written}.")
        print_next(screen, screen.command("context", found.id))
    return None if done is not None else NO
