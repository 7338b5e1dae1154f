import base64
import json
import math
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.drivers.meltano import redact
from orchestrator.drivers.meltano.redact import MASK, Redactor

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nshort\nEFAASCBKcwggSjAgEAAoIBAQC7\n-----END PRIVATE KEY-----\n"
secrets = st.text(min_size=6, max_size=60)


def forms(secret):
    data = secret.encode("utf-8", "surrogatepass")
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(secret))[3:-3]
    yield quote(data, safe="")
    yield repr(secret)[1:-1]
    yield data.hex()


@given(st.lists(secrets, min_size=1, max_size=5), st.text(max_size=10), st.text(max_size=10))
def test_no_form_of_a_secret_survives(known, before, after):
    redact = Redactor(known)
    for secret in known:
        for form in forms(secret):
            assert form not in redact(f"{before}{form}{after}") or form in MASK


@given(
    st.binary(max_size=7),
    st.text(min_size=12, max_size=60, alphabet=st.characters(codec="ascii")),
    st.binary(max_size=7),
)
def test_base64_around_a_secret_is_redacted_whatever_it_starts_at(before, secret, after):
    text = base64.b64encode(before + secret.encode() + after).decode()

    redacted = Redactor([secret])(text)

    around = math.ceil(len(before) * 4 / 3) + math.ceil(len(after) * 4 / 3)
    assert MASK in redacted
    assert len(redacted.replace(MASK, "").rstrip("=")) <= around + 2  # a character on either side mixes both


def test_each_long_line_of_a_key_counts():
    redact = Redactor([KEY])
    assert redact("it ends EFAASCBKcwggSjAgEAAoIBAQC7 here") == f"it ends {MASK} here"
    assert redact("a short word stays") == "a short word stays"


def test_the_longest_of_overlapping_secrets_wins():
    redact = Redactor(["secret-value", "secret-value-and-more"])
    assert redact("x secret-value-and-more y") == f"x {MASK} y"
    assert redact("x secret-value-and y") == f"x {MASK}-and y"


def test_short_values_are_left_alone_and_counted():
    redact = Redactor(["abc", "", "long-enough"])
    assert redact("abc long-enough") == f"abc {MASK}"
    assert redact.too_short == 1


def test_a_secret_added_later_is_redacted_from_then_on():
    redact = Redactor()
    assert redact("rotated-token") == "rotated-token"
    redact.add(["rotated-token"])
    assert redact("rotated-token") == MASK


@pytest.mark.parametrize("text", ["", "nothing to hide here", "•••"])
def test_other_text_stays(text):
    assert Redactor(["long-enough"])(text) == text


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql+psycopg://me:a%40b-Secret%2F1@db:5432/warehouse", "password=a@b-Secret/1 host=db"),
        ("postgresql+psycopg://me:a%40b-Secret%2F1@db:5432/warehouse", "me:a%40b-Secret%2F1@db"),
        ("postgresql://me:un/quoted-1@db/warehouse", "password=un/quoted-1 host=db"),
        ("postgresql://me:with@sign-1@db/warehouse", "password=with@sign-1 host=db"),
        ("postgresql://db/warehouse?user=me&password=in-query-1", "password=in-query-1 user=me"),
        ("https://[broken", "https://[broken"),
    ],
)
def test_the_password_in_an_address_is_a_secret_of_its_own(address, said):
    redacted = Redactor([address])(said)
    assert MASK in redacted
    for word in ("Secret", "quoted-1", "sign-1", "in-query-1", "broken"):
        assert word not in redacted


def test_an_address_without_a_password_hides_only_itself():
    redact = Redactor(["https://hooks.example/T0/B1"])
    assert redact("POST https://hooks.example/T0/B1, host hooks.example") == f"POST {MASK}, host hooks.example"
    assert redact.too_short == 0


def test_a_secret_with_invisible_characters_is_known_without_them_too():
    assert Redactor(["ab\x01cd\u200bef"])("login with abcdef") == f"login with {MASK}"


@pytest.mark.parametrize(("much", "made"), [(10**6, 0), (10, 1)])
def test_patterns_are_made_when_the_first_line_comes_unless_that_would_hold_it_up(monkeypatch, much, made):
    asked, patterns = [], redact._patterns
    monkeypatch.setattr(redact, "_MUCH", much)
    monkeypatch.setattr(redact, "_patterns", lambda forms: asked.append(1) or patterns(forms))

    redactor = Redactor(["hunter2-hunter2"])

    assert len(asked) == made
    assert redactor("it is hunter2-hunter2") == "it is •••"
    assert redactor("nothing") == "nothing"
    assert len(asked) == 1
