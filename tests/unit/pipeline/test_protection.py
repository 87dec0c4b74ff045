"""A release goes to protected environments only, unless the file says otherwise."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cicd_actions.pipeline.plan import Inputs, Unprotected, run
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from tests.fakes.github import FakeGitHub
from tests.fakes.github.openapi import document
from tests.fakes.github.settings import environment, repository

FILE = """
version: 1
lanes:
  api: {directory: ., checks: {test: make test}}
images:
  api: {repository: ghcr.io/org/app/api}
services:
  api: {image: api}
release:
  engine: docker
  PROTECTION
  environments:
    - name: staging
    - {name: production eu, approval-environment: approval}
"""


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub(document=document()) as fake:
        repository(fake, "org/app")
        yield fake


def plan(
    github: FakeGitHub, folder: Path, *, token: bool = True, protection: str = "", event: str = "push", server: str = ""
) -> Report:
    (folder / "cicd.yml").write_text(FILE.replace("PROTECTION", f"protection: {protection}" if protection else ""))
    (folder / "event.json").write_text(json.dumps({"repository": {"default_branch": "main", "private": False}}))
    variables = {
        "GITHUB_API_URL": github.url,
        "GITHUB_SERVER_URL": server,
        "GITHUB_REPOSITORY": "org/app",
        "GITHUB_EVENT_NAME": event,
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_WORKFLOW_REF": "org/app/.github/workflows/pipeline.yml@refs/heads/main",
    }
    runtime = Runtime(variables, io.StringIO())
    given = {"config": str(folder / "cicd.yml"), "changed": "app.py"} | (
        {"github-token": github.token(actions="read")} if token else {}
    )
    return run(load(Inputs, given, runtime.redactor), runtime)


def protect(github: FakeGitHub) -> None:
    environment(github, "org/app", "staging")
    environment(github, "org/app", "production eu")
    environment(github, "org/app", "approval", reviewers=True)


def test_release_to_protected_environments_is_planned(github: FakeGitHub, tmp_path: Path) -> None:
    protect(github)
    assert plan(github, tmp_path).outputs["release"] is True


@pytest.mark.parametrize(
    ("name", "rules", "message"),
    [
        ("staging", {"restricted": False}, "The environment `staging` takes deployments from every branch."),
        ("approval", {"reviewers": False}, "The approval environment `approval` has no required reviewers."),
    ],
)
def test_environment_without_its_rule_is_refused(
    github: FakeGitHub, tmp_path: Path, name: str, rules: dict[str, bool], message: str
) -> None:
    protect(github)
    environment(github, "org/app", name, **rules)
    with pytest.raises(Unprotected, match=message) as refused:
        plan(github, tmp_path)
    assert f"Settings → Environments → {name} → " in refused.value.fix
    warned = plan(github, tmp_path, protection="warn")
    assert warned.outputs["release"] is True
    assert message in str(warned.blocks)


def test_environments_that_do_not_exist_are_all_named(github: FakeGitHub, tmp_path: Path) -> None:
    with pytest.raises(Unprotected) as refused:
        plan(github, tmp_path)
    assert str(refused.value).count("does not exist") == 3


def test_caller_that_holds_the_deploys_queue_is_refused_before_it_deadlocks(
    github: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".github" / "workflows" / "pipeline.yml"
    path.parent.mkdir(parents=True)
    path.write_text("on: push\nconcurrency: {group: 'deploy-${{ github.repository }}-staging'}\njobs: {}\n")
    with pytest.raises(Failed, match="holds the concurrency group `deploy-org/app-staging`"):
        plan(github, tmp_path)


def test_second_pipeline_file_without_a_name_is_refused_because_it_would_share_queues_and_records(
    github: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    protect(github)
    assert plan(github, tmp_path).outputs["release"] is True
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github" / "cicd.yml").write_text("version: 1\nlanes: {}\n")
    with pytest.raises(Failed, match="its queues, approvals and records are those of"):
        plan(github, tmp_path)


@pytest.mark.parametrize("how", ["off", "no token", "pull request"])
def test_environments_are_not_looked_at(github: FakeGitHub, tmp_path: Path, how: str) -> None:
    event = "pull_request" if how == "pull request" else "push"
    found = plan(github, tmp_path, token=how != "no token", protection="off" if how == "off" else "", event=event)
    assert found.outputs["release"] is (event == "push")
    assert ("was not looked at" in str(found.blocks)) is (event == "push")


@pytest.mark.parametrize(
    ("server", "attests"),
    [("", True), ("https://github.com", True), ("https://corp.ghe.com", True), ("https://github.corp.example", False)],
)
def test_release_attests_by_itself_only_where_github_stores_attestations(
    server: str, attests: bool, github: FakeGitHub, tmp_path: Path
) -> None:
    found = plan(github, tmp_path, protection="off", server=server).outputs["plan"]
    assert isinstance(found, dict)
    assert found["build"]["attest"] is found["build"]["sbom"] is attests
