"""The phases of an environment's infrastructure, on a stand-in that keeps Terraform's protocol of plan and apply.

With CICD_ACTIONS_TEST_TERRAFORM, the path of a real Terraform, the same tests run on that.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.pipeline.infrastructure import tools
from cicd_actions.pipeline.infrastructure.run import Inputs, run
from cicd_actions.pipeline_file.model import Infrastructure
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.findings import Finding
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import OutputValue
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.action import ROOT

REAL = os.environ.get("CICD_ACTIONS_TEST_TERRAFORM", "")
KEY = "0123456789abcdef0123456789abcdef"
SECRET = "hush-hush-of-the-plan"
DATABASE = {"input": {"password": SECRET}, "triggers_replace": "one"}


@dataclass
class Ended:
    """How a phase ended: the exit code, and everything that is said."""

    code: int
    log: str
    outputs: dict[str, OutputValue] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


class Team:
    """A repository with infrastructure, and the jobs of its runs: each starts from the same state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "app"
        self.temp = folder / "temp"
        self.programs = folder / "programs"
        self.state = folder / "terraform.tfstate"
        for each in (self.folder / "infra", self.temp, self.programs):
            each.mkdir(parents=True)
        shutil.copy(REAL or ROOT / "tests" / "harness" / "terraform.py", self.programs / "terraform")
        (self.programs / "terraform").chmod(0o755)
        self.variables = {"GITHUB_SHA": "c" * 40, "GITHUB_RUN_ID": "1", "RECORD_KEY": KEY, "RUNNER_TEMP": str(self.temp)}
        self.variables["PATH"] = f"{self.programs}{os.pathsep}{os.environ['PATH']}"

    def describes(self, outputs: dict[str, Any] | None = None, **resources: dict[str, Any]) -> None:
        """Write the infrastructure's code."""
        backend = {"backend": {"local": {"path": str(self.state)}}}
        told = {"output": outputs} if outputs else {}
        code = {"terraform": backend, "resource": {"terraform_data": resources}, **told}
        (self.folder / "infra" / "main.tf.json").write_text(json.dumps(code))

    def run(self, phase: str, saved: str = "", **keys: Any) -> Ended:
        """Run a phase, with these keys of `infrastructure`."""
        facts = tools.settings(Infrastructure(directory="infra", **keys))
        # No test waits for a lock.
        facts = json.loads(json.dumps(facts).replace("-lock-timeout=5m", "-lock-timeout=0s"))
        settings = json.dumps({"name": "staging", "infrastructure": facts})
        log = io.StringIO()
        runtime = Runtime(self.variables, log)
        inputs = load(Inputs, {"phase": phase, "settings": settings, "plan-file": saved}, runtime.redactor)
        try:
            report = run(inputs, runtime)
        except ActionError as error:
            return Ended(error.exit_code, f"{log.getvalue()}\n{error}")
        said = [report.headline, *(each.message for each in report.findings), str(report.blocks)]
        return Ended(report.verdict.exit_code, "\n".join([log.getvalue(), *said]), report.outputs, report.findings)

    def stands(self) -> None:
        """Apply the code by hand."""
        terraform = str(self.programs / "terraform")
        for words in (["init"], ["plan", "-out=by-hand"], ["apply", "by-hand"]):
            subprocess.run([terraform, *words], cwd=self.folder / "infra", env=self.variables, check=True, capture_output=True)

    def holds(self) -> dict[str, Any]:
        """Returns what the state holds, by the outputs of the tool."""
        found: dict[str, Any] = json.loads(self.state.read_text()) if self.state.exists() else {}
        return found


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    found = Team(tmp_path)
    monkeypatch.chdir(found.folder)
    found.describes(database=DATABASE)
    return found


def test_plan_is_saved_sealed_applied_once_and_hands_on_its_outputs(team: Team) -> None:
    outputs = {"host": {"value": "db.internal.example"}, "password": {"value": "s3cret-of-db", "sensitive": True}}
    team.describes(outputs, database=DATABASE)
    wanted = {"outputs": {"DB_HOST": "host", "DB_PASSWORD": "password"}}
    saved = team.temp / "plan"
    planned = team.run("plan", str(saved), **wanted)
    assert (planned.code, planned.outputs["changes"]) == (0, True), planned.log
    assert "1 to create, 2 outputs to change" in planned.log
    content = saved.read_bytes()
    assert not any(secret in text for secret in (SECRET, "s3cret-of-db") for text in (planned.log, str(content)))
    assert list(team.temp.iterdir()) == [saved], "no plan in clear is left"

    applied = team.run("apply", str(saved), **wanted)
    assert applied.code == 0, applied.log
    assert "Handed on: DB_HOST, DB_PASSWORD." in applied.log
    assert "db.internal.example" not in applied.log
    kept = team.temp / "cicd-actions-infrastructure.json"
    assert json.loads(kept.read_text()) == {"DB_HOST": "db.internal.example", "DB_PASSWORD": "s3cret-of-db"}
    assert kept.stat().st_mode & 0o77 == 0

    serial = team.holds()["serial"]
    again = team.run("apply", str(saved), **wanted)
    assert (again.code, team.holds()["serial"]) == (0, serial), "a job that is run again applies nothing twice"
    assert "the plan was applied before" in again.log


