"""Writes findings as SARIF 2.1.0, in the subset that GitHub's code scanning reads.

https://docs.github.com/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from cicd_actions.toolkit.findings import Finding, Severity, worst_first
from cicd_actions.toolkit.printable import shortened, visible

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

MOST_RESULTS = 5000
"""GitHub keeps the 5,000 worst results of a run."""

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTICE: "note"}


@dataclass(frozen=True)
class RuleText:
    """Describes a rule: `title` names it in a few words, `help` says why it matters and how to fix it.

    `security` is GitHub's `security-severity` from 0 to 10, for rules that are about security or safety.
    """

    title: str
    help: str = ""
    security: float | None = None


def document(
    tool: str, findings: Iterable[Finding], rules: Mapping[str, RuleText], *, version: str = "", elsewhere: str = ""
) -> dict[str, Any]:
    """Returns one run of `tool` as an object that `json.dumps` writes.

    `elsewhere` is the file for findings that have none: GitHub shows no result without a place. The caller redacts
    the texts.
    """
    ordered = worst_first(findings)[:MOST_RESULTS]
    ids = sorted({found.rule for found in ordered})
    driver: dict[str, Any] = {"name": tool, **({"version": version} if version else {})}
    driver["rules"] = [_rule(id_, rules.get(id_)) for id_ in ids]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "results": [_result(found, ids, elsewhere) for found in ordered],
            }
        ],
    }


def _rule(id_: str, text: RuleText | None) -> dict[str, Any]:
    title = text.title if text else id_
    found: dict[str, Any] = {"id": id_, "shortDescription": {"text": title}}
    if text and text.help:
        found["help"] = {"text": text.help}
    if text and text.security is not None:
        found["properties"] = {"security-severity": f"{text.security:.1f}", "tags": ["security"]}
    return found


def _result(found: Finding, ids: Sequence[str], elsewhere: str) -> dict[str, Any]:
    message = f"{found.message}\n{found.fix}" if found.fix else found.message
    result: dict[str, Any] = {
        "ruleId": found.rule,
        "ruleIndex": ids.index(found.rule),
        "level": _LEVELS[found.severity],
        "message": {"text": shortened(visible(message), 8000)},
        "partialFingerprints": {"cicdActions/v1": found.fingerprint or _fingerprint(found)},
    }
    file = found.file or elsewhere
    if file:
        place: dict[str, Any] = {"artifactLocation": {"uri": quote(file, safe="/", errors="surrogateescape")}}
        line = found.line if found.file else None
        place["region"] = {"startLine": line or 1, **({"startColumn": found.column} if line and found.column else {})}
        location: dict[str, Any] = {"physicalLocation": place}
        if found.pointer:
            location["logicalLocations"] = [{"fullyQualifiedName": found.pointer, "kind": "value"}]
        result["locations"] = [location]
    return result


def _fingerprint(found: Finding) -> str:
    """Returns a hash of what stays when lines move."""
    text = f"{found.rule}\0{found.file}\0{found.pointer}\0{found.message}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
