"""Random lives of sessions, with what providers refuse in them: every event is legal, every message may be hostile."""

from __future__ import annotations

import base64
import json
import struct
from random import Random
from typing import Any, Literal

import msgspec

from eventsource.envelope import Recorded
from eventsource.errors import IllegalEventError
from eventsource.events import (
    AbortRequest,
    Compaction,
    ConfigChange,
    ContextEdit,
    Event,
    Fork,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    ModelRef,
    ModelRequest,
    Origin,
    Policies,
    QueuePush,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    ToolSpec,
)
from eventsource.machine.evolve import evolve
from eventsource.machine.state import Phase, State
from eventsource.machine.steps import CallModel, CloseMessage, Record, RunTools, next_step
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    Message,
    ProviderContent,
    StopReason,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserContent,
    UserMessage,
)
from projections.context import CONTEXT, messages as context_messages, step as fold_context
from projections.transcript import with_text

ANTHROPIC, RESPONSES, CHAT, GOOGLE = (
    "anthropic-messages",
    "openai-responses",
    "openai-completions",
    "google-generative-ai",
)
_NAMED = (
    (ANTHROPIC, "anthropic", "claude-sonnet-4-5 claude-opus-4-6 claude-3-5-haiku-latest claude-sonnet-4-20250514"),
    (ANTHROPIC, "anthropic", "claude-fable-5-1 claude-opus-4-8 claude-haiku-5-5 claude-opus-4-1 claude-3-opus-latest"),
    (RESPONSES, "openai", "gpt-5 gpt-5-mini gpt-4.1 gpt-5.2 o3-mini gpt-4o gpt-3.5-turbo"),
    (RESPONSES, "azure", "prod-reasoner"),
    (RESPONSES, "xai", "grok-4"),
    (CHAT, "openai", "gpt-4o gpt-5.1 gpt-5.4 o4-mini gpt-3.5-turbo gpt-4.1"),
    (CHAT, "mistral", "mistral-large-latest"),
    (CHAT, "groq", "qwen/qwen3-32b meta-llama/llama-4-scout-17b-16e-instruct"),
    (CHAT, "deepseek", "deepseek-reasoner deepseek-v4-pro"),
    (CHAT, "xai", "grok-3-mini grok-4.3"),
    (CHAT, "openrouter", "anthropic/claude-opus-4.6"),
    (CHAT, "moonshot", "kimi-k2 kimi-k2.6 kimi-k3"),
    (CHAT, "zai", "glm-4.6"),
    (CHAT, "cerebras", "gpt-oss-120b"),
    (CHAT, "ollama", "qwen3:8b"),
    (CHAT, "mine", "some-model"),
    (GOOGLE, "google", "gemini-2.5-flash gemini-3-pro-preview gemini-2.0-flash gemma-3-27b-it"),
    (GOOGLE, "vertex", "gemini-2.5-pro"),
)
MODELS = tuple(
    ModelRef(api=api, provider=vendor, model=name) for api, vendor, names in _NAMED for name in names.split()
)
PLAIN = ("gpt-4.1", "gpt-4o", "gpt-3.5-turbo")
"""Models that do not reason."""
_OFTEN = ("claude-sonnet-4-5", "gpt-5", "gpt-5-mini", "gpt-4.1", "mistral-large-latest", "gemini-2.5-flash")
SPOKEN = MODELS + 3 * tuple(model for model in MODELS if model.model in _OFTEN)
"""Whom sessions speak to: those with the most rules more often."""
NAMES = (
    "read",
    "bash",
    "functions.bash",
    "",
    "a b",
    "9lives",
    "x" * 70,
    "y" * 140,
    "naïve",
    'psql -c "SELECT 1"',
    "fs:get",
)
IDS = ("call_1", "call_1", "", "a!", "z" * 70, "toolu_01", "fc|1", "ünï", "abcdefghi", "gemini_r_1", "q" * 45)
TEXTS = ("Hello.", "", " \n", "Say it: ", "ünï 🧥", "so", "\u2028")
ARGUMENTS = (
    "{}",
    "",
    '{"path": "a"}',
    '{"path":',
    "[1]",
    "null",
    '{"n": NaN}',
    '{"half": "\\ud83d"}',
    '{"nul": "\\u0000"}',
)
IMAGES = tuple(
    ImageContent(data=data, media_type=kind)
    for kind, data in (
        ("image/png", base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()),
        ("image/png", base64.b64encode(b"\xff\xd8\xff" + bytes(20)).decode()),
        ("image/jpg", base64.b64encode(b"\xff\xd8\xff" + bytes(20)).decode()),
        ("image/gif", base64.b64encode(b"GIF89a" + bytes(20)).decode()),
        ("image/webp", base64.b64encode(b"RIFF\0\0\0\0WEBP" + bytes(20)).decode()),
        ("image/svg+xml", base64.b64encode(b"<svg/>").decode()),
        ("image/heic", base64.b64encode(b"\0\0\0\x18ftypheic" + bytes(20)).decode()),
        ("image/png", "not base64!"),
        ("image/png", ""),
        ("application/pdf", base64.b64encode(b"%PDF-1.7").decode()),
    )
)
CROWDS = (6, 9, 25, 110, 610)
"""So many images come at once, now and then: as many as some take, and one of another size with each."""


