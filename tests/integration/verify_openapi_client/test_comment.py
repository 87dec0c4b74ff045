"""The one comment on the pull request, against a stand-in for GitHub's API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.fakes.github import FakeGitHub, comments, settings
from tests.fakes.github.openapi import document
from tests.integration.verify_openapi_client.conftest import ITEM, Project, spec


@pytest.fixture
def github(project: Project, event: Callable[..., None]) -> Iterator[FakeGitHub]:
    with FakeGitHub(document=document()) as fake:
        settings.repository(fake, "org/app")
        comments.comments(fake, "org/app").issues[7] = []
        event("pull_request", pull_request={"number": 7, "base": {"sha": project.git("rev-parse", "HEAD").strip()}})
        project.variables |= {"GITHUB_API_URL": fake.url, "GITHUB_REPOSITORY": "org/app"}
        project.inputs |= {"comment": "true", "github-token": fake.token(pull_requests="write")}
        yield fake


def bodies(github: FakeGitHub) -> list[str]:
    return [comment["body"] for comment in comments.comments(github, "org/app").issues[7]]


def break_(project: Project) -> None:
    project.write("openapi.json", spec(Item={**ITEM, "properties": {"id": {"type": "integer"}}}))
    project.commit("break")


def test_it_is_written_once_corrected_and_left(project: Project, github: FakeGitHub) -> None:
    project.run()
    assert bodies(github) == []  # nothing to say
    break_(project)
    outcome = project.run(fail_on="drift\nbreaking")
    assert outcome.code == 1
    (body,) = bodies(github)
    assert "Accept these changes" in body
    assert "- fingerprint: " in body
    assert "The client is out of date" in body
    assert "The property <code>name</code> is removed" in body
    project.run(fix="true")
    project.commit("regenerate")
    project.run()
    (body,) = bodies(github)
    assert "The client is out of date" not in body
    assert "OpenAPI client: pass" in body


def test_each_client_has_its_own(project: Project, github: FakeGitHub) -> None:
    break_(project)
    project.run()
    project.write("web/other.ts", "// stale\n")
    project.commit("another client")
    project.run(client_path="web/other.ts")
    assert len(bodies(github)) == 2


def test_a_stranger_s_comment_is_not_taken_for_it(project: Project, github: FakeGitHub) -> None:
    break_(project)
    project.run()
    marker = bodies(github)[0].splitlines()[0]
    kept = comments.comments(github, "org/app")
    kept.issues[7] = []
    comments.written(github, "org/app", 7, f"{marker}\nspoof", login="stranger", kind="User")
    for index in range(120):
        comments.written(github, "org/app", 7, f"talk {index}")
    project.run()
    assert len(bodies(github)) == 122
    assert bodies(github)[0].endswith("spoof")
    project.run()  # found behind the first page
    assert len(bodies(github)) == 122


def test_comments_that_are_none_are_passed_over(project: Project, github: FakeGitHub) -> None:
    break_(project)
    project.run()
    marker = bodies(github)[0].splitlines()[0]
    odd = [
        None,
        7,
        {"user": "bot"},
        {"user": {"type": "Bot"}, "body": marker},
        {"author_association": ["OWNER"], "body": marker},
    ]
    github.fail("GET", "/comments$", text=json.dumps(odd), status=200)
    project.run()
    assert len(bodies(github)) == 2, "none of them is the comment, so it is written"


def test_without_the_permission_the_summary_has_it(project: Project, github: FakeGitHub) -> None:
    break_(project)
    summary = project.temp / "summary"
    project.variables["GITHUB_STEP_SUMMARY"] = str(summary)
    outcome = project.run(github_token=github.token(pull_requests="read"))
    assert outcome.code == 1
    assert "in the job summary alone" in outcome.log
    assert bodies(github) == []
    assert "The client is out of date" in summary.read_text()
    assert "There is no token" in project.run(github_token="").log


def test_a_locked_pull_request_and_an_api_that_is_down_change_no_verdict(project: Project, github: FakeGitHub) -> None:
    comments.comments(github, "org/app").locked.add(7)
    break_(project)
    assert project.run().code == 1
    github.fail("GET", "/comments$", status=404, times=1)
    outcome = project.run()
    assert outcome.code == 1
    assert "in the job summary alone" in outcome.log


def test_outside_of_a_pull_request_there_is_none(project: Project, github: FakeGitHub, event: Callable[..., None]) -> None:
    event("push", before="0" * 40)
    assert "There is no pull request to comment on" in project.run().log
    assert github.calls == []
