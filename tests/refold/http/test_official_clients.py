"""The providers' own client libraries read what the scripted server writes."""

from __future__ import annotations

import json
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eventsource.events import ModelRequest
from eventsource.messages import Usage
from eventsource.models.scripted.script import Answer, call, cut, fail, stop, think
from refold import open_log
from refold.http import Behaviour, ProxyRecorder, Script, ScriptServer, Upstreams, proxying, serving

anthropic = pytest.importorskip("anthropic", reason="needs the official clients (dependency group test)")
openai = pytest.importorskip("openai", reason="needs the official clients (dependency group test)")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what a client library says while it is loaded is none of ours
    genai = pytest.importorskip("google.genai", reason="needs the official clients (dependency group test)")

pytestmark = pytest.mark.slow

USAGE = Usage(input_tokens=20, output_tokens=7, cache_read_tokens=5, reasoning_tokens=2)
ANSWERS: list[Answer] = [
    [
        think("Look at ", "the sky.", signature="c2lnbmVk"),
        "Let me ",
        "look… ☂",
        call("weather", {"city": "Tromsø"}, deltas=('{"city', '":"Trom', 'sø"}')),
        call("weather", {"city": "Oslo"}),
        stop("tool_use", usage=USAGE),
    ],
    ["Take ", "a coat.", stop(usage=USAGE)],
]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CITIES = [{"city": "Tromsø"}, {"city": "Oslo"}]
KEY = "sk-test-0123456789"


