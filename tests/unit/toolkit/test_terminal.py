from __future__ import annotations

from cicd_actions.toolkit.printable import visible
from cicd_actions.toolkit.report import Code, CodeBlock, Details, Heading, Paragraph, Table
from cicd_actions.toolkit.terminal import WIDEST, render


def test_columns_line_up_also_with_wide_characters() -> None:
    lines = render([Table(("name", "state"), [("日本", "ok"), (Code("a"), "✅ fine")])], visible)
    assert lines == ["name  state", "----  -------", "日本  ok", "a     ✅ fine"]


def test_a_long_cell_goes_on_below() -> None:
    text = " ".join(["word"] * 40)
    lines = render([Table(("name", "text"), [("x", text), ("y", "short")])], visible)
    assert max(len(line) for line in lines) <= len("name  ") + WIDEST
    assert " ".join(line[6:].strip() for line in lines[2:-1]) == text
    assert lines[-1] == "y     short"
    assert [line[0] for line in lines[2:]] == ["x", *" " * (len(lines) - 4), "y"]


def test_nothing_is_folded_away() -> None:
    lines = render([Heading("Title"), Details("More", [CodeBlock("a\n\nb"), Paragraph("end")])], visible)
    assert lines == ["Title", "-----", "", "More", "    a", "", "    b", "", "end"]
