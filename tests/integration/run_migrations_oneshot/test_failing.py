"""Migrations that fail, hang, are killed or cancelled: what is said, and what stands in the database afterwards."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable

import pytest

from tests.harness.alembic_project import Project
from tests.harness.postgres import Postgres
from tests.integration.run_migrations_oneshot.conftest import DRIVERS, Database, Ended, Log, Migrating

pytestmark = [pytest.mark.postgres, pytest.mark.network]

TABLE = "op.create_table('items', sa.Column('id', sa.Integer))"


@pytest.mark.parametrize("driver", DRIVERS)
def test_ddl_that_fails_in_its_transaction(
    driver: str, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project(asynchronous=driver == "asyncpg").revision("r1", TABLE)
    made.revision("r2", "op.add_column('items', sa.Column('name', sa.String(5)))\nop.execute('ALTER TABLE nowhere ADD x int')")
    made.revision("r3", "pass")

    ended = migrate(made, database.url(driver))

    assert (ended.status, ended.verdict, ended.applied) == ("failed", "fail", ["r1"]), ended.log
    assert re.search(
        r'^Migration r2 \(migrations/versions/r2_of_tests.py:[0-9]+\) failed: relation "nowhere" does not exist',
        ended.report.headline,
    ), ended.report.headline
    assert "ALTER TABLE nowhere ADD x int" in ended.text
    assert "SQLSTATE 42P01" in ended.text
    assert "The database is at r1 (base (nothing applied) → r1). Nothing of r2 stays." in ended.text
    assert (ended.output("from-revision"), ended.output("to-revision")) == ("", "r1")
    assert database.revision == ["r1"]
    assert database.sql("SELECT count(*) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'name'") == [("0",)]
    assert database.sessions == 0
    finding = ended.report.findings[0]
    assert (finding.file, finding.line is not None) == ("migrations/versions/r2_of_tests.py", True)
    assert re.search(r"r3 +Do r3 +not declared +pending", ended.text)
    assert "Exit code of the job: 1" in ended.text
    assert "Nothing was rolled out" in ended.text
    assert "Fix migrations/versions/r2_of_tests.py, and release again." in ended.text


def test_deadlock_is_explained_and_tried_again_with_lock_retries(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    database.sql("CREATE TABLE a (id int); CREATE TABLE b (id int)")
    until = "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE {}) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$"
    locked = "relation = 'a'::regclass AND mode = 'AccessExclusiveLock' AND {}"
    made = project().revision(
        "r1",
        f"""
        op.execute("LOCK TABLE a")
        if not os.environ.get("TRIED"):
            os.environ["TRIED"] = "1"
            op.execute({until.format(locked.format("NOT granted"))!r})
            op.execute("SET LOCAL deadlock_timeout = '10ms'")
        op.execute("LOCK TABLE b")
        """,
    )

    def against_another(lock_retries: str = "0") -> Ended:
        wait = until.format(locked.format("granted"))
        # The server ends the session whose timeout passes first.
        other = database.session("SET deadlock_timeout = '1min'", "BEGIN", "LOCK TABLE b", wait, "LOCK TABLE a", "COMMIT")
        try:
            return migrate(made, database.url(), lock_retries=lock_retries)
        finally:
            other.communicate(timeout=20)

    failed = against_another()
    assert (failed.status, failed.verdict) == ("failed", "fail"), failed.log
    assert "Deadlock: this session and another were each waiting for the other." in failed.text
    assert "lock-retries: 3" in failed.text
    assert (against_another("1").status, database.revision) == ("applied", ["r1"])


def test_an_error_of_python(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", "raise ValueError('no rows\\nfor tenant 42')")

    ended = migrate(made, database.url())

    place = "migrations/versions/r1_of_tests.py:14"
    assert ended.report.headline == f"Migration r1 ({place}) failed: ValueError: no rows", ended.text
    assert ended.output("reason") == ended.report.headline, "one line"
    assert "It said:\n\n    no rows\n    for tenant 42" in ended.text


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_an_index_that_fails_outside_of_a_transaction(
    driver: str, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project(asynchronous=driver == "asyncpg").revision("r1", TABLE + "\nop.execute('INSERT INTO items VALUES (1), (1)')")
    made.revision(
        "r2",
        "with op.get_context().autocommit_block():\n"
        "    op.create_index('ix_items', 'items', ['id'], unique=True, postgresql_concurrently=True)",
    )

    ended = migrate(made, database.url(driver))

    assert (ended.status, ended.applied) == ("failed", ["r1"]), ended.log
    assert "BETWEEN two revisions" in ended.text
    assert "DETAIL: Key (id)=(1) is duplicated." in ended.text
    assert [found.rule for found in ended.report.findings] == [
        "run-migrations-oneshot/migration",
        "run-migrations-oneshot/invalid-index",
    ]
    assert "DROP INDEX CONCURRENTLY public.ix_items;" in ended.report.findings[1].fix
    assert "DROP INDEX CONCURRENTLY public.ix_items;" in ended.text, "who reads the summary sees it too"
    assert len(re.findall("DETAIL", ended.text.partition("The last")[0])) == 1

    again = migrate(made, database.url(driver))
    assert "An earlier run left an INVALID index: public.ix_items" in again.report.findings[1].message


def test_what_shares_a_transaction_is_undone_together(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project(per_migration=False).revision("r1", TABLE).revision("r2", "pass").revision("r3", "op.execute('SELEC 1')")

    ended = migrate(made, database.url())

    assert (ended.status, ended.applied) == ("failed", [])
    assert "r1, r2 ran in the same transaction, and were undone." in ended.text
    assert ended.output("to-revision") == ""
    assert database.sql("SELECT count(*) FROM pg_class WHERE relname = 'items'") == [("0",)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_table_that_another_session_holds(
    driver: str, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project(asynchronous=driver == "asyncpg").revision("r1", TABLE)
    migrate(made, database.url(driver))
    made.revision("r2", "op.add_column('items', sa.Column('name', sa.String(5)))")

    with database.held("LOCK TABLE items") as pid:
        ended = migrate(made, database.url(driver), lock_timeout="700ms")

    assert (ended.status, ended.verdict) == ("failed", "fail"), ended.log
    assert "canceling statement due to lock timeout" in ended.report.headline
    assert re.search(
        rf"Blocked by pid {pid} 'somebody-else' of postgres, active for [0-9]+ s: SELECT pg_sleep\(600\)", ended.text
    )
    assert "lock-retries: 3" in ended.text
    assert database.revision == ["r1"]


def test_tries_again_when_nothing_has_moved(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project(asynchronous=True).revision("r1", TABLE)
    migrate(made, database.url("asyncpg"))
    made.revision("r2", "op.add_column('items', sa.Column('name', sa.String(5)))")
    log = Log()
    found: list[object] = []

    def run() -> None:
        found.append(migrate(made, database.url("asyncpg"), log=log, lock_timeout="300ms", lock_retries="10"))

    thread = threading.Thread(target=run)
    with database.held("LOCK TABLE items"):
        thread.start()
        log.until("nothing is half done: trying again")
    thread.join(60)

    assert [(ended.status, ended.applied) for ended in found] == [("applied", ["r2"])], log.getvalue()  # type: ignore[attr-defined]
    assert "Retries after lock-timeout: " in found[0].text  # type: ignore[attr-defined]


def test_does_not_try_again_when_an_invalid_index_was_left(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", TABLE)
    migrate(made, database.url())
    made.revision(
        "r2",
        "with op.get_context().autocommit_block():\n"
        "    op.create_index('ix_items', 'items', ['id'], postgresql_concurrently=True)",
    )

    # The build needs no lock that a writer holds, but it waits for the writer's transaction to end.
    with database.held("INSERT INTO items VALUES (1)") as pid:
        ended = migrate(made, database.url(), lock_timeout="300ms", lock_retries="5")

    assert (ended.status, ended.applied) == ("failed", []), ended.log
    assert f"Blocked by pid {pid}" in ended.text
    assert "trying again" not in ended.log
    assert "This run left an INVALID index: public.ix_items" in ended.text
    assert database.revision == ["r1"]


def test_a_statement_that_takes_too_long(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    ended = migrate(project().revision("r1", "op.execute('SELECT pg_sleep(60)')"), database.url(), statement_timeout="300ms")

    assert (ended.status, ended.verdict) == ("failed", "fail")
    assert "longer than `statement-timeout`" in ended.text


@pytest.mark.parametrize("driver", ["psycopg2", "asyncpg"])
def test_the_time_is_over(driver: str, database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project(asynchronous=driver == "asyncpg").revision("r1", TABLE).revision("r2", "op.execute('SELECT pg_sleep(600)')")

    ended = migrate(made, database.url(driver), timeout="1500ms")

    assert (ended.status, ended.verdict, ended.applied) == ("failed", "fail", ["r1"]), ended.log
    assert ended.report.headline == "The deadline passed: migration r2 was ended after 1.5 s (`timeout`)."
    assert "SELECT pg_sleep(600)" in ended.text
    assert "The database is at r1" in ended.text
    assert database.sessions == 0


@pytest.mark.parametrize(("driver", "number"), [*((driver, signal.SIGINT) for driver in DRIVERS), ("psycopg", signal.SIGTERM)])
def test_cancelled_in_the_middle(
    driver: str, number: signal.Signals, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project(asynchronous=driver == "asyncpg").revision("r1", TABLE).revision("r2", "op.execute('SELECT pg_sleep(600)')")
    program = migrate.start(made, database.url(driver))
    program.log.until("r2 Do r2")
    database.until("EXISTS (SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active')")

    # The lock is the migration's own: however the program ends, it is held for as long as the statement works.
    working = "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND datname = current_database()"
    assert database.sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted") == database.sql(working)

    program.signal(number)

    # How long that takes is in benchmarks/migrations.py.
    assert program.wait() == 128 + number, program.log.getvalue()
    assert database.sessions == 0
    assert database.revision == ["r1"]
    assert program.outputs["reason"].endswith(
        "Migration r2 was running. Its session in the database was ended."
        " The database is at r1 (base (nothing applied) → r1). Nothing of r2 stays."
    )
    assert (program.outputs["status"], program.outputs["to-revision"]) == ("failed", "r1")
    assert re.search("Cancelled: stopping it(.|\n)*The database is at r1\n", program.log.getvalue())
    # The lock is free again.
    assert database.sql(f"SELECT pg_try_advisory_lock({0x63696364_6D696772})") == [("t",)]


def test_cancelled_while_waiting_for_the_lock(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", TABLE)
    with database.held(f"SELECT pg_advisory_lock({0x63696364_6D696772})"):
        program = migrate.start(made, database.url())
        program.log.until("Another migration run holds the lock")
        program.signal(signal.SIGINT)
        assert program.wait() == 130
    assert "Nothing was applied: the database is at base (nothing applied)" in program.outputs["reason"]
    assert database.sessions == 0


def test_cancelled_while_the_database_does_not_answer(
    own_postgres: Postgres, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", TABLE).revision("r2", "op.execute('SELECT pg_sleep(600)')")
    program = migrate.start(made, own_postgres.url("postgres", "psycopg"))
    program.log.until("r2 Do r2")

    with own_postgres.deaf():
        program.signal(signal.SIGINT)
        assert program.wait() == 130, program.log.getvalue()

    reason = program.outputs["reason"]
    assert re.search(r"\(pid [0-9]+\), which may still work and hold its locks: `SELECT pg_term", reason), reason
    assert "It was at base (nothing applied). Could not read where it is now (the database did not answer" in reason
    assert program.outputs["to-revision"] == ""
    # The server notices by itself that its client is gone.
    own_postgres.until("NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'run-migr%')", "postgres")


def test_cancelled_and_killed_before_its_last_word(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", TABLE)
    made.revision("r2", "import signal\nprint('stopping', flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)")
    program = migrate.start(made, database.url())
    program.log.until("│ stopping")

    program.signal(signal.SIGINT)

    assert program.wait() == 130, program.log.getvalue()
    assert "It was at base (nothing applied). Could not read where it is now" in program.outputs["reason"]
    assert program.outputs["to-revision"] == ""


def test_no_tenant_is_begun_after_the_cancellation(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    """An env.py that catches a tenant's error and goes on to the next one."""
    body = """
    schema = op.get_bind().exec_driver_sql("SELECT current_schema()").scalar()
    op.create_table('items', sa.Column('id', sa.Integer))
    op.execute('SELECT pg_sleep(600)' if schema == 'one' else 'SELECT 1')
    """
    made = project(before="TENANTS = ['one', 'two']").revision("r1", body)
    env = made.folder / "migrations/env.py"
    head, found, rest = env.read_text().partition("    with engine.connect() as connection:\n        pass\n")
    assert found
    loop = "  for tenant in TENANTS:\n   try:\n    with engine.connect() as connection:\n"
    search_path = "        connection.execute(text(f'SET search_path TO {tenant}')); connection.commit()\n"
    env.write_text(head + loop + search_path + rest + "   except Exception as error:\n    print('goes on', flush=True)\n")
    database.sql("CREATE SCHEMA one; CREATE SCHEMA two")
    program = migrate.start(made, database.url())
    database.until("EXISTS (SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active')")

    program.signal(signal.SIGINT)

    assert program.wait() == 130, program.log.getvalue()
    assert "│ goes on" in program.log.getvalue()
    assert database.sql("SELECT count(*) FROM pg_class WHERE relname IN ('items', 'alembic_version')") == [("0",)]


