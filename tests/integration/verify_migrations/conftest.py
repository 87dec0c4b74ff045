"""One PostgreSQL server for the folder, and the action run on a repository with two states."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.action import Ended, run
from tests.harness.alembic_project import NEWEST, python_with
from tests.harness.migration_repository import MigrationRepository
from tests.harness.postgres import Postgres, running
from tests.harness.warm_python import warmed


class Verify:
    """Runs the action as a step does."""

    def __init__(self, server: Postgres, python: Path, warm: Path, scratch: Path) -> None:
        self.server = server
        self.python = python
        self.warm = warm
        self.scratch = scratch

    def __call__(
        self,
        repository: MigrationRepository,
        *,
        driver: str = "psycopg",
        url: str = "",
        summary: Path | None = None,
        **inputs: str,
    ) -> Ended:
        variables = {
            "GITHUB_STEP_SUMMARY": str(summary or ""),
            "DATABASE_URL": url or self.server.url("postgres", driver),
            "PATH": f"{self.warm}:{self.python}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(self.scratch),
            # The projects of the tests are never installed, so their modules are compiled once.
            "PYTHONDONTWRITEBYTECODE": "",
        }
        given = {"base-ref": repository.base, **{name.replace("_", "-"): value for name, value in inputs.items()}}
        return run("verify-migrations", given, repository.folder, **variables)


def rules(ended: Ended, *severities: str) -> set[str]:
    """Returns the rules of the findings, of these severities where any are given."""
    return {_rule(found) for found in ended.findings if not severities or found["severity"] in severities}


def _rule(found: dict[str, Any]) -> str:
    return str(found["rule"]).removeprefix("verify-migrations/")


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with running() as made:
        made.sql("create role cicd_vm_app")
        yield made


@pytest.fixture(scope="session")
def python() -> Path:
    return python_with(NEWEST)


@pytest.fixture(scope="session")
def warm(python: Path) -> Iterator[Path]:
    """The folder of a `python3` that has imported Alembic and the drivers already."""
    with warmed(python) as folder:
        yield folder


@pytest.fixture
def verify(server: Postgres, python: Path, warm: Path, tmp_path: Path) -> Verify:
    scratch = tmp_path / "runner"
    scratch.mkdir()
    return Verify(server, python, warm, scratch)


@pytest.fixture
def repository(tmp_path: Path) -> MigrationRepository:
    folder = tmp_path / "app"
    folder.mkdir()
    return MigrationRepository(folder)
