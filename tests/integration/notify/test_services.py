"""Messages as services get them, and the life of one fault through records."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.notify import delivery
from cicd_actions.notify.delivery import Target
from cicd_actions.notify.message import Message
from cicd_actions.toolkit.runtime import Runtime
from tests.fakes.github import FakeGitHub, deployments, settings
from tests.fakes.github.actions import Ran
from tests.harness import action
from tests.harness.drip import dripping
from tests.harness.pipelines import Pipelines, sha
from tests.harness.releases import Ended, World, step
from tests.harness.releases import sha as commit
from tests.harness.services import Services
from tests.unit.notify.test_payloads import check_discord, check_slack, check_teams

URLS = """
slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#oncall
discord://123456789012345678/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-ab
workflows://prod-1.westus.logic.azure.com:443/643e69f83c8944/C9a11jE3T3kM5GH
# the pager hears of what is broken, and of its end
failed, recovered = pagerduty://0123456789abcdef0123456789abcdef@0123456789abcdef0123456789abcdef
waiting = gchat://a-workspace/a-key/a-token
"""
REASON = 'api: expected status 200; got: status 503 <!channel>, {"token": "hunter2-hunter2"}'


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    with Services(tmp_path) as made:
        # The system's store decides, as on a runner of a company that has its own authority.
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def pipelines() -> Iterator[Pipelines]:
    with FakeGitHub() as github:
        made = Pipelines(github)
        made.repository()
        yield made


def told(pipelines: Pipelines, folder: Path, services: Services, event: str, run: str = "5000", **inputs: str) -> Ended:
    mail = f"mailto://user:a-password@127.0.0.1:{services.smtp_port}/?from=ci@example.com&to=oncall@example.com&smtp=127.0.0.1"
    given = {
        "event": event, "urls": "NOTIFY_URLS", "environment": "production", "record-key": "", "reason": REASON,
        "runbook": "https://wiki.example.com/shop",
        "rollback-url": "https://github.com/org/app/actions/workflows/rollback.yml", **inputs,
    }  # fmt: skip
    about = {"GITHUB_RUN_ID": run, "RUNNER_NAME": "GitHub Actions 1", "GITHUB_SHA": sha("new"), "SECRET": "hunter2-hunter2"}
    return step(
        folder,
        pipelines.github,
        pipelines.token,
        "notify",
        given | {"previous-sha": sha("old")},
        NOTIFY_URLS=f"{URLS}{mail}",
        **about,
    )


def test_message_names_what_a_person_on_call_needs_in_each_service(
    pipelines: Pipelines, tmp_path: Path, services: Services
) -> None:
    now = int(time.time())
    pipelines.record("org/app", now - 7200, sha("old"))
    kept = deployments.kept(pipelines.github, "org/app")
    kept.commits |= {
        sha("old"): deployments.Commit(sha("old")),
        sha("new"): deployments.Commit(
            sha("new"), (sha("old"),), "Add *baskets* @everyone", files=("apps/api/x.py", "README.md")
        ),
    }
    owners = settings.repository(pipelines.github, "org/app").files
    owners[f".github/CODEOWNERS@{sha('new')}"] = "* @org/all\n/apps/api/ @org/payments\n"
    run = pipelines.run(
        "org/app", now - 300, sha("new"), conclusion="", jobs=[Ran("deploy", "failure", steps=[("Gate", "failure", 9)])]
    )
    jobs: list[dict[str, Any]] = pipelines.github.state["jobs"]["org/app"][run["id"]]
    jobs[0] |= {"status": "in_progress", "conclusion": None}
    run_id = str(run["id"])

    ended = told(pipelines, tmp_path, services, "failed", run_id)
    assert ended.code == 0, ended.log
    assert ended.outputs["sent"] == "true", ended.findings
    (slack,), (discord,), (teams,), (pager,) = (
        services.of(host)
        for host in ("hooks.slack.com", "discord.com", "prod-1.westus.logic.azure.com", "events.pagerduty.com")
    )
    check_slack(slack["attachments"][0])
    check_discord(discord)
    check_teams(teams)
    assert (pager["event_action"], pager["dedup_key"]) == ("trigger", "cicd-actions/org/app/production")
    assert services.of("chat.googleapis.com") == []
    (mail,) = services.mails
    plain = mail.get_body(("plain",))
    assert plain is not None
    texts = [json.dumps(slack), json.dumps(discord), json.dumps(teams), plain.get_content()]
    for text in texts:
        for part in (
            "status 503", "Failing since", "Commits", "1: Add", "@org/all", "@org/payments", "someone", "wiki.example.com/shop",
            f"/actions/runs/{run_id}/job/", "/compare/", "/deployments/production", "actions/workflows/rollback.yml",
            f"gh workflow run rollback.yml -R org/app -f environment=production -f to-sha={sha('old')} -f dry-run=false",
        ):  # fmt: skip
            assert part in text, (part, text)
        assert "<!channel>" not in text or text == texts[-1] or "RichTextBlock" in text or "allowed_mentions" in text
    assert not [line for line in plain.get_content().splitlines() if line.strip() == "-"]
    assert mail["Subject"] == "org/app in production failed"
    html = mail.get_body(("html",))
    assert html is not None
    assert "<!channel>" not in html.get_content()

    told(pipelines, tmp_path, services, "waiting")
    assert services.of("chat.googleapis.com")
    assert len(services.of("events.pagerduty.com")) == 1


def test_recovery_closes_the_alert_and_answers_in_the_thread_of_the_failure(
    services: Services, make_runtime: Callable[..., Runtime]
) -> None:
    for event in ("failed", "waiting", "recovered"):
        for url in ("opsgenie://0123456789abcdef/#platform", "gchat://a-workspace/a-key/a-token"):
            message = Message(event, "org/app in production", "503", incident="org/app/production")
            assert delivery.send(Target(1, url, frozenset()), message, make_runtime(), 10.0) == ""
    opened, waiting, closed = (each for each in services.requests if each.host == "api.opsgenie.com")
    assert (opened.path, opened.json["alias"]) == ("/v2/alerts", "cicd-actions/org/app/production")
    assert (waiting.path, waiting.json.get("alias")) == ("/v2/alerts", None)
    assert closed.path == "/v2/alerts/cicd-actions%2Forg%2Fapp%2Fproduction/close?identifierType=alias"
    failed, asked, recovered = (each for each in services.requests if each.host == "chat.googleapis.com")
    thread = {"thread_key": "cicd-actions/org/app/production"}
    assert (failed.json["thread"], asked.json.get("thread"), recovered.json["thread"]) == (thread, None, thread)
    assert "messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD" in recovered.path


def test_token_and_secret_never_reach_a_service(pipelines: Pipelines, tmp_path: Path, services: Services) -> None:
    ended = told(
        pipelines, tmp_path, services, "failed", **{"reason": f"503 with {pipelines.token}", "on-change-only": "false"}
    )
    bodies = "".join(each.body for each in services.requests) + "".join(str(each) for each in services.mails)
    assert "503 with" in bodies
    assert pipelines.token not in bodies + ended.log + ended.summary
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in ended.log + ended.summary


def test_service_that_refuses_is_a_warning_with_its_cause(pipelines: Pipelines, tmp_path: Path, services: Services) -> None:
    services.status["discord.com"] = 404
    ended = told(pipelines, tmp_path, services, "failed")
    assert (ended.code, ended.outputs["sent"]) == (0, "false"), ended.log
    (found,) = ended.findings
    assert "line 3" in found["message"]
    assert "404" in found["message"]


def test_service_that_never_ends_its_answer_does_not_keep_the_step() -> None:
    given = {"event": "failed", "urls": "NOTIFY_URLS", "environment": "production", "record-key": "", "timeout": "2s"}
    with dripping("body") as address:
        ended = action.Step("notify", given, NOTIFY_URLS=f"json://{address}").end(60)
    assert (ended.code, ended.outputs["sent"]) == (0, "false")
    assert "did not finish" in ended.log


def test_one_fault_is_told_once_through_its_life(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    with World(tmp_path) as world:

        def titles(event: str, run: str, reason: str = "", **inputs: str) -> list[str]:
            httpserver.clear_log()
            given = {"event": event, "urls": "URLS", "reason": reason, "sha": "", **inputs}
            ended = world.action("notify", given, run=run, URLS=f"json://127.0.0.1:{httpserver.port}/hook", GITHUB_SHA="a" * 40)
            assert ended.code == 0, ended.log
            messages = [json.loads(request.get_data()) for request, _ in httpserver.log]
            return [each["title"] + (" since" if "Failing since" in each["facts"] else "") for each in messages]

        def deploy(number: int, verdict: str, reason: str) -> None:
            world.build(number)
            assert world.start(number).code == 0
            assert world.finish(number, verdict, reason=reason).code == 0

        deploy(1, "pass", "")
        assert titles("passed", "1") == []
        deploy(2, "fail", "api: status 503 for 4.2 s (12 times)")
        assert titles("failed", "2", "api: status 503 for 4.2 s (12 times)") == ["org/app in staging failed since"]
        deploy(3, "fail", "api: status 503 for 31 s (99 times)")
        assert titles("failed", "3", "api: status 503 for 31 s (99 times)") == []
        deploy(4, "fail", "web: status 404 for 3 s")
        assert titles("failed", "4", "web: status 404 for 3 s") == ["org/app in staging failed since"]
        assert len(titles("rolled-back", "4", "web: status 404 for 3 s")) == 1
        deploy(5, "inconclusive", "api: the name does not resolve")
        assert len(titles("inconclusive", "5", "api: the name does not resolve")) == 1
        deploy(6, "inconclusive", "api: the name does not resolve")
        assert titles("inconclusive", "6", "api: the name does not resolve") == []
        deploy(7, "pass", "")
        assert titles("passed", "7") == ["org/app in staging recovered since"]
        deploy(8, "pass", "")
        assert titles("passed", "8") == []

        assert (
            world.action("deployment-record", {"phase": "lock", "reason": "maintenance", "sha": commit(1)}, run="9").code == 0
        )
        assert titles("refused", "10", "it is locked") == ["org/app in staging is locked"]
        Pipelines(world.github).run("org/app", int(time.time()) + 60, "a" * 40, conclusion="failure")
        assert titles("refused", "11", "it is locked") == []
        assert len(titles("refused", "11", "it is locked", **{"on-change-only": "false"})) == 1
        # A run that ended before its deploy was recorded: the run before it failed in the same step.
        assert titles("inconclusive", "12", "the approval is too old") == []
