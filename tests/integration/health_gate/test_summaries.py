"""The summaries of a gate, as a person reads them: tests/golden/health-gate/."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from cicd_actions.health_gate.action import ACTION
from cicd_actions.toolkit.report import Report
from tests.harness.golden import Golden

COMMIT = "4f2c" * 10
OLD = "1a7b" * 10


@pytest.mark.parametrize(
    ("case", "status", "version"),
    [("pass", 200, COMMIT), ("fail", 200, OLD), ("inconclusive", 429, "")],
)
def test_summary_of_a_gate_is_the_kept_one(
    case: str, status: int, version: str, gate: Callable[..., Report], httpserver: HTTPServer, golden: Golden
) -> None:
    # How many probes a gate makes before its deadline differs from run to run: these end, or wait, after the first ones.
    headers = {"Retry-After": "60"}
    answer = Response(json.dumps({"status": "ready", "version": version}), status, headers, content_type="application/json")
    httpserver.expect_request("/ready").respond_with_response(answer)
    url = httpserver.url_for("/ready").replace("localhost", "127.0.0.1")
    report = gate(
        targets=f"- {{name: api, url: '{url}', wrong-version-for: 1s}}",
        expect_version=COMMIT,
        version_from="json:$.version",
        timeout="4s",
        interval="2s",
    )
    assert report.verdict == {"pass": "pass", "inconclusive": "inconclusive"}.get(case, "fail")
    golden.report(f"health-gate/{case}", report, ACTION)
