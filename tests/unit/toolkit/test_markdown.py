"""The Markdown is parsed by a CommonMark parser, and the text has to come out of it as it went in."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cicd_actions.toolkit import markdown
from cicd_actions.toolkit.printable import visible
from cicd_actions.toolkit.report import Block, Bullets, Code, CodeBlock, Details, Heading, Link, Paragraph, Strong, Table

HOSTILE = [
    "</details><script>alert(1)</script>",
    "| a | b |\n| --- | --- |",
    "```\ncode",
    "# heading",
    "- item",
    "1. item",
    "12) item",
    "![x](https://evil.example/x.png)",
    "[x]: https://evil.example",
    "https://evil.example www.evil.example",
    "@octocat #1 :tada: ~~a~~ **b** __c__ `d` <e>",
    "a\n===\nb\n---",
    "&lt;b&gt; &#42;",
    "$x^2$",
    "<!-- hidden",
    "\\*",
]


def parsed(text: str) -> list[Token]:
    return MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(text)


def words(tokens: list[Token]) -> str:
    found = []
    for token in tokens:
        for child in token.children or []:
            if child.type in {"text", "code_inline", "text_special"}:
                found.append(child.content)
            elif child.type in {"softbreak", "hardbreak"} or child.content == "<br>":
                found.append("\n")
            elif child.content in {"<code>", "</code>"}:  # backticks in the text
                found.append("`")
    return "".join(found).replace("\u200b", "")


def kinds(tokens: list[Token]) -> set[str]:
    return {token.type for token in tokens} | {child.type for token in tokens for child in token.children or []}


def render(*blocks: Block, limit: int = 100_000) -> str:
    return markdown.render(blocks, visible, limit)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_a_paragraph(text: str) -> None:
    tokens = parsed(render(Paragraph(text)))
    assert kinds(tokens) <= {"paragraph_open", "inline", "paragraph_close", "text", "text_special", "html_inline"}
    assert words(tokens).split() == text.split()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_its_cell(text: str) -> None:
    tokens = parsed(render(Table(("a", "b"), [(text, Code(text)), ("x", "y")])))
    assert [token.type for token in tokens].count("td_open") == 4
    assert "heading_open" not in kinds(tokens)
    assert "fence" not in kinds(tokens)


@given(st.text(max_size=80))
def test_any_text_comes_out_as_it_went_in(text: str) -> None:
    tokens = parsed(render(Paragraph([Strong("start "), text, " end"])))
    assert words(tokens).split() == f"start {visible(text)} end".split()


@given(st.text(max_size=200))
def test_a_code_block_cannot_be_closed_by_its_text(text: str) -> None:
    tokens = parsed(render(CodeBlock(text), Paragraph("after")))
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


@given(st.text(max_size=80))
def test_nobody_is_mentioned(text: str) -> None:
    tokens = parsed(render(Paragraph(f"by @octocat and {text}")))
    plain = "".join(child.content for token in tokens for child in token.children or [] if child.type.startswith("text"))
    assert re.search(r"(?<![A-Za-z0-9])@[A-Za-z0-9]", plain) is None
    assert "\u200b" not in render(Paragraph("org/api@sha256:0123"))


def test_only_web_addresses_become_links() -> None:
    assert "<https://example.com/a%20b>" in render(Paragraph(Link("x", "https://example.com/a b")))
    for url in ("javascript:alert(1)", "https://x>\n# y", "data:text/html,x", "//example.com", "http://"):
        assert "link_open" not in kinds(parsed(render(Paragraph(Link("x", url)))))


def test_the_summary_is_cut_at_a_row_and_says_so() -> None:
    rows = [(str(number), "x" * 100) for number in range(1000)]
    text = render(Heading("t"), Table(("n", "text"), rows), limit=20_000)
    assert len(text.encode()) < 20_500
    shown = len(re.findall(r"^\| \d+ \|", text, re.MULTILINE))
    assert f"… and {1000 - shown} more rows." in text


def test_a_long_code_block_is_cut_and_still_closed() -> None:
    text = render(CodeBlock("é" * 50_000), limit=10_000)
    assert len(text.encode()) < 10_100
    assert [token.type for token in parsed(text)] == ["fence"]


def test_folded_blocks_and_lists() -> None:
    text = render(Details("More <b>", [Bullets(["one", Code("a|b")]), CodeBlock("x", "sh")]))
    assert text.startswith("<details><summary>More &#60;b&#62;</summary>\n\n- one\n- <code>a&#124;b</code>\n\n```sh\nx\n```\n")
    assert text.rstrip().endswith("</details>")


@pytest.mark.parametrize(
    "text",
    [
        "#1",
        "GH-2",
        "org/other#3",
        "fixes #7",
        "torvalds/linux@" + "1da177e4c3" * 4,
        "1da177e4c3" * 4,
        "http://evil.example",
        "www.evil.example",
    ],
)
def test_promise_text_from_outside_cannot_refer_to_elsewhere(text: str) -> None:
    shown = html.unescape(markdown.escaped(text))
    assert shown != text
    assert shown.replace("\u200b", "") == text


def test_code_reference_can_be_copied() -> None:
    assert "\u200b" not in render(Paragraph(Code("1da177e4c3" * 4 + " #1")))
