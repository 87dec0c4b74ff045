"""Django, Flask-Migrate, a folder of SQL files and Prisma for real; a program that keeps golang-migrate's protocol."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.alembic_project import OTHER_TOOLS, ROOT, Project, python_with
from tests.integration.run_migrations_oneshot.conftest import Database, Ended, Log, Migrating

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


_RECEIVER = """
from django.apps import AppConfig
from django.db.models.signals import post_migrate

class Shop(AppConfig):
    name = "shop"
    def ready(self):
        post_migrate.connect(told, sender=self)

def told(using, **_more):
    from django.db import connections
    with connections[using].cursor() as cursor:
        cursor.execute({statement!r})
"""


def test_receivers_of_django_are_called_and_one_that_fails_is_named(
    database: Database, django: Project, migrate: Migrating
) -> None:
    command = "python manage.py migrate"
    database.sql("CREATE TABLE told (at timestamptz DEFAULT now())")
    (django.folder / "shop/models.py").touch()  # Django sends its signals for applications with models
    apps = django.folder / "shop/apps.py"
    apps.write_text(_RECEIVER.format(statement="INSERT INTO told DEFAULT VALUES"))
    assert migrate(django, database.url(""), command=command).status == "applied"

    # Nothing is pending, and permissions or roles in the code may still have changed.
    again = migrate(django, database.url(""), command=command, backup_command="false")
    assert (again.status, database.sql("SELECT count(*) FROM told")) == ("up-to-date", [("2",)]), again.log
    assert migrate(django, database.url(""), command=command, dry_run="true").status == "dry-run"
    assert database.sql("SELECT count(*) FROM told") == [("2",)]

    apps.write_text(_RECEIVER.format(statement="INSERT INTO nowhere DEFAULT VALUES"))
    _django_migration(django, "0003_price", "migrations.AddField('item', 'price', models.IntegerField(default=0))")
    failed = migrate(django, database.url(""), command=command)
    assert (failed.status, failed.verdict, failed.applied) == ("failed", "fail", ["shop.0003_price"]), failed.log
    assert "Every migration is applied, but a receiver of Django's `post_migrate` failed" in failed.report.headline


def _two_last(made: Project) -> None:
    text = _MIGRATION.format(phase="", dependencies=[("shop", "0001_initial")], operation="")
    (made.folder / "shop/migrations/0002_other.py").write_text(text)


def _history(made: Project) -> None:
    path = made.folder / "shop/migrations/0001_initial.py"
    path.write_text(path.read_text().replace("dependencies = []", "dependencies = [('late', '0001_initial')]"))
    (made.folder / "late/migrations").mkdir(parents=True)
    for name in ("late/__init__.py", "late/migrations/__init__.py"):
        (made.folder / name).touch()
    (made.folder / "late/migrations/0001_initial.py").write_text(_MIGRATION.format(phase="", dependencies=[], operation=""))
    settings = made.folder / "settings.py"
    settings.write_text(settings.read_text().replace('["shop"]', '["shop", "late"]'))


def test_django_that_cannot_go_on_says_why(database: Database, django: Project, migrate: Migrating) -> None:
    def said(arguments: str, headline: str, fix: str = "") -> None:
        ended = migrate(django, database.url(""), command=f"python manage.py migrate {arguments}".strip())
        assert ended.verdict == "fail", ended.log
        assert headline in ended.report.headline
        assert fix in ended.text

    said("shopp", "No installed app with label 'shopp'")
    said("shop 0009", "The app shop has no migration whose name begins with 0009")
    said("shop --pla", "does not migrate a database forward", "python manage.py migrate")
    _django_migration(django, "0003_index", "migrations.RunSQL('CREATE INDEX CONCURRENTLY ix ON shop_item (name)')")
    said("", "CREATE INDEX CONCURRENTLY cannot run inside a transaction block", "atomic = False")
    (django.folder / "shop/migrations/0003_index.py").unlink()
    _two_last(django)
    said("", "2 last migrations in one app: shop.0002_name, shop.0002_other", "makemigrations --merge")
    (django.folder / "shop/migrations/0002_other.py").unlink()
    _history(django)
    said("", "Migration shop.0001_initial is applied before its dependency late.0001_initial", "git log --patch")


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


_GOLANG = ROOT / "tests/harness/golang_migrate.py"
_GOLANG_LOCK = 4242
"""`LOCK` of that program."""


@pytest.fixture
def golang(project: Callable[..., Project], migrate: Migrating) -> Project:
    """A project of golang-migrate, with a program that keeps its protocol: no registry of these tests offers the original."""
    made = project()
    migrate.python = python_with(OTHER_TOOLS)
    (made.folder / "db").mkdir()
    (made.folder / "migrate").write_text(f'#!/bin/sh\nexec python3 {_GOLANG} "$@"\n')
    (made.folder / "migrate").chmod(0o755)
    (made.folder / "db/000001_items.up.sql").write_text("CREATE TABLE items (id int)")
    (made.folder / "db/000002_name.up.sql").write_text("ALTER TABLE items ADD name text")
    return made


def test_golang_migrate_is_listed_and_proven(database: Database, golang: Project, migrate: Migrating) -> None:
    command = f"./migrate -path db -database {database.url('')} up"

    plan = migrate(golang, "", command=command, dry_run="true")
    assert (plan.status, plan.report.headline) == ("dry-run", "Dry run: 2 migrations would be applied.")
    first = migrate(golang, "", command=command)
    assert (first.status, first.applied) == ("applied", ["000001_items", "000002_name"]), first.log
    assert migrate(golang, "", command=command).status == "up-to-date"

    (golang.folder / "db/000003_wrong.up.sql").write_text("ALTER TABLE nowhere ADD x int")
    failed = migrate(golang, "", command=command)
    assert (failed.status, failed.verdict) == ("failed", "fail"), failed.log
    assert "The database is now: 000003_wrong (dirty)." in failed.report.headline
    refused = migrate(golang, "", command=command)
    assert (refused.status, refused.verdict) == ("refused", "fail")


def test_contract_that_was_proven_is_refused(
    tmp_path: Path,
    database: Database,
    golang: Project,
    django: Project,
    project: Callable[..., Project],
    migrate: Migrating,
) -> None:
    phases = tmp_path / "phases.json"
    phases.write_text('{"2": "contract", "shop.0002_name": "contract", "r1": "contract"}')
    go = f"./migrate -path db -database {database.url('')} up"
    alembic = project().revision("r1", TABLE, phase="expand")
    for made, command in ((golang, go), (django, "python manage.py migrate"), (alembic, "alembic upgrade head")):
        url = database.url("psycopg" if made is alembic else "")
        refused = migrate(made, url, command=command, proven_phases=str(phases))
        assert (refused.status, refused.verdict) == ("refused", "fail"), refused.log
        assert refused.report.headline.startswith("A contract migration is pending: ")

    applied = migrate(
        golang,
        database.url(""),
        command=go,
        proven_phases=str(phases),
        allow_contract="true",
        backup_command="true",
    )
    assert applied.status == "applied", applied.log
    assert [each["phase"] for each in applied.report.outputs["applied"]] == ["", "contract"]  # type: ignore[union-attr,index]


def test_golang_migrate_that_commits_nothing_is_not_proven(database: Database, golang: Project, migrate: Migrating) -> None:
    original = (golang.folder / "migrate").read_text()
    (golang.folder / "migrate").write_text(original.replace("exec", 'case "$*" in *up) exit 0;; esac; exec'))

    stuck = migrate(golang, "", command=f"./migrate -path db -database {database.url('')} up")

    assert (stuck.status, stuck.verdict) == ("failed", "fail"), stuck.log
    assert "succeeded, but 000001_items, 000002_name did not stay" in stuck.report.headline


def test_lock_of_golang_migrate_is_waited_for(database: Database, golang: Project, migrate: Migrating) -> None:
    command = f"./migrate -path db -database {database.url('')} -lock-timeout 0.1 up"

    with database.held(f"SELECT pg_advisory_lock({_GOLANG_LOCK})"):
        held = migrate(golang, "", command=command, wait_for_lock="1s")
    assert (held.status, held.verdict) == ("failed", "inconclusive"), held.log
    assert held.report.headline == "Another run has held golang-migrate's lock for the 1 s of `wait-for-lock`."

    log = Log()
    found: list[Ended] = []
    thread = threading.Thread(target=lambda: found.append(migrate(golang, "", command=command, log=log, wait_for_lock="30s")))
    with database.held(f"SELECT pg_advisory_lock({_GOLANG_LOCK})"):
        thread.start()
        log.until("Another run holds")
    thread.join(60)
    assert [(ended.status, ended.applied) for ended in found] == [("applied", ["000001_items", "000002_name"])], log.getvalue()


_PRISMA = ("prisma@6.19.3", "@prisma/adapter-pg@6.19.3")
_PRISMA_CONFIG = """
import { defineConfig } from "prisma/config";
import { PrismaPg } from "@prisma/adapter-pg";
import Result from "pg/lib/result.js";

