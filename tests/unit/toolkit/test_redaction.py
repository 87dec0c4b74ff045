from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.toolkit.redaction import MASK, SHORTEST, Redactor

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


GO = str.maketrans({"&": "\\u0026", "<": "\\u003c", ">": "\\u003e", '"': '\\"', "\\": "\\\\"})
PUNCTUATION = "p&ss<w>(o)rd!'/\"\\+ é"


@pytest.mark.parametrize(
    "spelling",
    [
        PUNCTUATION.translate(GO),  # encoding/json of Go: the Docker Engine, kubectl
        json.dumps(PUNCTUATION)[1:-1].replace("/", "\\/"),  # json_encode of PHP
        json.dumps(PUNCTUATION)[1:-1].replace("\\u00e9", "\\u00E9"),
        quote(PUNCTUATION, safe="!'()*"),  # encodeURIComponent of JavaScript
        quote(PUNCTUATION, safe="/$&+,;=!'()*"),
        re.sub("%..", lambda match: match[0].lower(), quote(PUNCTUATION, safe="")),
        html.escape(PUNCTUATION),
        html.escape(PUNCTUATION).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),  # html.EscapeString of Go
    ],
)
def test_the_escapes_of_other_languages_hide_nothing(spelling: str) -> None:
    assert redactor(PUNCTUATION)(f"a={spelling};b") == "a=***;b"


@pytest.mark.parametrize("width", [64, 76])
def test_base64_in_broken_lines_is_masked(width: int) -> None:
    key = "".join(f"line {number} of a key, with some entropy {number * 7919}\n" for number in range(12))
    letters = base64.b64encode(key.encode()).decode()
    broken = [letters[at : at + width] for at in range(0, len(letters), width)]
    assert redactor(key)("\n".join(broken)).split() == ["***"] * len(broken)


@pytest.mark.parametrize("secret", ["correct-horse-battery", "a+b/c=d&e, its second half"])
@pytest.mark.parametrize("kept", [6, 10, 19])
def test_the_beginning_of_a_secret_before_a_cut_is_masked(secret: str, kept: int) -> None:
    redact = redactor(secret)
    assert redact(f"token {secret[:kept]}… (300 more characters)") == "token ***… (300 more characters)"
    encoded = base64.b64encode(b"user:" + secret.encode()).decode()
    assert "***…" in redact(f"Basic {encoded[: kept + 12]}…")
    assert redact(f"{secret[:5]}… and {secret[:kept]} whole words") == f"{secret[:5]}… and {secret[:kept]} whole words"


@given(st.text("ab…", max_size=60))
def test_what_is_no_beginning_of_a_secret_stays(text: str) -> None:
    assert redactor("abababc")(text) == re.sub("(?:ab){3}(?=…)", MASK, text)


def test_a_run_of_backslashes_is_searched_in_bounded_time() -> None:
    assert redactor("\\" * 60 + "x")("\\" * 5000) == "\\" * 5000


def test_a_secret_that_is_no_utf8_is_masked() -> None:
    assert redactor("key\udcff\udcfe-0123")("a key\udcff\udcfe-0123 b") == "a *** b"


def test_secrets_may_hold_characters_that_patterns_use() -> None:
    assert redactor("a.b*c(d[e")("xa.b*c(d[ex") == "x***x"
    assert redactor("a.b*c(d[e")("aXbbcd") == "aXbbcd"
