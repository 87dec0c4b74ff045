"""Which records count: signed ones, and those of runs that may write them."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.github import proof
from cicd_actions.github import records as records_module
from cicd_actions.github.client import GitHub
from cicd_actions.github.errors import Forbidden
from cicd_actions.github.history import History
from cicd_actions.github.inputs import RecordInputs
from cicd_actions.github.proof import MOST_RUNS, Proofs, TooManyRuns, Trust, Unproven, default_branch
from cicd_actions.github.records import Records
from cicd_actions.github.release_record import Record, Run, Task, now
from cicd_actions.toolkit.errors import Inconclusive, UnusableInput
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime
from tests.fakes.github import FakeGitHub, deployments, settings

REPOSITORY = "org/app"
SIGNED = Trust(key=b"a key of the environment", repository="1")
BY_RUN = Trust(refs=("main",))


def sha(number: int) -> str:
    return f"{number:040x}"


def record(number: int, task: Task = Task.PASSED, **more: Any) -> Record:
    verdict = {Task.PASSED: "pass", Task.QUARANTINED: "fail"}.get(task, "")
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


def said(records: Records) -> str:
    """What was logged."""
    log = records.github.runtime.log_stream
    assert isinstance(log, io.StringIO)
    return log.getvalue()


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

    def test_write_on_a_machine_whose_clock_is_wrong_warns_and_a_lock_is_refused(
        self, github: FakeGitHub, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        records = make(SIGNED)
        monkeypatch.setattr(records_module, "now", lambda: "2020-01-01T00:00:00Z")
        records.write(record(1))
        assert "::warning::The record 1001 of 000000000000 in staging will not count: its signed time" in said(records)
        with pytest.raises(Inconclusive, match="will not count: its signed time") as refused:
            records.write(record(1, Task.LOCK, kind="lock", services={}))
        assert refused.value.fix == "Correct this runner's clock."

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
        assert "record 1003: it names no workflow run" in why(make(BY_RUN)).splitlines()

    def test_an_answer_that_is_not_a_run_proves_nothing(self, github: FakeGitHub, make: Make) -> None:
        forge(github, record(1))
        github.fail("GET", "/actions/runs/", text="[]", status=200)
        assert good(make(BY_RUN)) == []

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

    def test_a_record_of_an_unknown_kind_escapes_no_proof(self, github: FakeGitHub, make: Make) -> None:
        deployments.run(github, REPOSITORY, 9, sha(9))
        forge(github, record(2, kind="hotfix", run=Run("9")))
        assert good(make(BY_RUN)) == []
        assert "its kind does not fit its task" in why(make(BY_RUN))

    def test_a_missing_permission_is_named(self, github: FakeGitHub, make: Make, client: Callable[..., GitHub]) -> None:
        make(BY_RUN).write(record(1))
        records = Records(client(github.token(deployments="read")), "", BY_RUN)
        with pytest.raises(Forbidden, match=r"Could not read the run 1: .*`Actions: read`") as refused:
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


def test_fits_payload_that_is_nested_too_deeply_to_be_signed_does_not() -> None:
    """One that can just be read is, and anyone who may create a Deployment can write it."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert not SIGNED.fits({"mac": "0" * 64, "reason": deep}, "passed")


def test_signature_is_the_one_that_openssl_computes() -> None:
    # Another version must read the records of this one: printf FORM | openssl dgst -sha256 -hmac KEY, where FORM is the sorted
    # JSON of payload, repository and task, without spaces.
    mac = "7a3415f8c8ff7c04b0e2958db19cfeded573e1d102120275d1b8057c64708755"
    payload = {"app": "org/shop", "environment": "Production", "sha": "a" * 40, "mac": mac}
    trust = Trust(key=b"k" * 32, repository="7")
    assert trust.fits(payload, "passed")
    assert not trust.fits(payload, "quarantined")
    assert trust.fits({"reason": "\u00e9", "mac": "1ced729e1867e8199cf450f285037bdc90729a96404c017890e71da02d8e5c91"}, "passed")


