"""Projects and databases that are rare: other encodings, files that cannot be read, errors without a text."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from tests.harness.alembic_project import Project
from tests.harness.postgres import Postgres
from tests.integration.run_migrations_oneshot.conftest import Database, Migrating

pytestmark = pytest.mark.postgres

_TABLE = "op.create_table('items', sa.Column('id', sa.Integer, primary_key=True))"


@pytest.fixture
def ascii_database(postgres: Postgres) -> Database:
    """A database whose encoding is SQL_ASCII."""
    name = f"t{uuid.uuid4().hex[:12]}"
    postgres.sql(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    return Database(postgres, name)


def test_folder_of_sql_files_is_applied_to_a_database_without_an_encoding(
    ascii_database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project()
    (made.folder / "sql").mkdir()
    (made.folder / "sql/0001_é.sql").write_text('CREATE TABLE "é" (id int);\nINSERT INTO "é" VALUES (1);\n')
    first = migrate(made, ascii_database.url(""), command="sql sql")
    assert (first.status, first.applied) == ("applied", ["0001_é"]), first.log
    again = migrate(made, ascii_database.url(""), command="sql sql")
    assert (again.status, again.output("to-revision")) == ("up-to-date", "0001_é"), again.log


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_alembic_on_a_database_without_an_encoding_says_what_to_name(
    ascii_database: Database, project: Callable[..., Project], migrate: Migrating, driver: str
) -> None:
    made = project().revision("r1", _TABLE)
    url = ascii_database.url(driver)
    assert migrate(made, f"{url}?client_encoding=utf8", command="alembic upgrade head").status == "applied"
    made.revision("r2", "op.execute(\"comment on table items is 'é'\")")
    failed = migrate(made, url, command="alembic upgrade head")
    assert (failed.status, failed.verdict) == ("failed", "fail"), failed.log
    if driver == "psycopg":
        assert failed.report.headline.startswith("The database has the encoding SQL_ASCII")
        assert "?client_encoding=utf8" in failed.text


def test_sql_file_in_another_encoding_is_named_with_its_line(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project()
    (made.folder / "sql").mkdir()
    (made.folder / "sql/0000_folder.sql").mkdir()
    (made.folder / "sql/0001_bom.sql").write_bytes(b"\xef\xbb\xbf-- transaction: none\nCREATE TABLE items (id int);\n")
    assert migrate(made, database.url(""), command="sql sql").applied == ["0001_bom"]
    (made.folder / "sql/0002_latin.sql").write_bytes(b"-- a\n\nCOMMENT ON TABLE items IS '\xe9';\n")
    ended = migrate(made, database.url(""), command="sql sql")
    assert (ended.status, ended.verdict) == ("failed", "fail"), ended.log
    what = "Could not load the revision file sql/0002_latin.sql:3: UnicodeDecodeError: the file is not UTF-8."
    assert ended.report.headline == what


_SILENT = """
class Silent(Exception):
    def __str__(self):
        return self.args[0]
raise Silent()
"""


def test_error_without_a_readable_text_is_still_reported(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    ended = migrate(project().revision("r1", _SILENT), database.url(), command="alembic upgrade head")
    assert (ended.status, ended.verdict) == ("failed", "fail"), ended.log
    assert "Silent (its text could not be read: IndexError)" in ended.report.headline


def test_dependency_on_a_revision_that_does_not_exist_is_named(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", _TABLE).revision("r2", "pass")
    (file,) = [path for path in made.folder.rglob("*.py") if "revision = 'r2'" in path.read_text()]
    file.write_text(f"{file.read_text()}\ndepends_on = 'nowhere'\n")
    ended = migrate(made, database.url(), command="alembic upgrade head")
    assert (ended.status, ended.verdict) == ("refused", "fail"), ended.log
    assert "The image has no revision nowhere, which r2" in ended.report.headline
    assert "as its `depends_on`" in ended.report.headline
