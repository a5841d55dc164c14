"""A small agent, as its recorders find it: `python recorded_agent.py HOW PLACE`.

HOW: `plain` (OpenAI's client and nothing else), `reeltime`, `reeltime-span`, `rewind-record`, `rewind-replay`,
`rewind-parallel` and `rewind-fork` (the same, each as its README shows), `refold-record` and `refold-replay` (an
`Agent`). What may change between recording and replay comes from the environment. Prints as JSON what the tools gave
the model, call by call, and how often a tool really ran.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

Read = Callable[[str], str]

TOOL_CALLS = ("a", "b", "c", "d")
"""What the model asks to read, side by side, in each turn."""
_ran: list[str] = []


def main(how: str, place: str) -> int:
    """Run the agent under a recorder. Returns: the exit code."""
    if how.startswith("refold"):
        return asyncio.run(_refold(os.path.join(place, "refold.db"), replay=how == "refold-replay"))
    read, recorder = _recorder(how, place)
    with recorder:
        _tell(asyncio.run(_agent(read, how)))
    return 0


def _tell(given: list[str]) -> None:
    print(json.dumps({"given": given, "ran": len(_ran)}), flush=True)


def _read(name: str) -> str:
    """Read a file; what is asked for first takes longest, so the results come in the other order."""
    _ran.append(name)
    time.sleep(int(os.environ.get("AGENT_SLOW_MS", "50")) / 1000 * (len(TOOL_CALLS) - TOOL_CALLS.index(name[:1])))
    return f"content of {name}"


def _recorder(how: str, place: str) -> tuple[Read, AbstractContextManager[Any]]:
    """Wrap the tool, and choose what stands around the run."""
    if how.startswith("reeltime"):
        import reeltime as tape

        return tape.tool(_read), nullcontext()
    if how.startswith("rewind"):
        import rewind

        rewind.auto_patch()
        path, forked = os.path.join(place, "run.rewind"), os.path.join(place, "fork.rewind")
        ways = {
            "rewind-record": lambda: rewind.record(path),
            "rewind-replay": lambda: rewind.replay(path),
            "rewind-parallel": lambda: rewind.replay(path, match="parallel"),
            "rewind-fork": lambda: rewind.fork(path, at=int(os.environ["AGENT_FORK_AT"]), save_as=forked),
        }
        return rewind.tool(_read), ways[how]()
    return _read, nullcontext()


def _system() -> str:
    return os.environ.get("AGENT_SYSTEM", "Be brief.")


def _description() -> str:
    return os.environ.get("AGENT_TOOL", "Read a file.")


def _prompts() -> list[str]:
    number = int(os.environ.get("AGENT_EXCHANGES", "1"))
    return [os.environ.get("AGENT_PROMPT", f"Compare the files, {n}.") for n in range(number)]


async def _agent(read: Read, how: str) -> list[str]:
    """Ask, run calls side by side, and ask again, until there is an answer to each prompt."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=os.environ["AGENT_URL"], api_key="any", max_retries=0)
    parameters = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    function: Any = {"name": "read", "description": _description(), "parameters": parameters}
    messages: list[Any] = [{"role": "system", "content": _system()}]
    given: list[str] = []
    for prompt in _prompts():
        messages.append({"role": "user", "content": prompt})
        while True:
            stream = await client.chat.completions.create(
                model="gpt-4o-mini", messages=messages, tools=[{"type": "function", "function": function}], stream=True
            )
            text, calls = await _answer(stream)
            said = {"role": "assistant", "content": text}
            messages.append({**said, "tool_calls": calls} if calls else said)
            if not calls:
                break
            names = [json.loads(call["function"]["arguments"])["name"] for call in calls]
            results = await _side_by_side(read, names, how)
            given += [f"{name}: {result}" for name, result in zip(names, results, strict=True)]
            messages += [
                {"role": "tool", "tool_call_id": call["id"], "content": result}
                for call, result in zip(calls, results, strict=True)
            ]
    return given


async def _side_by_side(read: Read, names: list[str], how: str) -> list[str]:
    if os.environ.get("AGENT_POOL"):
        with ThreadPoolExecutor() as pool:
            return list(pool.map(read, names))
    return list(await asyncio.gather(*(_call(read, name, how) for name in names)))


async def _call(read: Read, name: str, how: str) -> str:
    if how == "reeltime-span":
        import reeltime as tape

        with tape.span(name[:1]):
            return await asyncio.to_thread(read, name)
    return await asyncio.to_thread(read, name)


async def _answer(stream: Any) -> tuple[str, list[dict[str, Any]]]:  # noqa: ANN401  # of a package that need not be there
    text, calls = "", dict[int, dict[str, str]]()
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for part in choice.delta.tool_calls or ():
                call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
                call["id"] += part.id or ""
                call["name"] += part.function.name or ""
                call["arguments"] += part.function.arguments or ""
    return text, [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in calls.values()
    ]


async def _refold(path: str, *, replay: bool) -> int:
    from eventsource.log.load import read_all
    from refold import Agent, model, open_log, tool

    def read(name: str) -> str:
        return _read(name)

    read.__doc__ = _description()
    chosen = model("bench:gpt-4o-mini", base_url=os.environ["AGENT_URL"], api="openai-completions", api_key="any")
    agent = Agent(chosen, system=_system(), tools=[tool(read, effect="pure")])
    async with open_log(path) as log:
        session = await log.session("recorded")
        if replay:
            again = await agent.reexecute(session)
            _tell(_results(again.history))
            print(again, file=sys.stderr)
            return 0 if again.ok else 1
        for prompt in _prompts():
            await agent.run(prompt, session=session)
        _tell(_results([one async for one in read_all(log.store, session.id)]))
    return 0


def _results(history: Any) -> list[str]:  # noqa: ANN401  # imported by the one who calls
    from eventsource.events import MessageEnd, ToolExecutionEnd

    events = {recorded.seq: recorded.event for recorded in history}
    given = {}
    for event in events.values():
        asked = events.get(event.message_seq) if isinstance(event, ToolExecutionEnd) else None
        if isinstance(asked, MessageEnd) and asked.message is not None:
            name = json.loads(asked.message.content[event.content_index].arguments)["name"]
            given[event.message_seq, event.content_index] = f"{name}: {event.result.content[0].text}"
    return [text for _, text in sorted(given.items())]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
