"""The name of the check that a branch rule requires, as GitHub makes it from the calls on the way."""

from __future__ import annotations

import json

import pytest

from cicd_actions.pipeline.required_check import of_caller

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
def test_of_caller_is_named_after_the_call(job: dict[str, object], name: str) -> None:
    other = {"runs-on": "ubuntu-latest", "steps": [{"run": "x"}]}
    assert of_caller(json.dumps({"on": "push", "jobs": {"lint": other, "ci": job}})) == name


def test_of_caller_text_that_is_no_workflow_names_none() -> None:
    assert of_caller("- 1") == of_caller("") == ""
