"""What a session used: tokens and money, by model; what it inherited is told apart."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from eventsource.envelope import Recorded
from eventsource.events import ConfigChange, Fork, MessageAdopt, MessageEnd, ModelRef, Retry, StepEnd
from eventsource.messages import AssistantMessage, Usage

from .projection import Projection


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What answers and calls that were made again used: `calls` counts those that say so, `unpriced` those of no price.

    The cost in `usage` is that of the others: a part, where `unpriced` is not 0, and no cost where nothing has a price.
    """

    calls: int = 0
    unpriced: int = 0
    usage: Usage = Usage()

    def __add__(self, other: Spent) -> Spent:
        """Add up."""
        return Spent(
            calls=self.calls + other.calls, unpriced=self.unpriced + other.unpriced, usage=self.usage + other.usage
        )


class UsageView(msgspec.Struct, frozen=True, kw_only=True):
    """Usage so far; models are named provider/model, in the order of first use.

    `by_model` is the session's own: what a fork shares with its parent is `inherited`, and was spent there. `adopted`
    is the part of its own that messages from elsewhere brought along. `model` is the one in force.
    """

    by_model: tuple[tuple[str, Spent], ...] = ()
    inherited: Spent = Spent()
    adopted: Usage = Usage()
    model: ModelRef | None = None

    @property
    def own(self) -> Spent:
        """What the session itself used."""
        return added(spent for _, spent in self.by_model)

    @property
    def total(self) -> Usage:
        """What the whole history used, the inherited part included."""
        return (self.own + self.inherited).usage


def added(parts: Iterable[Spent]) -> Spent:
    """Add parts up."""
    return sum(parts, Spent())


def cost_text(spent: Spent) -> str:
    """Write what answers cost: `unknown` where no price is known, `over $1.2345` where some are."""
    cost = spent.usage.cost_microusd
    if cost is None or (spent.unpriced and spent.unpriced == spent.calls):
        return "unknown" if spent.calls else ""
    return f"{'over ' if spent.unpriced else ''}${cost / 1_000_000:,.4f}"


def spent_by(usage: Usage) -> Spent:
    """Return what one answer used. A cost of 0 that no price list gave is no price: other programs write it so."""
    known = usage.cost_microusd is not None and bool(usage.cost_microusd or usage.prices or not usage.total_tokens)
    return Spent(
        calls=1, unpriced=int(not known), usage=usage if known else msgspec.structs.replace(usage, cost_microusd=None)
    )


def model_name(message: AssistantMessage, model: ModelRef | None) -> str:
    """Return the name of the model that answered, as provider/model; empty names are those of the model in force."""
    ref = model or ModelRef(api="", provider="", model="")
    return f"{message.provider or ref.provider}/{message.model or ref.model}"


def _step(view: UsageView, recorded: Recorded) -> UsageView:
    match recorded.event:
        case ConfigChange(model=ModelRef() as model):
            return msgspec.structs.replace(view, model=model)
        case MessageEnd(message=AssistantMessage(usage=Usage() as usage) as message):
            return _add(view, message, usage)
        case MessageAdopt(message=AssistantMessage(usage=Usage() as usage) as message):
            return msgspec.structs.replace(_add(view, message, usage), adopted=view.adopted + usage)
        case StepEnd(usage=Usage() as usage, model=model):
            return _add(view, AssistantMessage(), usage, model)
        case Retry(usage=Usage() as usage):
            return _add(view, AssistantMessage(), usage)
        case Fork():
            return UsageView(inherited=view.inherited + view.own, model=view.model)
        case _:
            return view


def _add(view: UsageView, message: AssistantMessage, usage: Usage, model: ModelRef | None = None) -> UsageView:
    name = model_name(message, model or view.model)
    models = dict(view.by_model)
    models[name] = models.get(name, Spent()) + spent_by(usage)
    return msgspec.structs.replace(view, by_model=tuple(models.items()))


USAGE = Projection(name="usage", version=2, initial=UsageView(), step=_step)
