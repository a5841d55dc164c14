"""A coding agent that edits the wrong file, since a compaction left out the right one: a bad run to look at. No key."""

import asyncio
from itertools import pairwise

from refold import Agent, CompactionPolicy, Summary, Usage, open_log, tool
from refold.testing import call, scripted, stop

RIGHT, WRONG = "src/cart/wait.ts", "src/checkout/helper.ts"
FILES = {
    "test/checkout.spec.ts": 'test("pays", async () => {\n  await page.open("/checkout");\n  await settle(page);\n'
    '  expect(await page.text("#total")).toBe("24.00 EUR");\n});\n',
    WRONG: "// What the checkout's tests share.\n"
    "export async function settle(page) {\n  await page.waitForTimeout(500);\n}\n",
    RIGHT: "// Every page of the shop waits with this.\nexport async function settle(page) {\n"
    "  await page.waitForTimeout(300); // the total comes later than that\n}\n",
    "src/cart/total.ts": "\n".join(
        f"  rule({n}, (cart) => cart.items.filter((item) => item.tax === {n}));" for n in range(90)
    ),
}
MENDED = 'await page.waitForResponse("/cart/total");'


def shop():
    """Make the tools of an agent that works on a repository of its own."""
    files = dict(FILES)

    @tool(effect="pure")
    def ls() -> str:
        """List the files."""
        return "\n".join(files)

    @tool(effect="pure")
    def read(path: str) -> str:
        """Read a file."""
        if path not in files:
            raise RuntimeError(f"no such file: {path}")
        return files[path]

    @tool(effect="idempotent")
    def edit(path: str, old: str, new: str) -> str:
        """Replace a text in a file."""
        if old not in files[path]:
            raise RuntimeError(f"{path}: the text is not there")
        files[path] = files[path].replace(old, new)
        return f"{path}: one change"

    @tool(effect="pure")
    def test(name: str) -> str:
        """Run a test, fifty times over."""
        if MENDED not in files[RIGHT]:
            raise RuntimeError(f'{name}: 46 of 50 passed\n  expected "24.00 EUR", found "0.00 EUR"')
        return f"{name}: 50 of 50 passed"

    return [ls, read, edit, test]


def engineer(request):
    """Answer as a model might that knows what it was sent, and nothing else."""
    said = [str(message.content) for message in request.messages]
    done = sum(message.role == "tool_result" for message in request.messages)
    prompts = [text for message, text in zip(request.messages, said, strict=True) if message.role == "user"]
    if len(prompts) == 1:
        steps = [
            ["I look at the test first. ", call("ls"), call("read", {"path": "test/checkout.spec.ts"})],
            ["Now what it waits with. ", call("read", {"path": RIGHT}), call("read", {"path": "src/cart/total.ts"})],
            f"`settle` waits 300 ms, and the total comes later. The line to mend is in {RIGHT}.",
        ]
        return answered(request, steps[min((done + 1) // 2, 2)])
    path = RIGHT if RIGHT in "".join(said) else WRONG
    old = "await page.waitForTimeout(300);" if path == RIGHT else "await page.waitForTimeout(500);"
    since = len(said) - 1 - max(n for n, message in enumerate(request.messages) if message.role == "user")
    steps = [
        [f"`settle` is in {path}. ", call("read", {"path": path})],
        ["I let it wait for the answer itself. ", call("edit", {"path": path, "old": old, "new": MENDED})],
        ["Now the test. ", call("test", {"name": "checkout"})],
    ]
    if since // 2 < len(steps):
        return answered(request, steps[since // 2])
    if "50 of 50" in said[-1]:
        return answered(request, f"Mended in {path}: the test passes, fifty times of fifty.")
    return answered(request, f"I changed `settle` in {path}, and the test is as flaky as before. I do not know why.")


def answered(request, answer):
    """Write an answer word by word, with what it used."""
    items = [answer] if isinstance(answer, str) else answer
    words = [piece for item in items for piece in (split(item) if isinstance(item, str) else [item])]
    sent = sum(len(str(message.content)) for message in request.messages) // 4 + 400
    said = sum(len(word) if isinstance(word, str) else 40 for word in words) // 4
    usage = Usage(
        input_tokens=400, cache_read_tokens=sent - 400, output_tokens=said, cost_microusd=sent * 3 + said * 15
    )
    calls = any(not isinstance(word, str) for word in words)
    return [*words, stop("tool_use" if calls else "stop", usage=usage)]


def split(text):
    """Cut a text into the pieces in which it streams."""
    places = [0, *(n + 1 for n, character in enumerate(text) if character == " "), len(text)]
    return [text[start:end] for start, end in pairwise(places) if end > start]


def summarise(messages):
    """Sum up the first prompt's messages, as a careless summariser might."""
    if len(messages) < 8:
        return None
    return Summary(
        text="The checkout test is flaky: `settle` does not wait for the total. There is a `settle` in the checkout.",
        first_kept_seq=messages[-1].seq,
    )


agent = Agent(
    scripted(engineer),
    name="engineer",
    system="You are a careful engineer. Read before you write.",
    tools=shop(),
    compaction=CompactionPolicy(limit_tokens=1_200, rule=summarise),
)


async def main(path: str | None = None) -> None:
    async with open_log(path) as log:
        session = await log.session("Fix the flaky checkout test")
        await agent.run("The checkout test is flaky. Why?", session=session)
        run = await agent.run("Good. Mend it, please.", session=session)
        print(run.text)


if __name__ == "__main__":
    asyncio.run(main())
