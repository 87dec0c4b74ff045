"""The summaries of pipeline-metrics, as a person reads them: tests/golden/pipeline-metrics/."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.fakes.github import FakeGitHub
from tests.fakes.github.actions import Ran
from tests.harness.golden import Golden
from tests.harness.pipelines import DAY, Pipelines, sha

CASES = {
    "pass": {"fail-on": "success-rate < 60%", "rates": "ubuntu-*=0.006"},
    "fail": {"fail-on": "success-rate < 95%\nchange-failure-rate > 15%"},
    "inconclusive": {"fail-on": "restore-p50 > 1h", "request-budget": "6"},
}


@pytest.mark.parametrize("case", CASES)
def test_summary_of_pipeline_metrics_is_the_kept_one(case: str, tmp_path: Path, golden: Golden) -> None:
    now = int(time.time())
    with FakeGitHub() as github:
        made = Pipelines(github)
        made.repository()
        made.commits("org/app", {sha(number): now - (40 - number) * DAY for number in range(40)})
        for number in range(2, 40, 3):
            made.record("org/app", now - (39 - number) * DAY, sha(number), passed=number % 4 != 0)
        for number in range(24):
            end = "failure" if number % 6 == 0 else "success"
            steps = [("Checkout", "success", 3), ("pytest", end, 500)]
            jobs = [Ran("test", end, waited=4, took=600 + 10 * number, steps=steps)]
            made.run("org/app", now - 3600 - number * 3 * DAY, took=620 + 10 * number, conclusion=end, branch="main", jobs=jobs)
        ended = made.measure(tmp_path, {"days": "60", **CASES[case]})
    assert ended.verdict == case, ended.log
    golden.hold(f"pipeline-metrics/{case}", re.sub(r'"\d{1,2} [A-Z][a-z]{2}"', '"1 Jan"', ended.summary))