@pytest.fixture(params=["direct", "proxied"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Serve the script, or a proxy before it; then what the client did must be one sound session, or none."""
    async with serving(ScriptServer(ANSWERS)) as server:
        if request.param == "direct":
            yield server.url
            return
        lost: list[str] = []
        async with open_log() as log:
            recorder = ProxyRecorder(log, lose=lost.append)
            async with proxying(recorder, Upstreams([server.url])) as answering, serving(answering) as proxy:
                yield proxy.url
            assert lost == []
            for session in await log.sessions():
                said = [type(message).__name__ for message in (await session.request()).messages]
                results = ["ToolResultMessage", "ToolResultMessage"]
                assert said == ["UserMessage", "AssistantMessage", *results, "AssistantMessage"]
                assert (await session.verify()).ok
                assert (await session.replay()).difference is None
                events = [recorded.event for recorded in await session.events()]
                assert [event.selection for event in events if isinstance(event, ModelRequest)] == [None, None]
            assert len(await log.sessions()) == (0 if "lists" in request.node.name else 1)


async def bad(*behaviours: Behaviour, answers: list[Answer] | None = None) -> AsyncIterator[str]:
    async with serving(ScriptServer(Script(answers=answers or ANSWERS, behaviours=behaviours))) as server:
        yield server.url


async def test_anthropics_client_plays_a_conversation_with_calls(url: str) -> None:
    tools = [{"name": "weather", "description": "Weather", "input_schema": SCHEMA}]
    messages: list[Any] = [{"role": "user", "content": "A coat?"}]
    async with anthropic.AsyncAnthropic(base_url=url, api_key=KEY) as client:
        asked: dict[str, Any] = {"model": "scripted", "max_tokens": 100, "tools": tools}
        async with client.messages.stream(messages=messages, **asked) as stream:
            texts = [text async for text in stream.text_stream]
            first = await stream.get_final_message()
        assert texts == ["Let me ", "look… ☂"]
        thinking, text, *calls = first.content
        assert (thinking.thinking, thinking.signature, text.text) == ("Look at the sky.", "c2lnbmVk", "Let me look… ☂")
        assert [call.input for call in calls] == CITIES
        assert first.stop_reason == "tool_use"
        usage = first.usage
        assert (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens) == (20, 7, 5)
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"} for call in calls]
        messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        last = await client.messages.create(messages=messages, **asked)
        assert (last.content[0].text, last.stop_reason) == ("Take a coat.", "end_turn")


async def test_openais_client_plays_a_conversation_with_calls_over_chat_completions(url: str) -> None:
    tools: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    messages: list[Any] = [{"role": "user", "content": "A coat?"}]
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as client:
        asked: dict[str, Any] = {"model": "scripted", "tools": tools}
        options = {"include_usage": True}
        async with client.chat.completions.stream(messages=messages, stream_options=options, **asked) as stream:
            texts = [event.delta async for event in stream if event.type == "content.delta"]
            first = await stream.get_final_completion()
        said = first.choices[0].message
        assert texts == ["", "Let me ", "look… ☂"]  # the first chunk says the role
        assert [json.loads(call.function.arguments) for call in said.tool_calls] == CITIES
        assert first.choices[0].finish_reason == "tool_calls"
        usage = first.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens_details.cached_tokens) == (25, 7, 5)
        messages.append(said.to_dict())
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in said.tool_calls]
        last = await client.chat.completions.create(messages=messages, **asked)
        assert (last.choices[0].message.content, last.choices[0].finish_reason) == ("Take a coat.", "stop")


async def test_openais_client_plays_a_conversation_with_calls_over_responses(url: str) -> None:
    tools: list[Any] = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]
    given: list[Any] = [{"role": "user", "content": "A coat?"}]
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as client:
        asked: dict[str, Any] = {"model": "scripted", "tools": tools, "store": False}
        async with client.responses.stream(input=given, **asked) as stream:
            texts = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            first = await stream.get_final_response()
        reasoning, message, *calls = first.output
        assert texts == ["Let me ", "look… ☂"]
        assert reasoning.summary[0].text == "Look at the sky."
        assert message.content[0].text == first.output_text == "Let me look… ☂"
        assert [json.loads(call.arguments) for call in calls] == CITIES
        assert (first.usage.input_tokens, first.usage.output_tokens_details.reasoning_tokens) == (25, 2)
        given += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
        given += [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"} for call in calls]
        last = await client.responses.create(input=given, **asked)
        assert (last.output_text, last.status) == ("Take a coat.", "completed")


async def test_googles_client_plays_a_conversation_with_calls(url: str) -> None:
    types = genai.types
    options = types.HttpOptions(base_url=url)
    declared = types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA)
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    contents: list[Any] = [types.Content(role="user", parts=[types.Part(text="A coat?")])]
    client = genai.Client(api_key=KEY, http_options=options)
    try:
        models = client.aio.models
        parts: list[Any] = []
        stream = await models.generate_content_stream(model="scripted", contents=contents, config=config)
        async for chunk in stream:
            parts += chunk.candidates[0].content.parts or []
            last_chunk = chunk
        assert "".join(part.text for part in parts if part.text and not part.thought) == "Let me look… ☂"
        assert "".join(part.text for part in parts if part.thought) == "Look at the sky."
        calls = [part.function_call for part in parts if part.function_call]
        assert [call.args for call in calls] == CITIES
        assert last_chunk.candidates[0].finish_reason == "STOP"
        assert last_chunk.usage_metadata.prompt_token_count == 25
        results = [
            types.Part(function_response=types.FunctionResponse(id=c.id, name=c.name, response={"output": "rain"}))
            for c in calls
        ]
        contents += [types.Content(role="model", parts=parts), types.Content(role="user", parts=results)]
        last = await models.generate_content(model="scripted", contents=contents, config=config)
        assert last.text == "Take a coat."
    finally:
        await client.aio.aclose()


async def test_every_client_lists_the_models(url: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=url, api_key=KEY) as one:
        assert [model.id async for model in one.models.list()] == ["scripted"]
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as two:
        assert [model.id async for model in two.models.list()] == ["scripted"]


async def test_clients_try_again_after_what_the_server_refuses() -> None:
    refused = (Behaviour(status=429, retry_after="0.01", message="slow down"), Behaviour(status=529, retry_after="0"))
    async for url in bad(*refused):
        async with anthropic.AsyncAnthropic(base_url=url, api_key=KEY) as client:
            said = await client.messages.create(
                model="scripted", max_tokens=9, messages=[{"role": "user", "content": "A coat?"}]
            )
            assert said.stop_reason == "tool_use"


async def test_clients_name_the_kind_of_a_refusal() -> None:
    async for url in bad(Behaviour(status=429, message="slow down"), Behaviour(status=429, message="slow down")):
        with pytest.raises(anthropic.RateLimitError, match="slow down"):
            async with anthropic.AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0) as one:
                await one.messages.create(model="scripted", max_tokens=9, messages=[{"role": "user", "content": "?"}])
        with pytest.raises(openai.RateLimitError, match="slow down"):
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as two:
                await two.responses.create(model="scripted", input="?")


@pytest.mark.parametrize(
    "behaviour", [Behaviour(gzip=True), Behaviour(piece_bytes=1), Behaviour(gzip=True, piece_bytes=7)]
)
async def test_clients_read_bodies_in_any_pieces(behaviour: Behaviour) -> None:
    async for url in bad(behaviour):
        client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY)
        async with client, client.responses.stream(model="scripted", input="A coat?") as stream:
            assert (await stream.get_final_response()).output_text == "Let me look… ☂"


async def test_a_cut_connection_and_an_error_in_the_stream_reach_the_client() -> None:
    async for url in bad(answers=[["Let ", cut()], ["It ", fail("overloaded")]]):
        async with anthropic.AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0) as client:
            for problem in ("incomplete|closed|peer", "overloaded"):
                with pytest.raises(Exception, match=problem):
                    async with client.messages.stream(
                        model="scripted", max_tokens=9, messages=[{"role": "user", "content": "?"}]
                    ) as stream:
                        await stream.get_final_message()
