"""Draws a job summary as an SVG, for the README: `python -m tools.picture SUMMARY.md PICTURE.svg`.

The summary is one that a test keeps (`tests/golden`), so the picture shows what the action writes today. Only what the
project's own summaries are made of is read: headings, paragraphs, tables, code blocks; a folded part is left out.
"""

from __future__ import annotations

import html
import re
import sys
import textwrap
from pathlib import Path

WIDTH, MARGIN, LINE = 960, 24, 22
COLUMNS = 112
"""Characters of a line at 14 px in 960 px, measured in Chromium with DejaVu Sans."""

_TAGS = re.compile(r"</?(?:strong|code|br)>|`")
_STYLE = """\
text{font:14px -apple-system,'Segoe UI','Noto Sans',Helvetica,Arial,sans-serif;fill:#1f2328;white-space:pre}
.title{font-weight:600;font-size:20px}.head{font-weight:600}
.code{font-family:ui-monospace,'DejaVu Sans Mono',monospace;font-size:12.5px}
.page{fill:#fff;stroke:#d1d9e0}.box{fill:#f6f8fa}.line{stroke:#d1d9e0}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.page{fill:#0d1117;stroke:#3d444d}.box{fill:#151b23}.line{stroke:#3d444d}}"""


class Page:
    """Collects drawn lines from top to bottom."""

    def __init__(self) -> None:
        self.y = MARGIN
        self.parts: list[str] = []

    def text(self, line: str, kind: str = "", x: float = MARGIN) -> None:
        mark = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text{mark} x="{x:g}" y="{self.y + 16:g}">{html.escape(line, quote=False)}</text>')

    def box(self, height: float) -> None:
        self.parts.append(
            f'<rect class="box" x="{MARGIN}" y="{self.y:g}" width="{WIDTH - 2 * MARGIN}" height="{height:g}" rx="6"/>'
        )

    def rule(self) -> None:
        self.parts.append(f'<line class="line" x1="{MARGIN}" y1="{self.y:g}" x2="{WIDTH - MARGIN}" y2="{self.y:g}"/>')

    def svg(self, title: str) -> str:
        height = self.y + MARGIN
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">\n'
            f"<title>{html.escape(title, quote=False)}</title>\n<style>{_STYLE}</style>\n"
            f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1:g}" rx="8"/>\n'
            + "\n".join(self.parts)
            + "\n</svg>\n"
        )


def draw(summary: str) -> str:
    """Returns the SVG of a summary in Markdown."""
    page, title = Page(), ""
    summary = re.sub(r"<details>.*?</details>\n*", "", summary, flags=re.DOTALL)
    for block in re.split(r"\n\n(?=[^\n])", summary.strip()):
        if block.startswith("#"):
            title = title or _plain(block.lstrip("# "))
            page.text(_plain(block.lstrip("# ")), "title")
            page.y += LINE + 12
        elif block.startswith("```"):
            lines = block.splitlines()[1:-1]
            page.box(len(lines) * LINE + 12)
            page.y += 6
            for line in lines:
                page.text(line, "code", MARGIN + 12)
                page.y += LINE
            page.y += 18
        elif block.startswith("|"):
            _table(page, [[_plain(cell) for cell in row.strip("| ").split(" | ")] for row in block.splitlines()])
        else:
            for line in textwrap.wrap(_plain(block), COLUMNS):
                page.text(line)
                page.y += LINE
            page.y += 10
    return page.svg(title)


def _table(page: Page, rows: list[list[str]]) -> None:
    whole = [rows[0], *rows[2:]]
    room = WIDTH - 2 * MARGIN
    shown, widths = whole, [0]
    for most in (56, 48, 40, 32, 24):
        # Long cells are cut only where the row has no room for them.
        shown = [[cell if len(cell) <= most else f"{cell[: most - 4]}…" for cell in row] for row in whole]
        widths = [max(len(cell) for cell in column) + 2 for column in zip(*shown, strict=True)]
        if sum(widths) * 9 <= room:
            break
    for number, row in enumerate(shown):
        x = float(MARGIN)
        for cell, width in zip(row, widths, strict=True):
            page.text(cell, "head" if number == 0 else "", x)
            x += width * min(room / sum(widths), 9)
        page.y += LINE + 4
        page.rule()
        page.y += 4
    page.y += 10


def _plain(text: str) -> str:
    """Returns Markdown's text as a browser shows it: no tags, no entities, no zero-width spaces."""
    return html.unescape(_TAGS.sub("", text)).replace("\u200b", "")


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(draw(Path(sys.argv[1]).read_text(encoding="utf-8")), encoding="utf-8")
