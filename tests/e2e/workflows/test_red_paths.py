"""What one job's end does to the jobs after it.

act runs no later stage once a called workflow has failed, so "production did not run" would prove nothing there. Here each job
that calls a workflow is a plain job with a chosen end instead; `needs` and `if` are the release's own.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from cicd_actions.toolkit.yaml12 import plain, read
from demo.export import for_act
from tests.e2e.workflows.conftest import ROOT, Consumer

ALL = ["build", *(f"environment {number}" for number in range(1, 5))]


def plan(environments: int, *, release: bool = True, scanned: bool = False) -> str:
    build = {"runs-on": "ubuntu-latest", "timeout-minutes": 5, "scans": {"any": scanned, "images": ["api"]}}
    return json.dumps({"release": release, "build": build, "environments": [{"name": f"e{n}"} for n in range(environments)]})


def released(failing: str) -> str:
    """The release with a plain job in place of each: `failing` ends red."""
    document: Any = plain(read(for_act((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))).root)
    jobs: dict[str, Any] = {}
    for name, job in document["jobs"].items():
        kept = {key: job[key] for key in ("name", "needs", "if") if key in job}
        code = "1" if name == failing else "0"
        jobs[name] = {**kept, "runs-on": "ubuntu-latest", "steps": [{"name": "End", "run": f"exit {code}"}]}
    inputs = {"plan": {"type": "string", "default": ""}}
    return yaml.safe_dump({"on": {"workflow_dispatch": {"inputs": inputs}}, "jobs": jobs}, sort_keys=False)


def run(consumer: Consumer, given: str, failing: str = "") -> dict[str, str]:
    consumer.commit({".github/workflows/pipeline.yml": released(failing)})
    return consumer.run("workflow_dispatch", {"inputs": {"plan": given}}).results()


@pytest.mark.parametrize("environments", [1, 2, 4])
def test_as_many_environments_run_as_the_plan_has(consumer: Consumer, environments: int) -> None:
    assert run(consumer, plan(environments)) == dict.fromkeys(ALL[: 1 + environments], "success")


@pytest.mark.parametrize(("failing", "reached"), [("build", 0), ("image", 1), ("environment-1", 1), ("environment-2", 2)])
def test_a_failed_job_stops_what_comes_after(consumer: Consumer, failing: str, reached: int) -> None:
    scanned = failing == "image"
    names = ["build", "image", *ALL[1:]] if scanned else ALL
    expected = {**dict.fromkeys(names[:reached], "success"), names[reached]: "failure"}
    assert run(consumer, plan(4, scanned=scanned), failing) == expected


@pytest.mark.parametrize("given", ["", plan(0, release=False), plan(2, release=False)])
def test_a_plan_that_releases_nothing_runs_nothing(consumer: Consumer, given: str) -> None:
    assert run(consumer, given) == {}
