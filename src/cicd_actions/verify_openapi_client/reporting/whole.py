"""The whole report as JSON, and what the rules that are not about the API say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cicd_actions.toolkit.sarif import RuleText
from cicd_actions.verify_openapi_client import judgement
from cicd_actions.verify_openapi_client.breaking.change import Change
from cicd_actions.verify_openapi_client.judgement import Judgement

RULE_TEXTS: Mapping[str, RuleText] = {
    judgement.DRIFT: RuleText(
        "the client in git is out of date",
        "The backend's OpenAPI document generates another client. Generate it again and commit it with the change.",
    ),
    judgement.NONDETERMINISTIC: RuleText(
        "two generations of the client differ",
        "A client that differs each time cannot be compared. Remove dates and random names from the generator.",
    ),
    judgement.SKIPPED: RuleText("breaking changes could not be checked", "There was nothing to compare the document with."),
    judgement.EXPIRED: RuleText("an acknowledgement has ended", "Make the change compatible, or give a new date and reason."),
    judgement.UNUSED: RuleText("an acknowledgement no longer matches a change", "Remove it."),
}


def as_json(judged: Judgement, headline: str) -> dict[str, Any]:
    """Everything that was found."""
    compared = judged.compared
    return {
        "verdict": judged.verdict.value,
        "headline": headline,
        "failing": judged.failing,
        "drift": {
            "found": judged.drifted,
            "files": [{"path": file.path, "kind": file.kind, "was": file.was} for file in judged.drift.files],
            "unstable": list(judged.drift.unstable),
            "causes": [{"id": cause.id, "message": cause.message, "certain": cause.certain} for cause in judged.causes],
            "touched": {
                "operations": [label for label, _ in judged.touched.operations],
                "schemas": [label for label, _ in judged.touched.schemas],
            },
            "fixed": list(judged.fixed),
            "fix": judged.fix_command,
        },
        "comparison": {
            "base": compared.origin,
            "skipped": compared.skipped,
            "operations": [{"operation": label, "what": what} for label, what in compared.overview.operations],
            "schemas": [{"schema": label, "what": what} for label, what in compared.overview.schemas],
        },
        "changes": [_change(change, judged) for change in compared.changes],
    }


def _change(change: Change, judged: Judgement) -> dict[str, Any]:
    ruling = judged.ruling(change)
    return {
        "rule": change.rule.id,
        "effect": change.rule.effect.value,
        "what": change.what,
        "operations": list(change.operations),
        "pointer": change.pointer,
        "in-base": change.in_base,
        "line": judged.lines.get(change.pointer),
        "whom": change.rule.whom,
        "why": change.rule.why,
        "compatibly": change.rule.compatibly,
        "fingerprint": change.fingerprint,
        "level": ruling.level.name.lower(),
        "deprecated": change.deprecated,
        "sunset": change.sunset,
        "accepted": ruling.reason,
    }
