"""The summaries of pipeline-audit, as a person reads them: tests/golden/pipeline-audit/."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.golden import Golden
from tests.integration.pipeline_audit.test_action import audit, fill
from tests.unit.pipeline_audit.cases import KUBECTL, STATUS, UNDO, Files, deploy, job, workflow
from tests.unit.pipeline_audit.test_red_flags import FILES

LANES = job("test", "pytest") + job("staging", KUBECTL, STATUS, UNDO, environment="staging", needs="test")
STAGED = workflow(
    LANES, job("production", KUBECTL, STATUS, UNDO, environment="production", needs="staging"), top="concurrency: deploy\n"
)

CASES: dict[str, Files] = {
    "fail": FILES,
    "pass": {".github/workflows/deploy.yml": STAGED},
    "not-applicable": {".github/workflows/publish.yml": workflow(job("publish", "npm publish"))},
    "inconclusive": {".github/workflows/deploy.yml": STAGED, ".github/workflows/other.yml": "on: push\njobs: {a: [}\n"},
    "accepted": {
        ".github/workflows/d.yml": deploy(f"{KUBECTL} # pipeline-audit: allow unverified-deploy — argo verifies", UNDO)
    },
}


@pytest.mark.parametrize("case", CASES)
def test_summary_of_pipeline_audit_is_the_kept_one(case: str, tmp_path: Path, golden: Golden) -> None:
    root, summary = tmp_path / "app", tmp_path / "summary.md"
    fill(root, CASES[case], date="2099-01-01T00:00:00Z")
    audit(root, **{"GITHUB-STEP-SUMMARY": str(summary)})
    golden.hold(f"pipeline-audit/{case}", summary.read_text())
