"""What a session used: tokens and money, in all and by model."""

from __future__ import annotations

import msgspec

from eventsource.events import ConfigChange, MessageAdopt, MessageEnd, ModelRef
from eventsource.messages import AssistantMessage, Usage
from eventsource.ports import Recorded

from .fold import Projection


class UsageView(msgspec.Struct, frozen=True, kw_only=True):
    """Usage so far; `by_model` is named provider/model, in the order of first use.

    `calls` counts answers that say what they used, `unpriced` those of them whose price is not known.
    `adopted` is the part of `total` that messages from elsewhere brought along.
    """

    total: Usage = Usage()
    adopted: Usage = Usage()
    calls: int = 0
    unpriced: int = 0
    by_model: tuple[tuple[str, Usage], ...] = ()
    model: ModelRef | None = None


def _step(view: UsageView, recorded: Recorded) -> UsageView:
    match recorded.event:
        case ConfigChange(model=ModelRef() as model):
            return msgspec.structs.replace(view, model=model)
        case MessageEnd(message=AssistantMessage(usage=Usage() as usage) as message):
            return _add(view, message, usage)
        case MessageAdopt(message=AssistantMessage(usage=Usage() as usage) as message):
            return msgspec.structs.replace(_add(view, message, usage), adopted=view.adopted + usage)
        case _:
            return view


def _add(view: UsageView, message: AssistantMessage, usage: Usage) -> UsageView:
    ref = view.model or ModelRef(api="", provider="", model="")
    name = f"{message.provider or ref.provider}/{message.model or ref.model}"
    models = dict(view.by_model)
    models[name] = models.get(name, Usage()) + usage
    return UsageView(
        total=view.total + usage,
        adopted=view.adopted,
        calls=view.calls + 1,
        unpriced=view.unpriced + (usage.cost_microusd is None),
        by_model=tuple(models.items()),
        model=view.model,
    )


USAGE = Projection(name="usage", version=1, initial=UsageView(), step=_step)
