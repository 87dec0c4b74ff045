"""Which settings of an environment reach which action: by the names of its inputs, and none by accident."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from cicd_actions.__main__ import action
from cicd_actions.pipeline import planning
from cicd_actions.pipeline.deploy_step import KUBECONFIG, arranged
from cicd_actions.pipeline.event import Event
from cicd_actions.pipeline.registry_login import FOLDER
from cicd_actions.pipeline_file.reading import parse
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.runtime import Runtime

PLATFORM = (Path(__file__).resolve().parents[2] / "data" / "pipeline_files" / "platform.yml").read_text("utf-8")
EVENT = Event("push", "refs/heads/main", "a" * 40, "org/app", "main", ["x"])
ENGINE = {"environment", "engine", "roll-out-command", "running-command", "job-command"}


def settings(text: str = PLATFORM) -> str:
    return json.dumps(planning.make(parse(text), None, EVENT, []).environments[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("roll-out", ENGINE),
        ("health-gate", set()),
        ("run-migrations-oneshot", {*ENGINE, "allow-contract", "backup-command"} - {"roll-out-command", "running-command"}),
        ("deployment-record", {*ENGINE, "app", "require-passed-in", "require-rollback", "gate-timeout"}),
        ("rollback-to-previous-sha", {*ENGINE, "app", "gate-timeout", "require-attestation", "source-refs"}),
        ("verify-attestation", {"require-attestation", "source-refs"}),
    ],
)
def test_arranged_action_gets_the_settings_that_are_its_inputs(name: str, expected: set[str]) -> None:
    given, _ = arranged(action(name), {"settings": settings(), "github-token": "t"}, Runtime({}, io.StringIO()))
    assert set(given) - {"github-token", "roll-out-command", "running-command"} == expected - {
        "roll-out-command",
        "running-command",
    }


def test_arranged_allow_empty_of_the_file_reaches_roll_out_and_rollback() -> None:
    given = {"settings": settings(PLATFORM.replace("  engine: command\n", "  engine: command\n  allow-empty: true\n"))}
    for name, expected in (("roll-out", "true"), ("rollback-to-previous-sha", "true"), ("deployment-record", None)):
        assert arranged(action(name), given, Runtime({}, io.StringIO()))[0].get("allow-empty") == expected


def test_arranged_values_win_over_settings_and_null_is_nothing() -> None:
    inputs = {"settings": settings(), "values": '{"engine": "swarm", "services": "a=b", "timeout": null, "allow-empty": true}'}
    given, _ = arranged(action("roll-out"), inputs, Runtime({}, io.StringIO()))
    assert (given["engine"], given["services"], given["timeout"], given["allow-empty"]) == ("swarm", "a=b", "", "true")


def test_arranged_secrets_are_named_where_they_are_set_and_reach_programs_as_variables() -> None:
    variables = {"DEPLOY_ENV": "CLOUD=s3cr3t\n", "RELEASE_ENV": "TOKEN=x\n", "RECORD_KEY": "k" * 32, "INPUTS": "{}"}
    runtime = Runtime(variables, io.StringIO())
    given, seen = arranged(action("rollback-to-previous-sha"), {"settings": settings()}, runtime)
    assert (given["env-file-variable"], given["record-key"]) == ("RELEASE_ENV", "RECORD_KEY")
    assert seen.environment["CLOUD"] == "s3cr3t"
    assert "DEPLOY_ENV" not in seen.environment
    assert "s3cr3t" not in seen.redactor("it is s3cr3t")
    given, _ = arranged(
        action("rollback-to-previous-sha"), {"settings": settings()}, Runtime({"RECORD_KEY": ""}, io.StringIO())
    )
    assert not {"env-file-variable", "record-key"} & set(given)


@pytest.mark.parametrize("line", ["PATH=/x", "LD_PRELOAD=x", "GITHUB_TOKEN=x", "NODE_OPTIONS=x"])
def test_arranged_secret_that_would_steer_the_runner_is_refused(line: str) -> None:
    with pytest.raises(UnusableInput, match="would steer the runner"):
        arranged(action("roll-out"), {"settings": settings()}, Runtime({"DEPLOY_ENV": line}, io.StringIO()))


def test_arranged_login_of_the_registry_step_wins(tmp_path: Path) -> None:
    runtime = Runtime({"RUNNER_TEMP": str(tmp_path)}, io.StringIO())
    assert "DOCKER_CONFIG" not in arranged(action("roll-out"), {"settings": settings()}, runtime)[1].variables
    (tmp_path / FOLDER).mkdir()
    found = arranged(action("roll-out"), {"settings": settings()}, runtime)[1].variables
    assert found["DOCKER_CONFIG"] == str(tmp_path / FOLDER)


def test_arranged_kubeconfig_of_the_login_step_wins(tmp_path: Path) -> None:
    variables = {"RUNNER_TEMP": str(tmp_path), "KUBECONFIG": "/home/runner/.kube/config"}
    runtime = Runtime(variables, io.StringIO())
    assert arranged(action("roll-out"), {"settings": settings()}, runtime)[1].variables["KUBECONFIG"] == variables["KUBECONFIG"]
    (tmp_path / KUBECONFIG).write_text("kind: Config\n")
    found = arranged(action("roll-out"), {"settings": settings()}, runtime)[1].variables
    assert found["KUBECONFIG"] == str(tmp_path / KUBECONFIG)
