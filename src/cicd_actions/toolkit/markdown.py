"""Renders a report's blocks as GitHub Flavored Markdown that no text from outside can break.

Every character with a meaning is written as a numeric reference, which CommonMark (section 2.5) reads as literal text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote, urlsplit

from cicd_actions.toolkit.report import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Heading,
    Inline,
    Link,
    Paragraph,
    Strong,
    Table,
)

Clean = Callable[[str], str]
"""Redacts and makes visible one piece of text, before it is escaped."""

_MEANT = re.compile(r"[\\`*_{}\[\]<>#|!~&@$\"']|(?<=[A-Za-z]):(?=\u200b?//)|(?<=www)\.|(?<=www\u200b)\.|^[-+=]|(?<=^ )[-+=]")
_MENTION = re.compile(r"(?<![A-Za-z0-9])@(?=[A-Za-z0-9])")
"""GitHub looks for names in the text that comes out, where a reference is the character again, and tells these people
(https://github.com/github/markup/issues/1168). Not `name@sha256:…`, which may be copied from there."""

_QUOTED = re.compile(r"&#96;((?:(?!&#96;).)+)&#96;")
"""Text between backticks, escaped already: it is shown as code, and can do nothing else."""
_REFERENCE = re.compile(
    r"(?<!&)#(?=[0-9])|\b(?:GH|CVE|GHSA)-(?=[0-9A-Za-z])|(?:https?|ftp):(?=//)|\bwww(?=\.)"
    r"|(?<![0-9A-Za-z])[0-9a-f]{4}(?=[0-9a-f]{36}(?![0-9A-Za-z]))",
    re.IGNORECASE,
)
"""GitHub makes links of issues, commits and addresses in the text that comes out, and notes them where they lead to:
https://docs.github.com/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls"""

_APART = re.compile(rf"`[^`]+`|{_REFERENCE.pattern}", re.IGNORECASE)
"""Text between backticks stays whole: it is shown as code, where GitHub looks for no references."""

_URL = re.compile(r"https?&#58;//[0-9A-Za-z:/.?=%+,;-]+")

_NUMBERED = re.compile(r"^( ?[0-9]{1,9})([.)])")


def escaped(text: str, *, code: bool = False) -> str:
    """Returns literal text on one line of Markdown, also inside a table's cell. GitHub looks for no references in `code`."""
    # Runs of white space are one space for HTML anyway, and four at the start of a line would be a code block.
    parts = [re.sub(r"\s+", " ", line) for line in text.splitlines()]
    return "<br>".join(_referenced(part if code else _APART.sub(_apart, part)) for part in parts)


def _apart(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith("`") else f"{match[0]}\u200b"


def _code(match: re.Match[str]) -> str:
    """A URL is a code span, so that it can be copied from the source as well."""
    return f"`{match[1].replace('&#58;', ':')}`" if _URL.fullmatch(match[1]) else f"<code>{match[1]}</code>"


def _referenced(line: str) -> str:
    line = _MENTION.sub("@\u200b", line)
    line = _MEANT.sub(lambda match: f"&#{ord(match[0])};", line)
    line = _QUOTED.sub(_code, line)
    return _NUMBERED.sub(lambda match: f"{match[1]}&#{ord(match[2])};", line)


def render(blocks: Iterable[Block], clean: Clean, limit: int) -> str:
    """Returns the blocks as Markdown of about `limit` bytes at most; says so where it leaves out the end."""
    parts: list[str] = []
    used = 0
    for block in blocks:
        text = _block(block, clean, limit - used)
        size = len(text.encode("utf-8", "replace"))
        if used + size > limit:
            parts.append("_The rest is left out: it is too long for a job summary._")
            break
        parts.append(text)
        used += size
    return "\n\n".join(part for part in parts if part) + "\n"


def inline(content: Inline, clean: Clean) -> str:
    """Returns one line of Markdown."""
    if isinstance(content, str):
        return escaped(clean(content))
    if isinstance(content, Strong):
        return f"<strong>{escaped(clean(content.text))}</strong>"
    if isinstance(content, Code):
        # An HTML element, because a code span cannot hold references, and a table's cell cannot hold a bare `|`.
        return f"<code>{escaped(clean(content.text), code=True)}</code>" if content.text else ""
    if isinstance(content, Link):
        return _link(content, clean)
    return "".join(inline(part, clean) for part in content)


def _link(link: Link, clean: Clean) -> str:
    parts = urlsplit(clean(link.url)) if "\n" not in link.url else None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.netloc:
        return escaped(clean(link.text))
    address = quote(parts.geturl(), safe="/:?&=#%@+,;~-._!$'*")
    return f"[{escaped(clean(link.text))}](<{address}>)"


def _block(block: Block, clean: Clean, limit: int) -> str:
    if isinstance(block, Paragraph):
        return inline(block.text, clean)
    if isinstance(block, Heading):
        return f"### {escaped(clean(block.text))}"
    if isinstance(block, Bullets):
        return "\n".join(f"- {inline(item, clean)}" for item in block.items)
    if isinstance(block, Table):
        return _table(block, clean, limit)
    if isinstance(block, CodeBlock):
        return _fenced(clean(block.text), block.language, limit)
    body = render(block.blocks, clean, max(limit - 200, 0))
    return f"<details><summary>{escaped(clean(block.title))}</summary>\n\n{body}\n</details>"


def _table(table: Table, clean: Clean, limit: int) -> str:
    lines = [_row(table.head, clean), "|" + " --- |" * len(table.head)]
    used = sum(len(line) for line in lines)
    for index, cells in enumerate(table.rows):
        line = _row(cells, clean)
        used += len(line.encode("utf-8", "replace")) + 1
        if used > limit - 200:
            lines += ["", f"_… and {len(table.rows) - index} more rows._"]
            break
        lines.append(line)
    return "\n".join(lines)


def _row(cells: Sequence[Inline], clean: Clean) -> str:
    return "| " + " | ".join(inline(cell, clean) for cell in cells) + " |"


def _fenced(text: str, language: str, limit: int) -> str:
    if len(text.encode("utf-8", "replace")) > limit - 200:
        text = text.encode("utf-8", "replace")[: max(limit - 300, 0)].decode("utf-8", "ignore") + "\n… (cut)"
    # A fence longer than any run of backticks inside cannot be closed by the text (CommonMark, section 4.5).
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip(chr(10))}\n{fence}"
