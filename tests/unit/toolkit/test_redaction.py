from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cicd_actions.toolkit import redaction
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
@example('00000"', "\\", "")
@example('4100/"', "%", "")
def test_promise_secrets_come_by_env_inputs_name_them_and_no_spelling_survives(secret: str, before: str, after: str) -> None:
    redact = redactor(secret)
    for spelling in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]):
        assert spelling not in redact(before + spelling + after)


@given(SECRETS.filter(lambda text: len(text.encode()) >= 12), st.binary(max_size=8), st.binary(max_size=8))
def test_a_secret_inside_a_longer_base64_text_is_cut_out(secret: str, before: bytes, after: bytes) -> None:
    text = base64.b64encode(before + secret.encode() + after).decode()
    assert "***" in redactor(secret)(text)


@pytest.mark.parametrize("spelling", ["spare+the plus", "spare+the+plus", "spare the plus", "spare the+plus"])
def test_space_and_plus_are_one_character(spelling: str) -> None:
    assert redactor("spare+the plus")(f"password={spelling}&x=1") == f"password={MASK}&x=1"


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


def wrapped(text: str, width: int) -> str:
    return "\n".join(text[at : at + width] for at in range(0, len(text), width))


def encoded(secret: str, before: int, width: int) -> str:
    return wrapped(base64.b64encode(b"u" * before + secret.encode() + b"z" * 30).decode(), width)


NESTED = {
    "json in json": lambda secret: json.dumps(json.dumps({"error": secret})),
    "json in json in json": lambda secret: json.dumps(json.dumps(json.dumps(secret))),
    "json without ascii": lambda secret: "".join(f"\\u{ord(char):04x}" for char in secret),
    "url in a url": lambda secret: quote(quote(secret, safe=""), safe=""),
    "json in a url": lambda secret: quote(json.dumps(secret), safe=""),
    "url in json": lambda secret: json.dumps("https://x/?q=" + quote_plus(secret)),
    "html in html": lambda secret: html.escape(html.escape(secret)),
    "hexadecimal": lambda secret: "0x" + secret.encode().hex(),
    "hexadecimal with colons": lambda secret: ":".join(f"{byte:02X}" for byte in secret.encode()),
    "base64 in a url": lambda secret: quote(base64.b64encode(secret.encode()).decode(), safe=""),
    "yaml": lambda secret: '"' + secret.replace("\\", "\\\\").replace('"', '\\"').replace("é", "\\xe9") + '"',
    "csv": lambda secret: '"' + secret.replace('"', '""') + '"',
    "sql": lambda secret: "'" + secret.replace("'", "''") + "'",
    "python": repr,
}


@pytest.mark.parametrize("spelling", NESTED)
@pytest.mark.parametrize("secret", ["p\"a/s\\s w0rd+K&y$9'é", "k9Qw7Zt4Lm2Xc8Vb6Nn1Hg5Jd3", "a%41b&lt;c\\u0041 d"])
def test_redactor_secret_in_nested_escapes_is_masked(secret: str, spelling: str) -> None:
    shown = redactor(secret)(f"before {NESTED[spelling](secret)} after")
    assert MASK in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert len(shown) < 50, "nothing of the secret is left beside the mask"


@pytest.mark.parametrize("width", [60, 64, 76])
@pytest.mark.parametrize("apart", [False, True])
def test_redactor_base64_in_lines_at_any_offset_is_masked(width: int, apart: bool) -> None:
    secret = "k9Qw7Zt4Lm2Xc8Vb6Nn1Hg5Jd3"
    redact = redactor(secret)
    for before in range(width):
        text = encoded(secret, before, width)
        shown = "\n".join(map(redact, text.split("\n"))) if apart else redact(text)
        own = (len(secret) * 8 - 4) // 6
        masked = len(text.replace("\n", "")) - len(re.sub(r"[*]{3}|\n", "", shown))
        # Read line by line, fewer than eight letters at an edge are less than six characters of the secret.
        assert masked >= own - (7 if apart else 0), (before, shown)