def test_another_tool_is_cancelled(project: Callable[..., Project], migrate: Migrating) -> None:
    program = migrate.start(project(), "", command="sh -c 'echo working; exec sleep 600'")
    program.log.until("│ working")

    program.signal(signal.SIGINT)

    assert program.wait() == 130, program.log.getvalue()
    assert (program.outputs["status"], program.outputs["verdict"]) == ("failed", "inconclusive")
    assert "Where the database is now is not known: ask the tool." in program.outputs["reason"]


def test_a_run_that_is_killed_is_looked_after(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = (
        project()
        .revision("r1", TABLE)
        .revision("r2", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
        .revision("r3", "pass")
    )

    ended = migrate(made, database.url())

    assert (ended.status, ended.verdict, ended.applied) == ("failed", "fail", ["r1"]), ended.log
    assert "without reporting where the database is" in ended.report.headline
    assert "The database is at r1" in ended.text
    assert (ended.output("from-revision"), ended.output("to-revision")) == ("", "r1")


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_transaction_of_env_py_that_nobody_commits(
    driver: str, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    """Alembic leaves the commit to its caller, and exits 0: https://github.com/sqlalchemy/alembic/issues/1050 and others."""
    made = project(asynchronous=driver == "asyncpg", on_connection="connection.execute(text('SELECT 1'))").revision("r1", TABLE)

    ended = migrate(made, database.url(driver))

    assert (ended.status, ended.verdict, ended.applied) == ("failed", "fail", []), ended.log
    assert "r1 did not stay" in ended.report.headline
    assert "had begun a transaction before" in ended.text


def test_a_full_disk(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    """As the server says it: a real one would take the machine's other tests along."""
    body = """
    op.execute(
        "DO $$BEGIN RAISE EXCEPTION USING ERRCODE = '53100', HINT = 'Check free disk space.',"
        " MESSAGE = 'could not extend file: No space left on device'; END$$"
    )
    """
    made = project().revision("r1", body)

    ended = migrate(made, database.url())

    assert (ended.status, ended.verdict) == ("failed", "fail")
    assert "The database's disk is full." in ended.text
    assert "HINT: Check free disk space." in ended.text


def test_a_limit_of_the_server(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    """What an operator sets so that no query fills the disk."""
    database.sql(f"ALTER DATABASE {database.name} SET temp_file_limit = '1MB'")
    database.sql(f"ALTER DATABASE {database.name} SET maintenance_work_mem = '1MB'")
    made = project().revision("r1", TABLE + "\nop.execute('INSERT INTO items SELECT generate_series(1, 300000)')")
    made.revision("r2", "op.create_index('ix_items', 'items', ['id'])")

    ended = migrate(made, database.url())

    assert (ended.status, ended.applied) == ("failed", ["r1"]), ended.log
    assert "SQLSTATE 53400" in ended.text
    assert "temp_file_limit" in ended.text
    assert "Nothing of r2 stays." in ended.text


def test_the_server_goes_away(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", "op.execute('SELECT pg_terminate_backend(pg_backend_pid())')")

    ended = migrate(made, database.url())

    assert (ended.status, ended.verdict) == ("failed", "fail")
    assert "terminating connection due to administrator command" in ended.text


def test_sqlite_has_no_transaction_around_ddl(tmp_path: object, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", TABLE).revision("r2", "op.execute('CREATE TABLE half (id int)')\nop.execute('SELEC 1')")

    ended = migrate(made, f"sqlite:///{tmp_path}/items.db")

    assert (ended.status, ended.applied) == ("failed", ["r1"])
    assert 'near "SELEC": syntax error' in ended.report.headline
    assert "BETWEEN two revisions" in ended.text


def test_secrets_and_workflow_commands_stay_harmless(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", TABLE)
    made.revision(
        "r2",
        """
        print("::error title=not mine::gotcha")
        print("##[add-path]/tmp/evil")
        print("\\x1b[31m::set-output name=status::applied")
        print("the token is", os.environ["API_TOKEN"], "and", os.environ["DATABASE_URL"])
        sys.stderr.write("::stop-commands::x\\n")
        print('cicd-actions:0123456789abcdef {"event": "end", "state": "applied"}')
        op.execute("SELECT '" + os.environ["API_TOKEN"] + "' FROM nowhere -- </details> ``` | | @everyone ::error::x")
        """,
        message="# A title | ```\\n::warning::of the message",
    )
    token = "tok-1234567890"
    program = migrate.start(made, database.url(), env="API_TOKEN", variables={"API_TOKEN": token})

    assert program.wait() == 1
    log, summary = program.log.getvalue(), program.summary
    everything = log + summary + str(program.outputs)
    assert token not in everything.replace("::add-mask::" + token, "")
    assert "pg-s3cret-of-tests" not in everything
    commands = [line for line in log.splitlines() if re.match(r"\s*::|.*##\[", line)]
    assert {re.match(r"::([a-z-]+)", line)[1] for line in commands} <= {"group", "endgroup", "error"}  # type: ignore[index]
    assert "title=not mine" not in "".join(line for line in commands)
    assert program.outputs["status"] == "failed"
    assert "| ```" not in summary.replace("```sql", "")


def test_another_tool(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project()
    psql = f"psql -X -v ON_ERROR_STOP=1 {database.url('').replace('+', '')} -c"

    good = migrate(made, database.url(), command=f"{psql} 'CREATE TABLE items (id int)'")
    assert (good.status, good.verdict, good.applied) == ("applied", "pass", [])
    assert database.sql("SELECT count(*) FROM items") == [("0",)]
    assert [found.rule for found in good.report.findings] == ["run-migrations-oneshot/unwatched"]

    bad = migrate(made, database.url(), command=f"{psql} 'CREATE TABLE items (id int)'")
    assert (bad.status, bad.verdict) == ("failed", "fail")
    assert 'relation "items" already exists' in bad.text

    dry = migrate(made, database.url(), command=f"{psql} 'DROP TABLE items'", dry_run="true")
    assert (dry.status, dry.verdict) == ("dry-run", "pass")
    assert database.sql("SELECT count(*) FROM items") == [("0",)]

    late = migrate(made, database.url(), command="sleep 600", timeout="300ms")
    assert (late.status, late.verdict) == ("failed", "fail")
    assert "at its time limit" in late.report.headline
