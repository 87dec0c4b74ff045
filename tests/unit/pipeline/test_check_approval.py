"""A deploy's approval: given for this environment, and not too long ago."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pytest

from cicd_actions.pipeline.check_approval import Inputs, run
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime
from tests.fakes.github import FakeGitHub, settings
from tests.fakes.github.approvals import review
from tests.fakes.github.openapi import document

HOUR = 3600


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub(document=document()) as fake:
        settings.repository(fake, "org/app")
        yield fake


def check(github: FakeGitHub, age: float = 60) -> str:
    variables = {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": "org/app", "GITHUB_RUN_ID": "1"}
    runtime = Runtime(variables, io.StringIO())
    given = {
        "environment": "production-approval",
        "at": str(int(time.time() - age)),
        "github-token": github.token(actions="read"),
    }
    return run(load(Inputs, given, runtime.redactor), runtime).headline


def test_run_approved_names_the_reviewer(github: FakeGitHub) -> None:
    review(github, "production-approval", user="ada")
    assert check(github).startswith("Approved by ada")


@pytest.mark.parametrize(("environment", "state"), [("", ""), ("production-approval", "rejected"), ("other", "approved")])
def test_run_without_an_approval_for_the_environment_is_refused(github: FakeGitHub, environment: str, state: str) -> None:
    if environment:
        review(github, environment, state)
    with pytest.raises(Failed, match="has no approval for the environment `production-approval`"):
        check(github)


def test_run_old_approval_is_refused(github: FakeGitHub) -> None:
    """Failed jobs that are run again reuse it."""
    review(github, "production-approval")
    assert check(github, 23 * HOUR)
    with pytest.raises(Failed, match=r"is 25\.0 hours old, and counts for 24"):
        check(github, 25 * HOUR)
