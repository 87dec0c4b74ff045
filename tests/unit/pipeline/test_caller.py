"""What the calling workflow says: the check that a branch rule requires, and what would stop a run before it starts."""

from __future__ import annotations

import json

import pytest

from cicd_actions.pipeline.caller import held, required_check, silent

VERIFY, PIPELINE = (f"org/cicd-actions/.github/workflows/{name}.yml@{'a' * 40}" for name in ("verify", "pipeline"))


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ({"uses": VERIFY}, "ci / check"),
        ({"uses": VERIFY, "name": "Verify it"}, "Verify it / check"),
        ({"uses": PIPELINE}, "ci / verify / check"),
        ({"uses": "./.github/workflows/verify.yml"}, "ci / check"),
        ({"uses": VERIFY, "name": "v ${{ github.ref }}"}, ""),
        ({"uses": VERIFY, "strategy": {"matrix": {"x": [1]}}}, ""),
        ({"uses": "other/repo/.github/workflows/unverify.yml@v1"}, ""),
        ({"runs-on": "x", "steps": []}, ""),
    ],
)
def test_required_check_is_named_after_the_call(job: dict[str, object], name: str) -> None:
    other = {"runs-on": "ubuntu-latest", "steps": [{"run": "x"}]}
    assert required_check(json.dumps({"on": "push", "jobs": {"lint": other, "ci": job}})) == name


def test_required_check_text_that_is_no_workflow_names_none() -> None:
    assert required_check("- 1") == required_check("") == ""


@pytest.mark.parametrize(
    ("workflow", "groups"),
    [
        ({"concurrency": "deploy-org/app-production"}, {"deploy-org/app-production"}),
        ({"concurrency": {"group": "deploy-${{ github.repository }}-staging"}}, {"deploy-org/app-staging"}),
        ({"jobs": {"ship": {"uses": PIPELINE, "concurrency": "x"}}}, {"x"}),
        ({"jobs": {"other": {"runs-on": "x", "steps": [], "concurrency": "x"}}}, set()),
        ({}, set()),
    ],
)
def test_held_groups_are_the_workflows_and_the_calling_jobs(workflow: dict[str, object], groups: set[str]) -> None:
    assert held(json.dumps({"on": "push", "jobs": {}, **workflow}), "org/app") == groups


@pytest.mark.parametrize(("job", "name"), [({}, ""), ({"if": "x"}, "ci"), ({"needs": ["a"]}, "ci")])
def test_silent_job_can_be_skipped(job: dict[str, object], name: str) -> None:
    assert silent(json.dumps({"on": "push", "jobs": {"ci": {"uses": VERIFY, **job}}})) == name
