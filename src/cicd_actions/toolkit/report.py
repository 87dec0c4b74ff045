"""What an action has to say, as structure: the reporter turns it into Markdown, a terminal's text and JSON.

Leaves are plain text, which may come from outside: each renderer makes it harmless in its own way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cicd_actions.toolkit.findings import Finding
from cicd_actions.toolkit.verdict import Verdict


@dataclass(frozen=True)
class Code:
    """A short piece of code within a line or a cell."""

    text: str


@dataclass(frozen=True)
class Link:
    """A link; only `http` and `https` URLs become clickable."""

    text: str
    url: str


@dataclass(frozen=True)
class Strong:
    """Text that stands out."""

    text: str


Inline: TypeAlias = "str | Code | Link | Strong | Sequence[str | Code | Link | Strong]"


@dataclass(frozen=True)
class Paragraph:
    text: Inline


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: Sequence[Inline]


@dataclass(frozen=True)
class Table:
    """Rows in the order that matters: where the summary is too long, the last ones go first."""

    head: Sequence[str]
    rows: Sequence[Sequence[Inline]]


@dataclass(frozen=True)
class CodeBlock:
    text: str
    language: str = ""


@dataclass(frozen=True)
class Details:
    """Folded in Markdown, plain in a terminal; `summary_only` leaves the terminal with the title."""

    title: str
    blocks: Sequence[Block]
    summary_only: bool = False


Block: TypeAlias = "Paragraph | Heading | Bullets | Table | CodeBlock | Details"

OutputValue: TypeAlias = "str | int | bool | Verdict | Sequence[object] | Mapping[str, object]"


@dataclass
class Report:
    """The end of an action: its verdict, one sentence, outputs by name, findings, and the blocks of the summary.

    Outputs that are lists or mappings are written as JSON. Outputs that the action declares and that are missing here
    are written empty, so that a later step can rely on their presence.
    """

    verdict: Verdict
    headline: str
    outputs: dict[str, OutputValue] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    list_findings: bool = True
    """False where the blocks say the findings already."""
