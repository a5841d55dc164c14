"""A name is enough to reach a model."""

from __future__ import annotations

import json
import subprocess
import sys

import pydantic
import pytest

from eventsource.codec import from_json
from eventsource.models.catalog import VENDORS, UnknownModelError, model
from eventsource.models.options import ModelOptionsError
from eventsource.request import Request


@pytest.fixture(autouse=True)
def _no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor in VENDORS.values():
        if vendor.base_env:
            monkeypatch.delenv(vendor.base_env, raising=False)


@pytest.mark.parametrize("vendor", [name for name, vendor in VENDORS.items() if vendor.base_url])
def test_every_vendor_can_be_named_and_asked(vendor: str) -> None:
    made = model(f"{vendor}:some/model:8b")
    assert (made.ref.provider, made.ref.model, made.ref.base_url) == (vendor, "some/model:8b", "")
    wire = made.encode(Request(model=made.ref))
    assert wire.codec.startswith(f"{made.ref.api}/")
    assert json.loads(wire.body)


@pytest.mark.parametrize(
    ("vendor", "address", "base_url"),
    [
        ("ollama", "box:11434", "http://box:11434/v1"),
        ("openai", "http://localhost:9/v1/", "http://localhost:9/v1"),
        ("anthropic", "http://localhost:9", "http://localhost:9"),
        ("azure", "https://me.openai.azure.com/", "https://me.openai.azure.com/openai/v1"),
    ],
)
def test_an_address_comes_from_the_environment(
    vendor: str, address: str, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VENDORS[vendor].base_env, address)
    assert model(f"{vendor}:m").ref.base_url == base_url


def test_any_server_can_be_named() -> None:
    ref = model("mine:m", base_url="http://localhost:1/v1").ref
    assert (ref.api, ref.provider, ref.base_url) == ("openai-completions", "mine", "http://localhost:1/v1")
    assert model("mine:m", base_url="http://localhost:1", api="anthropic-messages").ref.api == "anthropic-messages"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpt-5", "vendor:model"),
        ("nobody:m", "one of: anthropic"),
        ("azure:m", "AZURE_OPENAI_ENDPOINT"),
        ("openai:", "expected"),
    ],
)
def test_a_name_that_says_too_little_is_explained(name: str, words: str) -> None:
    with pytest.raises(UnknownModelError, match=words):
        model(name)


def test_an_unknown_protocol_or_option_is_an_error() -> None:
    with pytest.raises(UnknownModelError, match="no protocol 'soap'"):
        model("openai:m", api="soap")
    with pytest.raises(ModelOptionsError, match="temprature"):
        model("openai:m", temprature=1)  # type: ignore[call-arg]  # the mistake that is tested


def test_a_type_becomes_the_schema_of_the_output() -> None:
    class City(pydantic.BaseModel):
        name: str

    made = model("openai:m", output=City)
    options = from_json(made.options)
    assert isinstance(options, dict)
    assert options["output_schema"]["properties"] == {"name": {"title": "Name", "type": "string"}}
    assert options["output_name"] == "City"


@pytest.mark.slow
def test_naming_the_catalog_loads_no_http_client() -> None:
    code = "import sys, eventsource.models.catalog; print('httpx' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
