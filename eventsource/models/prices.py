"""What a call cost, and how much a model takes, by the price list of `genai-prices` (extra `prices`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..events import ModelRef
from ..messages import Usage

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

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
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return usage
    provider, listed_at = _NAMES.get(model.provider, model.provider), get_snapshot().timestamp
    for name in filter(None, (answered_by, model.model)):
        rates = _rates(provider, name, listed_at)
        found = rates.cost(usage) if rates is not None else None
        if found is None:
            try:
                found = _asked(usage, provider, name, at_us)
            except (LookupError, ValueError):  # no such model; or counts that cannot be, as more kept than was written
                continue
        if usage.cache_write_1h_tokens and not found.knows_hour:
            return usage  # the price of five minutes would be too low: none is better than a wrong one
        cost = int((found.dollars * 1_000_000).to_integral_value(ROUND_HALF_UP))
        return msgspec.structs.replace(usage, cost_microusd=cost, prices=f"genai-prices {genai_prices.__version__}")
    return usage


class _Cost(NamedTuple):
    """What a call cost, and whether the list has a price for what is kept for an hour."""

    dollars: Decimal
    knows_hour: bool


class _Rates(NamedTuple):
    """What a token of each kind costs with a model whose price is the same at any time, for requests up to a size.

    The list takes a third of a millisecond to answer; that of what does not change it is asked once.
    """

    plain: Decimal
    cache_read: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal
    output: Decimal
    most_input: int | None
    knows_hour: bool

    def cost(self, usage: Usage) -> _Cost | None:
        """Compute what a call cost; None where the list must be asked: it is too large, or its counts cannot be."""
        hour, written = usage.cache_write_1h_tokens, usage.cache_write_tokens
        counts = (usage.input_tokens, usage.cache_read_tokens, written, usage.output_tokens)
        if min(*counts, hour, written - hour) < 0:
            return None
        if self.most_input is not None and sum(counts[:3]) > self.most_input:
            return None
        dollars = self.plain * counts[0] + self.cache_read * counts[1] + self.output * counts[3]
        dollars += self.cache_write * (written - hour) + self.cache_write_1h * hour
        return _Cost(dollars, self.knows_hour)


@lru_cache(maxsize=1_000)
def _rates(provider: str, name: str, listed_at: datetime) -> _Rates | None:
    """Ask the list of a time what tokens cost; None when it lacks the model, or its price changes with the hour."""
    from genai_prices.types import TieredPrices

    try:
        answer = _calc(Usage(input_tokens=1), provider, name, 0)
        if isinstance(answer.model.prices, list):
            return None
        tiers = [one for one in vars(answer.model_price).values() if isinstance(one, TieredPrices)]
        most = min((tier.start for one in tiers for tier in one.tiers), default=None)
        size = 1_000 if most is None else min(1_000, most)
        if not size:
            return None
        known = answer.model_price.cache_write_1h_mtok is not None
        kinds: Sequence[tuple[str, dict[str, int]]] = (
            ("input_tokens", {}),
            ("cache_read_tokens", {}),
            ("cache_write_tokens", {}),
            ("cache_write_1h_tokens", {"cache_write_tokens": size}),
            ("output_tokens", {}),
        )
        plain, read, written, hour, output = (
            _calc(msgspec.convert({kind: size, **more}, Usage), provider, name, 0).total_price / size
            for kind, more in kinds
        )
        found = _Rates(plain, read, written, hour, output, most, known)
        few = size // 5
        mixed = Usage(
            input_tokens=few,
            cache_read_tokens=few // 2,
            cache_write_tokens=few,
            cache_write_1h_tokens=few // 3,
            output_tokens=few,
        )
        is_sum = all(found.cost(one) == _asked(one, provider, name, 0) for one in (mixed, Usage()))
    except (LookupError, ValueError):
        return None
    return found if is_sum else None  # where a request has a price of its own, it is not


def _asked(usage: Usage, provider: str, name: str, at_us: int) -> _Cost:
    """Ask the list about one call. Raises: LookupError; ValueError."""
    found = _calc(usage, provider, name, at_us)
    return _Cost(found.total_price, found.model_price.cache_write_1h_mtok is not None)


def _calc(usage: Usage, provider: str, name: str, at_us: int) -> PriceCalculation:
    import genai_prices

    tokens = genai_prices.Usage(
        input_tokens=usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens,
    )
    at = datetime.fromtimestamp(at_us / 1e6, UTC)
    return genai_prices.calc_price(tokens, name, provider_id=provider, genai_request_timestamp=at)


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
