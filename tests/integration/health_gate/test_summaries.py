"""The summaries of a gate, as a person reads them: tests/golden/health-gate/."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.health_gate.action import ACTION
from cicd_actions.toolkit.report import Report
from tests.harness.golden import Golden

COMMIT = "4f2c" * 10
OLD = "1a7b" * 10


@pytest.mark.parametrize(("case", "status", "version"), [("pass", 200, COMMIT)])
def test_summary_of_a_gate_is_the_kept_one(
    case: str, status: int, version: str, gate: Callable[..., Report], httpserver: HTTPServer, golden: Golden
) -> None:
    httpserver.expect_request("/ready").respond_with_json({"status": "ready", "version": version}, status=status)
    report = gate(
        url="api=" + httpserver.url_for("/ready").replace("localhost", "127.0.0.1"),
        expect_version=COMMIT,
        version_from="json:$.version",
        timeout="2s",
        interval="30s",
    )
    assert report.verdict == {"pass": "pass", "inconclusive": "inconclusive"}.get(case, "fail")
    # How many probes fit into the timeout differs from run to run.
    golden.report(f"health-gate/{case}", report, ACTION, probes=str(report.outputs["attempts"]))
