"""What providers refuse in a request, as data: each rule with whom it binds, its source, and when that was read."""

from functools import lru_cache

from ...events import ModelRef
from .anthropic import ANTHROPIC_RULES
from .every import EVERY_RULES
from .google import GOOGLE_RULES
from .limits import Limits, Rule, binds, limits_of
from .openai import OPENAI_RULES

RULES: tuple[Rule, ...] = (*EVERY_RULES, *ANTHROPIC_RULES, *OPENAI_RULES, *GOOGLE_RULES)


def limits_for(api: str, model: ModelRef, vendor: str, rules: tuple[Rule, ...] = RULES) -> Limits:
    """Collect the rules that bind a model; those of this program once for each model."""
    return _known(api, model, vendor) if rules is RULES else limits_of(api, model, vendor, rules)


@lru_cache(maxsize=256)
def _known(api: str, model: ModelRef, vendor: str) -> Limits:
    return limits_of(api, model, vendor, RULES)


__all__ = ["RULES", "Limits", "Rule", "binds", "limits_for"]
