"""Which login a deploy's programs get, and that the account's own configuration stays what it is."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.engines.registry_logins import logins
from cicd_actions.pipeline.registry_login import FOLDER, Inputs, run, with_login
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime

GHCR = {"registry": "ghcr.io", "registry-username": "", "registry-token": True}
OTHER = {"registry": "registry.example.com", "registry-username": "robot", "registry-token": False}


def log_in(folder: Path, registry: dict[str, Any], engine: str = "docker", **variables: str) -> dict[str, Any] | None:
    """Returns the login that the programs of the job would use; `None` for none of ours."""
    (folder / "home").mkdir(exist_ok=True)
    (folder / "temp").mkdir(exist_ok=True)
    log = io.StringIO()
    runtime = Runtime({"HOME": str(folder / "home"), "RUNNER_TEMP": str(folder / "temp"), **variables}, log)
    settings = json.dumps({**registry, "engine": engine})
    run(load(Inputs, {"settings": settings, "actor": "ann", "github-token": "job-t0ken"}, runtime.redactor), runtime)
    used = folder / "temp" / FOLDER
    return logins({"DOCKER_CONFIG": str(used)}).resolve_authconfig(registry["registry"]) if used.exists() else None


def account(folder: Path, configuration: dict[str, Any]) -> Path:
    path = folder / "home" / ".docker" / "config.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(configuration))
    return path


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("registry", "engine", "password", "expected"),
    [
        (OTHER, "swarm", "last1ng", ("robot", "last1ng")),
        (OTHER, "docker", "", None),  # the job's token is not for a stranger
        (GHCR, "docker", "", ("ann", "job-t0ken")),
        (GHCR, "kubernetes", "last1ng", ("ann", "last1ng")),
        (GHCR, "swarm", "", None),  # it would stay with the service, and end with the job
    ],
)
def test_run_logs_in_with_what_fits_the_registry_and_the_engine(
    registry: dict[str, Any], engine: str, password: str, expected: tuple[str, str] | None, tmp_path: Path
) -> None:
    found = log_in(tmp_path, registry, engine, REGISTRY_PASSWORD=password)
    assert (found and (found["username"], found["password"])) == expected


def test_run_the_accounts_own_login_and_contexts_stay(tmp_path: Path) -> None:
    own = account(
        tmp_path, {"auths": {"ghcr.io": auth("own", "last1ng"), "else.example": auth("a", "b")}, "currentContext": "x"}
    )
    (own.parent / "contexts").mkdir()
    before = own.read_text()
    assert log_in(tmp_path, GHCR) is None, "an own login lasts, the job's token does not"
    found = log_in(tmp_path, GHCR, REGISTRY_PASSWORD="new-s3cr3t")
    assert found
    assert found["password"] == "new-s3cr3t"
    made = tmp_path / "temp" / FOLDER
    assert json.loads((made / "config.json").read_text())["currentContext"] == "x"
    assert (made / "contexts").resolve() == own.parent / "contexts"
    assert (made / "config.json").stat().st_mode & 0o077 == 0
    assert own.read_text() == before


def test_run_the_accounts_credential_helper_is_an_own_login(tmp_path: Path) -> None:
    account(tmp_path, {"credHelpers": {"ghcr.io": "pass"}})
    assert log_in(tmp_path, GHCR) is None


def test_with_login_wins_over_a_credentials_store_and_keeps_it_for_the_others() -> None:
    own = {"auths": {"else.example": {}, "ghcr.io": {}}, "credsStore": "pass", "credHelpers": {"aws.example": "ecr-login"}}
    made = with_login(own, "ghcr.io", "bG9naW4=")
    assert made["auths"]["ghcr.io"] == {"auth": "bG9naW4="}
    assert made["credHelpers"] == {"else.example": "pass", "aws.example": "ecr-login"}
    assert "credsStore" not in made
