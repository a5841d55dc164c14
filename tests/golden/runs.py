"""What the golden runs were made with: their agents and tasks, which a later release needs to go on with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from eventsource.messages import AssistantMessage, ToolResultMessage, UserMessage
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import Answer, call, fail, retry, stop, think
from eventsource.request import Request
from refold import Agent, CompactionPolicy, Policies, ToolContext, tool
from refold.tasks import ChildError, StepError, Task, TaskContext, task
from refold.tasks.agents import agent_task

DAY_US = 86_400_000_000


@tool(effect="pure")
def weather(city: str, context: ToolContext[object]) -> str:
    """Current weather in a city."""
    context.update(f"looking at {city}")
    return f"{city}: rain"


@tool(effect="once", approval="always")
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@tool(effect="idempotent")
def put(text: str) -> str:
    """Keep a text."""
    if text == "broken":
        raise ValueError("nothing can be kept")
    return "kept"


TOOLS = (weather, pay, put)
WEATHER = call("weather", {"city": "Oslo"}, id="w")
PAY = call("pay", {"amount": 7}, id="p")

ANSWERS: dict[str, tuple[Answer, ...]] = {
    "A coat?": (
        [
            think("Look first. ", signature="s"),
            "I ",
            "look.",
            WEATHER,
            call("weather", {"city": "Ål"}),
            stop("tool_use"),
        ],
        ["Take ", "one. 🧥"],
    ),
    "Pay.": (["I pay.", PAY, WEATHER, call("pay", {"amount": 3}), stop("tool_use")], "Done."),
    "Try all.": (
        [call("put", {"text": "broken"}), call("put", '{"text": '), call("nowhere"), call("put", {"text": "x"})],
        ["Tried", "."],
    ),
    "Research.": ([call("research", {"prompt": "A coat?"}, id="r"), stop("tool_use")], "So it rains."),
    "Approve through a child.": ([call("payer", {"prompt": "Pay."}, id="c"), stop("tool_use")], "It was paid."),
    "One by one.": ([WEATHER, call("put", {"text": "a"}), call("put", {"text": "b"}), stop("tool_use")], "All done."),
    "Tell me much.": (["A long ", "story ", "about ", "coats."],),
}
"""What the model says to each prompt, answer by answer; to anything else it says that it heard it."""

FIRST: dict[str, Answer] = {"Fail once.": ["It ", fail("broken")], "Be busy once.": [retry("busy")]}


def answer(request: Request) -> Answer:
    """Answer by what was said last and how much was answered since, so that any process answers alike."""
    if request.system_prompt.startswith("You write the summary"):
        return ["They talked ", "about coats."]
    said = [n for n, one in enumerate(request.messages) if isinstance(one, UserMessage)]
    last = request.messages[said[-1]] if said else None
    text = last.content if isinstance(last, UserMessage) and isinstance(last.content, str) else ""
    since = request.messages[said[-1] + 1 :] if said else request.messages
    answered = sum(isinstance(one, AssistantMessage) for one in since)
    if text not in ANSWERS and any(isinstance(one, ToolResultMessage) for one in since):
        return "Thanks."
    answers = ANSWERS.get(text, (f"I heard: {text}",))
    return answers[min(answered, len(answers) - 1)]


def model() -> ScriptedModel:
    """Make a model that fails or is busy when it is first asked so, then answers."""
    asked: set[str] = set()

    def told(request: Request) -> Answer:
        last = next((m.content for m in reversed(request.messages) if isinstance(m, UserMessage)), "")
        if isinstance(last, str) and last in FIRST and last not in asked:
            asked.add(last)
            return FIRST[last]
        return answer(request)

    return ScriptedModel(told)


def agent(name: str = "", **policies: Any) -> Agent[object]:
    """Make an agent with these tools and policies."""
    compaction = CompactionPolicy(keep_tokens=1)
    return Agent(
        model(), system="Be brief.", tools=TOOLS, policies=Policies(**policies), compaction=compaction, name=name
    )


RESEARCHER = agent("researcher")
PAYER = agent("payer")
BOSS = agent("boss").replace(
    tools=[
        *TOOLS,
        RESEARCHER.as_tool(name="research", description="Find out."),
        PAYER.as_tool(name="payer", description="Pay."),
    ]
)


def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def break_off() -> None:
    """Fail."""
    raise ValueError("as it should")


async def count(upto: int) -> AsyncIterator[int]:
    """Count."""
    for number in range(upto):
        yield number


@task(id="work", payload=dict)
async def work(ctx: TaskContext, payload: dict[str, object]) -> list[object]:
    """Do, in one run, all that needs nobody else; then wait for a token."""
    ctx.metadata.set("progress", {"part": 1, "of": [2, 3]})
    numbers = [await ctx.step(f"double {n}", double, n) for n in range(3)]
    began = ctx.now().isoformat()
    chance = ctx.random.random()
    shown = await ctx.stream("counted", lambda: count(3))
    try:
        await ctx.step("broken", break_off, retries=1, backoff="1ms")
    except StepError as error:
        numbers.append(len(str(error)))
    said = await ctx.model(model(), "Tell me much.", stream="story")
    token = await ctx.create_token(key="go", timeout="1h", tags=["ask"], type=int, default=5)
    ctx.metadata.set("progress", None)
    went = await ctx.wait(token)
    turn = await ctx.turn(agent(), "A coat?")
    return [numbers, began, chance, shown, said.text, went.value, turn.text]


@task(id="ask")
async def ask(ctx: TaskContext, question: str) -> object:
    """Wait for an answer, however long."""
    return (await ctx.wait(await ctx.create_token(key=question))).outcome


@task(id="nap")
async def nap(ctx: TaskContext, payload: None) -> str:
    """Wait for a time."""
    await ctx.sleep("1h", key="nap")
    return "awake"


@task(id="flaky", payload=int, retries=2, backoff="1h")
async def flaky(ctx: TaskContext, until: int) -> int:
    """Fail until an attempt; what is done stays done."""
    await ctx.step("once", double, until)
    if ctx.attempt < until:
        raise RuntimeError(f"attempt {ctx.attempt} fails")
    return ctx.attempt


@task(id="square", payload=int)
async def square(ctx: TaskContext, number: int) -> int:
    """Square a number, in a step."""
    if number < 0:
        raise ValueError("negative")
    return number * await ctx.step("square", double, number)


@task(id="family")
async def family(ctx: TaskContext, payload: None) -> list[object]:
    """Let children work: some end, one fails, one is an agent; one waits for a person."""
    squares = await ctx.batch_trigger_and_wait(square, [1, 2])
    try:
        await ctx.trigger_and_wait(square, -1, key="bad")
    except ChildError as error:
        squares.append(len(str(error)))
    said = await ctx.spawn("researcher", RESEARCHER, "A coat?")
    waited = await ctx.trigger_and_wait(ask, "who", key="asks")
    return [*squares, said, waited]


@task(id="chat")
async def chat(ctx: TaskContext, payload: None) -> list[object]:
    """Answer messages by turns, until none has come for an hour."""
    said: list[object] = []
    async for message in ctx.inbox(timeout="1h"):
        await ctx.step("length", double, len(str(message.value)))
        said.append((await ctx.turn(agent(), message)).text)
    return said


@task(id="loop")
async def loop(ctx: TaskContext, payload: None) -> object:
    """Keep a context that grows and shrinks."""

    async def take(context: dict[str, object], iteration: int) -> dict[str, object]:
        doubled = await ctx.step("double", double, iteration)
        seen = {key: value for key, value in context.items() if key != f"n{iteration - 2}"}
        return {**seen, f"n{iteration}": doubled, "list": list(range(5 - iteration))}

    def hear(context: dict[str, object], message: object) -> dict[str, object]:
        return {**context, "heard": message}

    begun: dict[str, object] = {}
    return await ctx.loop(begun, take, hear, timeout="1h")


@task(id="payment")
async def payment(ctx: TaskContext, payload: None) -> str:
    """Let an agent pay, which a person must agree to."""
    return (await ctx.turn(PAYER, "Pay.")).text


TASKS: tuple[Task[Any, Any], ...] = (work, ask, nap, flaky, square, family, chat, loop, payment)


def code(name: str) -> Task[Any, Any]:
    """Find a task, or the task that an agent is as a child."""
    agents = {f"agent:{one.name}": agent_task(one) for one in (RESEARCHER, PAYER)}
    return {**{one.id: one for one in TASKS}, **agents}[name]
