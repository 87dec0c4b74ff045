"""Reports what the scans found: as a summary, JSON and SARIF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cicd_actions.pipeline_audit.life import State
from cicd_actions.pipeline_audit.rules.definition import Tier
from cicd_actions.scan_gate.judgement import Found, Judged
from cicd_actions.toolkit import sarif
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Block, Bullets, Code, Details, Heading, Inline, Link, Paragraph, Strong, Table

NAME = "scan-gate"

_SECURITY = {Tier.CRITICAL: 9.1, Tier.MAJOR: 7.0, Tier.MINOR: 3.9}
"""`security-severity`, by which code scanning sorts: above 9 is critical, 7 high, below 4 low."""

MOST_NOTES = 20


def ordered(items: Sequence[Found], judged: Judged) -> list[Found]:
    """Returns the findings worst first: what fails, then by tier, the oldest first."""
    return sorted(items, key=lambda item: (not judged.fails(item), item.tier.rank, str(item.since or "9999"), item.keys))


def findings(judged: Judged) -> list[Finding]:
    """Returns the open findings and the scans that prove nothing, for annotations, JSON and SARIF."""
    found = [
        Finding(
            _rule(item),
            Severity.ERROR if judged.fails(item) else Severity.WARNING if item.tier is Tier.MAJOR else Severity.NOTICE,
            f"{item.message} ({', '.join(item.scanners)})",
            item.place.file,
            item.place.line or None,
            fix=item.fix,
            fingerprint=item.fingerprint,
        )
        for item in ordered(judged.open, judged)
    ]
    found += [
        Finding(f"{NAME}/inconclusive", Severity.ERROR, f"{scanner} proves nothing ({report}): {why}.")
        for scanner, report, why in judged.problems
    ]
    found += [
        Finding(f"{NAME}/expired", Severity.WARNING, f"The acknowledgement in line {one.line} expired on {one.expires}.")
        for one in judged.expired
    ]
    return found


def _rule(item: Found) -> str:
    return item.names[0] if item.package else f"{item.scanners[0]}/{item.names[0]}"


def headline(judged: Judged) -> str:
    """Returns the verdict in a sentence."""
    counts = [f"{number} {tier}" for tier in Tier if (number := sum(item.tier is tier for item in judged.open))]
    total = len(judged.open)
    failing = len(judged.failing)
    parts = [f"{total} open finding{'' if total == 1 else 's'}: {', '.join(counts)}." if total else "No open findings."]
    if failing:
        what = (
            "new in this change" if judged.policy.only_new else "overdue" if judged.policy.fail_on == "overdue" else "failing"
        )
        parts.append(f"{failing} {what}.")
    if judged.problems:
        scans = len({(scanner, report) for scanner, report, _ in judged.problems})
        parts.append(f"{scans} scan{' proves' if scans == 1 else 's prove'} nothing.")
    return " ".join(parts)


def blocks(judged: Judged) -> list[Block]:
    """Returns the summary."""
    made: list[Block] = []
    if judged.problems:
        rows: list[Sequence[Inline]] = [(scanner, Code(report), why) for scanner, report, why in judged.problems]
        made += [Heading("Scans that prove nothing"), Table(("scanner", "report", "why"), rows)]
    items = ordered(judged.open, judged)
    if items:
        made += [Heading("Findings"), _table(items, judged)]
    made.append(Details(f"Scans ({len(judged.scans)})", [_scans(judged)]))
    spared = ordered([item for item in judged.items if item.state is not State.OPEN], judged)
    if spared:
        listed: list[Inline] = [[Code(_what(item)), f" {item.state}: {item.reason}"] for item in spared]
        made.append(Details(f"Accepted findings ({len(spared)})", [Bullets(listed)]))
    return [*made, *(Paragraph(note) for note in notes(judged))]


def notes(judged: Judged) -> list[str]:
    """Returns what a reader has to know to trust the verdict."""
    found = [f"The acknowledgement in line {one.line} expired on {one.expires}." for one in judged.expired]
    found += [f"The acknowledgement in line {one.line} covers no finding." for one in judged.unused]
    if not judged.compared and any(item.since is None and item.days for item in judged.open):
        found.append("Without `baseline` or `store` the age of these findings is not known, and no SLA can pass.")
    if judged.policy.only_new and not judged.compared:
        found.append("There is no baseline, so every finding counts as new.")
    told = [note for scan in judged.scans for note in scan.notes]
    found += told[:MOST_NOTES]
    if len(told) > MOST_NOTES:
        found.append(f"The scanners have {len(told) - MOST_NOTES} more notes; all are in the JSON report.")
    return found


def _what(item: Found) -> str:
    return f"{item.names[0]} {item.package or item.place}".strip()


def _table(items: Sequence[Found], judged: Judged) -> Table:
    rows: list[Sequence[Inline]] = [
        (
            Strong(item.tier.value) if judged.fails(item) else item.tier.value,
            _sla(item, judged),
            Link(item.names[0], item.url) if item.url else Code(item.names[0]),
            item.message,
            _where(item),
            ", ".join(item.scanners),
        )
        for item in items
    ]
    return Table(("tier", "SLA", "rule", "what", "where", "found by"), rows)


def _where(item: Found) -> Inline:
    if not item.place.file:
        return ""
    first = str(item.place) if item.place.line else item.place.file
    return [Code(first), f" and {len(item.via)} more"] if item.via else Code(first)


def _sla(item: Found, judged: Judged) -> str:
    if not item.deployed:
        return "not deployed"
    if judged.policy.only_new:
        return "known" if item.known else "new"
    if item.fixable is False and not judged.policy.unfixed_fails:
        return "no fix yet"
    if item.days == 0:
        return "now"
    if item.due is None:
        return f"{item.days} days (age unknown)"
    return f"overdue since {item.due}" if item.overdue(judged.policy.today) else f"by {item.due}"


def _scans(judged: Judged) -> Table:
    rows: list[Sequence[Inline]] = [
        (
            scan.scanner,
            Code(scan.path),
            str(len(scan.reported)),
            scan.database.strftime("%Y-%m-%d") if scan.database else "",
            "inconclusive" if scan.problems else "complete",
        )
        for scan in judged.scans
    ]
    return Table(("scanner", "report", "findings", "database of", "scan"), rows)


def as_json(judged: Judged) -> dict[str, Any]:
    """Returns everything as an object for a dashboard."""
    return {
        "counts": {tier.value: sum(item.tier is tier for item in judged.open) for tier in Tier},
        "overdue": sum(item.overdue(judged.policy.today) for item in judged.open),
        "scans": [
            {
                "scanner": scan.scanner,
                "report": scan.path,
                "findings": len(scan.reported),
                "at": scan.at.isoformat() if scan.at else "",
                "database": scan.database.isoformat() if scan.database else "",
                "images": sorted(scan.images),
                "problems": scan.problems,
                "notes": scan.notes,
            }
            for scan in judged.scans
        ],
        "inconclusive": [{"scanner": scanner, "report": report, "why": why} for scanner, report, why in judged.problems],
        "findings": [_item(item, judged) for item in ordered(judged.items, judged)],
    }


def _item(item: Found, judged: Judged) -> dict[str, Any]:
    return {
        "rule": item.names[0],
        "aliases": list(item.names[1:]),
        "category": item.category.value,
        "tier": item.tier.value,
        "package": item.package,
        "version": item.version,
        "fixed-in": list(item.fixed_in),
        "fixable": item.fixable,
        "deployed": item.deployed,
        "message": item.message,
        "file": item.place.file,
        "line": item.place.line,
        "also-in": [str(place) for place in item.via],
        "scanners": list(item.scanners),
        "url": item.url,
        "fingerprint": item.fingerprint,
        "state": item.state.value,
        "reason": item.reason,
        "known": item.known,
        "since": str(item.since or ""),
        "due": str(item.due or ""),
        "fails": judged.fails(item),
    }


def as_sarif(judged: Judged, version: str, elsewhere: str) -> dict[str, Any]:
    """Returns the open findings of all scanners as one run of SARIF. `elsewhere` is the file of findings that have none."""
    texts = {
        _rule(item): sarif.RuleText(_rule(item), item.fix, security=_SECURITY[item.tier]) for item in reversed(judged.open)
    }
    return sarif.document(NAME, findings(judged), texts, version=version, elsewhere=elsewhere)
