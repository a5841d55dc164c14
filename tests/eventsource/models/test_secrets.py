"""Known secrets are replaced as wholes, however they are written."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from eventsource.models.scripted import ScriptedModel
from eventsource.models.secrets import (
    MARK,
    Secrets,
    know_environment,
    known_secrets,
    public_url,
    redact_json,
    redact_known,
)

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


KEY = "sK1-93kd82mvQ0zz"  # what a key looks like


@pytest.mark.parametrize(
    "name",
    ["API_KEY", "OPENAI_API_KEY", "openai_apikey", "GH_TOKEN", "DB_PASSWORD", "MY_SECRET", "X_CREDENTIALS", "KEY"],
)
def test_a_variable_whose_name_says_so_holds_a_secret(name: str) -> None:
    secrets = Secrets()
    secrets.add_environment({"FIRST": "x", name: KEY})
    assert secrets.redact(f"it is {KEY}") == f"it is {MARK}"
    secrets.add_environment({name: KEY[-12:]})
    assert secrets.redact(f"it is {KEY[-12:]}") == f"it is {MARK}"


def test_a_value_that_is_no_text_of_any_file_is_found_too() -> None:
    secrets = Secrets()
    secrets.add("93kd82mv\udcff")
    assert secrets.redact("it is 93kd82mv\udcff") == f"it is {MARK}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOME", KEY),
        ("KEYBOARD", KEY),
        ("MONKEY", KEY),
        ("TOKEN_LIMIT", KEY),
        ("API_KEY", "sK1-93kd82m"),  # eleven characters
        ("API_KEY", "sK1-93kd82m\x07Q0zz"),
        ("API_KEY", "sK1 93kd82mvQ0zz"),
        ("SSH_KEY", "/home/me/.ssh/id_1"),
        ("SSH_KEY", "~/.ssh/id_ed25519"),
        ("SSH_KEY", "../keys/93kd82mvQ"),
        ("SSH_KEY", "C:\\keys\\93kd82mvQ"),
        ("AUTH_TOKEN", "vault://93kd82mvQ0/zz"),
        ("USE_KEY", "not-really_a.key"),
        ("BUILD_TOKEN", "2026-11-27:14.39"),
    ],
)
def test_other_variables_and_words_numbers_and_places_are_no_secrets(name: str, value: str) -> None:
    secrets = Secrets()
    secrets.add_environment({name: value})
    assert secrets.redact(f"it is {value}") == f"it is {value}"


def test_one_variable_that_is_no_secret_hides_no_other() -> None:
    secrets = Secrets()
    secrets.add_environment({"HOME": "/root", "SSH_KEY": "/home/me/.ssh/id_1", "A_KEY": KEY, "B_KEY": KEY[::-1]})
    assert secrets.redact(f"{KEY} {KEY[::-1]}") == f"{MARK} {MARK}"
    other = "sK2-" + KEY
    know_environment({"C_TOKEN": other})
    assert redact_known(other) == MARK


def test_what_one_learns_all_know_and_what_all_know_one_need_not() -> None:
    one, other = Secrets(), Secrets()
    one.add("only-one-was-told-93kd82")
    assert redact_known("only-one-was-told-93kd82") == MARK
    assert other.redact("only-one-was-told-93kd82") == "only-one-was-told-93kd82"


@pytest.mark.parametrize("secret", ['sk"93\\kd82mv', "schlüssel-93kd82", 'schlüs"sel-93kd82'])
@pytest.mark.parametrize("plain", [True, False])
def test_a_value_is_found_in_json_and_in_json_within_json(secret: str, plain: bool) -> None:
    secrets = Secrets()
    secrets.add(secret)
    once = json.dumps({"key": secret, "rest": "ü"}, ensure_ascii=plain)
    twice = json.dumps({"told": once}, ensure_ascii=plain)
    assert json.loads(secrets.redact(once)) == {"key": MARK, "rest": "ü"}
    assert json.loads(json.loads(secrets.redact(twice))["told"]) == {"key": MARK, "rest": "ü"}


def test_an_overlapping_value_that_is_longer_is_replaced_whole_whichever_came_first() -> None:
    for values in (("93kd82mv", "zz-93kd82mv-more"), ("zz-93kd82mv-more", "93kd82mv")):
        secrets = Secrets()
        for value in values:
            secrets.add(value)
        assert secrets.redact("zz-93kd82mv-more") == MARK


class Keyed(ScriptedModel):
    """A model that has keys of its own, and may learn more."""

    def __init__(self, secrets: object) -> None:
        super().__init__(["fine"])
        self.secrets = secrets


def test_what_a_model_learns_to_be_secret_and_the_key_it_was_given_stay_out() -> None:
    own = Secrets()
    known = known_secrets(Keyed(own), "the-key-it-was-given-0123")
    own.add("what-it-learned-later-4567")
    assert known.redact("the-key-it-was-given-0123 what-it-learned-later-4567") == f"{MARK} {MARK}"


@pytest.mark.parametrize("model", [ScriptedModel(["fine"]), Keyed("no secrets"), Keyed(None)])
def test_of_a_model_without_secrets_the_given_key_stays_out(model: ScriptedModel) -> None:
    assert known_secrets(model, "the-only-key-012345").redact("the-only-key-012345") == MARK
    assert known_secrets(model, None).redact("the-only-key-012345") == "the-only-key-012345"


def test_a_scheme_before_a_secret_stays_and_a_header_without_one_is_replaced() -> None:
    secrets = Secrets()
    secrets.add_header("X-Api-Key", KEY)
    assert secrets.redact(f"x {KEY}") == f"x {MARK}"


def test_basic_authorization_made_of_a_url_is_secret() -> None:
    secrets = Secrets()
    secrets.add_url("https://me%40home:pass%2F0002@host/")
    assert secrets.redact(base64.b64encode(b"me@home:pass/0002").decode()) == MARK
    assert secrets.redact("pass/0002") == MARK
    secrets.add_url("https://:alone-0003@host/")
    assert secrets.redact(base64.b64encode(b":alone-0003").decode()) == base64.b64encode(b":alone-0003").decode()


SECRETS = Secrets()
SECRETS.add(KEY)
SECRETS.add("93000000000017")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": "x", "n": 1.50}', '{"a": "x", "n": 1.50}'),
        (f'{{"a": "say {KEY}", "n": 1.50}}', f'{{"a": "say {MARK}", "n": 1.50}}'),
        ('{"a": "\\u0073' + KEY[1:] + ' \\u00fc", "b": "\\u00fc"}', f'{{"a": "{MARK} ü", "b": "\\u00fc"}}'),
        ("[93000000000017, 17]", f'["{MARK}", 17]'),
        (f"no JSON: {KEY}", f"no JSON: {MARK}"),
        (f'{{"a": "\\q{KEY}"', f'{{"a": "\\q{MARK}"'),
        ("[" * 100_000 + KEY, "[" * 100_000 + MARK),
    ],
    ids=["nothing", "text", "escaped", "number", "no-json", "broken", "deep"],
)
def test_json_stays_json_and_the_rest_of_it_as_it_is(text: str, expected: str) -> None:
    assert redact_json(text, SECRETS.redact) == expected
