"""Builds repositories in miniature and audits them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

from cicd_actions.pipeline_audit import expansion, literals
from cicd_actions.pipeline_audit.facts import Facts
from cicd_actions.pipeline_audit.repository import Repository
from cicd_actions.pipeline_audit.rules.catalogue import RULES
from cicd_actions.pipeline_audit.rules.definition import Result, judge
from cicd_actions.workflows.tree import Tree

SHA = "3d3c42e5aac5ba805825da76410c181273ba90b1"


def token(prefix: str, body: str = "ExampleExampleExampleExampleEx") -> str:
    """Returns a token with the right checksum that opens nothing."""
    checksum = zlib.crc32(body.encode())
    digits = ""
    for _ in range(6):
        checksum, digit = divmod(checksum, 62)
        digits = literals._DIGITS[digit] + digits
    return f"{prefix}_{body}{digits}"


class _Listed(Tree):
    """A tree whose files are known: without git, which would take most of the time."""

    def grep(self, words: list[str]) -> set[str] | None:
        return None

    def _git(self, words: list[str], given: bytes = b"", allowed: tuple[int, ...] = (0,)) -> bytes | None:
        return None


def facts(root: Path, files: Mapping[str, str], **more: object) -> Facts:
    """Writes the files, and returns what the rules are judged on."""
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.replace("{checksum}", token("npm")[-6:]).replace("<sha>", SHA), "utf-8")
    return Facts(expansion.build(Repository(_Listed(root), "org/app")), **more)  # type: ignore[arg-type]


def judged(root: Path, rule: str, files: Mapping[str, str], **more: object) -> Result:
    """Returns what a rule says of the files."""
    return judge(RULES[rule], facts(root, files, **more))
