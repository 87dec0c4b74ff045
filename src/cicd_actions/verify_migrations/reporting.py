"""Says what `judgement` decided: the summary, the JSON report, SARIF, and the pull request's comment."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from cicd_actions.toolkit import markdown, private, sarif
from cicd_actions.toolkit.printable import visible
from cicd_actions.toolkit.report import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Details,
    Heading,
    OutputValue,
    Paragraph,
    Report,
    Strong,
    Table,
)
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.verify_migrations.inputs import Inputs
from cicd_actions.verify_migrations.judgement import Judgement, Ruling
from cicd_actions.verify_migrations.rules import RULES
from cicd_actions.verify_openapi_client.acknowledge import entry
from cicd_actions.verify_openapi_client.reporting import comment

_IN_FULL = 25


def report(tool: str, judged: Judgement, inputs: Inputs, runtime: Runtime, path: Path | None) -> Report:
    """Writes the files that the outputs name. Returns the report."""
    body = blocks(judged)
    if inputs.comment:
        runtime.log(
            comment.keep(
                runtime,
                inputs.github_token,
                (tool, inputs.working_directory),
                judged.verdict,
                judged.headline,
                body,
                title="Migrations",
            )
        )
    results = Path(tempfile.mkdtemp(prefix=f"{tool}-", dir=runtime.variables.get("RUNNER_TEMP") or None))
    texts = {f"{tool}/{id_}": sarif.RuleText(rule.title, f"{rule.why} {rule.told('alembic')}") for id_, rule in RULES.items()}
    findings = [each.finding for each in judged.rulings if not each.accepted]
    as_sarif = sarif.document(tool, findings, texts, version=runtime.variables.get("GITHUB_ACTION_REF", ""))
    outputs: dict[str, OutputValue] = {
        "verdict": judged.verdict,
        "reason": judged.headline,
        "new": [each["revision"] for each in judged.evidence.new],
        "phases": {revision: phase for revision, (phase, _) in judged.evidence.phases.items()},
        "findings": len(findings),
        "locks": judged.evidence.locks,
        "report": str(_write(path or results / "report.json", whole(judged), runtime)),
        "sarif": str(_write(results / "findings.sarif", as_sarif, runtime)),
        "comment-body": str(_comment_body(results / "comment.md", judged, body, runtime)),
    }
    return Report(judged.verdict, judged.headline, outputs, findings, body, list_findings=False)


def whole(judged: Judgement) -> dict[str, Any]:
    """Returns everything that was found. `phases` is what `run-migrations-oneshot` reads."""
    evidence = judged.evidence
    return {
        "verdict": judged.verdict.value,
        "headline": judged.headline,
        "base": judged.origin,
        "new": [
            {key: each.get(key, "") for key in ("revision", "message", "file", "phase", "down")}
            | {"not-tried": [gap.short for gap in evidence.gaps if each["revision"] in gap.revisions]}
            for each in evidence.new
        ],
        "phases": {revision: {"phase": phase, "why": why} for revision, (phase, why) in evidence.phases.items()},
        "locks": evidence.locks,
        "not-judged": evidence.not_judged,
        "findings": [
            {
                "rule": each.trouble.rule,
                "class": RULES[each.trouble.rule].group,
                "severity": each.severity.value,
                "fails": each.fails,
                "revision": each.trouble.revision,
                "place": each.trouble.place.replace("#", "."),
                "what": each.trouble.what,
                "file": each.trouble.file,
                "line": each.trouble.line,
                "fingerprint": each.fingerprint,
                "accepted": each.accepted,
                "why": each.why,
            }
            for each in judged.rulings
        ],
    }


def blocks(judged: Judgement) -> list[Block]:
    """Returns the report's body, the worst first."""
    found: list[Block] = []
    evidence = judged.evidence
    if judged.contracts:
        listed = ", ".join(judged.contracts)
        text = f"After this deploy no older release can run. The rollback floor is set by {listed}."
        found.append(Paragraph((Strong("Contract. "), text)))
    open_ = [each for each in judged.rulings if not each.accepted]
    for each in open_[:_IN_FULL]:
        found += _one(each)
    if len(open_) > _IN_FULL:
        found.append(Paragraph(f"… and {len(open_) - _IN_FULL} more in the output `report`."))
    failing = [each for each in open_ if each.fails]
    if failing:
        text = "\n".join(entry(each.fingerprint, each.trouble.what) for each in failing[:_IN_FULL])
        found.append(Details("Accept a finding (`acknowledge`)", [CodeBlock(text, "yaml")], summary_only=True))
    accepted = [each for each in judged.rulings if each.accepted]
    if accepted:
        rows = [(each.trouble.what, each.accepted) for each in accepted]
        found.append(Details(f"{len(rows)} accepted", [Table(("finding", "reason"), rows)]))
    if evidence.new:
        phases = [
            (
                Code(each["revision"]),
                each.get("message", ""),
                *evidence.phases.get(each["revision"], ("unknown", "it did not run")),
            )
            for each in evidence.new
        ]
        found += [Heading("New migrations"), Table(("revision", "message", "phase", "why"), phases)]
    locks = [(Code(revision), table, mode) for revision, held in evidence.locks.items() for table, mode in held.items()]
    if locks:
        title = f"{len(locks)} {'lock' if len(locks) == 1 else 'locks'} on tables that exist now"
        found.append(Details(title, [Table(("revision", "table", "strongest lock"), locks)]))
    if evidence.not_judged:
        found += [Heading("Not judged"), Bullets(evidence.not_judged)]
    found.append(Paragraph(f"Compared with {judged.origin}."))
    return found


def _one(ruling: Ruling) -> list[Block]:
    trouble, rule = ruling.trouble, RULES[ruling.trouble.rule]
    place = f"{trouble.file}:{trouble.line}" if trouble.line else trouble.file
    items: list[Any] = [rule.why, f"Instead: {rule.told(ruling.trouble.tool)}"]
    if ruling.why:
        items.append(ruling.why)
    items.append(
        ("Rule ", Code(trouble.rule), *((" at ", Code(place)) if place else ()), ", fingerprint ", Code(ruling.fingerprint))
    )
    mark = {"error": "❌ ", "warning": "⚠️ ", "notice": "ℹ️ "}[ruling.severity.value]
    return [Paragraph((Strong(f"{mark}{trouble.sentence}"),)), Bullets(items)]


def _write(path: Path, content: object, runtime: Runtime) -> Path:
    private.write(path, runtime.redactor(json.dumps(content, indent=1, ensure_ascii=True)) + "\n")
    return path


def _comment_body(path: Path, judged: Judgement, body: list[Block], runtime: Runtime) -> Path:
    text = markdown.render([Paragraph(judged.headline), *body], lambda one: visible(runtime.redactor(one)), comment.LONGEST)
    private.write(path, text)
    return path
