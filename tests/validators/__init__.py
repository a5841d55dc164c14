"""Judges of request bodies, one for each protocol, written from what providers publish and not from the encoders.

Each gives the list of what its provider would refuse; an empty one means that the body is taken.
"""

from __future__ import annotations

from typing import Any

from tests.validators.anthropic import judge_anthropic
from tests.validators.chat import judge_chat
from tests.validators.google import judge_google
from tests.validators.responses import judge_responses

__all__ = ["judge"]


def judge(api: str, vendor: str, model: str, body: dict[str, Any]) -> list[str]:
    """Say what a vendor refuses in a body; Google's says no model, its address does."""
    match api:
        case "anthropic-messages":
            return judge_anthropic(body)
        case "openai-responses":
            return judge_responses(body, vendor)
        case "openai-completions":
            return judge_chat(body, vendor)
        case _:
            return judge_google(body, model, vendor)