def test_plan_without_changes_saves_nothing_and_still_hands_on(team: Team) -> None:
    team.describes({"host": {"value": "db.internal.example"}}, database=DATABASE)
    team.stands()
    saved = team.temp / "plan"
    planned = team.run("plan", str(saved))
    assert (planned.code, planned.outputs["changes"], saved.exists()) == (0, False, False)
    applied = team.run("apply", "", outputs={"DB_HOST": "host"})
    assert (applied.code, "DB_HOST" in applied.log) == (0, True)
    assert team.run("apply", "", outputs={"DB_HOST": "hots"}).code == 2


def test_plan_that_destroys_is_refused_until_the_file_names_what(team: Team) -> None:
    team.stands()
    saved = team.temp / "plan"
    team.describes(database={**DATABASE, "triggers_replace": "two"})
    refused = team.run("plan", str(saved))
    assert (refused.code, saved.exists()) == (1, False)
    assert refused.findings[0].severity.value == "error"
    assert 'allow-destroy: ["terraform_data.database"]' in refused.findings[0].fix
    allowed = team.run("plan", str(saved), allow_destroy=("terraform_data.*",))
    assert (allowed.code, saved.exists()) == (0, True)
    assert allowed.findings[0].severity.value == "warning", "it is still said"
    assert "terraform_data.database will be destroyed and created again" in allowed.findings[0].message


def test_stale_plan_is_applied_again_only_where_it_changes_the_same(team: Team) -> None:
    team.stands()
    saved = team.temp / "plan"
    team.describes(database=DATABASE, cache={"input": "x"})
    team.run("plan", str(saved))
    # Another release makes something else first.
    team.describes(database=DATABASE, queue={"input": "x"})
    team.stands()
    team.describes(database=DATABASE, cache={"input": "x"})
    stale = team.run("apply", str(saved))
    assert stale.code == 3, stale.log
    assert "the plan is stale, and a new one changes something else: 1 to destroy, 1 to create" in stale.log
    # With the queue in the code again, it changes the same as what was approved.
    team.describes(database=DATABASE, cache={"input": "x"}, queue={"input": "x"})
    assert team.run("apply", str(saved)).code == 0


def test_apply_that_fails_half_way_is_a_fail_and_its_rest_needs_a_new_plan(team: Team) -> None:
    broken = {"input": "x", "provisioner": [{"local-exec": {"command": "exit 3"}}]}
    team.describes(database=DATABASE, worker=broken)
    saved = team.temp / "plan"
    team.run("plan", str(saved))
    failed = team.run("apply", str(saved))
    assert failed.code == 1, failed.log
    assert "A part may be applied" in failed.log
    again = team.run("apply", str(saved))
    assert again.code == 3, "what is left is not what was approved"


@pytest.mark.parametrize("phase", ["plan", "apply"])
def test_lock_of_somebody_else_is_inconclusive(phase: str, team: Team) -> None:
    saved = team.temp / "plan"
    team.run("plan", str(saved))
    (team.state.parent / f".{team.state.name}.lock.info").write_text("{}")
    with team.state.open("a") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        ended = team.run(phase, str(saved))
    assert ended.code == 3, ended.log
    assert "holds the lock of its state" in ended.log


def _other_run(team: Team) -> None:
    team.variables["GITHUB_RUN_ID"] = "2"


def _other_key(team: Team) -> None:
    team.variables["RECORD_KEY"] = KEY[::-1]


def _changed(team: Team) -> None:
    content = bytearray((team.temp / "plan").read_bytes())
    content[-1] ^= 1
    (team.temp / "plan").write_bytes(content)


@pytest.mark.parametrize("done", [_other_run, _other_key, _changed])
def test_plan_that_is_not_of_this_run_is_refused(done: Callable[[Team], None], team: Team) -> None:
    team.run("plan", str(team.temp / "plan"))
    done(team)
    ended = team.run("apply", str(team.temp / "plan"))
    assert ended.code == 1, ended.log
    assert "not the one that this run made" in ended.log
    assert not team.holds()


def test_plan_without_a_key_is_not_kept(team: Team) -> None:
    team.variables["RECORD_KEY"] = ""
    ended = team.run("plan", str(team.temp / "plan"))
    assert ended.code == 2
    assert "gh secret set RECORD_KEY --env staging" in ended.log


def test_preview_has_only_the_credentials_of_a_plan_and_keeps_nothing(team: Team) -> None:
    team.variables |= {"PLAN_ENV": "TOKEN=read-only-token", "DEPLOY_ENV": "TOKEN=token-that-writes", "RECORD_KEY": ""}
    seen = team.temp / "seen"
    shows = f"sh -c 'printf %s $TOKEN,$DEPLOY_ENV,$RECORD_KEY > {seen}; exec terraform plan -detailed-exitcode -out={{plan}}'"
    ended = team.run("preview", plan=shows)
    assert ended.code == 0, ended.log
    assert seen.read_text() == "read-only-token,,"
    assert "1 to create" in ended.log
    assert [each.name for each in team.temp.iterdir()] == ["seen"]


@pytest.mark.skipif(bool(REAL), reason="terraform_data cannot drift")
def test_drift_is_a_fail_and_a_commit_that_is_not_applied_is_none(team: Team) -> None:
    team.stands()
    team.describes(database=DATABASE, cache={"input": "x"})
    assert team.run("drift").code == 0
    reality = {"terraform_data.database": {"input": {"password": "changed-by-hand"}, "triggers_replace": "one"}}
    team.state.with_name("reality.json").write_text(json.dumps(reality))
    drifted = team.run("drift")
    assert (drifted.code, drifted.outputs["changes"]) == (1, True), drifted.log
    assert "Drift in staging: 1 to change" in drifted.log
    assert "changed-by-hand" not in drifted.log
