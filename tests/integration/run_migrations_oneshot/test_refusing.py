"""What is found out before anything is touched, and said so that the reader need not look further."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cicd_actions.toolkit.errors import UnusableInput
from tests.harness.alembic_project import Project
from tests.harness.ports import free_port
from tests.harness.postgres import PASSWORD, Postgres
from tests.integration.run_migrations_oneshot.conftest import DRIVERS, Database, Log, Migrating

pytestmark = [pytest.mark.postgres, pytest.mark.network]

TABLE = "op.create_table('items', sa.Column('id', sa.Integer, primary_key=True))"


def untouched(database: Database) -> bool:
    return database.sql("SELECT count(*) FROM pg_class WHERE relname IN ('items', 'alembic_version')") == [("0",)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_wrong_password_is_not_waited_for(
    driver: str, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project(asynchronous=driver == "asyncpg").revision("r1", TABLE)

    ended = migrate(made, database.url(driver).replace(PASSWORD, "wr0ng-pa55"), wait_for_database="5m")

    assert (ended.status, ended.verdict) == ("failed", "fail"), ended.log
    assert "password authentication failed" in ended.report.headline
    assert "DATABASE_URL" in ended.text
    assert "does not answer yet" not in ended.log
    assert "wr0ng-pa55" not in ended.text + ended.log
    assert untouched(database)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_database_that_is_down(driver: str, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project(asynchronous=driver == "asyncpg").revision("r1", TABLE)
    url = f"postgresql+{driver}://u:{PASSWORD}@127.0.0.1:{free_port()}/app"

    ended = migrate(made, url, wait_for_database="300ms")

    assert (ended.status, ended.verdict) == ("failed", "inconclusive"), ended.log
    assert "did not answer within the 0.3 s" in ended.report.headline
    assert "wait-for-database: 2m" in ended.text
    assert PASSWORD not in ended.text + ended.log


def test_a_database_that_comes_up_late(
    postgres: Postgres, tmp_path: Path, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project(asynchronous=True).revision("r1", TABLE)
    log = Log()
    with tempfile.TemporaryDirectory(prefix="cicd-actions-postgres-") as folder:
        late = Postgres(Path(folder))
        try:
            found: list[object] = []
            url = late.url("postgres", "asyncpg")
            thread = threading.Thread(target=lambda: found.append(migrate(made, url, log=log, wait_for_database="2m")))
            thread.start()
            log.until("The database does not answer yet")
            late.start()
            thread.join(120)
        finally:
            late.stop()

    assert [ended.status for ended in found] == ["applied"], log.getvalue()  # type: ignore[attr-defined]


def test_a_database_that_does_not_exist(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    ended = migrate(project().revision("r1", TABLE), database.server.url("nothere", "psycopg2"), wait_for_database="5m")

    assert (ended.status, ended.verdict) == ("failed", "fail")
    assert 'database "nothere" does not exist' in ended.report.headline


def test_no_address_of_a_database(project: Callable[..., Project], migrate: Migrating) -> None:
    """A secret that does not exist is an empty variable."""
    ended = migrate(project().revision("r1", TABLE), "")

    assert (ended.status, ended.verdict) == ("failed", "fail"), ended.log
    assert ended.report.headline == "The job has no variable DATABASE_URL, which the application needs."
    assert "This step has none or an empty one" in ended.text
    assert "DATABASE_URL: ${{ secrets.DATABASE_URL }}" in ended.text


def test_a_file_that_the_application_chose_itself(project: Callable[..., Project], migrate: Migrating) -> None:
    """A default for development must not look like the environment's database."""
    made = project(before="os.environ.setdefault('DATABASE_URL', 'sqlite:///development.db')").revision("r1", TABLE)

    ended = migrate(made, "")

    assert ended.status == "applied", ended.log
    assert [(found.rule, str(found.severity)) for found in ended.report.findings] == [
        ("run-migrations-oneshot/no-database-url", "warning")
    ]
    assert "the job has no variable DATABASE_URL" in ended.text
    assert "sqlite" in ended.report.findings[0].message.lower()


