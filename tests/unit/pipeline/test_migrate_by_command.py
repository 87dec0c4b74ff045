from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cicd_actions.pipeline import migrate_by_command
from cicd_actions.pipeline.migrate_by_command import job_of

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SHA = "1" * 40
PROGRAM = """
import json, pathlib, sys
log = pathlib.Path({log!r})
log.open("a").write(json.dumps(sys.argv[1:]) + chr(10))
sys.exit(9 if " ".join(sys.argv[1:3]) in {refuse!r} else 0)
"""


def test_a_jobs_arguments_go_where_they_belong() -> None:
    filled = {"service": "a b"}
    assert job_of("engine {service} -- {command} --last", "alembic upgrade head", filled) == (
        "engine", "a b", "--", "alembic", "upgrade", "head", "--last",
    )  # fmt: skip
    assert job_of("engine {service}", "x 'y z'", filled) == ("engine", "a b", "x", "y z")
    # Nothing is filled into the job's own arguments: `{service}` may mean something to it.
    assert job_of("run", "echo {service}", filled) == ("run", "echo", "{service}")


class Migration:
    """Runs the program with a recording program, as the action's step would."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.refuse: list[str] = []
        monkeypatch.chdir(folder)

    def __call__(self, **inputs: str) -> int:
        log = str(self.folder / "log")
        (self.folder / "program.py").write_text(PROGRAM.format(log=log, refuse=self.refuse))
        program = f"{sys.executable} program.py"
        given = {
            "environment": "staging",
            "images": "api=local/api\nweb=local/web",
            "digests": f"api={A}\nweb={B}",
            "sha": SHA,
            "job-command": f"{program} job {{service}} {{image}} {{sha}} {{environment}}",
            "migrate-command": "alembic upgrade head",
            "migrate-service": "api",
            **{name.replace("_", "-"): value for name, value in inputs.items()},
        }
        self.monkeypatch.setenv("INPUTS", json.dumps(given))
        try:
            migrate_by_command.main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    def calls(self) -> list[list[str]]:
        file = self.folder / "log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Migration:
    return Migration(tmp_path, monkeypatch)


def test_migrate_runs_one_job_of_the_new_image(migration: Migration) -> None:
    assert migration() == 0
    assert migration.calls() == [["job", "api", f"local/api@{A}", SHA, "staging", "alembic", "upgrade", "head"]]


def test_a_failed_migration_fails(migration: Migration, capsys: pytest.CaptureFixture[str]) -> None:
    migration.refuse = ["job api"]
    assert migration() == 1
    assert "the migration ended with 9. Nothing was rolled out" in capsys.readouterr().out


def test_a_migration_of_an_unknown_service_is_told(migration: Migration, capsys: pytest.CaptureFixture[str]) -> None:
    assert migration(migrate_service="worker") == 1
    assert "worker is not deployed here; there are api, web" in capsys.readouterr().out
