"""What Anthropic's Messages refuse."""

from __future__ import annotations

from .limits import ANTHROPIC, WEB_IMAGES, Rule

_A_DOC = "https://docs.anthropic.com/en/api/messages"
_A_THINK = "https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking"
_A_SCHEMA = "https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs"
_READ = "2026-11"

ANTHROPIC_RULES: tuple[Rule, ...] = (
    Rule(
        name="anthropic-names",
        api=ANTHROPIC,
        says="a tool's or call's name has 1 to 128 letters, digits, `_` and `-`",
        sets={"name_refused": r"[^a-zA-Z0-9_-]", "name_chars": 128},
        source=f"{_A_DOC}#body-tools-name; https://github.com/earendil-works/pi/issues/1643",
        read=_READ,
    ),
    Rule(
        name="anthropic-ids",
        api=ANTHROPIC,
        says="a call's id has letters, digits, `_` and `-`, at most 64",
        sets={"id_refused": r"[^a-zA-Z0-9_-]", "id_chars": 64},
        source="https://github.com/anthropics/claude-code/issues/3003",
        read=_READ,
    ),
    Rule(
        name="anthropic-unique-ids",
        api=ANTHROPIC,
        says="no two calls have one id",
        sets={"unique_ids": True},
        source=f"{_A_DOC} (`tool_use` ids must be unique)",
        read=_READ,
    ),
    Rule(
        name="anthropic-texts",
        api=ANTHROPIC,
        says="no text is empty, and no message without content, or of white space alone",
        sets={"texts": "shown"},
        source="https://github.com/home-assistant/core/issues/175637; "
        "https://github.com/anthropics/claude-code/issues/23440",
        read=_READ,
    ),
    Rule(
        name="anthropic-some-message",
        api=ANTHROPIC,
        says="a request holds a message",
        sets={"some_message": True},
        source=f"{_A_DOC}#body-messages",
        read=_READ,
    ),
    Rule(
        name="anthropic-first",
        api=ANTHROPIC,
        says="the first message is the user's",
        sets={"user_first": True},
        source=f"{_A_DOC}#body-messages",
        read=_READ,
    ),
    Rule(
        name="anthropic-end-space",
        api=ANTHROPIC,
        says="the assistant's last words do not end with white space",
        sets={"no_space_at_end": True},
        source=f"{_A_DOC}#body-messages",
        read=_READ,
    ),
    Rule(
        name="anthropic-last",
        api=ANTHROPIC,
        models=r"claude-(opus|sonnet|haiku)-(4[-.]([6-9]|\d\d)(?!\d)|[5-9])|claude-(?!\d|opus|sonnet|haiku|instant)",
        says="since Claude 4.6 a request does not end with the assistant's words",
        sets={"user_last": True},
        source="https://github.com/anomalyco/opencode/issues/13768; "
        "https://github.com/langchain-ai/deepagents/issues/1585",
        read=_READ,
    ),
    Rule(
        name="anthropic-images",
        api=ANTHROPIC,
        says="an image is PNG, JPEG, GIF or WebP, as its type says, in base64 of at most 5 MB",
        sets={"image_types": WEB_IMAGES, "image_chars": 5 * 1024 * 1024},
        source="https://github.com/anthropics/claude-code/issues/8184; "
        "https://github.com/anthropics/claude-code/issues/10612",
        read=_READ,
    ),
    Rule(
        name="anthropic-error-words",
        api=ANTHROPIC,
        says="the result of a failed call has words",
        sets={"words_of_errors": True},
        source="https://github.com/anomalyco/opencode/issues/15371",
        read=_READ,
    ),
    Rule(
        name="anthropic-error-text",
        api=ANTHROPIC,
        says="the result of a failed call holds text only",
        sets={"errors_are_text": True},
        source=f'{_A_DOC} (`all content must be type "text" if is_error is true`)',
        read=_READ,
    ),
    Rule(
        name="anthropic-signed-thinking",
        api=ANTHROPIC,
        says="reasoning goes back with its signature, or its encrypted data",
        sets={"reasoning": "signed"},
        source=f"{_A_THINK}#preserving-thinking-blocks",
        read=_READ,
    ),
    Rule(
        name="anthropic-no-thinking",
        api=ANTHROPIC,
        models=r"claude-(2|instant|3-(opus|sonnet|haiku|5))",
        says="models before Claude 3.7 take no reasoning",
        sets={"no_reasoning": True},
        source=f"{_A_THINK}#supported-models",
        read=_READ,
    ),
    Rule(
        name="anthropic-thinking-inside",
        api=ANTHROPIC,
        says="no answer ends with reasoning",
        sets={"reasoning_inside": True},
        source=f"{_A_THINK} (`The final block in an assistant message cannot be thinking`)",
        read=_READ,
    ),
    Rule(
        name="anthropic-blocks",
        api=ANTHROPIC,
        says="a block is an object with a type",
        sets={"known_blocks": True},
        source=_A_DOC,
        read=_READ,
    ),
    Rule(
        name="anthropic-paired-blocks",
        api=ANTHROPIC,
        says="the provider's own tools' calls stand before their results, once, unless the last answer waits for them",
        sets={"paired_blocks": True},
        source="https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/web-search-tool",
        read=_READ,
    ),
    Rule(
        name="anthropic-choice-tools",
        api=ANTHROPIC,
        says="a tool can be chosen only where there are tools",
        sets={"choice_needs_tools": True},
        source=f"{_A_DOC}#body-tool-choice",
        read=_READ,
    ),
    Rule(
        name="anthropic-choice-thinking",
        api=ANTHROPIC,
        says="a model that is forced to call a tool does not reason first",
        sets={"choice_or_thinking": True},
        source=f"{_A_THINK}#extended-thinking-with-tool-use",
        read=_READ,
    ),
    Rule(
        name="anthropic-thinking-temperature",
        api=ANTHROPIC,
        says="a model that reasons has no other temperature than 1, and no words of the assistant to go on from",
        sets={"steady_thinking": True},
        source=f"{_A_THINK}#feature-compatibility",
        read=_READ,
    ),
    Rule(
        name="anthropic-stops",
        api=ANTHROPIC,
        says="a stop sequence is no white space alone",
        sets={"shown_stops": True},
        source=f"{_A_DOC}#body-stop-sequences",
        read=_READ,
    ),
    Rule(
        name="anthropic-schema",
        api=ANTHROPIC,
        says="a schema for the text holds closed objects only: no dict, no recursion, no limits; what it cannot say is "
        "said in words",
        sets={"schema": "anthropic"},
        source=f"{_A_SCHEMA}#json-schema-limitations; https://github.com/BerriAI/litellm/issues/35808",
        read=_READ,
    ),
    Rule(
        name="anthropic-schema-models",
        api=ANTHROPIC,
        models=r"claude-(2|3|instant)|claude-(opus|sonnet|haiku)-4(-0|-2025|$)",
        says="models before Claude 4.1 take no schema for the text; they are told in words",
        sets={"schema_models": False},
        source=_A_SCHEMA,
        read=_READ,
    ),
    Rule(
        name="anthropic-arguments",
        api=ANTHROPIC,
        says="a tool's schema is an object's, without `anyOf`, `oneOf` or `allOf` at its top",
        sets={"object_arguments": True},
        source=f"{_A_DOC}#body-tools-input-schema",
        read=_READ,
    ),
)
