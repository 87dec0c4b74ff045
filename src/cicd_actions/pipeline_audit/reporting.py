"""How an audit is reported: what it sees, checklists, findings with their SLA, every rule; as Markdown, JSON and SARIF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from cicd_actions.pipeline_audit import checklists, seen
from cicd_actions.pipeline_audit.audit import Audit
from cicd_actions.pipeline_audit.life import Item, State
from cicd_actions.pipeline_audit.rules.catalogue import RULES
from cicd_actions.pipeline_audit.rules.definition import Status, Tier
from cicd_actions.toolkit import sarif
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Details,
    Heading,
    Inline,
    Link,
    Paragraph,
    Strong,
    Table,
)
from cicd_actions.workflows.place import Place

MOST_FIXES = 40

NAME = "pipeline-audit"

_SECURITY = {Tier.CRITICAL: 9.1, Tier.MAJOR: 7.0, Tier.MINOR: 3.9}
"""`security-severity`, by which code scanning sorts: above 9 is critical, 7 high, below 4 low."""


def findings(audit: Audit, failing: Sequence[Item]) -> list[Finding]:
    """Returns the open findings for annotations, JSON and SARIF; what fails is an error."""
    failed = {id(item) for item in failing}
    found = [
        Finding(
            item.rule if item.rule.startswith("zizmor/") else f"{NAME}/{item.rule}",
            Severity.ERROR if id(item) in failed else Severity.WARNING if item.tier is Tier.MAJOR else Severity.NOTICE,
            _message(item),
            item.place.file,
            item.place.line or None,
            item.place.column if item.place.column > 1 else None,
            item.fix,
            item.fingerprint,
        )
        for item in ordered(audit.open)
    ]
    found += [
        Finding(f"{NAME}/unread", Severity.ERROR, f"This part could not be read: {why}.", place.file, place.line)
        for place, why in audit.unread
    ]
    found += [
        Finding(
            f"{NAME}/no-reason",
            Severity.WARNING,
            f"This comment allows `{rule}` without a reason, so it allows nothing.",
            place.file,
            place.line,
            fix=f"# pipeline-audit: allow {rule} — the reason",
        )
        for place, rule in audit.bare
    ]
    return found


def _message(item: Item) -> str:
    via = "".join(f" Called from {place}." for place in item.via)
    return f"{item.message}{via} {item.why}".strip()


def ordered(items: Sequence[Item]) -> list[Item]:
    """Returns the findings worst first: by tier, the oldest first, then by place."""
    return sorted(items, key=lambda item: (item.tier.rank, str(item.since or "9999"), item.rule, item.place))


def blocks(audit: Audit, failing: Sequence[Item], links: Mapping[str, str]) -> list[Block]:
    """Returns the report of one repository."""
    made = seen.blocks(audit.facts)
    accepted = audit.accepted()
    made += _table(audit, failing, links)
    made += checklists.blocks(audit.results, accepted)
    made.append(Details(f"Every rule ({len(audit.results)})", [_rules(audit, accepted)], summary_only=True))
    spared = [item for item in audit.items if item.state is not State.OPEN]
    if spared:
        listed: list[Inline] = [
            [Code(f"{item.rule} {item.place}"), f" {item.state}: {item.reason}"] for item in ordered(spared)
        ]
        made.append(Details(f"Accepted findings ({len(spared)})", [Bullets(listed)]))
    notes = [*audit.notes, *(f"The acknowledgement in line {one.line} expired on {one.expires}." for one in audit.expired)]
    made += [Paragraph(note) for note in notes]
    return made


def _table(audit: Audit, failing: Sequence[Item], links: Mapping[str, str]) -> list[Block]:
    items = ordered(audit.open)
    if not items:
        return [Heading("Findings"), Paragraph("None.")]
    failed = {id(item) for item in failing}
    rows: list[Sequence[Inline]] = [
        (
            Strong(item.tier.value) if id(item) in failed else item.tier.value,
            _sla(item, audit),
            _link(item.place, links),
            [item.message, *(f" ← {place}" for place in item.via)],
            Code(item.rule),
        )
        for item in items
    ]
    fixes: list[Block] = []
    shown: set[tuple[str, str]] = set()
    for item in items:
        if item.fix and (item.rule, item.fix) not in shown and len(shown) < MOST_FIXES:
            shown.add((item.rule, item.fix))
            fixes += [Paragraph([Strong(item.rule), f": {item.why}"]), CodeBlock(item.fix, "yaml")]
    made: list[Block] = [Heading("Findings"), Table(("tier", "SLA", "where", "what", "rule"), rows)]
    return [*made, Details("How to fix them", fixes, summary_only=True)] if fixes else made


def _sla(item: Item, audit: Audit) -> str:
    if item.tier is Tier.CRITICAL:
        return "now"
    if item.due is None:
        return f"{item.tier.sla} (age unknown)"
    if item.overdue(audit.today):
        return f"overdue since {item.due}"
    return f"by {item.due}"


def _link(place: Place, variables: Mapping[str, str]) -> Link | Code:
    server, repository, sha = (variables.get(f"GITHUB_{part}", "") for part in ("SERVER_URL", "REPOSITORY", "SHA"))
    if not (server and repository and sha) or "@" in place.file:
        return Code(str(place))
    return Link(str(place), f"{server}/{repository}/blob/{sha}/{quote(place.file)}#L{place.line}")


def _rules(audit: Audit, accepted: Mapping[str, str]) -> Table:
    rows: list[Sequence[Inline]] = []
    for id_, result in audit.results.items():
        count = len(result.broken)
        said = accepted.get(id_) or (f"{count} finding{'' if count == 1 else 's'}" if count else result.said)
        status = "accepted" if id_ in accepted else str(result.status)
        rows.append((Code(id_), result.rule.tier.value, status, said))
    return Table(("rule", "tier", "status", "evidence"), rows)


def headline(audit: Audit) -> str:
    """Returns the verdict in a sentence."""
    counts = {tier: sum(item.tier is tier for item in audit.open) for tier in Tier}
    told = [f"{number} {tier}" for tier, number in counts.items() if number]
    total = sum(counts.values())
    late = sum(item.tier is not Tier.CRITICAL and item.overdue(audit.today) for item in audit.open)
    parts = [f"{total} finding{'' if total == 1 else 's'}: {', '.join(told)}." if told else "No findings."]
    if late:
        parts.append(f"{late} overdue.")
    unclear = sum(result.status is Status.INCONCLUSIVE for result in audit.results.values())
    if unclear:
        parts.append(f"{unclear} rule{'' if unclear == 1 else 's'} inconclusive.")
    if audit.unread:
        parts.append(f"Could not read {len(audit.unread)} place{'' if len(audit.unread) == 1 else 's'}.")
    return " ".join(parts)


def as_json(audit: Audit, failing: Sequence[Item]) -> dict[str, Any]:
    """Returns the whole audit as an object for a dashboard."""
    failed = {id(item) for item in failing}
    accepted = audit.accepted()
    return {
        "repository": audit.facts.repository.name,
        "deploys": bool(audit.facts.deploying),
        "counts": {tier.value: sum(item.tier is tier for item in audit.open) for tier in Tier},
        "overdue": sum(item.overdue(audit.today) for item in audit.open),
        "rules": [
            {
                "id": id_,
                "tier": result.rule.tier.value,
                "status": "accepted" if id_ in accepted else result.status.value,
                "said": accepted.get(id_, result.said),
            }
            for id_, result in audit.results.items()
        ],
        "findings": [
            {
                "rule": item.rule,
                "tier": item.tier.value,
                "file": item.place.file,
                "line": item.place.line,
                "message": item.message,
                "via": [str(place) for place in item.via],
                "why": item.why,
                "fix": item.fix,
                "fingerprint": item.fingerprint,
                "state": item.state.value,
                "reason": item.reason,
                "since": str(item.since or ""),
                "due": str(item.due or ""),
                "fails": id(item) in failed,
            }
            for item in ordered(audit.items)
        ],
        "checklists": {
            "harness": checklists.marks(checklists.HARNESS, audit.results, accepted),
            "stages": checklists.marks(checklists.STAGES, audit.results, accepted),
        },
        "unread": [{"place": str(place), "why": why} for place, why in audit.unread],
    }


def as_sarif(found: Sequence[Finding], version: str) -> dict[str, Any]:
    """Returns the findings as SARIF."""
    texts = {
        f"{NAME}/{id_}": sarif.RuleText(rule.title, f"{rule.why}\n\n{rule.fix}", security=_SECURITY[rule.tier])
        for id_, rule in RULES.items()
    }
    texts |= {
        one.rule: sarif.RuleText(
            f"{one.rule.removeprefix('zizmor/')}, found by zizmor", one.fix or "", security=_SECURITY[tier]
        )
        for one in found
        if one.rule.startswith("zizmor/")
        for tier in [Tier.MINOR if one.severity is Severity.NOTICE else Tier.MAJOR]
    }
    return sarif.document(NAME, found, texts, version=version, elsewhere=".github/workflows")