@pytest.mark.parametrize(
    ("secret", "shown", "password"),
    [
        ("REDIS_URL=redis://:hunter22@cache:6379/0", "password hunter22 is wrong", "hunter22"),
        ("postgres://app:Sup3r/S3cr+etPw@db/prod", "Sup3r/S3cr+etPw", "S3cr"),
        ("postgres://app:p%40ss%2Fword@db/prod", "p@ss/word", "ss/word"),
        ("https://0123456789abcdef0123@sentry.example/1", "key 0123456789abcdef0123", "0123456789abcdef"),
        ("https://store.example/upload?sig=a9f3c2b1&x=1&api_token=t0k3n-t0k3n", "t0k3n-t0k3n", "t0k3n"),
    ],
)
def test_redactor_password_within_a_url_is_masked(secret: str, shown: str, password: str) -> None:
    assert password not in redactor(secret)(shown)


def test_redactor_parts_of_a_value_that_pydantic_quotes_are_masked() -> None:
    secret = "postgres://app:Sup3rS3cretPassw0rdOfTheDatabase@db.internal:5432/production"
    quoted = f"[type=url_parsing, input_value='{secret[:24]}...{secret[-23:]}', input_type=str]"
    assert redactor(secret)(quoted) == "[type=url_parsing, input_value='***...***', input_type=str]"


@pytest.mark.parametrize("mark", ["…", "..."])
@pytest.mark.parametrize(
    "spell",
    [
        str,
        lambda text: quote(text, safe=""),
        lambda text: json.dumps(text)[1:-1],
        # Of these the whole is undone, and the half of an escape that a cut leaves is not.
        lambda text: re.sub("%..", lambda match: match[0].lower(), quote(text, safe="")),
        html.escape,
    ],
)
def test_redactor_beginning_and_end_beside_a_cut_are_masked(spell: Callable[[str], str], mark: str) -> None:
    spelling = spell(PUNCTUATION * 2)
    redact = redactor(PUNCTUATION * 2)
    for kept in range(24, len(spelling) - 24):
        assert redact(f"a={spelling[:kept]}{mark} b") == f"a=***{mark} b"
    assert redact(f"{mark}{spelling[20:]}").endswith("***")


@pytest.mark.parametrize(
    "text", ["\\" * 20000, "%41" * 10000, "&amp;" * 8000, '""' * 15000, '\\"%41&#41;\'\'""' * 2000, "..." * 10000, "A" * 65536]
)
def test_redactor_hostile_escapes_are_searched_in_a_bounded_number_of_layers(text: str) -> None:
    assert redactor("k9Qw7Zt4Lm2Xc8Vb6Nn1Hg5Jd3")(text) == text
    assert sum(1 for _ in redaction._layers(text)) <= redaction._LAYERS


@given(st.data())
def test_redactor_seam_splits_no_secret(data: st.DataObject) -> None:
    secret = data.draw(st.sampled_from(["correct-horse", "p&ss<w>(o)rd", "abcabcabcabc"]))
    redact = redactor(secret)
    spelling = data.draw(
        st.sampled_from([secret, quote(secret, safe=""), json.dumps(json.dumps(secret)), secret.encode().hex()])
    )
    filler = st.text("abc&%\\", max_size=redact.reach)
    text = data.draw(filler) + spelling + data.draw(filler) + "x" * redact.reach
    seam = redact.seam(text)
    assert seam <= len(text) - redact.reach or redact(text[:seam]).endswith(MASK)
    assert redact(text[:seam]) + redact(text[seam:]) == redact(text) or redact(text[:seam]).endswith(MASK)
    assert secret not in redact(text[:seam]) + redact(text[seam:])


def test_redactor_reach_is_what_the_longest_secret_can_take() -> None:
    assert redactor().reach == 0
    assert redactor("abcdef", "abcdefgh").reach == 12 * 8
    assert redactor("x" * 30_000).reach == 256 * 1024
    assert redactor("one-secret\nand more").values == {"one-secret\nand more", "one-secret", "and more"}


