"""The summaries of scan-gate, as a person reads them: tests/golden/scan-gate/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cicd_actions.scan_gate.action import ACTION
from tests.harness.golden import Golden
from tests.unit.scan_gate.gate import gate
from tests.unit.scan_gate.samples import (
    BANDIT,
    BERRY,
    GITLEAKS,
    GRYPE,
    NPM,
    OSV,
    PIP_AUDIT,
    PNPM,
    YARN,
    changed,
    result,
    sarif,
)  # fmt: skip

CLEAN = changed(PIP_AUDIT, "dependencies", to=[{"name": "click", "version": "8.1.0", "vulns": []}])
EVERY = {"npm.json": NPM, "pnpm.json": PNPM, "yarn.json": YARN, "berry.json": BERRY, "osv.json": OSV, "grype.json": GRYPE}
HOSTILE = sarif(
    result("B1", message="<script>alert(1)</script> ::error::x\n# Heading ![i](http://x/y.png) @org/team #12 \x1b[31m\u202e"),
    result("::set-output name=x::y", file="a|b`c`.py"),
)
SUMMARIES: dict[str, dict[str, Any]] = {
    "pass": {"documents": {"pip.json": CLEAN}},
    "fail": {"documents": EVERY | {"leak.json": GITLEAKS, "bandit.json": BANDIT}, "fail_on": "major"},
    "inconclusive": {"documents": {"pip.json": PIP_AUDIT, "npm.json": {"error": {"code": "ENOAUDIT", "summary": "503"}}}},
    "hostile": {"documents": {"hostile.sarif": HOSTILE}},
}


@pytest.mark.parametrize("case", SUMMARIES)
def test_summary_of_scan_gate_is_the_kept_one(case: str, tmp_path: Path, golden: Golden) -> None:
    settings = dict(SUMMARIES[case])
    report = gate(tmp_path, settings.pop("documents"), **settings)
    golden.report(f"scan-gate/{case}", report, ACTION)
