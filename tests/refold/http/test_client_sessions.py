"""A client's own bookkeeping is followed: its sessions, sub-agents, summaries, and what it writes anew."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from eventsource.events import ChildStart, Compaction, ModelRequest
from eventsource.message_text import whole_text
from eventsource.messages import AssistantMessage, ToolCall, ToolResultMessage
from refold import Log, Session, open_log
from refold.http import ProxyRecorder
from refold.http.wires.protocol import JsonObject
from tests.refold.http.clients import ClaudeCode, first, pass_by, prompt, results, said_back, told
from tests.refold.http.proxied import history, sound

OTHER = "8c1adf66-9516-4168-9491-9b93a5a9c6a7"


def agent_call(id: str, words: str, name: str = "Agent") -> ToolCall:  # noqa: A002  # the field's name
    return ToolCall(id=id, name=name, arguments=f'{{"description":"a","prompt":"{words}"}}')


class Passed:
    """What has passed a recorder."""

    def __init__(self, log: Log) -> None:
        self.log, self.lost, self.noted = log, list[str](), list[str]()
        self.recorder = ProxyRecorder(log, lose=self.lost.append, note=self.noted.append)

    async def sessions(self) -> list[Session]:
        """Check that every session is sound and that none is open; list them, oldest first."""
        assert self.lost == []
        sessions = [(await session.info(), session) for session in await self.log.sessions()]
        for info, session in sessions:
            await sound(session)
            assert not info.open, info
            for one in await session.messages():
                assert not isinstance(one.message, ToolResultMessage) or one.message.tool_name
                assert not isinstance(one.message, AssistantMessage) or one.message.stop_reason != "aborted"
        return [session for _, session in sorted(sessions, key=lambda pair: pair[0].number)]


@pytest.fixture
async def passed() -> AsyncIterator[Passed]:
    async with open_log() as log:
        yield Passed(log)


async def test_a_call_that_the_client_renames_is_no_fork(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    asked = [first("Look")]
    await client.ask(asked, told("Asking.", agent_call("c1", "search it please", "Task")))
    renamed: JsonObject = {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Asking."},
            {
                "type": "tool_use",
                "id": "c1",
                "name": "Agent",
                "input": {"description": "a", "prompt": "search it please"},
            },
        ],
    }
    talk = await client.ask([*asked, renamed, results(("c1", "found"))], told("Done."))
    await client.ask([*talk, prompt("Thanks")], told("Bye."))
    (session,) = await passed.sessions()
    said = [one.message for one in await session.history() if isinstance(one.message, AssistantMessage)]
    assert [message.tool_calls[0].name for message in said if message.tool_calls] == ["Task"]
    (answer,) = [m for m in (await session.request()).messages if isinstance(m, AssistantMessage) and m.tool_calls]
    assert answer.tool_calls[0].name == "Agent"
    assert (await history(session))[-3:] == ["Done.", "Thanks", "Bye."]
    requests = [one.event for one in await session.events() if isinstance(one.event, ModelRequest)]
    assert [request.selection for request in requests] == [None, None, None]


async def test_a_client_that_names_nothing_may_rename_a_call_too(passed: Passed) -> None:
    def body(*messages: object) -> dict[str, object]:
        return {"model": "m", "messages": [{"role": "user", "content": "go"}, *messages]}

    def called(name: str) -> object:
        function = {"name": name, "arguments": '{"city": "Oslo"}'}
        return {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]}

    api, path = "openai-completions", "/v1/chat/completions"
    await pass_by(passed.recorder, api, path, body(), told(ToolCall(id="c1", name="old", arguments='{"city":"Oslo"}')))
    answered = {"role": "tool", "tool_call_id": "c1", "content": "rain"}
    await pass_by(passed.recorder, api, path, body(called("new"), answered), told("It rains."))
    (session,) = await passed.sessions()
    assert await history(session) == ["go", "", "rain", "It rains."]


async def test_a_reminder_that_the_client_moves_is_no_fork(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    notice: JsonObject = {"role": "system", "content": "Agent types: a, b"}
    await client.ask([first("Look"), notice], told(ToolCall(id="c1", name="Bash", arguments='{"command":"ls"}')))
    called: JsonObject = {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "c1", "name": "Bash", "input": {"command": "ls"}}],
    }
    await client.ask([prompt("Look"), called, results(("c1", "a.py"))], told("One file."))
    (session,) = await passed.sessions()
    assert await history(session) == ["Look", "", "a.py", "One file."]


async def test_sub_agents_hang_from_the_calls_that_began_them(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    asked = [first("Look")]
    talk = await client.ask(asked, told("Two.", agent_call("c1", "search a"), agent_call("c2", "search b")))
    await client.ask([first("search b")], told("B."), agent="a2", system="You are a sub-agent.")
    one = await client.ask(
        [first("search a")],
        told(ToolCall(id="d1", name="Bash", arguments='{"command":"ls"}')),
        agent="a1",
        system="You are a sub-agent.",
    )
    await client.ask([*one, results(("d1", "a.py"))], told("A."), agent="a1", system="You are a sub-agent.")
    await client.ask([*talk, results(("c2", "B."), ("c1", "A."))], told("Both."))
    main, second, other = await passed.sessions()
    begun = [one.event for one in await main.events() if isinstance(one.event, ChildStart)]
    places = {start.child: start.call.content_index for start in begun if start.call is not None}
    assert places == {second.id: 2, other.id: 1}
    assert {(await session.info()).started_by for session in (second, other)} == {main.id}
    assert await history(other) == [(await history(other))[0], "", "a.py", "A."]
    assert (await history(main))[-3:] == ["A.", "B.", "Both."]
    assert (await second.info()).title == "search b"


async def test_a_sub_agent_whose_call_was_answered_at_once_is_begun_by_it_all_the_same(passed: Passed) -> None:
    def body(thread: str, *items: object, parent: str = "") -> dict[str, object]:
        turn = f'{{"session_id":"s-1","thread_id":"{thread}","parent_thread_id":"{parent}","request_kind":"turn"}}'
        return {"model": "gpt-5", "input": list(items), "client_metadata": {"x-codex-turn-metadata": turn}}

    def message(text: str) -> object:
        return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}

    api, path = "openai-responses", "/v1/responses"
    spawn = ToolCall(id="c1", name="spawn_agent", arguments='{"message":"search it"}')
    context = message("<environment_context><cwd>/w</cwd></environment_context>")
    await pass_by(passed.recorder, api, path, body("s-1", context, message("Look")), told(spawn))
    asked = [
        *(context, message("Look")),
        {"type": "function_call", "call_id": "c1", "name": "spawn_agent", "arguments": '{"message":"search it"}'},
        {"type": "function_call_output", "call_id": "c1", "output": '{"agent_id":"t-2"}'},
    ]
    await pass_by(passed.recorder, api, path, body("s-1", *asked), told("It works on it."))
    below = body("t-2", context, message("search it"), parent="s-1")
    await pass_by(passed.recorder, api, path, below, told("Found."))
    await passed.recorder.leave()
    main, child = await passed.sessions()
    (begun,) = [one.event for one in await main.events() if isinstance(one.event, ChildStart)]
    assert (begun.child, begun.key, begun.call) == (child.id, "spawn_agent t-2", None)
    assert [(await session.info()).title for session in (main, child)] == ["Look", "search it"]
    assert (await child.info()).started_by == main.id


async def test_a_sub_agent_of_a_client_that_names_nothing_hangs_from_the_open_call(passed: Passed) -> None:
    def body(system: str, *contents: object) -> dict[str, object]:
        return {"systemInstruction": {"parts": [{"text": system}]}, "contents": list(contents)}

    def user(text: str) -> object:
        return {"role": "user", "parts": [{"text": text}]}

    api, path = "google-generative-ai", "/v1beta/models/gemini-2.5-pro:streamGenerateContent"
    invoke = ToolCall(id="c1", name="invoke_agent", arguments='{"agent_name":"generalist","prompt":"search it please"}')
    for _ in range(2):  # the same task twice is two sub-agents
        await pass_by(passed.recorder, api, path, body("Main.", user("Look")), told(invoke))
        await pass_by(passed.recorder, api, path, body("Sub.", user("search it please")), told("Found."))
    await passed.recorder.leave()
    main, child, again, second = await passed.sessions()
    assert [(await one.info()).started_by for one in (child, second)] == [main.id, again.id]
    assert (await again.info()).parent == main.id


async def test_a_summary_that_comes_first_is_a_compaction_of_the_session(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    talk = await client.ask([first("Look")], told("I see a house."))
    talk = await client.ask([*talk, prompt("And now?")], told("It rains."))
    asks = "Your task is to create a detailed summary of the conversation so far."
    await client.ask([*talk, prompt(asks)], told("<analysis>Well.</analysis><summary>A house in the rain.</summary>"))
    begun = first("This session is being continued. The summary below covers it:\nA house in the rain.")
    talk = await client.ask([begun, talk[-1], prompt("Go on")], told("I go on."))
    await client.ask([*talk, prompt("More")], told("More."))
    main, summary = await passed.sessions()
    (event,) = [one.event for one in await main.events() if isinstance(one.event, Compaction)]
    assert (event.summary, event.child, event.silent) == ("A house in the rain.", summary.id, False)
    assert (await summary.info()).title == f"summary for {main.id}"
    heard = await history(main)
    assert "A house in the rain." in heard[0]
    assert heard[1:] == ["It rains.", "Go on", "I go on.", "More", "More."]
    said = [one.message for one in await main.history() if isinstance(one.message, AssistantMessage)]
    assert [message.text for message in said] == ["I see a house.", "It rains.", "I go on.", "More."]


async def test_a_summary_behind_what_was_said_anew_is_a_compaction_too(passed: Passed) -> None:
    def body(kind: str, *items: object) -> dict[str, object]:
        turn = f'{{"session_id":"s-1","thread_id":"s-1","request_kind":"{kind}"}}'
        return {"model": "gpt-5", "input": list(items), "client_metadata": {"x-codex-turn-metadata": turn}}

    def message(text: str, role: str = "user") -> object:
        kind = "output_text" if role == "assistant" else "input_text"
        return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}

    api, path = "openai-responses", "/v1/responses"
    talk = [message("Look"), message("I see a house.", "assistant")]
    await pass_by(passed.recorder, api, path, body("turn", talk[0]), told("I see a house."))
    asked = [*talk, message("You are performing a CONTEXT CHECKPOINT COMPACTION.")]
    await pass_by(passed.recorder, api, path, body("compaction", *asked), told("There is a house."))
    anew = [message("Look"), message("Another model wrote a summary:\nThere is a house."), message("More")]
    await pass_by(passed.recorder, api, path, body("turn", *anew), told("More."))
    main, summary = await passed.sessions()
    (event,) = [one.event for one in await main.events() if isinstance(one.event, Compaction)]
    assert (event.summary, event.child, event.silent) == ("There is a house.", summary.id, True)
    assert await history(main) == ["Look", "Another model wrote a summary:\nThere is a house.", "More", "More."]


async def test_a_fork_of_the_clients_own_is_a_fork_and_leaves_the_session_alone(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    talk = await client.ask([first("Look")], told("A house."))
    await ClaudeCode(passed.recorder, OTHER).ask([*talk, prompt("And a fork")], told("Forked."))
    await client.ask([*talk, prompt("On")], told("Going on."))
    main, fork = await passed.sessions()
    assert ((await fork.info()).parent, (await fork.info()).title) == (main.id, "And a fork")
    assert (await history(main))[-2:] == ["On", "Going on."]


async def test_the_same_words_of_another_session_of_the_client_are_another_session(passed: Passed) -> None:
    for session in ("11111111-1111-1111-1111-111111111111", OTHER):
        await ClaudeCode(passed.recorder, session).ask([first("Look")], told("A house."))
    one, other = await passed.sessions()
    assert [(await session.info()).parent for session in (one, other)] == [None, None]


async def test_a_side_question_belongs_to_the_family(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    talk = await client.ask([first("Look")], told("A house."))
    await client.ask([prompt("Make a title of: Look")], told("A look"), system="You make titles.")
    await client.ask([*talk, prompt("On")], told("Going on."))
    main, aside = await passed.sessions()
    assert ((await aside.info()).started_by, (await aside.info()).agent) == (main.id, "claude-code")


async def test_a_session_that_the_client_left_for_a_fork_is_not_left_running(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    await client.ask([first("Look")], told(ToolCall(id="c1", name="Bash", arguments='{"command":"ls"}')))
    talk = await client.ask([first("Look elsewhere")], told("A tree."))
    await client.ask([*talk, prompt("Thanks")], told("Bye."))
    await passed.recorder.leave()
    await passed.sessions()


async def test_a_client_that_comes_back_after_the_proxy_ended_goes_on_where_it_was(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    talk = await client.ask([first("Look")], told(ToolCall(id="c1", name="Bash", arguments='{"command":"ls"}')))
    await passed.recorder.leave()
    assert not (await (await passed.log.sessions())[0].info()).open
    client = ClaudeCode(ProxyRecorder(passed.log, lose=passed.lost.append))
    talk = await client.ask([*talk, results(("c1", "a.py"))], told("One file."))
    await client.ask([*talk, prompt("Thanks")], told("Bye."))
    (session,) = await passed.sessions()
    assert (await history(session))[1:] == ["", "a.py", "One file.", "Thanks", "Bye."]


async def test_the_same_agent_with_another_system_prompt_is_a_run_of_its_own(passed: Passed) -> None:
    def body(system: str, *messages: object) -> dict[str, object]:
        return {"model": "m", "messages": [{"role": "system", "content": system}, prompt("go"), *messages]}

    api, path = "openai-completions", "/v1/chat/completions"
    calls = [{"id": "c1", "type": "function", "function": {"name": "t", "arguments": "{}"}}]
    rest = [{"role": "assistant", "tool_calls": calls}, {"role": "tool", "tool_call_id": "c1", "content": "rain"}]
    for system in ("Be brief.", "Be long."):
        await pass_by(passed.recorder, api, path, body(system), told(ToolCall(id="c1", name="t", arguments="{}")))
        await pass_by(passed.recorder, api, path, body(system, *rest), told("It rains."))
    one, other = await passed.sessions()
    assert [(await session.info()).parent for session in (one, other)] == [None, None]
    assert await history(one) == await history(other) == ["go", "", "rain", "It rains."]
    assert [(await session.state()).config.system_prompt for session in (one, other)] == ["Be brief.", "Be long."]


async def test_a_result_that_is_sent_twice_is_one_result(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    talk = await client.ask([first("Look")], told(ToolCall(id="c1", name="Bash", arguments='{"command":"ls"}')))
    talk = await client.ask([*talk, results(("c1", "a.py"))], told("One file."))
    talk[2] = results(("c1", "a.py"), ("c1", "a.py"))  # as Gemini's client does when it resumes
    await client.ask([*talk, prompt("Thanks")], told("Bye."))
    (session,) = await passed.sessions()
    assert (await history(session))[1:] == ["", "a.py", "One file.", "Thanks", "Bye."]


def gemini(*files: str, folder: str = "/src/a", asked: str = "Look") -> dict[str, object]:
    """Write a first prompt as Gemini CLI does, behind what each of its processes says of the folder."""
    words = f"This is the Gemini CLI.\n- **Workspace Directories:**\n  - {folder}\n- **Directory Structure:**\n\n"
    context = f"<session_context>\n{words}{', '.join(files)}\n</session_context>"
    return {"role": "user", "parts": [{"text": context}, {"text": asked}]}


async def ask_gemini(passed: Passed, first_prompt: object, *contents: str, answer: str) -> None:
    roles = ["model", "user"] * len(contents)
    said = [{"role": role, "parts": [{"text": text}]} for role, text in zip(roles, contents, strict=False)]
    body: dict[str, object] = {"contents": [first_prompt, *said]}
    path = "/v1beta/models/gemini-2.5-pro:streamGenerateContent"
    await pass_by(passed.recorder, "google-generative-ai", path, body, told(answer))


async def test_a_session_of_gemini_cli_goes_on_though_its_folder_has_changed(passed: Passed) -> None:
    await ask_gemini(passed, gemini("a.py"), answer="A house.")
    passed.recorder = ProxyRecorder(passed.log, lose=passed.lost.append)
    await ask_gemini(passed, gemini("a.py", "b.py"), "A house.", "On", answer="Going on.")
    await ask_gemini(passed, gemini("b.py"), "A house.", "Another way", answer="A tree.")
    main, fork = await passed.sessions()
    assert [(await one.info()).parent for one in (main, fork)] == [None, main.id]
    assert [len(await history(one)) for one in (main, fork)] == [4, 4]
    asked = [one.seq for one in await passed.log.store.read(main.id) if isinstance(one.event, ModelRequest)]
    sent = [whole_text((await main.request(at=seq)).messages[0]) for seq in asked]
    assert ["b.py" in text for text in sent] == [False, True]  # each request is as it was sent
    assert "a.py" not in whole_text((await fork.request()).messages[0])


async def test_the_same_words_in_another_folder_are_another_session(passed: Passed) -> None:
    await ask_gemini(passed, gemini("a.py"), answer="A house.")
    await ask_gemini(passed, gemini("a.py", folder="/src/b"), answer="A house.")
    await ask_gemini(passed, gemini("b.py"), answer="A house.")  # nothing shows that it goes on
    await ask_gemini(passed, gemini("a.py", folder="/src/b"), "A house.", "On", answer="Going on.")
    one, other, third = await passed.sessions()
    assert [(await session.info()).parent for session in (one, other, third)] == [None, None, None]
    assert [len(await history(session)) for session in (one, other, third)] == [2, 4, 2]


async def test_what_gemini_cli_says_of_the_folder_counts_where_one_session_says_the_same(passed: Passed) -> None:
    await ask_gemini(passed, gemini("a.py"), answer="A house.")
    await ask_gemini(passed, gemini("b.py"), answer="A house.")
    await ask_gemini(passed, gemini("b.py"), "A house.", "On", answer="Going on.")
    one, other = await passed.sessions()
    assert [len(await history(session)) for session in (one, other)] == [2, 4]


async def test_a_family_is_found_again_by_another_process(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    await client.ask([first("Look")], told(agent_call("c1", "search it please", "Task")))
    client = ClaudeCode(ProxyRecorder(passed.log, lose=passed.lost.append))
    await client.ask([first("search it please")], told("Found."), agent="a1", system="You are a sub-agent.")
    await client.ask(
        [
            first("Look"),
            {
                "role": "assistant",
                "content": [
                    {
                        "type": "tool_use",
                        "id": "c1",
                        "name": "Agent",
                        "input": {"description": "a", "prompt": "search it please"},
                    },
                ],
            },
            results(("c1", "Found.")),
        ],
        told("Done."),
    )
    main, child = await passed.sessions()
    assert (await child.info()).started_by == main.id
    assert (await history(main))[-1] == "Done."


async def test_what_cannot_be_kept_is_said(passed: Passed) -> None:
    body: JsonObject = {"model": "m", "n": 2, "messages": [prompt("go")]}
    await pass_by(passed.recorder, "openai-completions", "/v1/chat/completions", body, told("One."))
    asked: JsonObject = {"model": "m", "input": "go on", "previous_response_id": "resp_unknown"}
    await pass_by(passed.recorder, "openai-responses", "/v1/responses", asked, told("Two."))
    one, other = await passed.sessions()
    assert [[text for _, text in await session.labels()] for session in (one, other)] == [
        ["n=2: the client asked for 2 answers; the first is on record, the others are not"],
        ["previous_response_id resp_unknown: what was said up to that answer is not in this log"],
    ]
    assert [note.partition(":")[0] for note in passed.noted] == [
        "POST /v1/chat/completions",
        "POST /v1/responses",
    ]


async def test_what_a_client_says_of_an_interrupted_call_invents_no_answer(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    talk = await client.ask([first("Look")], told(ToolCall(id="c1", name="Bash", arguments='{"command":"sleep 9"}')))
    said: JsonObject = {"role": "assistant", "content": [{"type": "text", "text": "No response requested."}]}
    interrupted = [results(("c1", "rejected"), more="[Request interrupted by user for tool use]"), said]
    talk = await client.ask([*talk, *interrupted, prompt("And on")], told("On."))
    (session,) = await passed.sessions()
    assert (await history(session))[2:] == [
        *("rejected", "[Request interrupted by user for tool use]", "No response requested.", "And on", "On."),
    ]
    answers = [one.message for one in await session.history() if isinstance(one.message, AssistantMessage)]
    assert len(answers) == 3


async def test_a_session_without_a_name_gets_that_of_the_first_client_that_goes_on_with_it(passed: Passed) -> None:
    body: JsonObject = {"model": "m", "max_tokens": 9, "messages": [prompt("Look")]}
    await pass_by(passed.recorder, "anthropic-messages", "/v1/messages", body, told("A house."))
    talk: list[JsonObject] = [prompt("Look"), {"role": "assistant", "content": "A house."}]
    talk = await ClaudeCode(passed.recorder).ask([*talk, prompt("On")], told("A tree."))
    other = ProxyRecorder(passed.log, lose=passed.lost.append)
    await ClaudeCode(other).ask([*talk, prompt("More")], told("More."))
    await ClaudeCode(other, OTHER).ask([*talk, prompt("Else")], told("Else."))
    first_one, fork = await passed.sessions()
    assert (await fork.info()).parent == first_one.id
    assert (await history(first_one))[-1] == "More."


async def test_a_client_that_comes_back_without_the_call_that_was_cut_off_goes_on_in_a_fork(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    slow = ToolCall(id="c1", name="Bash", arguments='{"command":"sleep 20"}')
    await client.ask([first("Be slow")], told("Go.", slow))
    await passed.recorder.leave()
    talk = [first("Be slow"), said_back(told("Go.")), prompt("Are you there?")]
    back = await client.ask(talk, told("I am back."), system="You are it, in a new process.")
    await client.ask([*back, prompt("Good")], told("Yes."), system="You are it, in a new process.")
    assert passed.lost == []
    main, fork = sorted([await one.info() for one in await passed.log.sessions()], key=lambda one: one.number)
    assert (fork.parent, fork.started_by, main.open, fork.open) == (main.id, "", False, False)
    said = await history(await passed.log.find(fork.id))
    assert said[1:] == ["Go.", "Are you there?", "I am back.", "Good", "Yes."]


async def test_an_answer_that_says_nothing_is_on_record_where_a_client_sends_it_again(passed: Passed) -> None:
    def body(*items: object) -> dict[str, object]:
        return {"model": "gpt-5", "input": [{"role": "user", "content": "Look"}, *items]}

    def said(text: str) -> object:
        content = [{"type": "output_text", "text": text}]
        return {"type": "message", "role": "assistant", "content": content}

    api, path = "openai-responses", "/v1/responses"
    broken = AssistantMessage(content=told("\n").content, stop_reason="error", error="overloaded")
    await pass_by(passed.recorder, api, path, body(), broken)
    asked = [said("\n"), {"role": "user", "content": "And?"}]
    await pass_by(passed.recorder, api, path, body(*asked), told("Seen."))
    last = body(*asked, said("Seen."), {"role": "user", "content": "Thanks"})
    await pass_by(passed.recorder, api, path, last, told("Bye."))
    (session,) = await passed.sessions()
    places = [one.seq for one in await session.events() if isinstance(one.event, ModelRequest)]
    sent = [[whole_text(one) for one in (await session.request(at=seq)).messages] for seq in places]
    assert sent == [["Look"], ["Look", "\n", "And?"], ["Look", "\n", "And?", "Seen.", "Thanks"]]
    assert (await session.replay()).difference is None


async def test_an_answer_that_paused_and_is_not_gone_on_with_ends_its_run_with_the_proxy(passed: Passed) -> None:
    client = ClaudeCode(passed.recorder)
    paused = AssistantMessage(content=told("Wait.").content, stop_reason="pause")
    asked = await client.ask([first("Look")], paused)
    (session,) = await passed.log.sessions()
    assert (await session.info()).open
    await passed.recorder.leave()
    assert (passed.lost, (await session.info()).open) == ([], False)
    await client.ask([*asked, prompt("And?")], told("Seen."))
    said = [one.text for one in (await session.request()).messages if isinstance(one, AssistantMessage)]
    assert said == ["Wait.", "Seen."]
    assert len(await passed.log.sessions()) == 1
