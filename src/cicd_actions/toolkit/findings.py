"""What a check found: one form for annotations, summaries, JSON and SARIF."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Severity(str, Enum):
    """GitHub's three levels of annotations, worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"

    def __str__(self) -> str:
        return self.value

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


@dataclass(frozen=True)
class Finding:
    """One thing found. `file` is relative to the repository's root; `line` and `column` count from 1; `fix` says what to write.

    `fingerprint` stays the same while the thing found stays, though lines move. `pointer` is a JSON pointer into the
    document that the thing was found in, where there is one.
    """

    rule: str
    severity: Severity
    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None
    fix: str = ""
    fingerprint: str = ""
    pointer: str = ""

    def as_json(self) -> dict[str, str | int]:
        """Returns the fields that are set; the severity as its word."""
        fields: dict[str, str | int | None] = {
            "rule": self.rule,
            "severity": self.severity.value,
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "fix": self.fix,
            "fingerprint": self.fingerprint,
            "pointer": self.pointer,
        }
        return {name: value for name, value in fields.items() if value is not None and value != ""}


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sorts by severity, then by place; findings of the same place keep their order."""
    return sorted(findings, key=lambda found: (found.severity.rank, found.file, found.line or 0))
