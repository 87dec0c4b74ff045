"""What the report of a scanner says: findings, and why the scan cannot be trusted."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import Enum


class Category(str, Enum):
    """What a finding is about."""

    DEPENDENCY = "dependency"
    CODE = "code"
    SECRET = "secret"

    def __str__(self) -> str:
        return self.value


MOST_MASKED = 200

SEVERITIES = ("critical", "high", "medium", "low", "unknown", "secret")
"""The words that tiers are given to. `secret` stands for every secret found, which no scanner grades."""

_WORDS = {
    "critical": "critical",
    "high": "high",
    "important": "high",
    "error": "high",
    "medium": "medium",
    "moderate": "medium",
    "warning": "medium",
    "low": "low",
    "negligible": "low",
    "info": "low",
    "informational": "low",
    "note": "low",
    "none": "low",
}


def severity(word: str) -> str:
    """Returns the scanner's word for a severity as one of ours; what is not known is `unknown`, never harmless."""
    return _WORDS.get(word.strip().lower(), "unknown")


def severity_of_score(given: object) -> str:
    """Returns the word for a CVSS score above 0 and up to 10, a number or its text; `unknown` for anything else, also NaN.

    GitHub and FIRST's qualitative scale cut it at 9.0, 7.0 and 4.0. grype writes 0.0 for what has no score. A word instead of a
    score is taken as one.

    https://www.first.org/cvss/v3.1/specification-document#Qualitative-Severity-Rating-Scale
    """
    try:
        score = float(given) if isinstance(given, (str, int, float)) and not isinstance(given, bool) else 0.0
    except (ValueError, OverflowError):
        return severity(str(given))
    if not 0 < score <= 10:
        return "unknown"
    return "critical" if score >= 9 else "high" if score >= 7 else "medium" if score >= 4 else "low"


@dataclass(frozen=True)
class Reported:
    """One finding as one scanner reports it.

    `names` are its rule, or every id of the advisory. `fixed_in` are versions; `fixable` is `None` where the scanner does not
    say. `deployed` is false for what is known to stay out of production, such as a dependency of tests. `part` tells findings
    of a rule in a file apart where lines cannot, such as the commit of a secret.
    """

    scanner: str
    category: Category
    names: tuple[str, ...]
    severity: str
    message: str
    file: str = ""
    line: int = 0
    package: str = ""
    version: str = ""
    fixed_in: tuple[str, ...] = ()
    fixable: bool | None = None
    deployed: bool = True
    part: str = ""
    print_: str = ""
    """The scanner's own fingerprint, used where the line's text is not available."""
    url: str = ""
    accepted: str = ""
    """Why the scanner itself counts it as accepted (a suppression); empty for open ones."""


@dataclass
class Scan:
    """One run of one scanner, as a report tells it. With `problems` nothing that it does not report is proven absent."""

    scanner: str
    path: str
    reported: list[Reported] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    at: dt.datetime | None = None
    """When the scan ended."""
    database: dt.datetime | None = None
    """When the advisories that it used were published."""
    images: frozenset[str] = frozenset()
    """Digests of the image that was scanned."""
    of_image: bool = False
    judges: bool = True
    """False for a report that only dates the database of others."""
    secrets: list[str] = field(default_factory=list)
    """Values that are masked everywhere: another scanner may quote them."""

    def mask(self, secret: str) -> None:
        """Notes a secret, up to `MOST_MASKED`: each costs time in every text that is written."""
        if secret and len(self.secrets) < MOST_MASKED:
            self.secrets.append(secret)
