"""The example's own reader of RELEASE_ENV, which has to do without any library."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

LOCAL = Path(__file__).parents[2] / "examples" / "two-lane" / "infra" / "local"
Parse = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def parse() -> Iterator[Parse]:
    """Loaded from its file: its name must not hide other modules of the same name from other tests."""
    spec = importlib.util.spec_from_file_location("example_dotenv", LOCAL / "dotenv.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    sys.path.insert(0, str(LOCAL))
    try:
        spec.loader.exec_module(module)
        yield module.parse_dotenv
    finally:
        sys.path.remove(str(LOCAL))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(LOCAL)):
                del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# a comment\n\n  # another", {}),
        ("A=1\nexport B = two words # comment", {"A": "1", "B": "two words"}),
        ("URL=postgresql://u:p#w@h/d?a=b", {"URL": "postgresql://u:p#w@h/d?a=b"}),
        ("A='it $stays \\n as it is' # yes", {"A": "it $stays \\n as it is"}),
        ('A="two\\nlines, a \\"quote\\" and a \\\\"', {"A": 'two\nlines, a "quote" and a \\'}),
        ("A=\nA=2", {"A": "2"}),
    ],
)
def test_variables_are_read(parse: Parse, text: str, expected: dict[str, str]) -> None:
    assert parse(text, source="RELEASE_ENV") == expected


@pytest.mark.parametrize("text", ["A=1\nhunter2", "A=1\n2A=hunter2", "A=1\nB='hunter2", 'A=1\nB="hunter2" more'])
def test_what_is_no_dotenv_is_refused_with_its_line_and_without_its_content(parse: Parse, text: str) -> None:
    with pytest.raises(Exception, match="RELEASE_ENV, line 2: ") as caught:
        parse(text, source="RELEASE_ENV")
    assert type(caught.value).__name__ == "UnusableInput"
    assert "hunter2" not in str(caught.value)


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=40))
def test_every_value_can_be_written_in_double_quotes(parse: Parse, value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'A="{escaped}"', source="RELEASE_ENV") == {"A": value}


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(parse: Parse, text: str) -> None:
    refused: Exception | None = None
    found: dict[str, str] = {}
    try:
        found = parse(text, source="RELEASE_ENV")
    except Exception as error:  # noqa: BLE001 (which one is what is asked)
        refused = error
    assert refused is None or type(refused).__name__ == "UnusableInput"
    assert all(name.replace("_", "a").isalnum() for name in found)
