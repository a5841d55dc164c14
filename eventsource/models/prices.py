"""What a call cost, and how much a model takes, by the price list of `genai-prices` (extra `prices`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

import msgspec

from ..events import ModelRef
from ..messages import Usage

# Our names of vendors -> the list's; others are the same, and local servers are in no list.
_NAMES: Mapping[str, str] = {
    "vertex": "google",
    "xai": "x-ai",
    "moonshot": "moonshotai",
    "zai": "zai",
}


def priced(usage: Usage, model: ModelRef, *, at_us: int, answered_by: str = "") -> Usage:
    """Add the cost of a call, and the price list with its version.

    Args:
        at_us: when the call was made; some prices change with the hour.
        answered_by: the model as the provider names it, which is looked up first.

    Returns: the usage as it was when the package is absent, or does not know the price of each of its parts, or when
        the counts contradict each other.
    """
    try:
        import genai_prices
    except ImportError:
        return usage
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    tokens = genai_prices.Usage(
        input_tokens=usage.input_tokens + cached,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens,
    )
    for name in filter(None, (answered_by, model.model)):
        try:
            found = genai_prices.calc_price(
                tokens,
                name,
                provider_id=_NAMES.get(model.provider, model.provider),
                genai_request_timestamp=datetime.fromtimestamp(at_us / 1e6, UTC),
            )
        except (LookupError, ValueError):  # no such model; or counts that cannot be, as more kept than was written
            continue
        if usage.cache_write_1h_tokens and found.model_price.cache_write_1h_mtok is None:
            return usage  # the price of five minutes would be too low: none is better than a wrong one
        cost = int((found.total_price * Decimal(1_000_000)).to_integral_value(ROUND_HALF_UP))
        return msgspec.structs.replace(usage, cost_microusd=cost, prices=f"genai-prices {genai_prices.__version__}")
    return usage


def load_prices() -> None:
    """Load the price list, which takes a third of a second, before it is needed."""
    priced(Usage(input_tokens=1), ModelRef(api="", provider="anthropic", model="claude-sonnet-4-5"), at_us=0)


def context_window(model: ModelRef) -> int | None:
    """Return how many tokens a model takes; None when the package is absent or does not know."""
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return None
    try:
        provider = _NAMES.get(model.provider, model.provider)
        _, found = get_snapshot().find_provider_model(model.model, None, provider, None)
    except LookupError:
        return None
    return found.context_window
