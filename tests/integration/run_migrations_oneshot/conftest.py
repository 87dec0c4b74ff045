"""A PostgreSQL server, separate databases, and the action run in this process on the `command` engine."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.run import run
from cicd_actions.toolkit import terminal
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.alembic_project import NEWEST, ROOT, Project, python_with
from tests.harness.measuring import MEASURED
from tests.harness.postgres import Postgres, running
from tests.harness.warm_python import warmed

DRIVERS = ("psycopg", "psycopg2", "asyncpg")


@dataclass
class Ended:
    """What one run came to. `text` is its report as a terminal shows it, `log` what it logged meanwhile."""

    report: Report
    text: str
    log: str

    @property
    def status(self) -> object:
        return self.report.outputs["status"]

    @property
    def verdict(self) -> str:
        return str(self.report.verdict)

    @property
    def applied(self) -> list[str]:
        return [entry["revision"] for entry in self.report.outputs["applied"]]  # type: ignore[union-attr,index]

    def output(self, name: str) -> object:
        return self.report.outputs[name]


class Log(io.StringIO):
    """A log whose next line a test can await."""

    def __init__(self) -> None:
        super().__init__()
        self._grown = threading.Condition()

    def write(self, text: str) -> int:
        with self._grown:
            size = super().write(text)
            self._grown.notify_all()
        return size

    def until(self, pattern: str, seconds: float = 60.0) -> None:
        """Wait until the pattern stands in it."""
        with self._grown:
            found = self._grown.wait_for(lambda: re.search(pattern, self.getvalue()) is not None, seconds)
        assert found, f"{pattern!r} never came:\n{self.getvalue()}"


class Migrating:
    """Runs the action for a project and a database."""

    def __init__(self, scratch: Path, python: Path, warm: Path) -> None:
        self.scratch = scratch
        self.python = python
        self._warm = {python: f"{warm}:"}
        self._programs: list[Program] = []

    def end(self) -> None:
        """Cancel what a failed test left running: its containers and locks go with it."""
        for program in self._programs:
            program.end()

    def inputs(self, project: Project, **inputs: str) -> dict[str, str]:
        values = {"image": "app@1", "engine": "command", "job_command": f"env -C {project.folder}", **inputs}
        return {name.replace("_", "-"): value for name, value in values.items()}

    def variables(self, url: str, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "INPUT"))}
        path = f"{self._warm.get(self.python, '')}{self.python}:{os.environ['PATH']}"
        return {**kept, "PATH": path, "RUNNER_TEMP": str(self.scratch), "DATABASE_URL": url, **more}

    def __call__(
        self, project: Project, url: str, *, log: Log | None = None, variables: dict[str, str] | None = None, **inputs: str
    ) -> Ended:
        log = log or Log()
        runtime = Runtime(self.variables(url, **(variables or {})), log)
        report = run(load(Inputs, self.inputs(project, **inputs), runtime.redactor), runtime)
        lines = terminal.render(report.blocks, runtime.redactor)
        return Ended(report, "\n".join([report.headline, *lines]), log.getvalue())

    def start(self, project: Project, url: str, *, variables: dict[str, str] | None = None, **inputs: str) -> Program:
        """As a separate program, for signals and for GitHub's files."""
        environment = {**self.variables(url), "GITHUB_ACTIONS": "true", "PYTHONPATH": str(ROOT / "src"), **(variables or {})}
        for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
            environment[name] = str(self.scratch / f"{name}-{uuid.uuid4().hex}")
        environment["INPUTS"] = json.dumps(self.inputs(project, **inputs))
        self._programs.append(Program(environment))
        return self._programs[-1]


class Program:
    """The action as the runner starts it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.log = Log()
        words = [sys.executable, "-m", "cicd_actions", "run-migrations-oneshot"]
        self._process = subprocess.Popen(
            words, env={**environment, **MEASURED}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.write(line)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = 60.0) -> int:
        try:
            return self._process.wait(seconds)
        finally:
            self.close()

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
        self.close()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def outputs(self) -> dict[str, str]:
        text = Path(self.environment["GITHUB_OUTPUT"]).read_text()
        found = re.findall(r"^(\S+?)<<(\S+)\n(.*?)\n\2$", text, re.MULTILINE | re.DOTALL)
        return {name: value for name, _, value in found}

    @property
    def summary(self) -> str:
        return Path(self.environment["GITHUB_STEP_SUMMARY"]).read_text()


@dataclass
class Database:
    """One database of a test's own."""

    server: Postgres
    name: str

    def url(self, driver: str = "psycopg", **parts: Any) -> str:
        return self.server.url(self.name, driver, **parts)

    def sql(self, statement: str) -> list[tuple[str, ...]]:
        return self.server.sql(statement, self.name)

    def session(self, *statements: str) -> subprocess.Popen[str]:
        return self.server.session(*statements, database=self.name)

    @contextmanager
    def held(self, statement: str) -> Iterator[int]:
        """Somebody else's open transaction that has run the statement; the pid of its session."""
        other = self.session("BEGIN", statement, "SELECT 'held'", "SELECT pg_sleep(600)")
        try:
            assert other.stdout is not None
            held = "state = 'active' AND query LIKE 'SELECT pg_sleep(600)%' AND datname = current_database()"
            self.until(f"EXISTS (SELECT FROM pg_stat_activity WHERE {held})")
            yield int(self.sql(f"SELECT pid FROM pg_stat_activity WHERE {held}")[0][0])
        finally:
            self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {held}")
            other.wait(60)
            if other.stdout is not None:
                other.stdout.close()

    def until(self, condition: str) -> None:
        self.server.until(condition, self.name)

    @property
    def revision(self) -> list[str]:
        return sorted(row[0] for row in self.sql("SELECT version_num FROM alembic_version"))

    @property
    def sessions(self) -> int:
        """Sessions of migration runs that are still there."""
        found = self.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'run-migr%'"
        )
        return int(found[0][0])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server that runs for the whole session. It listens everywhere, so that containers reach it too."""
    with running(listen="*") as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server of the test's own, for what would disturb others."""
    with running() as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Database:
    name = f"t{uuid.uuid4().hex[:12]}"
    postgres.sql(f"CREATE DATABASE {name}")
    return Database(postgres, name)


@pytest.fixture(scope="session")
def python() -> Path:
    """An environment with the newest Alembic and every driver."""
    return python_with(NEWEST)


@pytest.fixture(scope="session")
def warm(python: Path) -> Iterator[Path]:
    """The folder of a `python3` that has imported Alembic and the drivers already."""
    with warmed(python) as folder:
        yield folder


@pytest.fixture
def migrate(tmp_path: Path, python: Path, warm: Path) -> Iterator[Migrating]:
    scratch = tmp_path / "runner"
    scratch.mkdir()
    made = Migrating(scratch, python, warm)
    yield made
    made.end()


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    """Makes projects; `asynchronous` for a driver that needs it."""

    def make(**options: Any) -> Project:
        folder = tmp_path / f"project-{uuid.uuid4().hex[:6]}"
        folder.mkdir()
        return Project(folder, **options)

    return make