@pytest.mark.parametrize(("length", "masked"), [(15, False), (16, True)])
def test_redactor_user_of_a_url_without_a_password_is_a_key_from_a_length_on(length: int, masked: bool) -> None:
    key = "k9Qw7Zt4Lm2Xc8Vb6"[:length]
    assert redactor(f"https://{key}@sentry.example/1")(f"key {key}") == (f"key {MASK}" if masked else f"key {key}")


@pytest.mark.parametrize(
    ("url", "password"),
    [
        # Which `@` ends the password depends on what is percent-encoded: each reading is one password here.
        ("app:pass@word1@db/prod?mail=a@b", "pass@word1"),
        ("app:se/cret1@db/prod?mail=a@b", "se/cret1"),
        ("app:se/cr@et12@db", "se/cr@et12"),
        ("app:p%40ssw0rd@db", "p@ssw0rd"),
        ("app:p%40ssw0rd@db", "p%40ssw0rd"),
        ("app:one:two3@db", "one:two3"),
        ("store/upload?x=1&X-Amz-Signature=a9f3c2b1d4#end", "a9f3c2b1d4"),
        ("store/upload?api_token=t0k3n%2Dt0k3n", "t0k3n-t0k3n"),
        ("db/prod; Password=hunter22x; x=1", "hunter22x"),
    ],
)
def test_redactor_url_each_reading_of_its_password_is_masked_alone(url: str, password: str) -> None:
    redact = redactor(f"scheme://{url}")
    assert redact(f"a {password} b") == f"a {MASK} b"
    assert redact("a prod b db c mail d app e store f upload") == "a prod b db c mail d app e store f upload"


@pytest.mark.parametrize(
    "spelling",
    [
        "pass\\ud83d\\ude00word", "pass\\uD83D\\uDE00word", "pass\\U0001F600word", "pass\\u{1F600}word", "pass\\u{1f600}word",
        "\\x70ass\\ud83d\\ude00word", "pass&#128512;word", "pass&#x1F600;word", "pass&#X1f600;word", "pass%F0%9f%98%80word",
    ],
)  # fmt: skip
def test_redactor_one_character_in_each_spelling_of_it_is_masked(spelling: str) -> None:
    assert redactor("pass😀word")(f"a={spelling};b") == f"a={MASK};b"


def test_redactor_escapes_of_control_characters_are_undone() -> None:
    secret = "key\tb\x08c\x0cd\x0be\x07f\x00g\x1bh"
    assert redactor(secret)("a=key\\tb\\bc\\fd\\ve\\af\\0g\\eh;b") == f"a={MASK};b"
    # What is beyond the last character stays as it is.
    assert redactor("key-0123")("\\u{110000} key-0123 \\u{FFFFFF}") == f"\\u{{110000}} {MASK} \\u{{FFFFFF}}"


@pytest.mark.parametrize("letters", [7, 8])
def test_redactor_line_of_base64_is_told_by_eight_letters(letters: int) -> None:
    secret = "k9Qw7Zt4Lm2Xc8Vb6Nn1Hg5Jd3"
    whole = base64.b64encode(secret.encode()).decode()
    redact = redactor(secret)
    masked = letters == 8
    assert redact(f"~~~~{whole[:letters]}") == (f"~~~~{MASK}" if masked else f"~~~~{whole[:letters]}")
    tail = whole.rstrip("=")[:-1][-letters:]
    assert (MASK in redact(f"{tail}~~~~")) == masked


def test_redactor_secret_of_the_shortest_length_is_masked_and_a_shorter_line_is_not() -> None:
    assert redactor("abcdef")("abcdef") == MASK
    assert redactor("abcde\nlonger-line")("abcde longer-line") == f"abcde {MASK}"
    assert redactor("  abcdef  ")("[abcdef]") == f"[{MASK}]"


def test_redactor_seam_is_before_a_secret_that_it_would_split() -> None:
    redact = redactor("abcdef")
    text = "x" * 50 + "abcdef" + "y" * (redact.reach - 3)
    assert redact.seam(text) == 50
    assert redact.seam("x" * 50 + "abcdef" + "y" * redact.reach) == 56
    assert redact.seam("x" * 50 + "abcdef" + "y" * (redact.reach - 6)) == 50
    assert redact.seam("abcdef" + "y" * (redact.reach - 3)) == 6
    assert redact.seam("x" * 10) == 0
    assert redact.seam("abcdef" + "y" * (redact.reach - 6)) == 0


