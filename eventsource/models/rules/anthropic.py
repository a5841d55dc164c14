"""What Anthropic's Messages refuse."""

from __future__ import annotations

from .limits import ANTHROPIC, WEB_IMAGES, Rule

_A_DOC = "https://docs.anthropic.com/en/api/messages"
_A_THINK = "https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking"
_A_SCHEMA = "https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs"
_A_VISION = "https://platform.claude.com/docs/en/build-with-claude/vision"
_OTHER_CLAUDES = r"claude-(?!\d|opus|sonnet|haiku|instant)"  # the families since Claude 5: fable, mythos
_BINDS = r"claude-(opus|sonnet|haiku)-(5[-.][5-9]|[6-9])(?!\d)|claude-(fable|mythos)-(5[-.][1-9]|[6-9])(?!\d)"
_READ = "2026-11"

ANTHROPIC_RULES: tuple[Rule, ...] = (
    Rule(
        name="anthropic-names",
        apis=(ANTHROPIC,),
        says="a tool's or call's name has 1 to 128 letters, digits, `_` and `-`",
        sets={"name_refused": r"[^a-zA-Z0-9_-]", "name_chars": 128},
        source=f"{_A_DOC}#body-tools-name; https://github.com/earendil-works/pi/issues/1643",
        read=_READ,
    ),
    Rule(
        name="anthropic-ids",
        apis=(ANTHROPIC,),
        says="a call's id has letters, digits, `_` and `-`, at most 64",
        sets={"id_refused": r"[^a-zA-Z0-9_-]", "id_chars": 64},
        source="https://github.com/anthropics/claude-code/issues/3003",
        read=_READ,
    ),
    Rule(
        name="anthropic-texts",
        apis=(ANTHROPIC,),
        says="no text is empty, and no message without content, or of white space alone",
        sets={"texts": "shown"},
        source="https://github.com/home-assistant/core/issues/175637; "
        "https://github.com/anthropics/claude-code/issues/23440",
        read=_READ,
    ),
    Rule(
        name="anthropic-first",
        apis=(ANTHROPIC,),
        says="the first message is the user's",
        sets={"user_first": True},
        source=f"{_A_DOC}#body-messages",
        read=_READ,
    ),
    Rule(
        name="anthropic-end-space",
        apis=(ANTHROPIC,),
        says="the assistant's last words do not end with white space",
        sets={"no_space_at_end": True},
        source=f"{_A_DOC}#body-messages",
        read=_READ,
    ),
    Rule(
        name="anthropic-last",
        apis=(ANTHROPIC,),
        models=r"claude-(opus|sonnet|haiku)-(4[-.]([6-9]|\d\d)(?!\d)|[5-9])|claude-(?!\d|opus|sonnet|haiku|instant)",
        says="since Claude 4.6 a request does not end with the assistant's words",
        sets={"user_last": True},
        source="https://github.com/anomalyco/opencode/issues/13768; "
        "https://github.com/langchain-ai/deepagents/issues/1585",
        read=_READ,
    ),
    Rule(
        name="anthropic-images",
        apis=(ANTHROPIC,),
        says="an image is PNG, JPEG, GIF or WebP, as its type says, in base64 of at most 5 MB",
        sets={"image_types": WEB_IMAGES, "image_chars": 5 * 1024 * 1024},
        source="https://github.com/anthropics/claude-code/issues/8184; "
        "https://github.com/anthropics/claude-code/issues/10612",
        read=_READ,
    ),
    Rule(
        name="anthropic-error-words",
        apis=(ANTHROPIC,),
        says="the result of a failed call has words",
        sets={"words_of_errors": True},
        source="https://github.com/anomalyco/opencode/issues/15371",
        read=_READ,
    ),
    Rule(
        name="anthropic-error-text",
        apis=(ANTHROPIC,),
        says="the result of a failed call holds text only",
        sets={"errors_are_text": True},
        source=f'{_A_DOC} (`all content must be type "text" if is_error is true`)',
        read=_READ,
    ),
    Rule(
        name="anthropic-signed-thinking",
        apis=(ANTHROPIC,),
        says="reasoning goes back with its signature, or its encrypted data",
        sets={"reasoning": "signed"},
        source=f"{_A_THINK}#preserving-thinking-blocks",
        read=_READ,
    ),
    Rule(
        name="anthropic-no-thinking",
        apis=(ANTHROPIC,),
        models=r"claude-(2|instant|3-(opus|sonnet|haiku|5))",
        says="models before Claude 3.7 take no reasoning",
        sets={"no_reasoning": True},
        source=f"{_A_THINK}#supported-models",
        read=_READ,
    ),
    Rule(
        name="anthropic-thinking-inside",
        apis=(ANTHROPIC,),
        says="no answer ends with reasoning",
        sets={"reasoning_inside": True},
        source=f"{_A_THINK} (`The final block in an assistant message cannot be thinking`)",
        read=_READ,
    ),
    Rule(
        name="anthropic-paired-blocks",
        apis=(ANTHROPIC,),
        says="the provider's own tools' calls stand before their results, once, unless the last answer waits for them",
        sets={"paired_blocks": True},
        source="https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/web-search-tool",
        read=_READ,
    ),
    Rule(
        name="anthropic-choice-thinking",
        apis=(ANTHROPIC,),
        says="a model that is forced to call a tool does not reason first",
        sets={"choice_or_thinking": True},
        source=f"{_A_THINK}#extended-thinking-with-tool-use",
        read=_READ,
    ),
    Rule(
        name="anthropic-thinking-temperature",
        apis=(ANTHROPIC,),
        says="a model that reasons has no other temperature than 1, and no words of the assistant to go on from",
        sets={"steady_thinking": True},
        source=f"{_A_THINK}#feature-compatibility",
        read=_READ,
    ),
    Rule(
        name="anthropic-stops",
        apis=(ANTHROPIC,),
        says="a stop sequence is no white space alone",
        sets={"shown_stops": True},
        source=f"{_A_DOC}#body-stop-sequences",
        read=_READ,
    ),
    Rule(
        name="anthropic-schema",
        apis=(ANTHROPIC,),
        says="a schema for the text holds closed objects only: no dict, no recursion, no limits; what it cannot say is "
        "said in words",
        sets={"schema": "anthropic"},
        source=f"{_A_SCHEMA}#json-schema-limitations; https://github.com/BerriAI/litellm/issues/35808",
        read=_READ,
    ),
    Rule(
        name="anthropic-schema-models",
        apis=(ANTHROPIC,),
        models=r"claude-(2|3|instant)|claude-(opus|sonnet|haiku)-4(-0|-2025|$)",
        says="models before Claude 4.1 take no schema for the text; they are told in words",
        sets={"schema_models": False},
        source=_A_SCHEMA,
        read=_READ,
    ),
    Rule(
        name="anthropic-arguments",
        apis=(ANTHROPIC,),
        says="a tool's schema is an object's, without `anyOf`, `oneOf` or `allOf` at its top",
        sets={"object_arguments": True},
        source=f"{_A_DOC}#body-tools-input-schema",
        read=_READ,
    ),
    Rule(
        name="anthropic-properties",
        apis=(ANTHROPIC,),
        says="a parameter of a tool has a name of 1 to 64 letters, digits, `_`, `.` and `-`",
        sets={"plain_properties": True},
        source="https://github.com/anthropics/claude-code/issues/79418; "
        "https://github.com/ComposioHQ/composio/issues/3500",
        read=_READ,
    ),
    Rule(
        name="anthropic-image-size",
        apis=(ANTHROPIC,),
        says="an image has at most 8,000 pixels a side, and 2,000 in a request of more than 20 images",
        sets={"image_side": 8_000, "many_images": 20, "many_image_side": 2_000},
        source=f"{_A_VISION}; https://github.com/anthropics/claude-code/issues/9375",
        read=_READ,
    ),
    Rule(
        name="anthropic-image-count",
        apis=(ANTHROPIC,),
        says="a request holds at most 600 images",
        sets={"image_count": 600},
        source=_A_VISION,
        read=_READ,
    ),
    Rule(
        name="anthropic-image-count-small",
        apis=(ANTHROPIC,),
        models=r"claude-(2|3|instant)|claude-(opus|sonnet|haiku)-4(-[015]|-2025|$)",
        says="of models with a context of 200,000 tokens: at most 100 images",
        sets={"image_count": 100},
        source=_A_VISION,
        read=_READ,
    ),
    Rule(
        name="anthropic-temperature",
        apis=(ANTHROPIC,),
        models=rf"claude-(opus|sonnet|haiku)-(4[-.]([7-9]|\d\d)(?!\d)|[5-9](?!\d))|{_OTHER_CLAUDES}",
        says="since Claude Opus 4.7 no model takes a temperature",
        sets={"temperature": "never"},
        source="https://platform.claude.com/docs/en/about-claude/models/migration-guide; "
        "https://github.com/UKGovernmentBEIS/inspect_ai/issues/3721",
        read=_READ,
    ),
    Rule(
        name="anthropic-forced-choice",
        apis=(ANTHROPIC,),
        besides=("openrouter",),
        models=_BINDS,
        says="Claude Fable 5.1, Claude 5.5 and later are not forced to call a tool",
        sets={"no_forced_choice": True},
        source="https://platform.claude.com/docs/en/models/opus-5-5/whats-new-opus-5-5",
        read=_READ,
    ),
    Rule(
        name="anthropic-bound-thinking",
        apis=(ANTHROPIC,),
        besides=("openrouter",),
        models=_BINDS,
        says="their reasoning is bound to all that came before it: a request says to drop it where that was changed",
        sets={"bound_thinking": True},
        source="https://platform.claude.com/docs/en/build-with-claude/preserved-thinking",
        read=_READ,
    ),
)
