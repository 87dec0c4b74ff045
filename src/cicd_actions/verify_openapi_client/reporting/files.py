"""Writes the report as files: the patch, JSON and SARIF, and ties them to the outputs."""

from __future__ import annotations

import json
from pathlib import Path

from cicd_actions.toolkit import private, sarif
from cicd_actions.toolkit.report import OutputValue, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.verify_openapi_client.breaking.rules import RULES, Effect
from cicd_actions.verify_openapi_client.inputs import Inputs
from cicd_actions.verify_openapi_client.judgement import Judgement
from cicd_actions.verify_openapi_client.reporting import comment, summary, whole


def report(tool: str, judged: Judgement, inputs: Inputs, runtime: Runtime, results: Path) -> Report:
    """Writes the files that the outputs name into the folder `results`. Returns the report."""
    verdict, headline = judged.verdict, summary.headline(judged)
    text = judged.drift.patch.decode("utf-8", "replace")
    blocks = summary.blocks(judged, text)
    findings = judged.findings()
    if inputs.comment:
        runtime.log(comment.keep(runtime, inputs.github_token, judged.client, verdict, headline, blocks))
    texts = {id_: sarif.RuleText(rule.title, f"{rule.why} {rule.compatibly}") for id_, rule in RULES.items()}
    texts |= whole.RULE_TEXTS
    version = runtime.variables.get("GITHUB_ACTION_REF", "")
    as_sarif = sarif.document(tool, findings, texts, version=version, elsewhere=judged.client[0])
    sarif_file = _write(results / "findings.sarif", as_sarif, runtime)
    report_file = _write(results / "report.json", whole.as_json(judged, headline), runtime)
    outputs: dict[str, OutputValue] = {
        "verdict": verdict,
        "reason": headline,
        "drift": judged.drifted,
        "changed-files": [file.path for file in judged.drift.files],
        "patch": str(_patch(judged, results)),
        "breaking": len(judged.open(Effect.BREAKING)) if not judged.compared.skipped else "",
        "report": str(report_file),
        "sarif": str(sarif_file),
    }
    return Report(verdict, headline, outputs, findings, blocks, list_findings=False)


def _write(path: Path, content: object, runtime: Runtime) -> Path:
    private.write(path, runtime.redactor(json.dumps(content, indent=1, ensure_ascii=True)) + "\n")
    return path


def _patch(judged: Judgement, results: Path) -> Path | str:
    if not judged.drift:
        return ""
    path = results / "client.patch"
    private.write(path, judged.drift.patch)
    return path
