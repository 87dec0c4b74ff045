"""Projects that are unlike the template, each reduced to what made a run fail or mislead."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.alembic_project import Project
from tests.harness.postgres import PASSWORD
from tests.integration.run_migrations_oneshot.conftest import DRIVERS, Database, Log, Migrating

pytestmark = [pytest.mark.postgres, pytest.mark.network]

TABLE = "op.create_table('items', sa.Column('id', sa.Integer, primary_key=True))"
LEAK = """
print('url', os.environ['DATABASE_URL'])
os.system('echo $DATABASE_URL >&2')
raise RuntimeError(os.environ['DATABASE_URL'])
"""
SET_URL = "context.config.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'])"


def with_job_variables(migrate: Migrating, project: Project, **values: str) -> dict[str, Any]:
    """The job has variables that this step does not have, as a service's secret or an entrypoint gives them."""
    script = migrate.scratch / "job.sh"
    lines = [f"export {name}='{value}'" for name, value in values.items()]
    script.write_text("\n".join(["#!/bin/sh", f"cd {project.folder}", *lines, 'exec "$@"', ""]))
    script.chmod(0o755)
    return {"job_command": str(script)}


@pytest.mark.parametrize(
    ("before", "body"),
    [
        (SET_URL, TABLE),  # ConfigParser quotes the URL, before any connection is made
        (
            "",
            TABLE + LEAK,
        ),
    ],
)
def test_password_that_only_the_job_knows_is_hidden(
    before: str, body: str, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project(before=before).revision("r1", body)
    database.sql("DROP ROLE IF EXISTS odd; CREATE ROLE odd LOGIN SUPERUSER PASSWORD 'Pa%ss@w0rd!'")
    url = database.url().replace(f"postgres:{PASSWORD}", "odd:Pa%25ss%40w0rd%21")

    ended = migrate(made, "", **with_job_variables(migrate, made, DATABASE_URL=url))

    everything = ended.text + ended.log + str(ended.report)
    assert (ended.status, ended.verdict) == ("failed", "fail"), ended.log
    assert "***" in ended.log
    assert "Pa%ss@w0rd!" not in everything
    assert "Pa%25ss%40w0rd%21" not in everything


def test_missing_variables_are_named_and_their_input_is_not_quoted(project: Callable[..., Project], migrate: Migrating) -> None:
    validation = """
class ValidationError(Exception):
    def errors(self):
        return [{"type": "missing", "loc": ("STRIPE_KEY",)}, {"type": "missing", "loc": ("WORKERS",)}]
    def __str__(self):
        return "2 errors\\nWORKERS\\n  Field required [type=missing, input_value={'a': 'postgre...@h'}, input_type=dict]"
raise ValidationError
"""
    ended = migrate(project(before=validation).revision("r1", TABLE), "sqlite://")

    assert ended.report.headline == "The job has no variable STRIPE_KEY, WORKERS, which the application needs.", ended.log
    assert "      STRIPE_KEY: ${{ secrets.STRIPE_KEY }}" in ended.text
    assert "input_value" not in ended.log + ended.text
    assert "does not run the image's entrypoint" in ended.text


def test_folders_named_like_the_standard_library_hide_nothing(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project(on_connection="import shop.models").revision("r1", TABLE)
    for name in ("types", "json", "shop"):
        (made.folder / name).mkdir()
        (made.folder / name / "__init__.py").write_text("")
    (made.folder / "decimal.py").write_text("raise RuntimeError('this is not decimal')\n")
    (made.folder / "shop/models.py").write_text("")

    # `python -m` has the working directory on its path, so env.py finds the application.
    ended = migrate(made, database.url(), command="sh -c 'cd . && python -m alembic upgrade head'")

    assert (ended.status, ended.applied) == ("applied", ["r1"]), ended.log


def test_dry_run_changes_nothing_even_where_env_py_writes(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    write = "connection.execute(text('CREATE SCHEMA svc')); connection.commit()"
    made = project(on_connection=write).revision("r1", TABLE)

    ended = migrate(made, database.url(), dry_run="true")

    assert (ended.status, ended.verdict) == ("dry-run", "pass"), ended.log
    assert "1 migration would be applied" in ended.report.headline
    assert [found.rule for found in ended.report.findings] == ["run-migrations-oneshot/env-writes"]
    assert "CREATE SCHEMA svc" in ended.report.findings[0].message
    assert database.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'svc'") == [("0",)]


def test_advisory_lock_of_env_py_is_waited_for_and_its_holder_named(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    lock = "connection.execute(text('SELECT pg_advisory_lock(4242)')); connection.commit()"
    made = project(on_connection=lock).revision("r1", TABLE)

    with database.held("SELECT pg_advisory_lock(4242)") as pid:
        ended = migrate(made, database.url(), wait_for_lock="300ms", lock_timeout="100ms")
    assert (ended.status, ended.verdict) == ("refused", "inconclusive"), ended.log
    assert f"the advisory lock that env.py takes for the 0.3 s of `wait-for-lock`: pid {pid}" in ended.report.headline

    assert migrate(made, database.url()).applied == ["r1"]


def test_each_migration_is_retried_from_where_the_database_is(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", TABLE)
    migrate(made, database.url())
    made.revision("r2", "pass").revision("r3", "op.add_column('items', sa.Column('name', sa.String(5)))")
    log = Log()

    found: list[object] = []
    thread = threading.Thread(
        target=lambda: found.append(migrate(made, database.url(), log=log, lock_timeout="300ms", lock_retries="10"))
    )
    with database.held("LOCK TABLE items"):
        thread.start()
        log.until("trying again in")
    thread.join(60)

    assert [(ended.status, ended.applied) for ended in found] == [("applied", ["r2", "r3"])], log.getvalue()  # type: ignore[attr-defined]


def test_limits_of_the_role_do_not_end_a_migration_that_computes(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    database.sql(f"ALTER DATABASE {database.name} SET idle_in_transaction_session_timeout = '200ms'")
    made = project().revision("r1", "op.execute('SELECT 1')\ntime.sleep(0.5)\n" + TABLE)

    assert migrate(made, database.url()).applied == ["r1"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_transaction_that_was_idle_too_long_is_explained(
    driver: str, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    idle = "op.execute(\"SET idle_in_transaction_session_timeout = '50ms'\")\ntime.sleep(0.3)\nop.execute('SELECT 1')"
    made = project(asynchronous=driver == "asyncpg").revision("r1", idle)

    ended = migrate(made, database.url(driver))

    assert (ended.status, ended.verdict) == ("failed", "fail"), ended.log
    # psycopg2 gets neither the code nor the reason.
    why = "a timeout that the migration or env.py set" if driver == "psycopg2" else "its transaction was idle too long"
    assert why in " ".join(ended.text.split()), ended.text
    assert "Nothing of r1 stays." in ended.text


def test_several_databases_are_counted_and_named(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project(before="SCHEMAS = ['one', 'two']").revision("r1", TABLE)
    env = made.folder / "migrations/env.py"
    loop = "  for schema in SCHEMAS:\n    with engine.connect() as connection:\n"
    path = "        connection.execute(text(f'SET search_path TO {schema}')); connection.commit()\n"
    env.write_text(env.read_text().replace("    with engine.connect() as connection:\n        pass\n", loop + path))
    database.sql("CREATE SCHEMA one; CREATE SCHEMA two")

    ended = migrate(made, database.url())

    assert ended.report.headline.startswith("Applied 2 migrations in 2 databases or schemas"), ended.log
    assert f"r1 in {database.name}.two Do r1 (not declared) (2 of 2)" in ended.log
    assert ended.applied == ["r1"]
    assert "applied in" in ended.text
    assert "pending" not in ended.text


ENUM = "op.execute(\"ALTER TYPE s ADD VALUE 'b'\")\nop.execute(\"INSERT INTO e VALUES ('b')\")"
MASKED = "from sqlalchemy import make_url\nos.environ['DATABASE_URL'] = str(make_url(os.environ['DATABASE_URL']))"
DEFERRED = (
    'op.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a DEFERRABLE INITIALLY DEFERRED)")\n'
    'op.execute("INSERT INTO b VALUES (1)")\nop.execute("ALTER TABLE b ADD c int")'
)
INDEX = "with op.get_context().autocommit_block():\n    op.execute('SELECT 1')"


@pytest.mark.parametrize(
    ("url", "options", "body", "headline", "advice"),
    [
        ("", {"before": SET_URL}, TABLE, "takes a `%` in it for the start of a variable", 'replace("%", "%%")'),
        ("", {"before": MASKED}, TABLE, "connects with the password `***`", "hide_password=False"),
        ("postgres://u:p@127.0.0.1/x", {}, TABLE, "does not know the scheme `postgres://`", "Write `postgresql://`"),
        (
            "postgresql+asyncpg://u:p@127.0.0.1:1/x?sslmode=require",
            {"asynchronous": True},
            TABLE,
            "asyncpg does not know",
            "ssl=require",
        ),
        ("", {"on_connection": "connection.execute(text('SELECT 1'))"}, INDEX, "cannot leave env.py's transaction", "commit()"),
        (
            "",
            {"per_migration": False},
            "op.execute(\"CREATE TYPE s AS ENUM ('a'); CREATE TABLE e (s s)\")\n" + ENUM,
            "unsafe use",
            "separate, earlier revision",
        ),
        ("", {}, DEFERRED, "because it has pending trigger events", "SET CONSTRAINTS ALL IMMEDIATE"),
    ],
)
def test_failure_is_explained_by_its_cause(
    url: str,
    options: dict[str, object],
    body: str,
    headline: str,
    advice: str,
    database: Database,
    project: Callable[..., Project],
    migrate: Migrating,
) -> None:
    url = url or (database.url() + ("?application_name=a%25b" if "before" in options else ""))
    # The type has to be there before the transaction that adds a value to it.
    if "ENUM" in body:
        database.sql("CREATE TYPE s AS ENUM ('a'); CREATE TABLE e (s s)")
        body = ENUM
    ended = migrate(project(**options).revision("r1", body), url, wait_for_database="100ms")

    assert ended.status == "failed", ended.log
    assert headline in ended.report.headline, ended.log
    assert advice in ended.text


def test_revision_files_that_do_not_fit_together_are_named(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", TABLE)
    copy = made.path("copy")
    copy.write_text(made.path("r1").read_text())
    twice = migrate(made, database.url())
    copy.write_text(
        made.path("r1").read_text().replace("'r1'", "'r2'").replace("down_revision = None", "down_revision = 'gone'")
    )
    dangling = migrate(made, database.url())
    copy.write_text("def broken(:\n")
    broken = migrate(made, database.url())

    files = "migrations/versions/copy_of_tests.py, migrations/versions/r1_of_tests.py"
    assert twice.report.headline == f"2 files declare the same revision r1: {files}.", twice.log
    assert dangling.report.headline.startswith(
        "The image has no revision gone, which r2 (migrations/versions/copy_of_tests.py)"
    )
    assert broken.report.headline.startswith(
        "Could not load the revision file migrations/versions/copy_of_tests.py:1: SyntaxError"
    )


def test_revision_id_that_the_version_table_cannot_hold_is_refused(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", TABLE).revision("r" * 41, "op.execute('ALTER TABLE items ADD long int')")

    refused = migrate(made, database.url())

    assert (refused.status, refused.verdict, refused.applied) == ("refused", "fail", []), refused.log
    assert "takes 32 characters of a revision id, and these are longer: rrrr" in refused.report.headline
    database.sql("CREATE TABLE alembic_version (version_num varchar(255) NOT NULL)")
    assert migrate(made, database.url()).applied == ["r1", "r" * 41]


def test_replica_and_role_without_the_right_to_write_are_refused(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    database.sql(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")

    ended = migrate(project().revision("r1", TABLE), database.url())

    assert (ended.status, ended.verdict) == ("refused", "fail"), ended.log
    assert "read-only" in ended.report.headline


def test_report_names_tables_load_blockers_and_one_transaction(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project(per_migration=False).revision("r1", TABLE)
    migrate(made, database.url())
    made.revision("r2", "op.add_column('items', sa.Column('a', sa.Integer))").revision(
        "r3", "op.execute('UPDATE items SET a = 1')"
    )

    with database.held("SELECT * FROM items") as pid:
        database.until(f"clock_timestamp() > (SELECT xact_start FROM pg_stat_activity WHERE pid = {pid}) + interval '100 ms'")
        plan = migrate(made, database.url(), dry_run="true", lock_timeout="100ms")
    assert [found.rule.partition("/")[2] for found in plan.report.findings] == ["in-the-way", "one-transaction"], plan.log
    assert f"pid {pid} 'somebody-else'" in plan.report.findings[0].message
    assert "Tables that it touches: items (" in plan.text

    ended = migrate(made, database.url())
    assert ended.status == "applied"
    assert "WAL that the server wrote meanwhile: " in ended.text
    assert "Sessions that queued behind it: " in ended.text


def test_backup_is_checked_and_the_schema_compared(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", TABLE)
    dump = migrate.scratch / "dump"
    inputs: dict[str, Any] = {
        "backup_command": f"sh -c 'pg_dump -Fc -f {dump}; echo {dump}'",
        "schema_command": "pg_dump --schema-only --no-owner",
    }

    refused = migrate(made, database.url(), restore_check_command="false", **inputs)
    assert (refused.status, refused.report.verdict.value) == ("refused", "inconclusive")
    assert "the backup may not be usable" in refused.report.headline

    ended = migrate(made, database.url(), restore_check_command="pg_restore --list {backup}", **inputs)

    assert (ended.status, ended.applied) == ("applied", ["r1"]), ended.log
    assert "restore check passed" in ended.text
    assert "+CREATE TABLE public.items (" in ended.text
    assert "CREATE TABLE public.items" in Path(str(ended.output("schema-diff"))).read_text()
