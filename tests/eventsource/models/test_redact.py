"""Known secrets are replaced as wholes, however they are written."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from eventsource.models.redact import MARK, Secrets, public_url

SECRET = 'se"cret/+value'


@pytest.mark.parametrize(
    "written",
    [SECRET, quote(SECRET, safe=""), json.dumps(SECRET)[1:-1], base64.b64encode(SECRET.encode()).decode()],
)
def test_a_value_is_found_in_every_writing(written: str) -> None:
    secrets = Secrets()
    secrets.add(f" {SECRET}\n")
    assert secrets.redact(f"before {written} after") == f"before {MARK} after"


def test_the_longest_value_goes_first() -> None:
    secrets = Secrets()
    secrets.add("sk-12345678")
    secrets.add("sk-12345678-more")
    assert secrets.redact("sk-12345678-more sk-12345678") == f"{MARK} {MARK}"


def test_words_are_too_short_to_be_secrets() -> None:
    secrets = Secrets()
    secrets.add("ollama1")
    secrets.add(None)
    assert secrets.redact("ollama1 is down") == "ollama1 is down"
    secrets.add("ollama12")
    assert secrets.redact("ollama12 is down") == f"{MARK} is down"


def test_headers_and_urls_hold_secrets() -> None:
    secrets = Secrets()
    secrets.add_header("Authorization", "Bearer token-0001")
    secrets.add_header("X-Title", "not-a-secret")
    secrets.add_url("https://user:pass-0002@host/?api_key=param-0003&page=number-0004")
    text = "token-0001 not-a-secret pass-0002 param-0003 number-0004"
    assert secrets.redact(text) == f"{MARK} not-a-secret {MARK} {MARK} number-0004"


def test_a_user_without_a_password_is_a_secret_and_one_with_a_password_is_not() -> None:
    secrets = Secrets()
    secrets.add_url("https://token-0001@host/")
    secrets.add_url("https://somebody:pass-0002@host/")
    assert secrets.redact("token-0001 somebody pass-0002") == "[redacted] somebody [redacted]"


def test_a_public_url_names_only_the_place() -> None:
    assert public_url("https://user:pass@host:8080/v1/?key=x#y") == "https://host:8080/v1"
