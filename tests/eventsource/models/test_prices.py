"""What a call cost is known from the price list, and said with its version."""

from __future__ import annotations

import random

import pytest

from eventsource.events import ModelRef
from eventsource.messages import Usage
from eventsource.models import prices
from eventsource.models.prices import context_window, priced

genai_prices = pytest.importorskip("genai_prices", reason="the extra `prices` is not installed")
AT_US = 1_760_000_000_000_000
SONNET = ModelRef(api="anthropic-messages", provider="anthropic", model="claude-sonnet-4-5")


def test_cached_tokens_have_their_own_price() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=100, cache_read_tokens=10_000, cache_write_tokens=1_000)
    found = priced(usage, SONNET, at_us=AT_US)
    # 3, 15, 0.30 and 3.75 dollars a million
    assert found.cost_microusd == 3_000 + 1_500 + 3_000 + 3_750
    assert found.prices == f"genai-prices {genai_prices.__version__}"


def test_what_is_kept_for_an_hour_is_priced_so_or_not_at_all() -> None:
    usage = Usage(input_tokens=10, cache_write_tokens=100_000, cache_write_1h_tokens=60_000)
    assert priced(usage, SONNET, at_us=AT_US).cost_microusd == 30 + 40_000 * 3.75 + 60_000 * 6
    elsewhere = ModelRef(api="openai-completions", provider="openrouter", model="anthropic/claude-sonnet-4")
    assert priced(usage, elsewhere, at_us=AT_US).cost_microusd is None
    short = Usage(input_tokens=10, cache_write_tokens=100_000)
    assert priced(short, elsewhere, at_us=AT_US).cost_microusd == 30 + 375_000


def test_the_model_that_answered_is_looked_up_first() -> None:
    alias = ModelRef(api="anthropic-messages", provider="anthropic", model="no-such-alias")
    found = priced(Usage(output_tokens=1_000), alias, at_us=AT_US, answered_by="claude-sonnet-4-5-20250929")
    assert found.cost_microusd == 15_000


def test_an_unknown_model_has_no_cost() -> None:
    local = ModelRef(api="openai-completions", provider="ollama", model="qwen3")
    usage = Usage(output_tokens=1)
    assert priced(usage, local, at_us=AT_US) == usage
    assert context_window(local) is None


def test_a_known_model_has_a_window() -> None:
    assert context_window(SONNET) == 200_000


def test_counts_that_contradict_each_other_have_no_cost() -> None:
    usage = Usage(input_tokens=1, cache_write_tokens=2, cache_write_1h_tokens=5)
    assert priced(usage, SONNET, at_us=AT_US) == usage


def test_what_the_list_was_asked_once_is_what_it_says_each_time() -> None:
    from genai_prices.data_snapshot import get_snapshot

    chance, quick = random.Random(3), 0
    for provider in get_snapshot().providers:
        for model in provider.models[::4]:
            ref = ModelRef(api="", provider=provider.id, model=model.id)
            most = chance.choice((10, 1_000, 100_000, 1_000_000))
            read, written, hour = (chance.randint(0, most) * chance.randint(0, 1) for _ in range(3))
            usage = Usage(
                input_tokens=chance.randint(0, most),
                output_tokens=chance.randint(0, most),
                cache_read_tokens=read,
                cache_write_tokens=written,
                cache_write_1h_tokens=min(hour, written),
            )
            try:
                wanted = prices._asked(usage, provider.id, model.id, AT_US)
            except (LookupError, ValueError):
                continue
            rates = prices._rates(provider.id, model.id, get_snapshot().timestamp)
            quick += rates is not None
            found = rates.cost(usage) if rates is not None else None
            assert found in (None, wanted), (ref, usage)
    assert quick > 300
