"""What one job's end does to the jobs after it.

act runs no later stage once a called workflow has failed, so "production did not run" would prove nothing there. Here each job
that calls a workflow is a plain job with a chosen end instead; `needs`, `if` and the last job are the pipeline's own.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from cicd_actions.toolkit.yaml12 import plain, read
from demo.export import for_act
from demo.picture import Picture
from tests.e2e.workflows.conftest import ROOT, Consumer

PASS = {
    "verify": {"complete": "true"},
    "build": {"digests": "api=sha256:1"},
    "staging": {"verdict": "pass"},
    "production": {"verdict": "pass"},
}


def pipeline(ends: dict[str, str], outputs: dict[str, dict[str, str]]) -> str:
    """The pipeline with a plain job in place of each call: `ends` says which fail, `outputs` what they hand on."""
    text = for_act((ROOT / ".github" / "workflows" / "pipeline.yml").read_text(encoding="utf-8"))
    document = plain(read(text).root)
    assert isinstance(document, dict)
    inputs = document["on"]["workflow_call"]["inputs"]
    defaults = {name: definition.get("default", "x") for name, definition in inputs.items()}
    jobs: dict[str, Any] = {}
    for name, job in document["jobs"].items():
        if "uses" in job:
            kept = {key: job[key] for key in ("name", "needs", "if") if key in job}
            code = "1" if ends.get(name) == "failure" else "0"
            handed = {**PASS.get(name, {}), **outputs.get(name, {})}
            jobs[name] = {
                **kept,
                "runs-on": "ubuntu-latest",
                "outputs": handed,
                "steps": [{"name": "End", "run": f"exit {code}"}],
            }
        else:
            jobs[name] = job
    return yaml.safe_dump(
        {"on": {"push": None, "workflow_dispatch": {"inputs": call_inputs(defaults)}}, "jobs": jobs}, sort_keys=False
    )


def call_inputs(defaults: dict[str, Any]) -> dict[str, Any]:
    used = ("runs-on", "staging-refs", "production-refs")
    return {name: {"default": defaults[name], "type": "string"} for name in used}


def run(consumer: Consumer, ends: dict[str, str] | None = None, outputs: dict[str, dict[str, str]] | None = None) -> Picture:
    consumer.write({".github/workflows/pipeline.yml": pipeline(ends or {}, outputs or {})})
    consumer.commit({})
    return consumer.run(
        "workflow_dispatch", {"inputs": {"runs-on": "ubuntu-latest", "staging-refs": "", "production-refs": ""}}
    )


def ended(picture: Picture) -> dict[str, str]:
    return picture.results()


ALL = ["verify", "release gate", "build", "staging", "production", "result"]


def test_everything_passes(consumer: Consumer) -> None:
    assert ended(run(consumer)) == dict.fromkeys(ALL, "success")


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        ("verify", {"verify": "failure", "result": "failure"}),
        ("build", {"verify": "success", "release gate": "success", "build": "failure", "result": "failure"}),
        (
            "staging",
            {"verify": "success", "release gate": "success", "build": "success", "staging": "failure", "result": "failure"},
        ),
        ("production", {**dict.fromkeys(ALL, "success"), "production": "failure", "result": "failure"}),
    ],
)
def test_a_failed_job_stops_what_comes_after_and_the_result_is_red(
    consumer: Consumer, failing: str, expected: dict[str, str]
) -> None:
    assert ended(run(consumer, {failing: "failure"})) == expected


def test_lanes_that_did_not_run_release_nothing_and_that_is_no_failure(consumer: Consumer) -> None:
    found = ended(run(consumer, outputs={"verify": {"complete": "false"}}))
    assert found == {"verify": "success", "release gate": "success", "result": "success"}


@pytest.mark.parametrize("verdict", ["", "inconclusive", "fail"])
def test_production_waits_for_a_gate_that_passed(consumer: Consumer, verdict: str) -> None:
    """Even if the job were green without it: a verdict that is missing is not a pass, and neither is the run."""
    found = ended(run(consumer, outputs={"staging": {"verdict": verdict}}))
    assert "production" not in found
    assert found["result"] == "failure"