// This adapter does not know PostgreSQL's type `name` (19), which the engine reads from the catalog.
const addFields = Result.prototype.addFields;
Result.prototype.addFields = function (fields) {
  for (const field of fields) if (field.dataTypeID === 19) field.dataTypeID = 25;
  return addFields.call(this, fields);
};

export default defineConfig({
  schema: "prisma/schema.prisma",
  experimental: { adapter: true },
  engine: "js",
  adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL }),
});
"""


@pytest.fixture
def prisma(project: Callable[..., Project]) -> Project:
    """A project of the real Prisma, with the schema engine that npm brings (WebAssembly)."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = ROOT / ".build" / _PRISMA[0]
    if not (folder / "ready").exists():
        folder.mkdir(parents=True, exist_ok=True)
        words = ("install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", "--prefix", str(folder))
        subprocess.run([npm, *words, *_PRISMA], check=True)
        (folder / "ready").touch()
    made = project()
    (made.folder / "node_modules").symlink_to(folder / "node_modules")
    _prisma_migration(made, "1_items", 'CREATE TABLE "Item" (id int PRIMARY KEY)')
    _prisma_migration(made, "2_name", 'ALTER TABLE "Item" ADD name text')
    (made.folder / "prisma/migrations/migration_lock.toml").write_text('provider = "postgresql"\n')
    source = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'
    (made.folder / "prisma/schema.prisma").write_text(source)
    (made.folder / "prisma.config.ts").write_text(_PRISMA_CONFIG)
    return made