def drawn(width: int, height: int) -> ImageContent:
    """Make the beginning of a PNG of so many pixels."""
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(9)
    return ImageContent(data=base64.b64encode(head).decode(), media_type="image/png")


IMAGES += (drawn(20, 9_000), drawn(3_000, 20))
BIG = ImageContent(media_type="image/png", data=base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3_950_000)).decode())
LARGE = ImageContent(media_type="image/png", data=base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(2_900_000)).decode())
SCHEMAS: tuple[dict[str, Any], ...] = (
    {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"], "additionalProperties": False},
    {"type": "object"},
    {},
    {"anyOf": [{"type": "object", "properties": {"a": {"type": "integer"}}}, {"type": "object"}]},
    {"type": "object", "properties": {"any": {}}, "required": ["any"], "additionalProperties": False},
    {"type": "object", "properties": {"filter[id]": {"type": "string"}, "filter_id_": {}}, "required": ["filter[id]"]},
    {"type": "object", "properties": {"many": {"type": "array"}, "any": {"type": ["array", "null"], "items": True}}},
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "OBJECT",
        "properties": {
            "pair": {"type": "array", "items": [{"type": "integer"}, {"type": "any"}], "additionalItems": False},
            "more": {"type": "number", "minimum": 0, "exclusiveMinimum": True, "required": True, "description": None},
            "none": None,
        },
    },
    {
        "type": "object",
        "properties": {"who": {"type": ["string", "null"], "anyOf": [{"minLength": 1}, {"type": "null"}]}},
    },
    {"type": "object", "properties": {"größe": {"type": "integer"}, "n" * 80: {}, "n" * 79: {}, "$top": {}}},
)
_NODE = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}, "n": {"type": "integer"}},
}
OUTPUTS: tuple[dict[str, Any], ...] = (
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]},
    {"type": "object", "properties": {"counts": {"type": "object", "additionalProperties": {"type": "integer"}}}},
    {"type": "object", "properties": {"node": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": _NODE}},
    {"type": "object", "properties": {"any": {"title": "Any"}, "at": {"type": "string", "format": "uri-reference"}}},
    {"type": "object", "properties": {"x": {"oneOf": [{"type": "integer"}, {"type": "string", "maxLength": 3}]}}},
    {"type": "object", "properties": {"pair": {"type": "array", "prefixItems": [{"type": "integer"}]}}},
    {"type": "object"},
    {"type": "array", "items": {"type": "integer"}},
    {"type": "object", "properties": {"xs": {"type": "array"}}, "required": ["xs"]},
    {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/At", "description": "Where.", "default": None}},
        "$defs": {"At": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
    },
)
KEPT: tuple[Literal["kept", "dropped"], ...] = ("kept", "dropped")
ORIGIN = Origin(source="elsewhere", session="s", entry="e")


class Life:
    """One session's life, made of a seed."""

    def __init__(self, seed: int) -> None:
        self.seed, self.random = seed, Random(seed)
        self.state, self.view = State(), CONTEXT.initial
        self.recorded: list[Recorded] = []
        self.model = self.random.choice(SPOKEN)
        self.made = 0
        self.answers: list[AssistantMessage] = []

    def live(self) -> None:
        """Do some of all that can happen to a session."""
        self.configure()
        large = self.seed % 2_500 == 999  # 54 MB, so seldom, and not before what each broken rule shows itself in
        if large or self.seed % 400 == 4:  # what no request can hold
            crowd = (LARGE,) * 14 if large else (IMAGES[0],) * 610
            self.add(MessageAdopt(message=UserMessage(content=crowd), origin=ORIGIN))
            return
        for _ in range(self.random.randint(1, 5)):
            self.random.choice((self.run, self.run, self.adopt, self.edit, self.compact, self.configure, self.fork))()

    def add(self, *events: Event) -> bool:
        """Append events; False when the machine does not allow one, which is then left out."""
        for event in events:
            recorded = Recorded(len(self.recorded) + 1, 0, event)
            try:
                self.state = evolve(self.state, recorded)
            except IllegalEventError:
                return False
            self.recorded.append(recorded)
            self.view = fold_context(self.view, recorded)
        return True

    def configure(self) -> None:
        model = self.random.choice(SPOKEN)
        names = dict.fromkeys(self.random.choices(NAMES, k=self.random.choice((0, 1, 3))))
        tools = tuple(
            ToolSpec(name=name, schema=msgspec.Raw(json.dumps(self.random.choice(SCHEMAS)).encode()), effect="pure")
            for name in names
        )
        prompt = self.random.choice(("Be brief.", "", " "))
        partial = self.random.choice(KEPT)
        policies = Policies(partial=partial, unknown_tools="run")
        if self.add(ConfigChange(model=model, tools=tools, system_prompt=prompt, policies=policies)):
            self.model = model

    def adopt(self) -> None:
        for _ in range(self.random.randint(1, 4)):
            pick = self.random.random()
            if pick < 0.3 and self.answers:
                message: Message = self.random.choice(self.answers)
                self.add(MessageAdopt(message=message, origin=ORIGIN))  # and once more below
            elif pick < 0.5:
                message = self.answer(self.random.choice(SPOKEN), named=True)
            elif pick < 0.7:
                message = UserMessage(content=self.content())
            else:
                call_id, name = self.random.choice(IDS), self.random.choice(NAMES)
                message = ToolResultMessage(
                    tool_call_id=call_id, tool_name=name, content=self.parts(), is_error=self.random.random() < 0.5
                )
            self.add(MessageAdopt(message=message, origin=ORIGIN))

    def edit(self) -> None:
        names = [message.seq for message in context_messages(self.view) if message.seq]
        if names:
            seq = self.random.choice(names)
            said = next(one.message for one in context_messages(self.view) if one.seq == seq)
            new = with_text(said, self.random.choice(TEXTS)) if self.random.random() < 0.6 else None
            self.add(ContextEdit(message_seq=seq, replacement=new, says_hidden=seq % 3 > 0))

    def compact(self) -> None:
        kept = self.random.randint(0, len(self.recorded))
        self.add(Compaction(summary="so far", first_kept_seq=self.random.choice((0, kept))))

    def fork(self) -> None:
        cut = self.recorded[: self.random.randint(1, len(self.recorded))]
        self.recorded, self.state, self.view = [], State(), CONTEXT.initial
        self.add(*(one.event for one in cut), Fork())
        self.model = self.view.config.model or self.model
        if self.state.phase is not Phase.IDLE:
            self.go_on(self.random.randint(1, 10))

    def run(self) -> None:
        self.add(QueuePush(queue="prompt", message=UserMessage(content=self.content())))
        self.go_on(self.random.choice((3, 8, 30)))

    def go_on(self, most: int) -> None:
        """Do what the machine says, and sometimes abort, or leave it there."""
        for _ in range(most):
            if self.random.random() < 0.04:
                self.add(AbortRequest())
            match next_step(self.state):
                case Record(events=events):
                    if not self.add(*events):
                        return
                case CallModel(attempt=attempt):
                    self.call(attempt)
                case RunTools(calls=calls):
                    for call in calls:
                        seq, index = call.place.message_seq, call.place.content_index
                        start = ToolExecutionStart(
                            message_seq=seq, content_index=index, name=call.name, attempt=call.attempt
                        )
                        result = ToolResult(content=self.parts())
                        failed = self.random.random() < 0.4
                        self.add(
                            start,
                            ToolExecutionEnd(message_seq=seq, content_index=index, result=result, is_error=failed),
                        )
                case CloseMessage(how=how):
                    cut = AssistantMessage(content=self.content_of(self.model), stop_reason="aborted", error="cut")
                    kept = self.random.choice(KEPT)
                    self.add(MessageEnd(message=cut, interrupted=kept if how == "interrupted" else None))
                case _:
                    return

    def call(self, attempt: int) -> None:
        self.add(ModelRequest(attempt=attempt, request_sha256="0" * 64), MessageStart(role="assistant"))
        if self.random.random() < 0.15:  # and there the process dies
            cut = AssistantMessage(content=self.content_of(self.model), stop_reason="aborted", error="cut")
            self.add(MessageEnd(message=cut, interrupted=self.random.choice(KEPT)))
            return
        answer = self.answer(self.model, named=False)
        by = {"api": self.model.api, "provider": self.model.provider, "model": self.model.model}
        self.answers.append(msgspec.structs.replace(answer, **by))
        self.add(MessageEnd(message=answer))

    def answer(self, model: ModelRef, *, named: bool) -> AssistantMessage:
        """Make what a model might have said, or what somebody wrote down as such."""
        content = self.content_of(model)
        calls = any(isinstance(block, ToolCall) for block in content)
        stops: tuple[StopReason, ...] = ("tool_use",) if calls else ("stop", "stop", "length", "pause", "error")
        stop = self.random.choice(stops)
        usage = Usage(output_tokens=9, reasoning_tokens=4 if self._reasoned(content) else 0, raw=msgspec.Raw(b"{}"))
        return AssistantMessage(
            content=content,
            stop_reason=stop,
            error="broken" if stop == "error" else "",
            usage=usage if self.random.random() < 0.5 else None,
            api=model.api if named else "",
            provider=model.provider if named else "",
            model=model.model if named else "",
        )

    def _reasoned(self, content: tuple[AssistantContent, ...]) -> bool:
        return any(isinstance(block, ThinkingContent) for block in content)

    def content_of(self, model: ModelRef) -> tuple[AssistantContent, ...]:
        blocks: list[AssistantContent] = []
        self.made += 1
        tag = f"r{self.made}"
        if self.random.random() < 0.5:
            blocks.append(self.thinking(model, tag))
        if not any(isinstance(block, ThinkingContent) for block in blocks) or model.model in PLAIN:
            tag = ""  # what came without reasoning needs none
        for _ in range(self.random.choice((0, 1, 1, 2, 3))):
            pick = self.random.random()
            if pick < 0.45:
                blocks.append(TextContent(text=self.random.choice(TEXTS), signature=self.signature(model, "msg", tag)))
            elif pick < 0.75:
                blocks.append(
                    ToolCall(
                        id=self.random.choice(IDS),
                        name=self.random.choice(NAMES),
                        arguments=self.random.choice(ARGUMENTS),
                        signature=self.signature(model, "fc", tag),
                    )
                )
            elif pick < 0.9:
                blocks += self.provider_blocks(model, tag)
            else:
                blocks.append(self.thinking(model, tag))
        return tuple(blocks)

    def signature(self, model: ModelRef, kind: str, tag: str) -> str:
        self.made += 1
        if model.api == RESPONSES:
            item_id = f"{kind}_{tag or 'n'}_{self.made}" if self.random.random() < 0.8 else f"item{self.made}"
            return self.random.choice(("", json.dumps({"id": item_id}), json.dumps({"id": item_id})))
        if model.api == GOOGLE:
            return self.random.choice(("", "c2lnbmVk", "not base64!"))
        return ""

    def thinking(self, model: ModelRef, tag: str) -> ThinkingContent:
        self.made += 1
        text = self.random.choice(("hm", "hm", "", " "))
        if model.api == RESPONSES:
            # the text after @ tells the judge of these tests who made it
            signed = {"id": f"rs_{tag or 'n'}_{self.made}", "summary": [], "encrypted_content": f"E@{model.model}"}
            if self.random.random() < 0.3:
                signed.pop("encrypted_content")
            return ThinkingContent(
                thinking=text, signature=self.random.choice((json.dumps(signed), json.dumps(signed), ""))
            )
        if model.api == ANTHROPIC:
            redacted = self.random.random() < 0.2
            signature = self.random.choice(("c2ln", "c2ln", ""))
            return ThinkingContent(thinking="" if redacted else text, signature=signature, redacted=redacted)
        if model.api == GOOGLE:
            return ThinkingContent(thinking=text, signature=self.random.choice(("c2ln", "", "not base64!")))
        fields = ("reasoning_content", "reasoning", "content", "", '[{"type":"reasoning.text"}]')
        return ThinkingContent(thinking=text, signature=self.random.choice(fields))

    def provider_blocks(self, model: ModelRef, tag: str) -> list[AssistantContent]:
        self.made += 1
        call = f"srvtoolu_{self.made}"
        blocks: dict[str, tuple[dict[str, Any] | list[int], ...]] = {
            ANTHROPIC: (
                {"type": "server_tool_use", "id": call, "name": "web_search", "input": {}},
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": call,
                    "content": [],
                    "cache_control": {"type": "ephemeral"},
                },
                {"type": "compaction", "content": "c"},
                {"type": "container_upload", "file_id": "f", "cache_control": {"type": "ephemeral"}},
                [1],
                {},
            ),
            RESPONSES: ({"type": "web_search_call", "id": f"ws_{tag or 'n'}_{self.made}"}, {}, [1]),
            GOOGLE: ({"executableCode": {"code": "1"}}, {}, [1]),
            CHAT: ({}, [1]),
        }
        some = blocks[model.api]
        picked = some[:2] if model.api == ANTHROPIC and self.random.random() < 0.4 else (self.random.choice(some),)
        return [ProviderContent(api=model.api, block=msgspec.Raw(json.dumps(one).encode())) for one in picked]

    def content(self) -> str | tuple[UserContent, ...]:
        return self.random.choice(TEXTS) if self.random.random() < 0.7 else self.parts()

    def parts(self) -> tuple[UserContent, ...]:
        if self.random.random() < 0.01:
            return (drawn(3_000, 20),) + (IMAGES[0],) * self.random.choice(CROWDS)
        parts: list[UserContent] = []
        for _ in range(self.random.choice((0, 1, 1, 2))):
            if self.random.random() < 0.6:
                parts.append(TextContent(text=self.random.choice(TEXTS)))
            else:
                parts.append(BIG if self.random.random() < 0.002 else self.random.choice(IMAGES))
        return tuple(parts)

    def options(self, model: ModelRef) -> dict[str, Any]:
        """Choose what is asked of a model beside the conversation, the same each time."""
        random, chosen = Random(f"{self.seed} {model.provider} {model.model}"), dict[str, Any]()
        if random.random() < 0.4:
            names = [tool.name for tool in self.view.config.tools]
            named = [{"name": random.choice(names)}] if names else []
            named.append({"name": "gone"})
            chosen["tool_choice"] = random.choice(("auto", "required", "none", *named))
        if random.random() < 0.3:
            chosen["thinking"] = random.choice(("off", "low", "high"))
        if random.random() < 0.2:
            chosen["temperature"] = random.choice((0.5, 1.4))
        if random.random() < 0.2:
            chosen["max_tokens"] = random.choice((5, 6_000, 20_000, 40_000, 100_000))
        if random.random() < 0.2:
            chosen["output_schema"] = random.choice(OUTPUTS)
            chosen["output_name"] = random.choice(("answer", "Box[int]", "größe"))
        if random.random() < 0.1 and model.api != RESPONSES:
            chosen["stop"] = list(random.choice((("END",), (" ",), tuple("ABCDEF"))))
        return chosen
