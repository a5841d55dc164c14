"""Models by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsource.errors import MissingModelError, RefoldError
from eventsource.events import ModelRef
from eventsource.machine.state import Config
from eventsource.models.protocol import Model, WireBody
from eventsource.request import Request

if TYPE_CHECKING:
    from eventsource.models.client_chunks import ClientChunks


_FAMILIES = (
    ("gpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("claude-", "anthropic"),
    ("gemini-", "google"),
)
"""How the names of well-known models begin, and whose they are; for a hint, never for a call."""


def find_model(name: str) -> Model:
    """Find the model of a name: `vendor:model`, or `scripted:FILE` for a script of answers.

    Raises: MissingModelError for a name without a vendor; what the vendor's table raises for an unknown one.
    """
    vendor, _, rest = name.partition(":")
    if not rest:
        meant = _meant(name)
        advice = f"; did you mean {meant!r}?" if meant else ", such as 'anthropic:claude-sonnet-4-5'"
        raise MissingModelError("", f"model {name!r}: expected a name of the form vendor:model{advice}")
    if vendor == "scripted":
        from eventsource.models.scripted.file import load_script

        return load_script(rest)
    from eventsource.models.catalog import model

    return model(name)


def _meant(name: str) -> str:
    """Return the model that a name without a vendor probably means; empty when none is found."""
    from eventsource.models.catalog import VENDORS

    vendor, _, rest = name.partition("/")
    if rest:
        return f"{vendor}:{rest}" if vendor in VENDORS else ""
    return next((f"{owner}:{name}" for begin, owner in _FAMILIES if name.startswith(begin)), "")


def is_vendor_model(ref: ModelRef | None) -> bool:
    """Return whether a recorded model can be called again: it is neither a script's nor a foreign loop's."""
    return ref is not None and ref.api not in ("", "scripted", "caller")


def find_recorded_model(config: Config) -> Model | None:
    """Find the model that a log names; None when it was a script's or a foreign loop's."""
    ref = config.model
    if ref is None or not is_vendor_model(ref):
        return None
    from eventsource.models.catalog import model

    return model(f"{ref.provider}:{ref.model}", base_url=ref.base_url, api=ref.api)


def encode_recorded(request: Request) -> WireBody | None:
    """Build the wire body of a request as the model that it names would; None when that model is not known here."""
    try:
        model = find_recorded_model(Config(model=request.model))
        return model.encode(request) if model is not None else None
    except RefoldError:
        return None


def recorded_ref(name: str) -> ModelRef:
    """Make the reference of a model that somebody else calls; a vendor that is not known has the protocol `caller`."""
    from eventsource.models.catalog import VENDORS

    vendor, _, rest = name.rpartition(":") if ":" not in name else name.partition(":")
    known = VENDORS.get(vendor)
    return ModelRef(api=known.api if known is not None else "caller", provider=vendor, model=rest)


def chunk_feed(ref: ModelRef, request: Request) -> ClientChunks | None:
    """Find what reads a model's chunks; None when its protocol is not known."""
    if ref.api in ("caller", "scripted"):
        return None
    from eventsource.models.catalog import find_codec
    from eventsource.models.client_chunks import ClientChunks

    return ClientChunks(find_codec(ref).reader(request))