def _prisma_migration(made: Project, name: str, statement: str) -> None:
    folder = made.folder / "prisma/migrations" / name
    folder.mkdir(parents=True)
    (folder / "migration.sql").write_text(statement + ";\n")


def _with_prisma(migrate: Migrating, made: Project, database: Database, wait_for_lock: str = "5m") -> Ended:
    # A file that exists keeps Prisma from fetching the native engines, which it then does not load.
    unused = str(made.folder / "prisma.config.ts")
    variables = {
        "PRISMA_QUERY_ENGINE_LIBRARY": unused,
        "PRISMA_SCHEMA_ENGINE_BINARY": unused,
        "CHECKPOINT_DISABLE": "1",
        "PRISMA_HIDE_UPDATE_MESSAGE": "1",
    }
    words = " ".join(f"{name}={value}" for name, value in variables.items())
    job = f"env -C {made.folder} {words}"
    command = "node_modules/.bin/prisma migrate deploy"
    return migrate(made, database.url(""), command=command, job_command=job, wait_for_lock=wait_for_lock)


def test_prisma_is_listed_and_proven(database: Database, prisma: Project, migrate: Migrating) -> None:
    first = _with_prisma(migrate, prisma, database)
    assert (first.status, first.applied) == ("applied", ["1_items", "2_name"]), first.log
    assert "Proven by Prisma: nothing is pending." in first.report.headline

    _prisma_migration(prisma, "3_wrong", "ALTER TABLE nowhere ADD x int")
    failed = _with_prisma(migrate, prisma, database)
    assert (failed.status, failed.verdict) == ("failed", "fail"), failed.log
    assert "The database is now: failed at 3_wrong." in failed.report.headline

    shutil.rmtree(prisma.folder / "prisma/migrations/3_wrong")
    database.sql("DELETE FROM _prisma_migrations WHERE finished_at IS NULL")
    shutil.rmtree(prisma.folder / "prisma/migrations/2_name")
    _prisma_migration(prisma, "3_more", "SELECT 1")
    diverged = _with_prisma(migrate, prisma, database)
    assert (diverged.status, diverged.verdict) == ("refused", "fail"), diverged.log
    assert "the image does not have 2_name" in diverged.report.headline


def test_lock_of_prisma_that_another_run_holds_is_inconclusive(database: Database, prisma: Project, migrate: Migrating) -> None:
    with database.held("SELECT pg_advisory_lock(72707369)"):
        held = _with_prisma(migrate, prisma, database, wait_for_lock="1s")

    assert (held.status, held.verdict) == ("failed", "inconclusive"), held.log
    assert held.report.headline == "Another run has held Prisma's lock for the 1 s of `wait-for-lock`."