def test_two_heads(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", TABLE).revision("left", "pass", down="r1").revision("right", "pass", down="r1")

    ended = migrate(made, database.url())

    assert (ended.status, ended.verdict) == ("refused", "fail")
    assert "The image has 2 heads" in ended.report.headline
    assert "migrations/versions/left_of_tests.py" in ended.report.headline
    assert 'alembic merge -m "merge heads" left right' in ended.text
    assert untouched(database)

    meant = migrate(made, database.url(), command="alembic upgrade heads", expect_single_head="false")
    assert (meant.status, meant.output("to-revision")) == ("applied", "left,right")


def test_a_database_that_is_ahead(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", TABLE).revision("r2", "pass")
    assert migrate(made, database.url()).status == "applied"
    made.path("r2").unlink()

    ended = migrate(made, database.url())

    assert (ended.status, ended.verdict) == ("refused", "fail")
    assert "The database is ahead of this image: it is at r2" in ended.report.headline
    assert "an older release is being deployed" in ended.text.lower()
    assert "keep revision files" in ended.text
    assert ended.output("from-revision") == ended.output("to-revision") == "r2"


def test_a_known_beginning_is_not_a_known_revision(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    """Alembic takes the beginning of a revision for it; a database at `abc` is not at `abcdef`."""
    database.sql("CREATE TABLE alembic_version (version_num varchar(32)); INSERT INTO alembic_version VALUES ('abc')")

    ended = migrate(project().revision("abcdef", TABLE), database.url())

    assert ended.status == "refused"
    assert "ahead" in ended.report.headline


def test_a_phase_that_is_none(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    ended = migrate(project().revision("r1", TABLE, phase="contrat"), database.url())

    assert (ended.status, ended.verdict) == ("refused", "fail")
    assert "r1 (migrations/versions/r1_of_tests.py) says 'contrat'" in ended.report.headline
    assert untouched(database)


def test_another_run_that_does_not_end(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    key = 0x63696364_6D696772
    with database.held(f"SELECT pg_advisory_lock({key})") as pid:
        ended = migrate(project().revision("r1", TABLE), database.url(), wait_for_lock="400ms")

    assert (ended.status, ended.verdict) == ("refused", "inconclusive"), ended.text + ended.log
    assert f"pid {pid} 'somebody-else' of postgres from 127.0.0.1 since 20" in ended.report.headline
    assert f"SELECT pg_terminate_backend({pid});" in ended.text
    assert untouched(database)


def test_an_env_that_never_migrates(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", TABLE)
    (made.folder / "migrations/env.py").write_text("print('nothing to see')\n")

    ended = migrate(made, database.url())

    assert (ended.status, ended.verdict) == ("failed", "fail")
    assert "never called `context.run_migrations()`" in ended.report.headline


def test_a_revision_file_that_cannot_be_loaded(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", TABLE)
    made.path("r1").write_text("import no_such_module_of_the_application\n")

    ended = migrate(made, database.url())

    assert (ended.status, ended.verdict) == ("failed", "fail")
    assert "no_such_module_of_the_application" in ended.report.headline
    assert "Traceback" in ended.text


def test_a_setting_that_env_py_misses(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project(before="import sys; sys.exit('SECRET_KEY is not set')").revision("r1", TABLE)

    ended = migrate(made, database.url())

    assert (ended.status, ended.verdict) == ("failed", "fail")
    assert "SECRET_KEY is not set" in ended.report.headline


def test_no_alembic(tmp_path: Path, database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    migrate.python = tmp_path  # and so the machine's own
    ended = migrate(project().revision("r1", TABLE), database.url(), job_command="env -C / PATH=/usr/bin:/bin")

    assert (ended.status, ended.verdict) == ("failed", "fail")
    assert ended.report.headline == "The image has no Alembic."


def test_alembic_in_an_environment_of_its_own(
    tmp_path: Path, python: Path, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    """`python3` is another one; the first line of the script `alembic` says which has it."""
    made = project().revision("r1", TABLE)
    (tmp_path / "bin").mkdir()
    shutil.copy(python / "alembic", tmp_path / "bin/alembic")
    (tmp_path / "bin/python3").symlink_to("/usr/bin/python3")
    migrate.python = tmp_path / "bin"

    assert migrate(made, database.url()).status == "applied"


def test_a_folder_named_alembic_hides_nothing(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", TABLE)
    (made.folder / "alembic").mkdir()
    (made.folder / "alembic/__init__.py").write_text("raise RuntimeError('this is not Alembic')\n")

    assert migrate(made, database.url()).status == "applied"


@pytest.mark.parametrize("launcher", ["env MARK=1 alembic", "python -m alembic", "alembic -c alembic.ini -x a=b"])
def test_ways_to_call_alembic(launcher: str, database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    assert migrate(project().revision("r1", TABLE), database.url(), command=f"{launcher} upgrade head").status == "applied"


def test_other_commands_of_alembic_are_no_migration(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    with pytest.raises(UnusableInput, match="alembic downgrade"):
        migrate(project().revision("r1", TABLE), database.url(), command="alembic downgrade -1")


@pytest.fixture
def pgbouncer(postgres: Postgres, tmp_path: Path) -> Iterator[int]:
    """PgBouncer in transaction mode in front of the server; its port."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not Path(program).exists():
        pytest.skip("Debian's pgbouncer is not installed")
    with tempfile.TemporaryDirectory(prefix="cicd-actions-pgbouncer-") as name:
        folder = Path(name)
        port = free_port()
        (folder / "users").write_text(f'"postgres" "{PASSWORD}"\n')
        (folder / "ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\n"
            f"listen_port = {port}\nauth_type = scram-sha-256\nauth_file = {folder}/users\n"
            "pool_mode = transaction\nunix_socket_dir =\nignore_startup_parameters = extra_float_digits\n"
        )
        words = [program, str(folder / "ini")]
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            words = ["runuser", "-u", "postgres", "--", *words]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        try:
            log_text = folder / "log"
            for _ in range(200):
                if b"process up" in log_text.read_bytes():
                    break
                try:
                    process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
            assert process.poll() is None, log_text.read_text()
            yield port
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_connection_through_a_pooler(
    driver: str, pgbouncer: int, database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project(asynchronous=driver == "asyncpg").revision("r1", TABLE)

    ended = migrate(made, database.url(driver, port=pgbouncer))

    assert (ended.status, ended.verdict) == ("refused", "fail"), ended.log
    assert f"The connection to 127.0.0.1:{pgbouncer} goes through a pooler" in ended.report.headline
    assert "DATABASE_URL: ${{ secrets.DIRECT_DATABASE_URL }}" in ended.text
    assert untouched(database)