@pytest.mark.parametrize("before", [0, 40, 400])
def test_redactor_parts_beside_cuts_anywhere_in_a_text_are_masked(before: int) -> None:
    redact = redactor("correct-horse-battery", "hunter22-long")
    text = "~" * before + "correct-hor… and hunter22-…; …orse-battery, ...r22-long"
    assert redact(text) == "~" * before + f"{MASK}… and {MASK}…; …{MASK}, ...{MASK}"


@pytest.mark.parametrize("kept", range(1, 8))
def test_redactor_few_letters_of_base64_on_the_line_beside_are_masked(kept: int) -> None:
    secret = "k9Qw7Zt4Lm2Xc8Vb6Nn1Hg5Jd3"
    whole = base64.b64encode(secret.encode()).decode()
    redact = redactor(secret)
    assert redact(f"{whole[:kept]}\n{whole[kept:]}") == f"{MASK}\n{MASK}"
    own = whole.rstrip("=")[:-1]
    assert redact(f"~~~ {own[:-kept]}\n{own[-kept:]} ~~~") == f"~~~ {MASK}\n{MASK} ~~~"
    # Lines that end or begin within the secret have neighbours too; what stands at the end of the text is not one.
    assert redact(f"{own[:kept]}\n{own[kept:-4]}") == f"{MASK}\n{MASK}"
    assert redact(f"{own[4:-kept]}\n{own[-kept:]} {own[3]}") == f"{MASK}\n{MASK} {own[3]}"
    # The same letters elsewhere are not of the secret.
    assert redact(f"{own[-kept:]} {own[:-kept]}\nx{own[-kept:]}").startswith(f"{own[-kept:]} {MASK}\nx")


@pytest.mark.parametrize("secret", ["k9Qw7Zt4Lm2Xc8Vb6Nn1Hg5Jd3", "wwwww-key"])
@pytest.mark.parametrize("spell", [str.lower, str.upper])
def test_redactor_few_hexadecimal_digits_on_the_line_beside_are_masked(secret: str, spell: Callable[[str], str]) -> None:
    digits = spell(secret.encode().hex())
    for kept in range(1, 8):
        # The digits of `wwwww` are ten times a 7: where they are split, the eight that tell the line fit at several places.
        assert redactor(secret)(f"{digits[:kept]}\n{digits[kept:]}") == f"{MASK}\n{MASK}"
        assert redactor(secret)(f"{digits[:-kept]}\n{digits[-kept:]}") == f"{MASK}\n{MASK}"


def test_redactor_letters_from_the_middle_of_base64_that_go_on_otherwise_stay() -> None:
    letters = base64.b64encode(b"k9Qw7Zt4Lm2Xc8Vb6Nn1Hg5Jd3").decode()[2:14]
    for text in (f"{letters}~~~~~~~~", f"~~~~~~~~{letters}", f"{letters}~~~{letters}"):
        assert redactor("k9Qw7Zt4Lm2Xc8Vb6Nn1Hg5Jd3")(text) == text


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("correct-horse", "correct-other%2… x", "correct-other%2… x"),
        ("correct-horse", "correc%4… x", f"{MASK}… x"),
        ("&hello-world", "&hellox… x", "&hellox… x"),
        ("&hello-world", "&hello… &hello-%4… x", f"{MASK}… {MASK}… x"),
        # The dot may be the cut's, and what is left before it is shorter than what is masked.
        ("abcde.fgh", "abcde... x", "abcde... x"),
        ("hello world", f"{':'.join(f'{byte:02x}' for byte in b'hello world')[:-1]}%… x", f"{MASK}… x"),
    ],
)
def test_redactor_half_an_escape_before_a_cut_is_left_out_of_the_comparison(secret: str, text: str, shown: str) -> None:
    assert redactor(secret)(text) == shown
