from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.toolkit import lines
from cicd_actions.toolkit.lines import LAST, Lines
from cicd_actions.toolkit.redaction import Redactor

SECRET = "k9Qw7Zt4/Lm2Xc8Vb6+Nn1Hg5Jd3"


def handed_over(pieces: list[str], redactor: Redactor | None = None) -> list[str]:
    kept: list[str] = []
    feed = Lines("stdout", lambda _stream, line: kept.append(line), redactor)
    for piece in pieces:
        feed.feed(piece)
    feed.close()
    return kept


@given(st.lists(st.text("ab\r\n", max_size=9), max_size=9))
def test_lines_pieces_of_any_length_give_the_same_lines(pieces: list[str]) -> None:
    whole = "".join(pieces).split("\n")
    assert handed_over(pieces) == [line.rstrip("\r") for line in (whole if whole[-1] else whole[:-1])]


@pytest.mark.parametrize("spelling", [SECRET, quote(SECRET, safe=""), json.dumps({"e": SECRET}), SECRET.encode().hex()])
@pytest.mark.parametrize("size", [1000, 4096, 65536])
def test_lines_secret_at_every_offset_of_a_line_without_end_is_masked(
    spelling: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", 64)
    redactor = Redactor()
    redactor.add(SECRET)
    for offset in range(0, 64 + redactor.reach, 7):
        text = "x" * offset + spelling + "y" * 900
        shown = [redactor(line) for line in handed_over([text[at : at + size] for at in range(0, len(text), size)], redactor)]
        assert len(shown) > 1
        assert "".join(shown).replace(redactor(spelling), "", 1) == "x" * offset + "y" * 900


def test_lines_too_many_leave_out_the_middle_and_keep_the_last() -> None:
    count = lines.MOST_LINES + LAST + 5
    kept = handed_over(["line\n" * (count - 1), "the end"])
    assert len(kept) == lines.MOST_LINES + 1 + LAST
    assert kept[lines.MOST_LINES] == "… 5 lines are left out here: the output is too long …"
    assert kept[-1] == "the end"
