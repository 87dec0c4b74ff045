from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.toolkit.redaction import SHORTEST, Redactor

SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=SHORTEST, max_size=40).filter(
    lambda text: len(text.strip()) >= SHORTEST
)


def redactor(*secrets: str) -> Redactor:
    made = Redactor()
    for secret in secrets:
        made.add(secret)
    return made


@given(SECRETS, st.text(max_size=20), st.text(max_size=20))
def test_no_spelling_of_a_secret_survives(secret: str, before: str, after: str) -> None:
    redact = redactor(secret)
    for spelling in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]):
        assert spelling not in redact(before + spelling + after)


@given(SECRETS.filter(lambda text: len(text.encode()) >= 12), st.binary(max_size=8), st.binary(max_size=8))
def test_a_secret_inside_a_longer_base64_text_is_cut_out(secret: str, before: bytes, after: bytes) -> None:
    text = base64.b64encode(before + secret.encode() + after).decode()
    assert "***" in redactor(secret)(text)


def test_basic_authorization_hides_the_password() -> None:
    header = "Basic " + base64.b64encode(b"deployer:correct-horse").decode()
    shown = redactor("correct-horse")(header)
    # What is left are the bits of the user's name and less than one byte at each edge of the password.
    left = base64.b64decode(shown.split()[1].split("***")[0][: 4 * 3])
    assert left == b"deployer:"
    assert "***" in shown


@pytest.mark.parametrize("short", ["", "a", "12345", "true", "     x"])
def test_short_values_are_left_alone(short: str) -> None:
    assert redactor(short)("a true 12345 text x") == "a true 12345 text x"


def test_each_line_of_a_secret_of_several_lines_is_masked() -> None:
    redact = redactor("-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n")
    assert redact("log: MIIEvQIBADANBg and kqhkiG9w0BAQEF") == "log: *** and ***"


def test_the_longer_secret_wins_where_one_begins_another() -> None:
    assert redactor("hunter", "hunter22-long")("hunter22-long hunter") == "*** ***"


def test_secrets_may_hold_characters_that_patterns_use() -> None:
    assert redactor("a.b*c(d[e")("xa.b*c(d[ex") == "x***x"
    assert redactor("a.b*c(d[e")("aXbbcd") == "aXbbcd"
