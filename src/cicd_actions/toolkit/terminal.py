"""Renders a report's blocks as plain text for a log or a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

from cicd_actions.toolkit.report import Block, Bullets, Code, CodeBlock, Heading, Inline, Link, Paragraph, Strong, Table


def render(blocks: Iterable[Block], clean: Callable[[str], str]) -> list[str]:
    """The lines of the blocks; tables are aligned, folded parts are shown."""
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
    return [clean(block.title), *render(block.blocks, clean)]


def _plain(content: Inline, clean: Callable[[str], str]) -> str:
    if isinstance(content, str):
        return clean(content)
    if isinstance(content, (Strong, Code)):
        return clean(content.text)
    if isinstance(content, Link):
        return clean(content.text)
    return "".join(_plain(part, clean) for part in content)


def _table(table: Table, clean: Callable[[str], str]) -> list[str]:
    rows = [list(table.head), *([_plain(cell, clean).replace("\n", " ") for cell in row] for row in table.rows)]
    widths = [max(_width(row[column]) for row in rows) for column in range(len(table.head))]
    lines = [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _width(text: str) -> int:
    """Columns in a terminal: East Asian wide characters and most emoji take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1 for char in text
    )
