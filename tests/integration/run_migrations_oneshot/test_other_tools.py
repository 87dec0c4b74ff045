"""Django, Flask-Migrate and a folder of SQL files, for real; tools that report their state by a command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.alembic_project import OTHER_TOOLS, Project, python_with
from tests.integration.run_migrations_oneshot.conftest import Database, Migrating

pytestmark = [pytest.mark.postgres, pytest.mark.network]

TABLE = "op.create_table('items', sa.Column('id', sa.Integer, primary_key=True))"
_MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
execute_from_command_line(sys.argv)
"""
_SETTINGS = """
import os
from urllib.parse import unquote, urlsplit
url = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username,
                         "PASSWORD": unquote(url.password), "HOST": url.hostname, "PORT": url.port}}
INSTALLED_APPS = ["shop"]
SECRET_KEY = "of-tests"
"""
_MIGRATION = """
from django.db import migrations, models
{phase}
class Migration(migrations.Migration):
    dependencies = {dependencies}
    operations = [{operation}]
"""


@pytest.fixture
def django(project: Callable[..., Project], migrate: Migrating) -> Project:
    made = project()
    migrate.python = python_with(OTHER_TOOLS)
    (made.folder / "shop/migrations").mkdir(parents=True)
    for name in ("shop/__init__.py", "shop/migrations/__init__.py"):
        (made.folder / name).touch()
    (made.folder / "manage.py").write_text(_MANAGE)
    (made.folder / "settings.py").write_text(_SETTINGS)
    create = "migrations.CreateModel('Item', [('id', models.BigAutoField(primary_key=True))])"
    _django_migration(made, "0001_initial", create)
    _django_migration(made, "0002_name", "migrations.AddField('item', 'name', models.TextField(default=''))", "expand")
    return made


def _django_migration(made: Project, name: str, operation: str, phase: str = "") -> None:
    others = sorted(path.stem for path in (made.folder / "shop/migrations").glob("0*.py"))
    text = _MIGRATION.format(
        phase=f"deploy_phase = {phase!r}" if phase else "",
        dependencies=[("shop", others[-1])] if others else [],
        operation=operation,
    )
    (made.folder / f"shop/migrations/{name}.py").write_text(text)


def test_django_is_watched_and_proven(database: Database, django: Project, migrate: Migrating) -> None:
    command = "python manage.py migrate --no-input"

    plan = migrate(django, database.url(""), command=command, dry_run="true")
    assert (plan.status, plan.verdict) == ("dry-run", "pass"), plan.log
    assert "2 migrations would be applied" in plan.report.headline
    assert database.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'django%' OR relname LIKE 'shop%'") == [("0",)]

    first = migrate(django, database.url(""), command=command)
    assert (first.status, first.applied) == ("applied", ["shop.0001_initial", "shop.0002_name"]), first.log
    assert (first.output("from-revision"), first.output("to-revision")) == ("", "shop.0002_name")
    assert "The lock is held" in first.log
    assert migrate(django, database.url(""), command=command).status == "up-to-date"

    _django_migration(django, "0003_drop", "migrations.RemoveField('item', 'name')", "contract")
    refused = migrate(django, database.url(""), command=command)
    assert (refused.status, refused.verdict) == ("refused", "fail")
    assert "A contract migration is pending: shop.0003_drop" in refused.report.headline


def test_django_that_fails_says_what_stands(database: Database, django: Project, migrate: Migrating) -> None:
    _django_migration(django, "0003_wrong", "migrations.RunSQL('ALTER TABLE nowhere ADD x int')")

    ended = migrate(django, database.url(""), command="python manage.py migrate")

    assert (ended.status, ended.applied) == ("failed", ["shop.0001_initial", "shop.0002_name"]), ended.log
    assert 'failed: relation "nowhere" does not exist' in ended.report.headline
    assert "Nothing of shop.0003_wrong stays." in ended.text
    assert ended.output("to-revision") == "shop.0002_name"


