"""Reports that the scanners themselves wrote: tests/data/scans, and zizmor's of this run."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest

from cicd_actions.scan_gate.reports import Expected, read
from cicd_actions.toolkit.verdict import Verdict
from tests.unit.scan_gate.gate import document, gate, gate_at, rules

DATA = Path(__file__).resolve().parents[2] / "data" / "scans"
LATER = dt.datetime(2100, 1, 1, tzinfo=dt.timezone.utc)
LODASH, MINIMIST = "GHSA-35jh-r3h4-6jhm", "GHSA-xvch-5gv4-984h"


@pytest.mark.parametrize(
    ("name", "fixed"),
    [("npm.json", ["4.18.1", "1.2.8"]), ("pnpm.json", ["4.17.21", "1.2.6"]), ("yarn-4.jsonl", [None, None])],
)
def test_audit_of_a_package_manager_is_read(name: str, fixed: list[str | None]) -> None:
    (scan,) = read((Expected(name),), DATA)
    assert scan.problems == []
    found = sorted((one.package, one.names, one.severity) for one in scan.reported)
    assert found == [("lodash", (LODASH,), "high"), ("minimist", (MINIMIST,), "critical")]
    by_package = sorted(scan.reported, key=lambda one: one.package)
    assert [(one.fixed_in or (None,))[0] for one in by_package] == fixed


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("npm-failed.json", "the audit failed (405 Method Not Allowed"),
        ("pnpm-failed.json", "ERR_PNPM_AUDIT_BAD_RESPONSE"),
        ("yarn-1-failed.jsonl", "ends before its summary"),
        # It ended with exit code 0 and the words "No known vulnerabilities found".
        ("pip-audit-skipped.json", "judged no dependency"),
    ],
)
def test_audit_that_a_registry_did_not_answer_proves_nothing(name: str, why: str) -> None:
    (scan,) = read((Expected(name),), DATA)
    assert why in scan.problems[0]


def test_bandit_says_the_same_in_json_and_in_sarif(tmp_path: Path) -> None:
    documents = {name: (DATA / name).read_bytes() for name in ("bandit.json", "bandit.sarif")}
    report = gate_at(LATER, tmp_path, documents, "push", {"max_age": "876000h"})
    found = document(report, "report")["findings"]
    assert sorted((one["rule"], one["line"]) for one in found) == [("B105", 3), ("B404", 1), ("B602", 7)]
    assert all(one["scanners"] == ["bandit"] for one in found)
    assert "hunter2" not in Path(str(report.outputs["report"])).read_text()


def test_gitleaks_says_the_same_in_json_and_in_sarif(tmp_path: Path) -> None:
    documents = {name: (DATA / name).read_bytes() for name in ("gitleaks.json", "gitleaks.sarif")}
    report = gate_at(LATER, tmp_path, documents, "push", {"max_age": "876000h"})
    found = document(report, "report")["findings"]
    assert sorted((one["rule"], one["file"], one["line"]) for one in found) == [
        ("aws-access-token", "conf.py", 1),
        ("github-pat", "deploy.sh", 1),
    ]
    assert all(one["scanners"] == ["gitleaks"] and one["tier"] == "critical" for one in found)
    assert "not-a-secret-of-ours" not in Path(str(report.outputs["report"])).read_text()


def test_sarif_of_zizmor_is_read(tmp_path: Path) -> None:
    workflow = tmp_path / ".github" / "workflows" / "w.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(
        'on: issues\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: echo "${{ github.event.issue.title }}"\n'
    )
    zizmor = Path(sys.executable).parent / "zizmor"
    done = subprocess.run(
        [zizmor, "--offline", "--quiet", "--format", "sarif", "."], cwd=tmp_path, capture_output=True, check=False
    )
    report = gate(tmp_path, {"zizmor.sarif": done.stdout}, fail_on="major")
    assert report.verdict is Verdict.FAIL
    assert "zizmor/template-injection" in rules(report)
