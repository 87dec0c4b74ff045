"""Migrations that go well, on each driver: once, in order, proven, and quickly nothing when nothing is pending."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.harness.alembic_project import OLDEST, Project, python_with
from tests.integration.run_migrations_oneshot.conftest import DRIVERS, Database, Ended, Log, Migrating

pytestmark = [pytest.mark.postgres, pytest.mark.network]

TABLE = "op.create_table('items', sa.Column('id', sa.Integer, primary_key=True))"
COLUMN = "op.add_column('items', sa.Column('name', sa.String(20)))"
INDEX = """
with op.get_context().autocommit_block():
    op.create_index('ix_items_name', 'items', ['name'], postgresql_concurrently=True)
"""


def three(project: Project) -> Project:
    return project.revision("r1", TABLE).revision("r2", COLUMN, message="Add a name").revision("r3", INDEX)


@pytest.mark.parametrize("driver", DRIVERS)
def test_applies_once_and_then_finds_nothing(
    driver: str, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = three(project(asynchronous=driver == "asyncpg"))

    first = migrate(made, database.url(driver))

    assert (first.status, first.verdict) == ("applied", "pass"), first.log
    assert (first.output("from-revision"), first.output("to-revision")) == ("", "r3")
    assert database.revision == ["r3"]
    assert database.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_items_name'::regclass") == [("t",)]
    entries = first.output("applied")
    assert isinstance(entries, list)
    assert [(entry["revision"], entry["message"], entry["phase"]) for entry in entries] == [
        ("r1", "Do r1", ""),
        ("r2", "Add a name", ""),
        ("r3", "Do r3", ""),
    ]
    assert all(isinstance(entry["seconds"], float) for entry in entries)
    assert database.sessions == 0

    second = migrate(made, database.url(driver))
    assert (second.status, second.verdict, second.applied) == ("up-to-date", "pass", [])
    assert "The lock is held" not in second.log
    assert second.output("from-revision") == second.output("to-revision") == "r3"


def test_psycopg_asynchronously(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    assert migrate(three(project(asynchronous=True)), database.url("psycopg")).applied == ["r1", "r2", "r3"]


@pytest.mark.parametrize("driver", ["psycopg2", "asyncpg"])
def test_the_oldest_alembic_and_python(
    driver: str, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    migrate.python = python_with(OLDEST, "3.8")

    ended = migrate(three(project(asynchronous=driver == "asyncpg")), database.url(driver))

    assert ended.applied == ["r1", "r2", "r3"], ended.log
    assert "Python 3.8" in ended.log
    assert "Alembic 1.10" in ended.log


@pytest.mark.parametrize("driver", DRIVERS)
def test_each_migration_starts_with_the_timeouts_of_the_inputs(
    driver: str, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    seen = """
    shown = {name: op.get_bind().exec_driver_sql("SHOW " + name).scalar() for name in
             ("lock_timeout", "statement_timeout", "application_name")}
    print("SEEN", shown["lock_timeout"], shown["statement_timeout"], shown["application_name"])
    """
    made = project(asynchronous=driver == "asyncpg")
    # As a dump does it: for the session, and so for every migration that follows.
    made.revision("r1", "op.execute('SET lock_timeout = 0')\nop.execute('SET statement_timeout = 0')\n")
    made.revision("r2", seen)

    ended = migrate(made, database.url(driver), lock_timeout="1500ms", statement_timeout="1m", sha="4f2c" * 10)

    assert ended.status == "applied"
    assert "SEEN 1500ms 1min run-migrations-oneshot 4f2c4f2c4f2c" in ended.log


def test_two_runs_at_once_apply_each_migration_once(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", TABLE)
    migrate(made, database.url())
    made.revision("r2", "op.execute('INSERT INTO items VALUES (1)')").revision("r3", INDEX.replace("name", "id"))

    with ThreadPoolExecutor(2) as pool:
        with database.held("LOCK TABLE items"):
            first, second = _one_behind_the_other(pool, made, database, migrate)
        runs = [first.result(), second.result()]

    assert [one.applied for one in runs] == [["r2", "r3"], []], [one.log for one in runs]
    assert [one.status for one in runs] == ["applied", "up-to-date"]
    assert runs[1].output("from-revision") == "r3"
    assert "another run applied migrations" in runs[1].text
    assert database.sql("SELECT count(*) FROM items") == [("1",)]


def _one_behind_the_other(
    pool: ThreadPoolExecutor, made: Project, database: Database, migrate: Migrating, **inputs: Any
) -> tuple[Future[Ended], Future[Ended]]:
    """The first run waits for what is held, and the second for the first."""
    logs = Log(), Log()
    first = pool.submit(migrate, made, database.url(), log=logs[0], lock_timeout="1m", **inputs)
    logs[0].until("Waiting for a lock that others hold: pid .*somebody-else.*pg_sleep")
    second = pool.submit(migrate, made, database.url(), log=logs[1], **inputs)
    logs[1].until("Another migration run holds the lock: pid [0-9]+ 'run-migrations-oneshot' of postgres .*since 20.* UTC")
    return first, second


def test_ten_runs_at_once(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project(asynchronous=True).revision("r1", TABLE)
    made.revision("r2", "op.execute('SELECT pg_sleep(2)')\nop.execute('INSERT INTO items VALUES (1)')")
    url = database.url("asyncpg")

    with ThreadPoolExecutor(10) as pool:
        runs = list(pool.map(lambda _: migrate(made, url), range(10)))

    assert all(one.verdict == "pass" for one in runs), [one.text for one in runs]
    assert sorted(len(one.applied) for one in runs) == [0] * 9 + [2]
    assert database.sql("SELECT count(*) FROM items") == [("1",)]
    assert database.sessions == 0


def test_five_hundred_pending(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r000", TABLE)
    for number in range(1, 500):
        made.revision(
            f"r{number:03}", f"op.execute('INSERT INTO items VALUES ({number})')", message="An ünusual 🐘 message " * 10
        )

    ended = migrate(made, database.url())

    assert ended.status == "applied", ended.text
    assert len(ended.applied) == 500
    assert ended.applied == sorted(ended.applied)
    assert ended.output("to-revision") == "r499"
    assert database.sql("SELECT count(*) FROM items") == [("499",)]


def test_a_dry_run_changes_nothing_and_renders_the_sql(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = three(project()).revision("r4", "op.drop_column('items', 'name')", phase="contract")

    ended = migrate(made, database.url(), dry_run="true", sql="true")

    assert (ended.status, ended.verdict, ended.applied) == ("dry-run", "pass", [])
    assert "4 migrations would be applied" in ended.report.headline
    assert database.sql("SELECT count(*) FROM pg_class WHERE relname IN ('items', 'alembic_version')") == [("0",)]
    sql = Path(str(ended.output("sql"))).read_text()
    assert "CREATE TABLE items" in sql
    assert "CREATE INDEX CONCURRENTLY ix_items_name" in sql
    assert [(found.rule, str(found.severity)) for found in ended.report.findings] == [
        ("run-migrations-oneshot/contract", "warning")
    ]


def test_says_why_the_sql_cannot_be_rendered(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", "op.get_bind().exec_driver_sql('SELECT 1').scalar() + 1")

    ended = migrate(made, database.url(), sql="true")

    assert ended.status == "applied"
    assert ended.output("sql") == ""
    assert "could not render it offline" in ended.text


def test_keeps_the_sql_of_what_it_applies(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", TABLE)
    migrate(made, database.url())

    ended = migrate(made.revision("r2", COLUMN), database.url(), sql="true", backup_command="true")

    assert (ended.status, ended.applied) == ("applied", ["r2"])
    sql = Path(str(ended.output("sql"))).read_text()
    assert "ALTER TABLE items ADD COLUMN name VARCHAR(20)" in sql
    assert "CREATE TABLE items" not in sql, "only what was pending"


def test_the_time_for_the_lock_is_not_the_migrations_own(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made, log = project().revision("r1", TABLE), Log()
    with ThreadPoolExecutor(1) as pool:
        with database.held(f"SELECT pg_advisory_lock({0x63696364_6D696772})"):
            run = pool.submit(migrate, made, database.url(), log=log, timeout="3s")
            log.until("Another migration run holds the lock")
            ours = "application_name LIKE 'run-migr%' AND datname = current_database()"
            database.until(f"EXISTS (SELECT FROM pg_stat_activity WHERE {ours} AND clock_timestamp() > backend_start + '4s')")
        ended = run.result()

    assert (ended.status, ended.applied) == ("applied", ["r1"]), ended.log


def test_a_relative_target_is_settled_before_the_lock(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", TABLE).revision("r2", COLUMN).revision("r3", INDEX)
    migrate(made, database.url(), command="alembic upgrade r1")

    with ThreadPoolExecutor(2) as pool:
        with database.held("LOCK TABLE items"):
            runs = _one_behind_the_other(pool, made, database, migrate, command="alembic upgrade +1")
        applied = [one.result().applied for one in runs]

    assert applied == [["r2"], []]
    assert database.revision == ["r2"]


def test_an_engine_that_the_application_keeps_with_a_pool(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    """Each run of env.py has its own event loop, and a connection of asyncpg belongs to the loop that made it."""
    made = three(project(asynchronous=True))
    kept = "engine = create_async_engine(os.environ['DATABASE_URL'])\n"
    (made.folder / "kept.py").write_text("import os\nfrom sqlalchemy.ext.asyncio import create_async_engine\n" + kept)
    env = made.folder / "migrations/env.py"
    text = env.read_text()
    start = text.index("engine = create_async_engine")
    env.write_text(
        text[:start] + "import sys; sys.path.insert(0, '.')\nfrom kept import engine\n" + text[text.index("\n", start) :]
    )

    assert migrate(made, database.url("asyncpg")).applied == ["r1", "r2", "r3"]


def test_every_tenant_is_migrated_and_proven(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project(before="TENANTS = ['one', 'two']").revision("r1", TABLE).revision("r2", COLUMN)
    env = made.folder / "migrations/env.py"
    env.write_text(
        env.read_text().replace(
            "    with engine.connect() as connection:\n        pass\n",
            "  for tenant in TENANTS:\n    with engine.connect() as connection:\n"
            "        connection.execute(text(f'SET search_path TO {tenant}')); connection.commit()\n",
        )
    )
    for schema in ("one", "two"):
        database.sql(f"CREATE SCHEMA {schema}")

    ended = migrate(made, database.url())

    assert ended.status == "applied", ended.text + ended.log
    for schema in ("one", "two"):
        assert database.sql(f"SELECT version_num FROM {schema}.alembic_version") == [("r2",)]
    assert migrate(made, database.url()).status == "up-to-date"


def test_sqlite(tmp_path: Path, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", TABLE).revision("r2", COLUMN)
    url = f"sqlite:///{tmp_path}/items.db"

    first = migrate(made, url)
    second = migrate(made, url)

    assert (first.status, first.applied) == ("applied", ["r1", "r2"])
    assert "The lock is held" not in first.log
    assert second.status == "up-to-date"


def test_sqlite_by_an_async_driver(tmp_path: Path, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project(asynchronous=True).revision("r1", TABLE)

    assert migrate(made, f"sqlite+aiosqlite:///{tmp_path}/items.db").applied == ["r1"]


def test_contract_migrations_need_leave_and_a_backup(
    tmp_path: Path, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", TABLE).revision("r2", COLUMN, phase="expand")
    made.revision("r3", "op.drop_column('items', 'name')", phase="contract")
    backup = f"sh -c 'echo made; echo {tmp_path}/backup.dump; echo dump > {tmp_path}/backup.dump'"

    refused = migrate(made, database.url())
    assert (refused.status, refused.verdict) == ("refused", "fail")
    assert "A contract migration is pending: r3" in refused.text
    assert "allow-contract: true" in refused.text

    no_backup = migrate(made, database.url(), allow_contract="true")
    assert no_backup.status == "refused"
    assert "there is no backup" in no_backup.text

    failing = migrate(made, database.url(), allow_contract="true", backup_command="sh -c 'echo no space >&2; exit 3'")
    assert (failing.status, failing.verdict) == ("refused", "inconclusive")
    assert "failed with exit code 3" in failing.text
    assert "no space" in failing.text

    # Not even Alembic's own table is there: nothing was touched by any of these.
    assert database.sql("SELECT count(*) FROM pg_class WHERE relname IN ('items', 'alembic_version')") == [("0",)]

    done = migrate(made, database.url(), allow_contract="true", backup_command=backup)
    assert (done.status, done.applied) == ("applied", ["r1", "r2", "r3"])
    assert f"{tmp_path}/backup.dump" in done.text
    assert [found.rule for found in done.report.findings] == ["run-migrations-oneshot/contract"]
    assert "CONTRACT: r3" in done.report.findings[0].message
    entries = done.output("applied")
    assert isinstance(entries, list)
    assert [entry["phase"] for entry in entries] == ["", "expand", "contract"]

    (tmp_path / "backup.dump").unlink()
    assert migrate(made, database.url(), allow_contract="true", backup_command=backup).status == "up-to-date"
    assert not (tmp_path / "backup.dump").exists()


def test_the_application_name_and_the_log_file(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", "print('a line of the migration')")

    ended = migrate(made, database.url())

    log = Path(str(ended.output("log"))).read_text()
    assert "│ a line of the migration\n" in log
    assert "▸ r1 Do r1 (not declared) (1 of 1) …\n" in log
    assert all(line[2] == ":" for line in log.splitlines())


def test_outputs_and_summary_as_github_gets_them(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    program = migrate.start(three(project()), database.url())

    assert program.wait() == 0, program.log.getvalue()
    outputs = program.outputs
    assert {name: outputs[name] for name in ("status", "verdict", "from-revision", "to-revision", "reason")} == {
        "status": "applied",
        "verdict": "pass",
        "from-revision": "",
        "to-revision": "r3",
        "reason": "",
    }
    assert [entry["revision"] for entry in json.loads(outputs["applied"])] == ["r1", "r2", "r3"]
    assert "::group::alembic upgrade head in app@1" in program.log.getvalue()
    assert "Add a name" in program.summary
