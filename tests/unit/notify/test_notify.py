from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.notify import delivery
from tests.fakes.github import FakeGitHub
from tests.harness import action
from tests.harness.pipelines import Pipelines
from tests.harness.releases import Ended, step

SHA = "a" * 40


@pytest.fixture
def pipelines() -> Iterator[Pipelines]:
    with FakeGitHub() as github:
        made = Pipelines(github)
        made.repository()
        yield made


def told(pipelines: Pipelines, folder: Path, server: HTTPServer, event: str, **inputs: str) -> Ended:
    url = f"json://127.0.0.1:{server.port}/hook"
    about = {"event": event, "urls": "NOTIFY_URLS", **{key.replace("_", "-"): value for key, value in inputs.items()}}
    return step(folder, pipelines.github, pipelines.token, "notify", about, NOTIFY_URLS=url, GITHUB_SHA=SHA)


@pytest.mark.parametrize(
    ("before", "event", "text"),
    [
        ("", "failed", "failed"), ("success", "failed", "failed"), ("failure", "failed", ""),
        ("failure", "passed", "recovered"),
        ("success", "passed", ""), ("failure", "rolled-back", "rolled back"), ("failure", "waiting", "waits for approval"),
        ("failure", "inconclusive", ""), ("success", "inconclusive", "inconclusive"),
    ],
)  # fmt: skip
def test_notify_tells_of_changes_only(
    pipelines: Pipelines, tmp_path: Path, httpserver: HTTPServer, before: str, event: str, text: str
) -> None:
    if before:
        pipelines.run("org/app", int(time.time()) - 900, conclusion=before)
    httpserver.expect_request("/hook").respond_with_data("ok")
    ended = told(pipelines, tmp_path, httpserver, event)
    assert ended.code == 0, ended.log
    bodies = [json.loads(request.get_data()) for request, _ in httpserver.log]
    assert len(bodies) == bool(text)
    assert all(text in body["title"] for body in bodies)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/actions/runs$", '{"workflow_runs": true}'),
        ("/actions/runs$", '{"workflow_runs": [{"head_branch": "main", "conclusion": ["success"]}]}'),
        ("/jobs$", '{"jobs": 7}'),
        ("/jobs$", '{"jobs": [{"name": "deploy", "steps": true, "conclusion": "failure"}]}'),
        ("/compare/", '{"commits": 7, "files": true, "total_commits": "two"}'),
        ("/compare/", '{"commits": [{"commit": {"author": 7}}], "total_commits": 2}'),
    ],
)
def test_message_is_sent_whatever_github_lists(
    pipelines: Pipelines, tmp_path: Path, httpserver: HTTPServer, path: str, answer: str
) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    fault = pipelines.github.fail("GET", path, text=answer, status=200, times=9)
    ended = told(pipelines, tmp_path, httpserver, "failed", previous_sha="b" * 40)
    assert (ended.code, len(httpserver.log)) == (0, 1), ended.log
    assert "unexpected error" not in ended.log
    assert fault.times < 9, "it was asked"


def test_message_has_the_reason_the_links_and_no_secret(pipelines: Pipelines, tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    reason = f"GET /health: 503 with {pipelines.token} \x1b[31m"
    told(
        pipelines, tmp_path, httpserver, "failed", reason=reason, previous_sha="b" * 40, runbook="https://example.com/runbook",
        environment="production",
    )  # fmt: skip
    text = json.loads(httpserver.log[0][0].get_data())["message"]
    assert pipelines.token not in text
    assert "\x1b" not in text
    for part in ("503", "actions/runs/1", "compare/bbbb", "https://example.com/runbook", "production"):
        assert part in text


@pytest.mark.parametrize(("before", "word"), [("success", "passed"), ("failure", "recovered")])
def test_every_run_is_told_when_asked(
    pipelines: Pipelines, tmp_path: Path, httpserver: HTTPServer, before: str, word: str
) -> None:
    pipelines.run("org/app", int(time.time()) - 900, conclusion=before)
    httpserver.expect_request("/hook").respond_with_data("ok")
    told(pipelines, tmp_path, httpserver, "passed", on_change_only="false")
    assert json.loads(httpserver.log[0][0].get_data())["title"] == f"org/app in staging {word}"


def test_message_outside_github_names_no_repository(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    url = f"json://127.0.0.1:{httpserver.port}/hook"
    given = {"event": "failed", "urls": "NOTIFY_URLS", "sha": SHA, "environment": "staging", "previous-sha": "b" * 40}
    ended = action.run("notify", given, tmp_path, NOTIFY_URLS=url)
    assert ended.code == 0, ended.log
    body = json.loads(httpserver.log[0][0].get_data())
    assert (body["title"], body["message"]) == ("The deploy in staging failed", f"Commit {SHA[:12]} in staging failed.")


def test_notification_that_fails_is_a_warning(pipelines: Pipelines, tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("no", status=500)
    ended = told(pipelines, tmp_path, httpserver, "failed")
    assert (ended.code, ended.outputs["sent"]) == (0, "false"), ended.log
    assert [found["rule"] for found in ended.findings] == ["notify/not-sent"]


def test_notify_without_urls_sends_nothing(pipelines: Pipelines, tmp_path: Path) -> None:
    ended = step(tmp_path, pipelines.github, pipelines.token, "notify", {"event": "failed"}, GITHUB_SHA=SHA)
    assert (ended.code, ended.outputs["sent"]) == (0, "false")


@pytest.mark.parametrize(
    ("listed", "rule", "text"),
    [
        ("", "no-urls", "is empty"),
        ("fialed = json://127.0.0.1:9/", "not-sent", "`fialed` is not an event"),
        ("not a url", "not-sent", "line 1"),
    ],
)
def test_mistake_in_the_urls_is_a_warning(pipelines: Pipelines, tmp_path: Path, listed: str, rule: str, text: str) -> None:
    given = {"event": "failed", "urls": "NOTIFY_URLS"}
    ended = step(tmp_path, pipelines.github, pipelines.token, "notify", given, NOTIFY_URLS=listed, GITHUB_SHA=SHA)
    assert (ended.code, ended.outputs["sent"]) == (0, "false"), ended.log
    assert [found["rule"] for found in ended.findings] == [f"notify/{rule}"]
    assert text in ended.findings[0]["message"]


def test_tokens_of_a_url_are_secrets_and_words_are_not() -> None:
    (target,) = delivery.targets("mailto://u:p@example.com?to=release-managers@example.com&key=TIiajkdnlazkcOXrIdevi7FQ")
    assert list(delivery.secrets_of(target)) == [target.url, "TIiajkdnlazkcOXrIdevi7FQ"]


@pytest.mark.parametrize(("status", "told"), [("success", 0), ("failure", 1), ("cancelled", 0), ("fail", 1), ("pass", 0)])
def test_status_of_a_job_and_verdict_of_a_gate_are_events(
    pipelines: Pipelines, tmp_path: Path, httpserver: HTTPServer, status: str, told: int
) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    url = f"json://127.0.0.1:{httpserver.port}/hook"
    given = {"event": status, "urls": "NOTIFY_URLS"}
    step(tmp_path, pipelines.github, pipelines.token, "notify", given, NOTIFY_URLS=url, GITHUB_SHA=SHA)
    assert len(httpserver.log) == told