def test_the_default_branch_comes_from_the_event(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    for text, branch in (('{"repository": {"default_branch": "trunk"}}', "trunk"), ("{}", ""), ("[]", ""), ("{", "")):
        event.write_text(text)
        assert default_branch({"GITHUB_EVENT_PATH": str(event)}) == branch
    assert default_branch({}) == ""
    assert default_branch({"GITHUB_EVENT_PATH": str(tmp_path)}) == ""
    event.write_text('{"repository": {"default_branch": ["main"]}}')
    assert default_branch({"GITHUB_EVENT_PATH": str(event)}) == ""
    assert default_branch({"GITHUB_EVENT_PATH": ""}) == ""


@pytest.mark.parametrize(("less", "branch"), [(0, "trunk"), (1, "")])
def test_the_default_branch_of_an_event_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, less: int, branch: str
) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"repository":{"default_branch":"trunk"}}')
    monkeypatch.setattr(proof, "_LARGEST_EVENT", event.stat().st_size - less)
    assert default_branch({"GITHUB_EVENT_PATH": str(event)}) == branch


HOME = {"id": 1}
RUN = {
    "event": "push", "head_branch": "main", "path": ".github/workflows/release.yml@refs/heads/main", "repository": HOME,
    "head_repository": HOME, "head_sha": sha(1), "created_at": "2026-05-01T10:00:00Z", "updated_at": "2026-05-01T10:30:00Z",
    "status": "completed",
}  # fmt: skip
DEPLOYMENT = {"created_at": "2026-05-01T10:20:00Z", "creator": {"login": "github-actions[bot]"}}


@pytest.fixture
def proven(client: Callable[..., GitHub]) -> Callable[..., str]:
    """Returns what proves the record of run 1, or why it is not proven: `proven(run={…}, deployment={…}, trust=…)`."""

    def of(*, run: Any = None, deployment: Any = None, trust: Trust = BY_RUN, at: str = "2026-05-01T10:20:00Z") -> str:
        written = record(1, at=at)
        proofs = Proofs(client("t"), trust, {"1": RUN | (run or {})})
        payload = trust.signed(written)
        try:
            return proofs.of(DEPLOYMENT | {"payload": payload} | (deployment or {}), written)
        except Unproven as reason:
            return str(reason)

    return of


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ({}, "run 1 of .github/workflows/release.yml on main"),
        ({"path": ".github/workflows/release.yml"}, "run 1 of .github/workflows/release.yml on main"),
        ({"event": "pull_request_review"}, "the run 1 that it names was for a pull request (pull_request_review)"),
        ({"head_repository": {"id": 2}}, "the run 1 that it names has its commit from another repository"),
        ({"head_repository": None}, "the run 1 that it names has its commit from another repository"),
        (
            {"head_branch": "x" * 200},
            f"the run 1 that it names is on `{'x' * 100}… (100 more characters)` (input `records-refs` allows `main`)",
        ),
        ({"head_branch": None}, "the run 1 that it names is on `` (input `records-refs` allows `main`)"),
        ({"path": None}, "the run 1 that it names is of `` (input `records-workflows`)"),
        ({"path": "dynamic/x"}, "the run 1 that it names is of `dynamic/x` (input `records-workflows`)"),
        ({"head_sha": sha(2)}, "the run 1 that it names is of another commit"),
    ],
)
def test_proof_by_run_says_what_proves_the_record_or_why_nothing_does(
    proven: Callable[..., str], run: dict[str, Any], said: str
) -> None:
    assert proven(run=run) == said


@pytest.mark.parametrize(
    ("created", "run", "counts"),
    [
        ("2026-05-01T10:20:00Z", {}, True),
        # GitHub's two times may contradict each other by a minute.
        ("2026-05-01T09:59:00Z", {}, True),
        ("2026-05-01T09:58:59Z", {}, False),
        ("2026-05-01T10:31:00Z", {}, True),
        ("2026-05-01T10:31:01Z", {}, False),
        ("2026-05-01T11:30:00Z", {"status": "in_progress"}, True),
        ("2026-05-01T10:20:00Z", {"updated_at": None}, True),
        ("2026-05-01T10:20:00Z", {"created_at": None}, False),
        ("", {}, False),
        ("", {"created_at": None}, False),
    ],
)
def test_proof_by_run_record_counts_only_if_created_while_the_run_was_at_work(
    proven: Callable[..., str], created: str, run: dict[str, Any], counts: bool
) -> None:
    refused = "it was not created while the run 1 that it names was at work"
    assert (proven(run=run, deployment={"created_at": created}) != refused) == counts


