"""What is promoted: the digests of a commit that passed in the environment before, and nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest

from cicd_actions.github.release_record import Record, Run, Task, now
from cicd_actions.pipeline.promoted_images import Inputs, run
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from tests.fakes.github import FakeGitHub, deployments, settings
from tests.fakes.github.openapi import document

SHA, REPOSITORY = "c" * 40, "org/app"
ONE, OTHER = (f"sha256:{letter * 64}" for letter in "ab")


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub(document=document()) as fake:
        settings.repository(fake, REPOSITORY)
        deployments.run(fake, REPOSITORY, 1, SHA)
        yield fake


def record(github: FakeGitHub, task: Task, environment: str = "staging", **services: str) -> None:
    images = {name: f"ghcr.io/org/{name}@{digest}" for name, digest in services.items()}
    verdict = {Task.PASSED: "pass", Task.QUARANTINED: "fail"}.get(task, "")
    made = Record(task, REPOSITORY, environment, SHA, images, verdict=verdict, at=now(), run=Run("1"))
    deployments.other_tool(
        github, REPOSITORY, environment, SHA, task=task.value, payload=made.payload(), creator="github-actions[bot]"
    )


def promoted(github: FakeGitHub, **of: str) -> Report:
    variables = {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_REF_NAME": "main"}
    build = {**(of or {"promote-from": "staging", "sha": SHA}), "app": REPOSITORY, "records-refs": "main"}
    given = {
        "build": json.dumps({**build, "services": {"api": "backend", "worker": "backend", "web": "web"}}),
        "github-token": github.token(deployments="read", actions="read", contents="read"),
    }
    runtime = Runtime(variables, io.StringIO())
    return run(load(Inputs, given, runtime.redactor), runtime)


def test_run_commit_that_passed_gives_the_digest_of_each_image(github: FakeGitHub) -> None:
    record(github, Task.PASSED, api=ONE, worker=ONE, web=OTHER)
    assert promoted(github).outputs == {"digests": {"backend": ONE, "web": OTHER}, "sha": SHA}


def test_run_commit_that_never_passed_there_is_refused(github: FakeGitHub) -> None:
    record(github, Task.PASSED, "other", api=ONE, worker=ONE, web=OTHER)
    with pytest.raises(Failed, match="no record says that it passed its gate in staging"):
        promoted(github)


def test_run_commit_that_failed_later_is_refused(github: FakeGitHub) -> None:
    record(github, Task.PASSED, api=ONE, worker=ONE, web=OTHER)
    record(github, Task.QUARANTINED, api=ONE, worker=ONE, web=OTHER)
    with pytest.raises(Failed, match="Cannot promote"):
        promoted(github)


def test_run_service_that_was_not_released_there_is_refused(github: FakeGitHub) -> None:
    record(github, Task.PASSED, api=ONE, web=OTHER)
    with pytest.raises(Failed, match="every service must have passed"):
        promoted(github)


def test_run_stage_is_the_newest_deploy_as_long_as_it_has_no_verdict(github: FakeGitHub) -> None:
    with pytest.raises(Failed, match="the newest release there has a verdict"):
        promoted(github, **{"staged-in": "staging"})
    record(github, Task.PASSED, api=OTHER, worker=OTHER, web=OTHER)
    record(github, Task.DEPLOY, api=ONE, worker=ONE, web=OTHER)
    found = promoted(github, **{"staged-in": "staging"})
    assert found.outputs == {"digests": {"backend": ONE, "web": OTHER}, "sha": SHA}
    record(github, Task.QUARANTINED, api=ONE, worker=ONE, web=OTHER)
    with pytest.raises(Failed, match="the newest release there has a verdict"):
        promoted(github, **{"staged-in": "staging"})
