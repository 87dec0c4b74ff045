from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.verify_openapi_client import acknowledge

PRINT = "0123456789abcdef0123456789abcdef"


def load(tmp_path: Path, text: str) -> list[acknowledge.Acknowledgement]:
    path = tmp_path / "accepted.yaml"
    path.write_text(text, encoding="utf-8")
    return acknowledge.load(path, "accepted.yaml")


def test_a_list_of_accepted_changes(tmp_path: Path) -> None:
    (one, two) = load(
        tmp_path,
        f"- fingerprint: {PRINT}\n  reason: gone\n  expires: 2027-01-31\n- {{fingerprint: {PRINT[::-1]}, reason: x}}\n",
    )
    assert (one.fingerprint, one.reason, one.expires, one.line) == (PRINT, "gone", dt.date(2027, 1, 31), 1)
    assert one.holds(dt.date(2027, 1, 31))
    assert not one.holds(dt.date(2027, 2, 1))
    assert two.holds(dt.date(9999, 1, 1))


def test_an_empty_file_accepts_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "# nothing yet\n") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fingerprint: x", "have to be a list"),
        ("- x", "has `fingerprint` and `reason`"),
        (f"- fingerprint: {PRINT}", "`reason` is missing"),
        (f"- fingerprint: {PRINT}\n  reason: ''", "`reason` is missing"),
        ("- reason: x", "`fingerprint` is missing"),
        ("- {fingerprint: 12, reason: x}", "is not a fingerprint"),
        (f"- {{fingerprint: {PRINT}, reason: x, until: 2027-01-01}}", "`until` is unknown"),
        (f"- {{fingerprint: {PRINT}, reason: x, expires: soon}}", "is not a date"),
        (f"- {{fingerprint: {PRINT}, reason: x}}\n- {{fingerprint: {PRINT}, reason: y}}", "in line 1 already"),
        ("- [", "is not YAML"),
        ("x" * 300_000, "is longer than"),
    ],
)
def test_what_is_unclear_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UnusableInput, match=said):
        load(tmp_path, text)


@given(content=st.binary(max_size=80))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("a") / "f"
    path.write_bytes(content)
    with contextlib.suppress(UnusableInput):
        assert isinstance(acknowledge.load(path, "f"), list)