def test_flask_migrate_is_watched(database: Database, project: Callable[..., Project], migrate: Migrating) -> None:
    made = project().revision("r1", TABLE)
    migrate.python = python_with(OTHER_TOOLS)
    (made.folder / "app.py").write_text(
        "import os\nfrom flask import Flask\nfrom flask_sqlalchemy import SQLAlchemy\nfrom flask_migrate import Migrate\n"
        "app = Flask(__name__)\napp.config['SQLALCHEMY_DATABASE_URI'] = os.environ['DATABASE_URL']\n"
        "Migrate(app, SQLAlchemy(app))\n"
    )
    (made.folder / "migrations/alembic.ini").write_text("[alembic]\n")

    first = migrate(made, database.url(), command="flask db upgrade")

    assert (first.status, first.applied) == ("applied", ["r1"]), first.log
    assert migrate(made, database.url(), command="flask db upgrade").status == "up-to-date"


def test_folder_of_sql_files_is_watched_and_proven(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project()
    folder = made.folder / "sql"
    folder.mkdir()
    (folder / "0001_items.sql").write_text("CREATE TABLE items (id int);\nINSERT INTO items VALUES (1);\n")
    (folder / "0002_index.sql").write_text("-- transaction: none\nCREATE INDEX CONCURRENTLY ix ON items (id);\n")

    first = migrate(made, database.url(), command="sql sql")
    assert (first.status, first.applied) == ("applied", ["0001_items", "0002_index"]), first.log
    assert migrate(made, database.url(), command="sql sql").status == "up-to-date"

    (folder / "0003_wrong.sql").write_text("ALTER TABLE items ADD name text;\nALTER TABLE nowhere ADD x int;\n")
    failed = migrate(made, database.url(), command="sql sql")
    assert (failed.status, failed.output("to-revision")) == ("failed", "0002_index"), failed.log
    assert "Nothing of 0003_wrong stays." in failed.text

    (folder / "0003_wrong.sql").unlink()
    (folder / "0001_items.sql").write_text("CREATE TABLE other (id int);\n")
    changed = migrate(made, database.url(), command="sql sql")
    assert (changed.status, changed.verdict) == ("refused", "fail")
    assert changed.report.headline == "A file that was applied has changed since: sql/0001_items.sql."


def test_tool_that_reports_its_state_is_asked_before_and_after(
    tmp_path: Path, project: Callable[..., Project], migrate: Migrating
) -> None:
    """A program with golang-migrate's answers: the real one cannot be installed from the registries of these tests."""
    made = project()
    (made.folder / "db").mkdir()
    for name in ("000001_a", "000002_b"):
        (made.folder / f"db/{name}.up.sql").touch()
    tool = made.folder / "migrate"
    tool.write_text(
        "#!/bin/sh\nfor last; do :; done\n"
        'if [ "$last" = version ]; then cat at 2>/dev/null || echo "error: no migration"; exit; fi\n'
        "[ -e stuck ] || echo 2 > at\n"
    )
    tool.chmod(0o755)
    command = "./migrate -path db -database unused up"

    (made.folder / "stuck").touch()
    stuck = migrate(made, "", command=command)
    assert (stuck.status, stuck.verdict) == ("failed", "fail"), stuck.log
    assert "succeeded, but 000001_a, 000002_b did not stay" in stuck.report.headline

    (made.folder / "stuck").unlink()
    plan = migrate(made, "", command=command, dry_run="true")
    assert (plan.status, plan.report.headline) == ("dry-run", "Dry run: 2 migrations would be applied.")
    first = migrate(made, "", command=command)
    assert (first.status, first.applied) == ("applied", ["000001_a", "000002_b"]), first.log
    assert migrate(made, "", command=command).status == "up-to-date"
    (made.folder / "at").write_text("2 (dirty)\n")
    assert migrate(made, "", command=command).status == "refused"
