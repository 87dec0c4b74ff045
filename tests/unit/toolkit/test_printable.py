from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.toolkit.printable import defused, shortened, visible

COMMANDS = [
    "::error::x",
    "  ::add-mask::x",
    "\t::set-output name=a::b",
    "\x1b::error::x",
    "x ##[error]y",
    "\u00a0::error::x",
    "##[group]",
]


def acts(line: str) -> bool:
    """What GitHub's runner takes for a command: `::` after white space (.NET's TrimStart), or `##[` anywhere."""
    return line.lstrip().startswith("::") or "##[" in line


@pytest.mark.parametrize("text", COMMANDS)
def test_no_line_acts_as_a_command(text: str) -> None:
    assert not any(acts(line) for line in defused(text).splitlines())
    assert not any(acts(line) for line in defused(f"first\r\n{text}\rlast").splitlines())


LINES = st.text(st.sampled_from(list("::#[]ae \t\n\r\x0b\x0c\x1b\u2028\ufeff%0A")), max_size=30)


@given(st.one_of(LINES, st.text()))
def test_defused_text_never_acts(text: str) -> None:
    assert not any(acts(line) for line in defused(text).split("\n"))


@given(st.text())
def test_visible_text_hides_and_moves_nothing(text: str) -> None:
    shown = visible(text)
    assert all(char in "\t\n" or unicodedata.category(char) not in {"Cc", "Cf", "Zl", "Zp", "Cs"} for char in shown)
    shown.encode("utf-8")


def test_hidden_characters_are_spelled_out() -> None:
    assert visible("a\x1b[31mb\u202ec\u200bd\x00\r") == "a\\x1b[31mb\\u202ec\\u200bd\\x00\\x0d"
    assert visible("müde ✅ 日本\ttab\r\nline") == "müde ✅ 日本\ttab\nline"


def test_what_is_cut_is_said() -> None:
    assert shortened("abcdef", 4) == "abcd… (2 more characters)"
    assert shortened("abcd", 4) == "abcd"


@pytest.mark.parametrize("char", "\u034f\u115f\u1160\u17b4\u180b\u2065\u2800\u3164\ufe00\ufe0f\uffa0\U000e0100\U000e0041")
def test_visible_character_that_shows_nothing_is_spelled_out(char: str) -> None:
    assert visible(f"a{char}b") == f"a\\u{ord(char):04x}b" if ord(char) < 0x10000 else f"a\\U{ord(char):08x}b"


def test_visible_emoji_keeps_its_selector() -> None:
    assert visible("⚠\ufe0f ok") == "⚠\ufe0f ok"


@pytest.mark.parametrize("char", [chr(0x0B), chr(0x0C), chr(0x85), chr(0x2028), chr(0x2029)])
def test_visible_line_break_of_unicode_is_spelled_out(char: str) -> None:
    """Every break that `str.splitlines` knows, except those of a plain text."""
    shown = visible(f"a{char}b")
    assert shown.splitlines() == [shown]
    assert f"{ord(char):x}" in shown


def test_defused_address_in_brackets_stays_readable() -> None:
    assert defused("[::1]:8080: refused") == "[::1]:8080: refused"
