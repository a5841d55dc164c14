"""Where we differ from a recorded exchange, and why. What is not named here is equal."""

from __future__ import annotations

ANSWERS: dict[str, str] = {
    "sdk-incomplete_partial_json_response": "arguments cut at the limit stay as received; the client repairs them",
    "ver-spliced-message-start": "two answers in one stream are an error; the client merges them silently",
}
"""Case -> why our final message differs."""

REQUESTS: dict[str, str] = {
    "llm-anthropic-url_prompt-2": "an image by URL has no neutral form",
}
"""Case -> why our request differs."""

CONVERSATIONS: dict[str, str] = {
    "llm-anthropic-tools-1": "that client puts a blank text before calls that came without one",
}
"""Case -> why our request, made from our reading of the answer before it, differs."""
