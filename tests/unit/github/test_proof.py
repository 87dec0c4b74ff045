"""Which records count: signed ones, and those of runs that may write them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.github import records as records_module
from cicd_actions.github.client import GitHub
from cicd_actions.github.errors import Forbidden
from cicd_actions.github.history import History
from cicd_actions.github.proof import MOST_RUNS, TooManyRuns, Trust, default_branch
from cicd_actions.github.records import Records
from cicd_actions.github.release_record import Record, Run, Task, now
from tests.fakes.github import FakeGitHub, deployments, settings

REPOSITORY = "org/app"
SIGNED = Trust(key=b"a key of the environment", repository="1")
BY_RUN = Trust(refs=("main",))


def sha(number: int) -> str:
    return f"{number:040x}"


def record(number: int, task: Task = Task.PASSED, **more: Any) -> Record:
    verdict = {Task.PASSED: "pass", Task.QUARANTINED: "fail", Task.DEPLOY: ""}[task]
    url = f"https://github.com/{REPOSITORY}/actions/runs/{number}"
    fields = {"services": {"api": f"sha256:{number:064x}"}, "verdict": verdict, "run": Run(str(number), url=url), "at": now()}
    return Record(task, more.pop("app", REPOSITORY), more.pop("environment", "staging"), sha(number), **{**fields, **more})


@pytest.fixture
def make(github: FakeGitHub, client: Callable[..., GitHub]) -> Callable[..., Records]:
    settings.repository(github, REPOSITORY)
    token = github.token(deployments="write", contents="read", actions="read")

    def records(trust: Trust, *, app: str = "", repository: str = REPOSITORY) -> Records:
        return Records(client(token, repository=repository), app, trust)

    return records


Make = Callable[..., Records]


def forge(github: FakeGitHub, of: Record, *, creator: str = "github-actions[bot]", payload: Any = None) -> None:
    """A Deployment that anyone with `deployments: write` can make."""
    deployments.other_tool(
        github, REPOSITORY, of.environment, of.sha, task=of.task.value, payload=payload or of.payload(), creator=creator
    )


def good(records: Records, environment: str = "staging") -> list[str]:
    found = records.history(environment, lambda _: False)
    return [release.sha for release in found.good()]


def why(records: Records) -> str:
    return "\n".join(records.history("staging", lambda _: False).passed_over)


class TestSigned:
    def test_a_signed_record_counts_and_costs_no_request(self, github: FakeGitHub, make: Make) -> None:
        make(SIGNED).write(record(1))
        github.calls.clear()
        assert make(SIGNED).history("staging", lambda history: bool(history.good())).good()[0].sha == sha(1)
        assert len(github.calls) == 1

    def test_a_record_without_a_signature_or_with_another_key_does_not_count(self, github: FakeGitHub, make: Make) -> None:
        forge(github, record(1))
        make(dataclasses.replace(SIGNED, key=b"another key")).write(record(2))
        assert good(make(SIGNED)) == []
        assert "it is not signed" in why(make(SIGNED))
        assert "does not fit the key" in why(make(SIGNED))

    @pytest.mark.parametrize(
        "change",
        [
            {"services": {"api": f"sha256:{9:064x}"}},
            {"app": "blog"},
            {"reason": "more"},
            {"environment": "production"},
            {"kind": "rollback"},
            {"run": {"id": "7"}},
            {"mac": ""},
            {"mac": 7},
            {"mac": "é" * 64},
        ],
    )
    def test_a_changed_payload_does_not_fit_its_signature(
        self, github: FakeGitHub, make: Make, change: dict[str, object]
    ) -> None:
        payload = SIGNED.signed(record(1)) | change
        where = str(payload["environment"])
        deployments.other_tool(github, REPOSITORY, where, sha(1), task="cicd-actions:passed", payload=payload)
        assert good(make(SIGNED, app=str(payload["app"])), where) == []

    def test_a_copied_payload_counts_neither_as_another_task_nor_later_nor_elsewhere(
        self, github: FakeGitHub, make: Make
    ) -> None:
        payload = SIGNED.signed(record(1, Task.DEPLOY, verdict="pass"))
        deployments.other_tool(github, REPOSITORY, "staging", sha(1), task="cicd-actions:passed", payload=payload)
        assert good(make(SIGNED)) == []
        old = SIGNED.signed(record(2, at="2026-01-01T00:00:00Z"))
        deployments.other_tool(github, REPOSITORY, "staging", sha(2), task="cicd-actions:passed", payload=old)
        assert good(make(SIGNED)) == []
        assert "it was copied" in why(make(SIGNED))
        make(SIGNED).write(record(3))
        assert good(make(dataclasses.replace(SIGNED, repository="2"))) == []
        assert good(make(SIGNED)) == [sha(3)]

    def test_write_after_a_rate_limit_of_an_hour_is_signed_with_the_time_of_its_last_attempt(
        self, github: FakeGitHub, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        times = iter(["2026-01-01T00:00:00Z", now()])
        monkeypatch.setattr(records_module, "now", lambda: next(times))
        github.fail("POST", "/deployments$", status=429, headers={"Retry-After": "3"})
        make(SIGNED).write(record(1, at="2026-01-01T00:00:00Z"))
        assert good(make(SIGNED)) == [sha(1)]

    def test_a_payload_kept_as_text_keeps_its_signature(self, github: FakeGitHub, make: Make) -> None:
        forge(github, record(1), payload=json.dumps(SIGNED.signed(record(1, reason="\u00e9 \U0001f600"))))
        assert good(make(SIGNED)) == [sha(1)]


class TestByRun:
    def test_a_record_of_a_run_of_its_commit_on_main_counts(self, github: FakeGitHub, make: Make) -> None:
        deployments.run(github, REPOSITORY, 1, sha(1), path=".github/workflows/pipeline.yml@refs/heads/main")
        make(BY_RUN).write(record(1))
        github.calls.clear()
        assert good(make(BY_RUN)) == [sha(1)]
        assert sum("/actions/runs/" in call.path for call in github.calls) == 1

    @pytest.mark.parametrize(
        ("run", "said"),
        [
            ({"event": "pull_request"}, "was for a pull request"),
            ({"event": "pull_request_target"}, "was for a pull request"),
            ({"branch": "feature"}, "is on `feature`"),
            ({"path": "dynamic/agent"}, "is of `dynamic/agent`"),
            ({"head": "fork/app"}, "has its commit from another repository"),
            ({"sha": sha(9)}, "is of another commit"),
            ({"ended": "2026-01-01T00:00:00Z"}, "not created while the run"),
        ],
    )
    def test_a_run_that_may_not_write_records_proves_nothing(
        self, github: FakeGitHub, make: Make, run: dict[str, Any], said: str
    ) -> None:
        deployments.run(github, REPOSITORY, 1, **{"sha": sha(1), **run})
        forge(github, record(1))
        assert good(make(BY_RUN)) == []
        assert said in why(make(BY_RUN))

    def test_a_run_that_does_not_exist_proves_nothing(self, github: FakeGitHub, make: Make) -> None:
        forge(github, record(1))
        forge(github, record(2, run=Run("2/../3")))
        forge(github, record(3, run=Run()))
        assert good(make(BY_RUN)) == []
        assert "does not exist in this repository" in why(make(BY_RUN))
        assert "names no workflow run" in why(make(BY_RUN))

    @pytest.mark.parametrize("creator", ["someone", "github-actions", "deployer[bot]", ""])
    def test_another_creator_is_told_without_asking_for_its_run(self, github: FakeGitHub, make: Make, creator: str) -> None:
        deployments.run(github, REPOSITORY, 1, sha(1))
        forge(github, record(1), creator=creator)
        assert good(make(BY_RUN)) == []
        assert "input `records-app`" in why(make(BY_RUN))
        assert not any("/actions/runs/" in call.path for call in github.calls)

    def test_another_app_and_other_workflows_can_be_named(self, github: FakeGitHub, make: Make) -> None:
        deployments.run(github, REPOSITORY, 1, sha(1), branch="v1.2")
        forge(github, record(1), creator="deployer[bot]")
        named = Trust(app="deployer", refs=("v*",), workflows=(".github/workflows/pipeline.yml",))
        assert good(make(named)) == [sha(1)]
        assert good(make(dataclasses.replace(named, workflows=(".github/workflows/deploy.yml",)))) == []

    def test_a_rollback_counts_only_for_what_passed_before(self, github: FakeGitHub, make: Make) -> None:
        deployments.run(github, REPOSITORY, 1, sha(1))
        deployments.run(github, REPOSITORY, 9, sha(9))
        run = Run("9")
        forge(github, record(1))
        forge(github, record(2, kind="rollback", run=run))
        forge(github, record(3, kind="adopt", run=run))
        assert good(make(BY_RUN)) == [sha(1)]
        forge(github, record(1, kind="rollback", run=run))
        assert [each.record.kind for each in make(BY_RUN).history("staging", lambda _: False).good()] == ["rollback"]

    def test_a_missing_permission_is_named(self, github: FakeGitHub, make: Make, client: Callable[..., GitHub]) -> None:
        make(BY_RUN).write(record(1))
        records = Records(client(github.token(deployments="read")), "", BY_RUN)
        with pytest.raises(Forbidden, match="`Actions: read`") as refused:
            good(records)
        assert "permissions:\n      actions: read" in refused.value.fix

    def test_requests_for_runs_are_bounded(self, github: FakeGitHub, make: Make) -> None:
        for number in range(1, MOST_RUNS + 2):
            forge(github, record(number))
        with pytest.raises(TooManyRuns, match="record-key"):
            good(make(BY_RUN))
        assert sum("/actions/runs/" in call.path for call in github.calls) == MOST_RUNS


class TestKeysThatChange:
    def test_a_renamed_repository_keeps_its_history(self, github: FakeGitHub, make: Make) -> None:
        make(SIGNED).write(record(1))
        kept = github.state["deployments"]
        kept["new/name"] = kept.pop(REPOSITORY)
        settings.repository(github, "new/name")
        assert good(make(SIGNED, repository="new/name")) == [sha(1)]
        assert good(make(SIGNED, repository="new/name", app="blog")) == []

    def test_the_letter_case_of_an_environment_does_not_matter(self, github: FakeGitHub, make: Make) -> None:
        make(SIGNED).write(record(1, environment="Staging"))
        assert good(make(SIGNED)) == [sha(1)]
        deployments.other_tool(
            github,
            REPOSITORY,
            "STAGING",
            sha(2),
            task=Task.PASSED.value,
            payload=SIGNED.signed(record(2, environment="STAGING")),
        )
        for spelling in ("staging", "STAGING"):
            assert good(make(SIGNED), spelling) == [sha(2), sha(1)]

    def test_records_of_other_apps_are_told(self, make: Make) -> None:
        make(SIGNED, app="shop").write(record(1, app="shop"))
        found: History = make(SIGNED).history("staging", lambda _: False)
        assert (found.good(), found.apps) == ([], frozenset({"shop"}))


def test_signature_is_the_one_that_openssl_computes() -> None:
    # Another version must read the records of this one: printf FORM | openssl dgst -sha256 -hmac KEY, where FORM is the sorted
    # JSON of payload, repository and task, without spaces.
    mac = "7a3415f8c8ff7c04b0e2958db19cfeded573e1d102120275d1b8057c64708755"
    payload = {"app": "org/shop", "environment": "Production", "sha": "a" * 40, "mac": mac}
    trust = Trust(key=b"k" * 32, repository="7")
    assert trust.fits(payload, "passed")
    assert not trust.fits(payload, "quarantined")


def test_the_default_branch_comes_from_the_event(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    for text, branch in (('{"repository": {"default_branch": "trunk"}}', "trunk"), ("{}", ""), ("[]", ""), ("{", "")):
        event.write_text(text)
        assert default_branch({"GITHUB_EVENT_PATH": str(event)}) == branch
    assert default_branch({}) == ""