@pytest.mark.parametrize(
    ("creator", "app", "wrote"),
    [
        ("github-actions[bot]", None, ""),
        ("github-actions[bot]", "github-actions", ""),
        # GitHub keeps the App of a Deployment whose creator is gone.
        (None, "github-actions", ""),
        ("github-actions[bot]", "other", "github-actions[bot]"),
        ("github-actions[bot]", ["github-actions"], "github-actions[bot]"),
        ("someone", "github-actions", "someone"),
        (None, "other", "other"),
        (None, None, "an account that no longer exists"),
    ],
)
def test_proof_by_run_creator_and_app_have_to_be_the_expected_one(
    proven: Callable[..., str], creator: str | None, app: object, wrote: str
) -> None:
    deployment = {
        "creator": None if creator is None else {"login": creator},
        "performed_via_github_app": None if app is None else {"slug": app},
    }
    said = proven(deployment=deployment)
    assert said == (f"{wrote} created it, and not the App `github-actions` (input `records-app`)" if wrote else proven())


def test_proof_by_run_signed_record_says_that_a_key_would_prove_it(proven: Callable[..., str]) -> None:
    said = "the run 1 that it names is of another commit"
    assert proven(run={"head_sha": sha(2)}, deployment={"payload": SIGNED.signed(record(1))}) == (
        f"{said}. It is signed: set `record-key`"
    )
    assert proven(run={"head_sha": sha(2)}) == said


def test_proof_by_run_without_allowed_refs_says_none(proven: Callable[..., str]) -> None:
    assert proven(trust=Trust()) == "the run 1 that it names is on `main` (input `records-refs` allows none)"
    two = Trust(refs=("a", "v*"))
    assert proven(trust=two) == "the run 1 that it names is on `main` (input `records-refs` allows `a`, `v*`)"


@pytest.mark.parametrize(
    ("created", "at", "counts"),
    [
        ("2026-05-01T10:20:00Z", "2026-05-01T10:20:00Z", True),
        ("2026-05-01T10:35:00Z", "2026-05-01T10:20:00Z", True),
        ("2026-05-01T10:35:01Z", "2026-05-01T10:20:00Z", False),
        ("2026-05-01T10:04:59Z", "2026-05-01T10:20:00Z", False),
        ("", "2026-05-01T10:20:00Z", False),
        ("2026-05-01T10:20:00Z", "", False),
    ],
)
def test_proof_by_key_signed_time_has_to_be_the_time_of_creation(
    proven: Callable[..., str], created: str, at: str, counts: bool
) -> None:
    copied = "its signed time is not the time at which GitHub created it: it was copied"
    said = proven(trust=SIGNED, deployment={"created_at": created}, at=at)
    assert said == ("signed with `record-key`" if counts else copied)


def test_proof_by_key_unsigned_and_foreign_records_say_why(proven: Callable[..., str]) -> None:
    unsigned = {"payload": record(1).payload()}
    foreign = {"payload": dataclasses.replace(SIGNED, key=b"another").signed(record(1))}
    assert proven(trust=SIGNED, deployment=unsigned) == "it is not signed, and `record-key` is set"
    assert proven(trust=SIGNED, deployment=foreign) == (
        "its signature does not fit the key of `record-key`, this repository and its task"
    )
    assert "mac" not in BY_RUN.signed(record(1))


OF_THIS_RUN = {
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_WORKFLOW_REF": "org/app/.github/workflows/release.yml@refs/heads/main",
    "GITHUB_REF_NAME": "main",
}


@pytest.fixture
def foreseen(client: Callable[..., GitHub]) -> Callable[..., str]:
    """Returns why a record of this run will not count; empty where nothing speaks against it."""

    def of(variables: dict[str, str], *, deployment: Any = None, run: str = "1", trust: Trust = BY_RUN) -> str:
        github = client("t")
        of_job = {name: value for name, value in github.runtime.variables.items() if name not in OF_THIS_RUN}
        github = dataclasses.replace(github, runtime=dataclasses.replace(github.runtime, variables={**of_job, **variables}))
        written = record(1, run=Run(run), at=DEPLOYMENT["created_at"])
        made = DEPLOYMENT | {"payload": trust.signed(written)} | (deployment or {})
        return Proofs(github, trust).of_this_run(made, written)

    return of


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"GITHUB_EVENT_NAME": "pull_request"}, "the run 1 that it names was for a pull request (pull_request)"),
        ({"GITHUB_REF_NAME": "topic"}, "the run 1 that it names is on `topic` (input `records-refs` allows `main`)"),
        ({"GITHUB_REF_NAME": None}, "the run 1 that it names is on `` (input `records-refs` allows `main`)"),
        # A branch may have any name.
        ({"GITHUB_WORKFLOW_REF": "org/app/.github/workflows/a.yml@refs/heads/x/.github/y"}, ""),
        ({"GITHUB_WORKFLOW_REF": "org/app/a.yml@main"}, "the run 1 that it names is of `.github/` (input `records-workflows`)"),
        # What stands in for GitHub's runner may not set them: then there is nothing to hold it to.
        ({"GITHUB_EVENT_NAME": None, "GITHUB_REF_NAME": "topic"}, ""),
        ({"GITHUB_WORKFLOW_REF": None, "GITHUB_REF_NAME": "topic"}, ""),
    ],
)
def test_record_of_this_run_is_held_to_what_the_runner_says(
    foreseen: Callable[..., str], changed: dict[str, str | None], said: str
) -> None:
    assert foreseen({name: value for name, value in {**OF_THIS_RUN, **changed}.items() if value is not None}) == said


