"""What providers refuse in a request: how a rule is written down, and what the rules that bind a model come to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from ...events import ModelRef

ANTHROPIC, RESPONSES, CHAT, GOOGLE = (
    "anthropic-messages",
    "openai-responses",
    "openai-completions",
    "google-generative-ai",
)
WEB_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one model's provider takes. Patterns are regular expressions.

    name_refused, name_first, name_chars: characters that names of tools and calls may not have, what they must begin
        with, how long they may be.
    id_refused, id_chars, id_exact, unique_ids: the same of calls' ids; so many letters and digits; no id twice.
    texts: `some`: no message is empty; `shown`: nor has it nothing but white space.
    answers_speak: an answer holds text or calls. some_message: a request holds a message.
    user_first, user_last: which is the user's. no_space_at_end: of the assistant's last words.
    answer_after_results: the user does not speak right after a result.
    calls_after_user: no answer with calls follows an answer.
    image_types, image_chars, image_side: what images may be (their bytes must agree), how much base64 one may have,
        and how many pixels a side. all_image_chars: how much base64 all of a request have.
    image_count: how many images a request may hold. many_images, many_image_side: with more than so many images, no
        side of any has more pixels than this.
    words_of_errors, words_of_results, errors_are_text: results that must hold text, or nothing else.
    images_beside: images do not go into results, but follow them as the user's.
    reasoning: where it comes from the provider's own: `signed` goes back, or `encrypted`, or in the named `fields`.
    unsigned: what becomes of the rest. no_reasoning: models that take none, whoever made it. same_model: it goes back
        to the model it came from. ids_need_reasoning: an item's id goes only beside the reasoning it came with.
    reasoning_inside: no answer ends with reasoning. base64_signatures: a signature that is none stays out.
    unique_items, item_ids: no item's id twice; what ids begin with, by type.
    known_blocks: blocks of the provider's own go back only as objects with a type that is not one of ours.
    paired_blocks: its own tools' calls go back with their results, and these with the calls.
    choice_needs_tools, steady_thinking, shown_stops, no_forced_choice: see the rules.
    choice_or_thinking: reasoning is not asked for beside a forced choice, or is said to be `off`. tools_or_thinking:
        beside tools. thinking_first: it is not asked for within a turn that began without.
    temperature, stops: only beside no reasoning, or never. temperature_most, stop_count: no more. least_tokens,
        most_tokens: bounds of what an answer may have.
    plain_properties: of names of a tool's parameters. modern_schemas, whole_schemas, typed_choices: of its schema;
        `capitals`: names of types may be in capitals.
    plain_texts: texts without images are one text. system_in_turn: the prompt goes into the first turn.
    unnamed_calls, signed_calls: calls have no ids; the first of an answer has a signature. own_marks: only this
        program marks what is to be cached.
    bound_thinking: reasoning is refused after a history that was changed, unless the request says to drop it.
    schema: how a schema for the text is said; schema_models: by whom; schema_or_tools: not beside tools.
    object_arguments: a tool's schema is an object's, without a choice at its top.
    """

    name_refused: str = ""
    name_first: str = ""
    name_chars: int = 0
    id_refused: str = ""
    id_chars: int = 0
    id_exact: int = 0
    unique_ids: bool = False
    texts: Literal["any", "some", "shown"] = "any"
    answers_speak: bool = False
    some_message: bool = False
    user_first: bool = False
    user_last: bool = False
    no_space_at_end: bool = False
    answer_after_results: bool = False
    calls_after_user: bool = False
    image_types: tuple[str, ...] | None = None
    image_chars: int = 0
    image_side: int = 0
    image_count: int = 0
    all_image_chars: int = 0
    many_images: int = 0
    many_image_side: int = 0
    words_of_errors: bool = False
    words_of_results: bool = False
    errors_are_text: bool = False
    images_beside: bool = False
    reasoning: Literal["any", "signed", "encrypted", "fields"] = "any"
    reasoning_fields: tuple[str, ...] = ()
    unsigned: Literal["text", "drop"] = "text"
    no_reasoning: bool = False
    same_model: bool = False
    ids_need_reasoning: bool = False
    reasoning_inside: bool = False
    base64_signatures: bool = False
    unique_items: bool = False
    item_ids: Mapping[str, str] = msgspec.field(default_factory=dict)
    known_blocks: bool = False
    paired_blocks: bool = False
    choice_needs_tools: bool = False
    choice_or_thinking: Literal["any", "unasked", "off"] = "any"
    tools_or_thinking: bool = False
    thinking_first: bool = False
    steady_thinking: bool = False
    shown_stops: bool = False
    no_forced_choice: bool = False
    temperature: Literal["any", "unthinking", "never"] = "any"
    temperature_most: float | None = None
    stops: Literal["any", "unthinking", "never"] = "any"
    stop_count: int = 0
    least_tokens: int = 0
    most_tokens: int = 0
    plain_properties: bool = False
    modern_schemas: Literal["", "plain", "capitals"] = ""
    whole_schemas: bool = False
    typed_choices: bool = False
    plain_texts: bool = False
    system_in_turn: bool = False
    unnamed_calls: bool = False
    signed_calls: bool = False
    own_marks: bool = False
    bound_thinking: bool = False
    schema: Literal["any", "anthropic", "openai", "google"] = "any"
    schema_models: bool = True
    schema_or_tools: bool = False
    object_arguments: bool = False


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that providers refuse.

    apis: the protocols. vendors: of those who speak them, by the name of the dialect; empty: all. besides: all but
        these. models: a pattern searched in the model's name. says: the rule. sets: what it changes in `Limits`.
    source, read: where it is published or was seen on the wire, and when that was read.
    """

    name: str
    apis: tuple[str, ...]
    says: str
    sets: Mapping[str, object]
    source: str
    read: str
    vendors: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()
    models: str = ""


def binds(rule: Rule, api: str, model: ModelRef, vendor: str) -> bool:
    """Check whether a rule binds a model that is spoken to in a protocol; `vendor` is the dialect its server speaks."""
    return (
        api in rule.apis
        and (not rule.vendors or vendor in rule.vendors)
        and vendor not in rule.besides
        and (not rule.models or re.search(rule.models, model.model) is not None)
    )


def limits_of(api: str, model: ModelRef, vendor: str, rules: Sequence[Rule]) -> Limits:
    """Collect the rules that bind a model; of two that say the same, the later counts."""
    limits = Limits()
    for rule in rules:
        if binds(rule, api, model, vendor):
            limits = msgspec.structs.replace(limits, **rule.sets)
    return limits
