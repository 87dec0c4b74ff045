"""The two checklists that a reviewer reads: the two-lane harness and the five stages, from what the rules say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cicd_actions.pipeline_audit.rules.definition import Result, Status
from cicd_actions.toolkit.report import Block, Heading, Inline, Table

HARNESS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Api and web are separate parallel lanes", ("merged-lanes",)),
    ("The OpenAPI document is exported in-process", ("spec-from-server",)),
    ("The generated client has no drift", ("client-drift",)),
    ("No check hides another one's failure", ("sequential-gates",)),
    ("What did not run never looks passed", ("hidden-lane",)),
    ("A release gate joins the lanes", ("ungated-release",)),
    ("One build, deployed by digest", ("rebuilt-release", "mutable-image-tag")),
    ("Migrations run once, before the roll-out", ("migrate-first", "startup-migration")),
    ("Staging, then an approval, then production", ("no-staging", "unapproved-production")),
    ("Every roll-out is verified, and can be rolled back", ("unverified-deploy", "no-rollback")),
    ("Every secret and variable is documented", ("undocumented-secret",)),
)
"""The eleven points, each with the rules that decide it."""

STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("1 Verify", ("merged-lanes", "sequential-gates", "hidden-lane", "client-drift", "unscanned-dependencies")),
    ("2 Build", ("rebuilt-release", "mutable-image-tag", "unscanned-image", "unpinned-action", "broad-token")),
    ("3 Staging", ("no-staging", "migrate-first", "startup-migration", "unverified-deploy")),
    ("4 Production", ("unapproved-production", "ungated-traffic", "cancellable-deploy", "long-lived-cloud-key")),
    ("5 Operate", ("no-rollback", "silent-failure", "unmeasured")),
)

_MARKS = {Status.PASS: "✓", Status.FAIL: "✗", Status.INCONCLUSIVE: "?", Status.NOT_APPLICABLE: "n/a"}
_WORST = (Status.FAIL, Status.INCONCLUSIVE, Status.PASS, Status.NOT_APPLICABLE)


def blocks(results: Mapping[str, Result], accepted: Mapping[str, str]) -> list[Block]:
    """Returns both tables. `accepted` has the reason for rules whose findings are all allowed or acknowledged."""
    return [
        Heading("Two-lane harness"),
        Table(("", "point", "evidence"), _rows(HARNESS, results, accepted)),
        Heading("Five stages"),
        Table(("", "stage", "evidence"), _rows(STAGES, results, accepted)),
    ]


def marks(
    points: Sequence[tuple[str, tuple[str, ...]]], results: Mapping[str, Result], accepted: Mapping[str, str]
) -> list[dict[str, str]]:
    """Returns the points with their mark, for JSON."""
    return [
        {"mark": str(mark), "point": title, "evidence": evidence}
        for mark, title, evidence in _judged(points, results, accepted)
    ]


def _rows(
    points: Sequence[tuple[str, tuple[str, ...]]], results: Mapping[str, Result], accepted: Mapping[str, str]
) -> list[list[Inline]]:
    return [[mark, title, evidence] for mark, title, evidence in _judged(points, results, accepted)]


def _judged(
    points: Sequence[tuple[str, tuple[str, ...]]], results: Mapping[str, Result], accepted: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    rows = []
    for title, ids in points:
        found = [results[id_] for id_ in ids if id_ in results]
        statuses = [Status.PASS if one.rule.id in accepted else one.status for one in found]
        status = next((one for one in _WORST if one in statuses), Status.NOT_APPLICABLE)
        rows.append((_MARKS[status], title, _evidence(found, status, accepted)))
    return rows


def _evidence(found: Sequence[Result], status: Status, accepted: Mapping[str, str]) -> str:
    if status is Status.FAIL:
        failed = [one for one in found if one.status is Status.FAIL and one.rule.id not in accepted]
        return "; ".join(f"{one.rule.id}: {one.broken[0].place}" for one in failed)
    allowed = [f"{one.rule.id}: {accepted[one.rule.id]}" for one in found if one.rule.id in accepted]
    said = [one.said for one in found if one.status is status and one.said]
    return " ".join(list(dict.fromkeys([*allowed, *said]))[:2])
