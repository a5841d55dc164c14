"""Every request of a session's life keeps the rules of whom it is sent to, and each rule is missed when it is not."""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from eventsource.events import ModelRef, ToolSpec
from eventsource.messages import AssistantMessage, Message, ToolCall, ToolResultMessage, UserMessage
from eventsource.models.anthropic import AnthropicMessages
from eventsource.models.google import GoogleGenerativeAI
from eventsource.models.openai.chat import OpenAICompletions
from eventsource.models.openai.dialects import vendor_of
from eventsource.models.openai.responses import OpenAIResponses
from eventsource.models.protocol import StreamEnd
from eventsource.models.rules import RULES, Rule, binds
from eventsource.models.transport.sse import ServerEvent
from eventsource.models.wire import Codec
from eventsource.request import Request, request_sha256
from eventsource.tools.tool import json_tool
from projections.context import request as next_request
from tests.lives import ANTHROPIC, CHAT, GOOGLE, MODELS, RESPONSES, Life
from tests.validators import judge

ROOT = Path(__file__).parents[3]
FULL = os.environ.get("REFOLD_FAULTS") == "full"
SHARES = 50
"""Parts of the property, so that several cores can share it."""
LIVES = 1_000_000 if FULL else 10_000
MUTANT_LIVES = 2_000


def codecs(rules: tuple[Rule, ...] = RULES) -> dict[str, Codec]:
    return {
        ANTHROPIC: AnthropicMessages(rules),
        RESPONSES: OpenAIResponses(rules),
        CHAT: OpenAICompletions(rules),
        GOOGLE: GoogleGenerativeAI(rules=rules),
    }


CODECS = codecs()
BY_API = [[model for model in MODELS if model.api == api] for api in (ANTHROPIC, RESPONSES, CHAT, GOOGLE)]


def sent(life: Life, model: ModelRef) -> Request:
    request = next_request(life.view)
    options = msgspec.Raw(json.dumps(life.options(model)).encode())
    return msgspec.structs.replace(request, model=model, options=options)


def faults(life: Life, model: ModelRef, known: dict[str, Codec]) -> list[str]:
    body = json.loads(known[model.api].encode(sent(life, model)))
    return judge(model.api, vendor_of(model), model.model, body)


@lru_cache(maxsize=MUTANT_LIVES)
def life_of(seed: int) -> Life:
    life = Life(seed)
    life.live()
    return life


def check(seed: int) -> None:
    """Send what a life leads to, to the model in force and to one of each protocol."""
    life = Life(seed)
    life.live()
    for model in (life.model, *(life.random.choice(those) for those in BY_API)):
        found = faults(life, model, CODECS)
        assert not found, (seed, model, found)


@pytest.mark.faults
@pytest.mark.parametrize("share", range(SHARES))
def test_every_request_of_every_life_is_taken_by_whom_it_is_sent_to(share: int) -> None:
    each = LIVES // SHARES
    for seed in range(share * each, (share + 1) * each):
        check(seed)


@given(st.integers(0, 2**63))
@settings(max_examples=100)
def test_a_request_of_any_life_is_taken(seed: int) -> None:
    check(seed)


@pytest.mark.parametrize(
    ("rule", "api"), [(rule, api) for rule in RULES for api in rule.apis], ids=lambda one: getattr(one, "name", one)
)
def test_a_rule_that_is_not_kept_is_missed(rule: Rule, api: str) -> None:
    known = codecs(tuple(other for other in RULES if other.name != rule.name))
    bound = [model for model in MODELS if model.api == api and binds(rule, api, model, vendor_of(model))]
    assert bound, "no model of these tests is bound by it"
    for seed in range(MUTANT_LIVES):
        if any(faults(life_of(seed), model, known) for model in bound[:3]):
            return
    pytest.fail(f"nobody misses the rule {rule.name}")


def test_rules_have_names_of_their_own_a_source_and_a_date() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.says and rule.source.startswith("https://") and rule.read for rule in RULES)


