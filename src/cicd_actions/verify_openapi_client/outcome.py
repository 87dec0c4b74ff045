"""What is said of a generation: why the client differs, what that touches, and the report with its files."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cicd_actions.toolkit import sarif
from cicd_actions.toolkit.report import OutputValue, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.verify_openapi_client import diagnosis, drift, overview, places, presentation, whole_report
from cicd_actions.verify_openapi_client.breaking.rules import RULES, Effect
from cicd_actions.verify_openapi_client.inputs import Inputs
from cicd_actions.verify_openapi_client.judgement import Compared, Judgement
from cicd_actions.verify_openapi_client.repository import Repository
from cicd_actions.verify_openapi_client.shadow import Shadow
from cicd_actions.verify_openapi_client.specification import Specification


@dataclass(frozen=True)
class Seen:
    """What the copy shows of a difference; `first_line` is the first of the client in git that differs."""

    causes: Sequence[diagnosis.Cause]
    touched: overview.Overview
    first_line: int


def look(found: drift.Drift, repo: Repository, copy: Shadow, where: str, inputs: Inputs, spec: Specification) -> Seen:
    """Say why the client differs, while the copy is there. `where` is the working directory from the repository's root."""
    if not found:
        return Seen((), overview.Overview((), ()), 1)
    texts = _texts(found, repo, copy)
    old, new = texts[found.files[0].path]
    first_line = min(drift.first_difference(old.encode(), new.encode()), max(len(old.splitlines()), 1))
    if found.unstable:
        return Seen((), overview.Overview((), ()), first_line)
    seen = diagnosis.Client(repo, copy.tree, where, inputs.generate_command, inputs.format_command or ())
    touched = overview.touched(found.patch.decode("utf-8", "replace"), texts, spec.document)
    return Seen(diagnosis.causes(found, seen), touched, first_line)


def _texts(found: drift.Drift, repo: Repository, copy: Shadow) -> dict[str, tuple[str, str]]:
    texts: dict[str, tuple[str, str]] = {}
    for file in found.files:
        old = repo.show(repo.head, file.was or file.path) or b""
        new = copy.tree / file.path
        content = new.read_bytes() if new.is_file() else b""
        texts[file.path] = (old.decode("utf-8", "replace"), content.decode("utf-8", "replace"))
    return texts


def lines(spec: Specification, spec_file: str, compared: Compared) -> dict[str, int]:
    """The lines of the document, where git has it, that the findings stand on, by pointer."""
    wanted = [change.pointer for change in compared.changes if not change.in_base]
    return places.lines(spec, wanted) if spec_file and wanted else {}


def report(tool: str, judged: Judgement, inputs: Inputs, runtime: Runtime, results: Path) -> Report:
    """Write the files that the outputs name into the folder `results`, and say everything."""
    verdict, headline = judged.verdict, presentation.headline(judged)
    text = judged.drift.patch.decode("utf-8", "replace")
    blocks = presentation.blocks(judged, text)
    findings = judged.findings()
    if inputs.comment:
        from cicd_actions.verify_openapi_client import comment  # noqa: PLC0415 - an import is start-up time

        runtime.log(comment.keep(runtime, inputs.github_token, judged.client, verdict, headline, blocks))
    texts = {id_: sarif.RuleText(rule.title, f"{rule.why} {rule.compatibly}") for id_, rule in RULES.items()}
    texts |= whole_report.RULE_TEXTS
    version = runtime.variables.get("GITHUB_ACTION_REF", "")
    as_sarif = sarif.document(tool, findings, texts, version=version, elsewhere=judged.client[0])
    sarif_file = _write(results / "findings.sarif", as_sarif, runtime)
    report_file = _write(results / "report.json", whole_report.as_json(judged, headline), runtime)
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
    path.write_text(runtime.redactor(json.dumps(content, indent=1, ensure_ascii=True)) + "\n", encoding="utf-8")
    with contextlib.suppress(OSError):
        path.chmod(0o644)
    return path


def _patch(judged: Judgement, results: Path) -> Path | str:
    if not judged.drift:
        return ""
    path = results / "client.patch"
    path.write_bytes(judged.drift.patch)
    return path
