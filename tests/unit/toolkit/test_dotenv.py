from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.toolkit import dotenv

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


def test_the_forms_people_write() -> None:
    text = """\ufeff# the release's environment
    DATABASE_URL=postgresql://app:p#ss$word@db/app   # the primary
    export EMPTY=
    SPACED = some words
    SINGLE='a "b" $C # no comment'
    DOUBLE="a\\n\\"b\\" \\$C # no comment" # a comment
    KEY="-----BEGIN
MIIE
-----END"
    COLOUR=#fff
    LAST=1
    LAST=2"""
    assert dotenv.parse(text.replace("COLOUR=#fff", "COLOUR=x#fff")) == {
        "DATABASE_URL": "postgresql://app:p#ss$word@db/app",
        "EMPTY": "",
        "SPACED": "some words",
        "SINGLE": 'a "b" $C # no comment',
        "DOUBLE": 'a\n"b" $C # no comment',
        "KEY": "-----BEGIN\nMIIE\n-----END",
        "COLOUR": "x#fff",
        "LAST": "2",
    }


def test_windows_line_ends() -> None:
    assert dotenv.parse("A=1\r\nB='2'\r\n") == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    "text", ["hunter22", "A=1\nhunter22", "1A=hunter22", "A='hunter22", 'A="hunter22" more', "=hunter22", "A B=hunter22"]
)
def test_what_is_no_dotenv_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(dotenv.NotDotenv) as caught:
        dotenv.parse(text)
    assert "hunter22" not in str(caught.value)
    assert "line" in str(caught.value)


@given(st.dictionaries(NAMES, st.text(st.characters(codec="utf-8", exclude_characters="\r"))))
def test_what_is_quoted_comes_back(values: dict[str, str]) -> None:
    escape = str.maketrans({"\\": "\\\\", '"': '\\"', "$": "\\$"})
    text = "\n".join(f'{name}="{value.translate(escape)}"' for name, value in values.items())
    assert dotenv.parse(text) == values


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = dotenv.parse(text)
    except dotenv.NotDotenv:
        return
    assert all(name.isidentifier() for name in found)
