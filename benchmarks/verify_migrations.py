"""verify-migrations against the bare `alembic upgrade head`: five new revisions on a base of 200, its schema cached.

Target: at most 1.5 times the bare upgrade of the five, four starts of the application (`alembic current`), and 3 s. The rounds
alternate, so that what else the machine does falls on all alike. Needs PostgreSQL's server programs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Instead of this folder, whose files are named after actions.
sys.path[:1] = [str(ROOT), str(ROOT / "src")]

from tests.harness.alembic_project import NEWEST, python_with  # noqa: E402 - the path had to be set first
from tests.harness.migration_repository import MigrationRepository  # noqa: E402
from tests.harness.postgres import Postgres  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "5"))
BASE, NEW, TABLES = 200, 5, 40


def repository(folder: Path) -> MigrationRepository:
    """Returns 40 tables, each made and then changed by four revisions more, and five new columns."""
    found = MigrationRepository(folder)

    def models(columns: int, more: int) -> str:
        tables = []
        for at in range(TABLES):
            names = [f"c{n}" for n in range(columns)] + (["new"] if at < more else [])
            listed = ", ".join(f"sa.Column({name!r}, sa.Text)" for name in names)
            tables.append(f"sa.Table('t{at}', metadata, sa.Column('id', sa.Integer, primary_key=True), {listed})")
        return "\n".join(tables)

    found.models(models(4, 0))
    for at in range(BASE):
        table, step = at % TABLES, at // TABLES
        create = f"op.create_table('t{table}', sa.Column('id', sa.Integer, primary_key=True))"
        found.revision(f"b{at}", f"op.add_column('t{table}', sa.Column('c{step - 1}', sa.Text))" if step else create)
    found.commit()
    found.models(models(4, NEW))
    for at in range(NEW):
        found.revision(f"n{at}", f"op.add_column('t{at}', sa.Column('new', sa.Text))", f"op.drop_column('t{at}', 'new')")
    found.commit()
    return found


def seconds(words: list[str], folder: Path, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{words[:4]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started


def main() -> int:
    python = python_with(NEWEST)
    with tempfile.TemporaryDirectory(prefix="cicd-actions-bench-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        for folder in ("postgres", "app"):
            (scratch / folder).mkdir()
        server = Postgres(scratch / "postgres")
        try:
            server.start()
            project = repository(scratch / "app")
            environment = {**os.environ, "PATH": f"{python}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
            environment |= {"RUNNER_TEMP": str(scratch), "PYTHONDONTWRITEBYTECODE": ""}
            environment["DATABASE_URL"] = server.url("postgres", "psycopg")
            action = [sys.executable, "-m", "cicd_actions", "verify-migrations", "--base-ref", project.base]
            action += ["--allow-other-data", "true"]
            found: dict[str, list[float]] = {"upgrade": [], "start": [], "action": []}
            for at in range(ROUNDS + 1):
                server.sql(f"create database bare{at}")
                bare = {**environment, "DATABASE_URL": server.url(f"bare{at}", "psycopg")}
                seconds(["alembic", "upgrade", f"b{BASE - 1}"], project.folder, bare)
                upgrade = seconds(["alembic", "upgrade", "head"], project.folder, bare)
                start = seconds(["alembic", "current"], project.folder, bare)
                whole = seconds(action, project.folder, environment)
                if at:  # the first round fills the cache
                    for key, value in (("upgrade", upgrade), ("start", start), ("action", whole)):
                        found[key].append(value)
        finally:
            server.stop()
    middle = {key: statistics.median(values) for key, values in found.items()}
    limit = 1.5 * middle["upgrade"] + 4 * middle["start"] + 3
    print(f"alembic upgrade of {NEW}: {middle['upgrade']:.2f} s; a start: {middle['start']:.2f} s")
    print(f"verify-migrations: {middle['action']:.2f} s (at most {limit:.2f} s)")
    return 0 if middle["action"] <= limit else 1


if __name__ == "__main__":
    sys.exit(main())
