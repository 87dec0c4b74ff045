"""Reads scanners of source: bandit and gitleaks."""

from __future__ import annotations

import re
from typing import Any

from cicd_actions.scan_gate.document import mapping, objects, present, text, time, whole
from cicd_actions.scan_gate.scan import Category, Reported, Scan, severity

_QUOTES_SECRETS = re.compile(r"B10[5-7]|S10[5-7]")
"""bandit's hardcoded-password rules, and ruff's copies of them: their message quotes the password."""


def bandit(document: dict[str, Any], scan: Scan) -> None:
    """Reads `bandit --format json`."""
    scan.at = time(document.get("generated_at"))
    for one in objects(document.get("errors"), "errors"):
        scan.problems.append(f"bandit could not read {text(one.get('filename'))}: {text(one.get('reason'))}")
    totals = mapping(mapping(document.get("metrics"), "metrics").get("_totals", {}), "metrics._totals")
    if not whole(totals.get("loc")):
        scan.problems.append("bandit scanned no line of code")
    for one in present(document.get("results"), "results"):
        rule = text(one.get("test_id"), "test_id")
        scan.reported.append(
            Reported(
                scan.scanner,
                Category.CODE,
                (rule,),
                severity(text(one.get("issue_severity"))),
                quiet(rule, text(one.get("issue_text"))),
                text(one.get("filename"), "filename"),
                whole(one.get("line_number")),
                url=text(one.get("more_info")),
            )
        )


def quiet(rule: str, message: str) -> str:
    """Returns the message of a finding without the password that it quotes."""
    return re.split(r"[:'\"`]", message)[0].strip() if _QUOTES_SECRETS.search(rule) else message


def gitleaks(document: Any, scan: Scan) -> None:
    """Reads `gitleaks --report-format json`. Of a finding only the rule, the file, the line and the commit are taken."""
    for number, one in enumerate(objects(document, "the report")):
        scan.mask(text(one.get("Secret")))
        rule = text(one.get("RuleID"), f"[{number}].RuleID")
        commit = text(one.get("Commit"))
        scan.reported.append(
            Reported(
                scan.scanner,
                Category.SECRET,
                (rule,),
                "secret",
                f"A secret was found by the rule {rule}" + (f", in commit {commit[:12]}" if commit else ""),
                text(one.get("File"), f"[{number}].File"),
                whole(one.get("StartLine")),
                part=commit,
            )
        )