def row(rule: Rule) -> str:
    """Write a rule as a line of the table in the docs."""
    whom = ", ".join(rule.apis)
    whom += f" of {', '.join(rule.vendors)}" if rule.vendors else ""
    whom += f", not of {', '.join(rule.besides)}" if rule.besides else ""
    models = f" `{rule.models}`".replace("|", "\\|") if rule.models else ""
    return f"| `{rule.name}` | {whom}{models} | {rule.says} | {rule.source} ({rule.read}) |"


def test_the_docs_list_every_rule_as_it_is() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    listed = [
        line for line in page.splitlines() if re.match(r"\| `(every|anthropic|openai|responses|chat|google)-", line)
    ]
    assert listed == [row(rule) for rule in RULES]


def test_what_the_recorded_requests_of_a_run_say_does_not_change_with_the_rules() -> None:
    life = next(life for life in map(life_of, range(50)) if life.view.config.tools)
    request = sent(life, life.model)
    before = request_sha256(request)
    CODECS[life.model.api].encode(request)
    assert request_sha256(request) == before


def test_a_tool_whose_name_is_none_on_the_wire_is_called_by_the_name_on_record() -> None:
    tool = ToolSpec(name="fs.read", schema=msgspec.Raw(b'{"type":"object"}'), effect="pure")
    model = ModelRef(api=CHAT, provider="openai", model="gpt-4o")
    request = Request(model=model, tools=(tool,), messages=(UserMessage(content="go"),))
    assert json.loads(CODECS[CHAT].encode(request))["tools"][0]["function"]["name"] == "fs_read"
    reader = CODECS[CHAT].reader(request)
    call = {"index": 0, "id": "c", "function": {"name": "fs_read", "arguments": "{}"}}
    begun = reader.feed(ServerEvent(data=json.dumps({"choices": [{"delta": {"tool_calls": [call]}}]})))
    (end,) = [event for event in (*begun, *reader.finish()) if isinstance(event, StreamEnd)]
    assert [one.name for one in end.message.tool_calls] == ["fs.read"]


ODD = {
    "type": "object",
    "properties": {"filter[id]": {"type": "string"}, "filter_id_": {"type": "integer"}, "$top": {}},
    "required": ["filter[id]"],
}


def test_a_parameter_whose_name_is_none_on_the_wire_is_given_under_the_name_on_record() -> None:
    find_tool = json_tool("find", ODD, lambda given: "found", description="Find.")
    claude = ModelRef(api=ANTHROPIC, provider="anthropic", model="claude-sonnet-4-5")
    request = Request(model=claude, tools=(find_tool.spec,), messages=(UserMessage(content="go"),))
    schema = json.loads(CODECS[ANTHROPIC].encode(request))["tools"][0]["input_schema"]
    assert list(schema["properties"]) == ["filter_id__2", "filter_id_", "_top"]
    assert schema["required"] == ["filter_id__2"]
    prepared = find_tool.prepare('{"filter_id__2": "a", "filter_id_": 1, "_top": 2}', coerce=False)
    assert prepared.values == {"filter[id]": "a", "filter_id_": 1, "$top": 2}
    assert prepared.changed
    plain = find_tool.prepare('{"filter[id]": "a", "filter_id_": 1}', coerce=False)
    assert (plain.values, plain.changed) == ({"filter[id]": "a", "filter_id_": 1}, False)
    both = find_tool.prepare('{"filter[id]": "a", "filter_id__2": "b"}', coerce=False)
    assert both.values == {"filter[id]": "a", "filter_id__2": "b"}  # it is not taken for what was given itself


