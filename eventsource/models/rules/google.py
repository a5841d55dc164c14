"""What Google's generateContent refuses."""

from __future__ import annotations

from .limits import GOOGLE, Rule

_G_CALLS = "https://ai.google.dev/api/caching#FunctionDeclaration"
_G_SCHEMA = "https://ai.google.dev/gemini-api/docs/structured-output"
_G_IMAGES = "https://ai.google.dev/gemini-api/docs/image-understanding"
_G_SIGNED = "https://ai.google.dev/gemini-api/docs/thought-signatures"
_G_MODELS = "https://ai.google.dev/gemini-api/docs/models"
_READ = "2026-11"

GOOGLE_RULES: tuple[Rule, ...] = (
    Rule(
        name="google-names",
        apis=(GOOGLE,),
        says="a tool's or call's name begins with a letter or `_` and has at most 64 letters, digits and `_.:-`",
        sets={"name_refused": r"[^a-zA-Z0-9_.:-]", "name_first": r"[a-zA-Z_]", "name_chars": 64},
        source=_G_CALLS,
        read=_READ,
    ),
    Rule(
        name="google-ids",
        apis=(GOOGLE,),
        says="a call's id has at most 64 letters, digits, `_` and `-`",
        sets={"id_refused": r"[^a-zA-Z0-9_-]", "id_chars": 64},
        source=_G_CALLS,
        read=_READ,
    ),
    Rule(
        name="google-texts",
        apis=(GOOGLE,),
        says="no text and no turn is empty",
        sets={"texts": "some"},
        source="https://ai.google.dev/api/caching#Content",
        read=_READ,
    ),
    Rule(
        name="google-first",
        apis=(GOOGLE,),
        says="the first turn is the user's",
        sets={"user_first": True},
        source="https://github.com/google-gemini/gemini-cli/issues/11814",
        read=_READ,
    ),
    Rule(
        name="google-last",
        apis=(GOOGLE,),
        says="the last turn is the user's or a result",
        sets={"user_last": True},
        source="https://github.com/crewAIInc/crewAI/pull/6973",
        read=_READ,
    ),
    Rule(
        name="google-calls",
        apis=(GOOGLE,),
        says="a turn with calls comes right after the user's or a result",
        sets={"calls_after_user": True},
        source="https://github.com/google-gemini/gemini-cli/issues/26486",
        read=_READ,
    ),
    Rule(
        name="google-images-beside",
        apis=(GOOGLE,),
        says="a turn of results holds results only; their images follow as the user's",
        sets={"images_beside": True},
        source="https://github.com/anomalyco/opencode/pull/43479",
        read=_READ,
    ),
    Rule(
        name="google-images",
        apis=(GOOGLE,),
        says="an image is PNG, JPEG, WebP, HEIC or HEIF, as its type says, in base64",
        sets={"image_types": ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")},
        source=_G_IMAGES,
        read=_READ,
    ),
    Rule(
        name="google-reasoning",
        apis=(GOOGLE,),
        says="reasoning goes back only with a signature",
        sets={"reasoning": "signed", "unsigned": "drop"},
        source=_G_SIGNED,
        read=_READ,
    ),
    Rule(
        name="google-signatures",
        apis=(GOOGLE,),
        says="a signature is base64",
        sets={"base64_signatures": True},
        source=_G_SIGNED,
        read=_READ,
    ),
    Rule(
        name="google-schema",
        apis=(GOOGLE,),
        says="a schema for the text does not recur; one that does is said in words",
        sets={"schema": "google"},
        source=_G_SCHEMA,
        read=_READ,
    ),
    Rule(
        name="google-schema-tools",
        apis=(GOOGLE,),
        models=r"gemini-(1|2)|gemma",
        says="before Gemini 3 a schema for the text does not stand beside tools; then it is said in words",
        sets={"schema_or_tools": True},
        source=f"{_G_SCHEMA}#structured-outputs-with-tools",
        read=_READ,
    ),
    Rule(
        name="google-arguments",
        apis=(GOOGLE,),
        says="a tool's schema is an object's",
        sets={"object_arguments": True},
        source=_G_CALLS,
        read=_READ,
    ),
    Rule(
        name="google-unnamed-calls",
        apis=(GOOGLE,),
        vendors=("vertex",),
        says="calls and results have no id",
        sets={"unnamed_calls": True},
        source="https://github.com/looplj/axonhub/issues/874; https://github.com/mlflow/mlflow/issues/24127",
        read=_READ,
    ),
    Rule(
        name="google-signed-calls",
        apis=(GOOGLE,),
        models=r"gemini-([3-9]|\d\d)",
        says="since Gemini 3 the first call of an answer has a signature, another model's the one made for it",
        sets={"signed_calls": True},
        source=_G_SIGNED,
        read=_READ,
    ),
    Rule(
        name="google-no-instruction",
        apis=(GOOGLE,),
        models=r"gemma-3",
        says="Gemma 3 takes no system prompt: it stands at the beginning of the first turn",
        sets={"system_in_turn": True},
        source="https://github.com/google/adk-python/issues/3900",
        read=_READ,
    ),
    Rule(
        name="google-stops",
        apis=(GOOGLE,),
        says="there are at most 5 stop sequences",
        sets={"stop_count": 5},
        source="https://ai.google.dev/api/generate-content#generationconfig",
        read=_READ,
    ),
    Rule(
        name="google-tokens",
        apis=(GOOGLE,),
        models=r"gemini-(2\.5|3)",
        says="an answer has at most 65,535 tokens",
        sets={"most_tokens": 65_535},
        source=_G_MODELS,
        read=_READ,
    ),
    Rule(
        name="google-tokens-small",
        apis=(GOOGLE,),
        models=r"gemini-(1|2\.0)",
        says="of older models: 8,192",
        sets={"most_tokens": 8_192},
        source=_G_MODELS,
        read=_READ,
    ),
)