def test_record_of_this_run_needs_the_app_and_the_run_that_will_prove_it(foreseen: Callable[..., str]) -> None:
    assert foreseen(OF_THIS_RUN, run="") == "it names no workflow run"
    other = "octocat created it, and not the App `github-actions` (input `records-app`)"
    assert foreseen(OF_THIS_RUN, deployment={"creator": {"login": "octocat"}}) == other


def test_record_of_this_run_that_is_signed_needs_its_signature_alone(foreseen: Callable[..., str]) -> None:
    assert foreseen({}, run="", trust=SIGNED, deployment={"creator": {"login": "octocat"}}) == ""
    assert foreseen({}, trust=SIGNED, deployment={"payload": {}}) == "it is not signed, and `record-key` is set"


def trust_of(given: dict[str, str], variables: dict[str, str]) -> tuple[Trust, Runtime, str]:
    log = io.StringIO()
    runtime = Runtime(variables, log)
    return Trust.of(load(RecordInputs, given, runtime.redactor), runtime), runtime, log.getvalue()


def test_trust_of_inputs_without_any_is_the_ref_of_the_run_and_the_default_branch(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"repository": {"default_branch": "trunk"}}')
    variables = {"GITHUB_REF_NAME": "v1", "GITHUB_EVENT_PATH": str(event), "GITHUB_REPOSITORY_ID": "7"}
    found, _, said = trust_of({}, variables)
    assert (found, said) == (Trust(repository="7", refs=("v1", "trunk")), "")
    assert trust_of({}, {})[0] == Trust()


def test_trust_of_inputs_takes_what_they_name() -> None:
    given = {
        "records-app": "deployer",
        "records-refs": "refs/heads/main\nrefs/tags/v*\nfeature/refs/heads/",
        "records-workflows": ".github/workflows/release.yml",
    }
    found, _, _ = trust_of(given, {"GITHUB_REF_NAME": "other"})
    refs = ("main", "v*", "feature/refs/heads/")
    assert found == Trust(app="deployer", refs=refs, workflows=(".github/workflows/release.yml",))


@pytest.mark.parametrize(("key", "short"), [("k" * 15, True), ("k" * 16, False)])
def test_trust_of_a_short_key_draws_a_warning_and_no_program_gets_the_key(key: str, short: bool) -> None:
    found, runtime, said = trust_of({"record-key": "RECORD_KEY"}, {"RECORD_KEY": key, "GITHUB_ACTIONS": "true"})
    assert found.key == key.encode()
    assert "RECORD_KEY" not in runtime.environment.for_programs()
    warning = "The key in RECORD_KEY is too short to prove a record. Make one of at least 16 characters: openssl rand -hex 32"
    assert (f"::warning::{warning}" in said) == short


def test_trust_of_a_key_that_is_not_set_names_the_input() -> None:
    with pytest.raises(UnusableInput, match="`record-key` refers to the environment variable RECORD_KEY, which is not set"):
        trust_of({"record-key": "RECORD_KEY"}, {})


def test_proof_too_many_runs_says_how_to_do_without(client: Callable[..., GitHub], github: FakeGitHub) -> None:
    settings.repository(github, REPOSITORY)
    proofs = Proofs(client(github.token(deployments="read", actions="read")), BY_RUN)
    for number in range(1, MOST_RUNS + 1):
        with pytest.raises(Unproven, match="does not exist in this repository"):
            proofs.of(DEPLOYMENT | {"payload": {}}, record(number))
    with pytest.raises(TooManyRuns) as refused:
        proofs.of(DEPLOYMENT | {"payload": {}}, record(MOST_RUNS + 1))
    assert refused.value.what == "Could not prove the records: they name more than 20 workflow runs."
    assert refused.value.cause == "Without a key GitHub has to be asked about each run that a record names."
    assert refused.value.fix == "Sign the records:\n\n    with:\n      record-key: RECORD_KEY"