@pytest.mark.parametrize(
    ("model", "bound"),
    [
        ("claude-fable-5-1", True),
        ("claude-opus-5-5", True),
        ("claude-haiku-5-5-20260901", True),
        ("claude-fable-5", False),
        ("claude-opus-5-20260601", False),
        ("claude-sonnet-4-5", False),
    ],
)
def test_reasoning_that_is_bound_to_its_history_may_be_dropped_when_the_history_changes(
    model: str, bound: bool
) -> None:
    ref = ModelRef(api=ANTHROPIC, provider="anthropic", model=model)
    request = Request(model=ref, messages=(UserMessage(content="go"),))
    thinking = json.loads(CODECS[ANTHROPIC].encode(request)).get("thinking", {})
    assert (thinking.get("block_binding") == {"prefix_mismatch_behavior": "drop_block"}) is bound
    beta = CODECS[ANTHROPIC].headers(request, "sk-ant-oat01").get("anthropic-beta", "")
    assert beta.split(",") == ["thinking-binding-controls-2026-08-01"] * bound + ["oauth-2025-04-20"]


def test_a_forced_choice_counts_for_the_first_call_of_a_run_unless_asked_otherwise() -> None:
    tool = ToolSpec(name="read", schema=msgspec.Raw(b'{"type":"object"}'), effect="pure")
    asked = UserMessage(content="go")
    called = AssistantMessage(content=(ToolCall(id="c", name="read"),), stop_reason="tool_use")
    answered = ToolResultMessage(tool_call_id="c", tool_name="read")
    for model in MODELS:

        def has_choice(*messages: Message, model: ModelRef = model, **options: object) -> bool:
            raw = msgspec.Raw(json.dumps({"tool_choice": "required", **options}).encode())
            body = json.loads(
                CODECS[model.api].encode(Request(model=model, tools=(tool,), options=raw, messages=messages))
            )
            return bool(body.get("tool_choice") or body.get("toolConfig"))

        assert has_choice(asked)
        assert not has_choice(asked, called, answered)
        assert has_choice(asked, called, answered, tool_choice_always=True)
        assert has_choice(asked, called, answered, asked)


def test_the_names_of_tools_and_of_the_form_of_an_answer_are_said_as_the_provider_takes_them() -> None:
    custom = ToolSpec(name="sql", schema=msgspec.Raw(b'{"x-openai-custom":true}'), effect="pure")
    form = {"type": "object", "properties": {}, "additionalProperties": False}
    said = {"tool_choice": {"name": "sql"}, "output_schema": form, "output_name": "Box[int]"}
    bodies = {}
    for api in (CHAT, RESPONSES):
        request = Request(
            model=ModelRef(api=api, provider="openai", model="gpt-5"),
            tools=(custom,),
            options=msgspec.Raw(json.dumps(said).encode()),
            messages=(UserMessage(content="go"),),
        )
        bodies[api] = json.loads(CODECS[api].encode(request))
    assert bodies[CHAT]["tool_choice"] == {"type": "custom", "custom": {"name": "sql"}}
    assert bodies[RESPONSES]["tool_choice"] == {"type": "custom", "name": "sql"}
    assert bodies[CHAT]["response_format"]["json_schema"]["name"] == "Box_int_"
    assert bodies[RESPONSES]["text"]["format"]["name"] == "Box_int_"


def test_a_schema_of_an_older_draft_is_said_in_the_words_of_the_newer() -> None:
    pair = {"type": "array", "items": [{"type": "integer"}, {"type": "any"}], "additionalItems": False}
    more = {"type": "number", "minimum": 0, "exclusiveMinimum": True, "required": True}
    old = {"$schema": "http://json-schema.org/draft-04/schema#", "type": "OBJECT", "properties": {"a": pair, "b": more}}
    tool = ToolSpec(name="old", schema=msgspec.Raw(json.dumps(old).encode()), effect="pure")
    claude = ModelRef(api=ANTHROPIC, provider="anthropic", model="claude-sonnet-4-5")
    request = Request(model=claude, tools=(tool,), messages=(UserMessage(content="go"),))
    schema = json.loads(CODECS[ANTHROPIC].encode(request))["tools"][0]["input_schema"]
    assert schema == {
        "type": "object",
        "properties": {
            "a": {"type": "array", "prefixItems": [{"type": "integer"}, {}], "items": False},
            "b": {"type": "number", "exclusiveMinimum": 0},
        },
    }
