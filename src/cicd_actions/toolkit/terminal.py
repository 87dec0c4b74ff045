"""Renders a report's blocks as plain text for a log or a terminal."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Iterable
from itertools import zip_longest

from cicd_actions.toolkit.report import Block, Bullets, Code, CodeBlock, Heading, Inline, Link, Paragraph, Strong, Table


def render(blocks: Iterable[Block], clean: Callable[[str], str]) -> list[str]:
    """Returns the lines of the blocks; aligns tables, and shows folded parts."""
    lines: list[str] = []
    for block in blocks:
        if lines:
            lines.append("")
        lines += _block(block, clean)
    return lines


def _block(block: Block, clean: Callable[[str], str]) -> list[str]:
    if isinstance(block, Paragraph):
        return _plain(block.text, clean).splitlines()
    if isinstance(block, Heading):
        return [clean(block.text), "-" * _width(clean(block.text))]
    if isinstance(block, Bullets):
        return [f"- {_plain(item, clean)}" for item in block.items]
    if isinstance(block, Table):
        return _table(block, clean)
    if isinstance(block, CodeBlock):
        return [f"    {line}".rstrip() for line in clean(block.text).splitlines()]
    return [clean(block.title), *([] if block.summary_only else render(block.blocks, clean))]


def _plain(content: Inline, clean: Callable[[str], str]) -> str:
    if isinstance(content, str):
        return clean(content)
    if isinstance(content, (Strong, Code)):
        return clean(content.text)
    if isinstance(content, Link):
        return clean(content.text)
    return "".join(_plain(part, clean) for part in content)


WIDEST = 60
"""Columns of one cell; longer text continues in the line below. Logs are read in windows of 120 to 200 columns."""


def _table(table: Table, clean: Callable[[str], str]) -> list[str]:
    rows = [[_wrapped(_plain(cell, clean)) for cell in row] for row in (table.head, *table.rows)]
    widths = [max(_width(part) for row in rows for part in row[column]) for column in range(len(table.head))]
    lines: list[str] = []
    for number, row in enumerate(rows):
        for parts in zip_longest(*row, fillvalue=""):
            padded = (part + " " * (width - _width(part)) for part, width in zip(parts, widths, strict=True))
            lines.append("  ".join(padded).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return lines


def _wrapped(text: str) -> list[str]:
    if len(text) <= WIDEST and "\n" not in text:
        return [text]

    return [part for line in text.split("\n") for part in textwrap.wrap(line, WIDEST) or [""]]


def _width(text: str) -> int:
    """Returns the columns in a terminal: East Asian wide characters and most emoji take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1 for char in text
    )
