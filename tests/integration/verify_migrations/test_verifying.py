"""Runs the action on small projects: the graph, rows that a migration refuses, downgrades, models, phases, and other tools."""

from __future__ import annotations

import json
import os
import sqlite3
import textwrap
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.harness import mariadb
from tests.harness.action import Ended, run
from tests.harness.alembic_project import OTHER_TOOLS, python_with
from tests.harness.migration_repository import MigrationRepository
from tests.integration.verify_migrations.conftest import Verify, rules

pytestmark = pytest.mark.postgres

_USERS = 'sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text){more})\n'
_CREATE = 'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))'


def models(more: str = "") -> str:
    return _USERS.replace("{more}", more)


@pytest.fixture
def project(repository: MigrationRepository) -> MigrationRepository:
    """A base with one table and its model."""
    repository.models(models()).revision("a1", _CREATE, 'op.drop_table("users")').commit()
    return repository


def report(ended: Ended) -> Any:
    assert ended.outputs["report"], ended.log
    return json.loads(Path(ended.outputs["report"]).read_text())


def test_contract_that_is_declared_passes_and_is_said_first(verify: Verify, project: MigrationRepository) -> None:
    project.models('sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True))')
    project.revision(
        "a2", 'op.drop_column("users", "name")', 'op.add_column("users", sa.Column("name", sa.Text))', phase="contract"
    )
    project.commit()
    ended = verify(project)
    assert (ended.code, json.loads(ended.outputs["phases"])) == (0, {"a2": "contract"}), ended.log
    assert rules(ended, "warning") == {"column-missing"}
    project.path("a2").write_text(
        project.path("a2").read_text().replace("deploy_phase = 'contract'", "deploy_phase = 'expand'")
    )
    url = "os.environ['DATABASE_URL'].replace('+psycopg', '')"
    query = f"import os, psycopg; psycopg.connect({url}).execute('select name from users')"
    ended = verify(project, old_tests_command=f'{verify.python}/python -c "{query}"')
    assert (ended.code, rules(ended, "error")) == (1, {"column-missing", "old-tests-fail"}), ended.log


def test_graph_with_mistakes_is_reported(verify: Verify, project: MigrationRepository) -> None:
    released = project.path("a1").read_text()
    project.path("a1").write_text(released.replace("sa.Text", "sa.String(9)"))
    project.revision("a2", "pass").revision("a3", "pass", parent="a1").commit()
    assert rules(verify(project), "error") == {"revision-changed", "several-heads"}
    project.path("a1").write_text(f"# A comment changes nothing.\n{released}")
    project.path("a3").write_text(project.path("a3").read_text().replace("'a1'", "'zz'"))
    project.path("a2").with_name("copy.py").write_text(project.path("a2").read_text())
    assert rules(verify(project), "error") == {"parent-missing", "revision-twice"}


def test_downgrade_that_leaves_another_schema_fails(verify: Verify, project: MigrationRepository) -> None:
    project.models(models().replace('"name", sa.Text', '"name", sa.String(80)'))
    up = 'op.alter_column("users", "name", type_=sa.String(80))'
    project.revision("a2", up, 'op.alter_column("users", "name", type_=sa.String(70))').commit()
    assert "downgrade-differs" in rules(verify(project), "error")
    project.revision("a2", up, "raise NotImplementedError", parent="a1").commit()
    assert "downgrade-missing" in rules(verify(project), "error")
    project.revision("a2", up, 'op.drop_table("zz")', parent="a1").commit()
    assert "downgrade-fails" in rules(verify(project), "error")


def test_models_without_a_migration_differ(verify: Verify, project: MigrationRepository) -> None:
    project.models(models(', sa.Column("age", sa.Integer)')).commit()
    ended = verify(project)
    assert (ended.code, rules(ended)) == (1, {"models-differ"})
    assert "age" in ended.outputs["reason"]


def test_unkind_rows_and_a_type_that_a_downgrade_leaves_are_found(verify: Verify, project: MigrationRepository) -> None:
    create = 'op.create_index("u", "users", ["name"], unique=True, postgresql_concurrently=True)'
    body = f"with op.get_context().autocommit_block():\n    {create}"
    project.revision("a2", body, 'op.drop_index("u")')
    table = 'op.create_table("t", sa.Column("m", sa.Enum("a", "b", name="mood")))'
    project.revision("a3", table, 'op.drop_table("t")').commit()
    ended = verify(project, fail_on="old-code\nlocks\ndata")
    assert (ended.code, rules(ended, "warning")) == (0, {"fails-on-data", "models-differ", "upgrade-again-fails"}), ended.log


def test_migration_that_refuses_all_rows_is_judged_on_empty_tables(verify: Verify, project: MigrationRepository) -> None:
    column = 'sa.Column("age", sa.Integer, nullable=False)'
    project.models(models(f", {column}"))
    project.revision("a2", f'op.add_column("users", {column})', 'op.drop_column("users", "age")').commit()
    ended = verify(project)
    assert {"fails-on-data", "new-required-column"} <= rules(ended)
    assert "empty" in report(ended)["not-judged"][0]


def test_migration_that_fails_is_reported_with_its_line(verify: Verify, project: MigrationRepository) -> None:
    project.revision("a2", 'op.drop_table("zz")').commit()
    ended = verify(project)
    (found,) = [each for each in ended.findings if each["severity"] == "error"]
    assert (ended.code, found["rule"], found["line"]) == (1, "verify-migrations/upgrade-fails", 11), ended.log
    assert json.loads(ended.outputs["phases"]) == {"a2": "unknown"}


def test_address_from_elsewhere_is_inconclusive(verify: Verify, project: MigrationRepository) -> None:
    env = project.folder / "migrations/env.py"
    env.write_text(env.read_text().replace('os.environ["DATABASE_URL"]', f'"sqlite:///{project.folder}/own.db"'))
    elsewhere = project.commit("Another address")
    project.revision("a2", "pass").commit()
    ended = verify(project, base_ref=elsewhere, url="sqlite:///app.db")
    assert (ended.code, ended.outputs["verdict"]) == (3, "inconclusive")
    assert "did not reach the scratch database" in ended.log


@pytest.mark.parametrize("first", [True, False])
def test_several_databases_are_inconclusive_and_the_others_stay_as_they_are(
    verify: Verify, repository: MigrationRepository, first: bool
) -> None:
    env = repository.folder / "migrations/env.py"
    other = f"sqlite:///{repository.folder}/other.db"
    urls = '(os.environ["DATABASE_URL"], other)' if first else '(other, os.environ["DATABASE_URL"])'
    text = env.read_text().replace('engine = create_engine(os.environ["DATABASE_URL"]', "engine = create_engine(url")
    head, body = text.split("engine = ")
    loop = textwrap.indent(f"engine = {body}", "    ")
    env.write_text(f"{head}other = {other!r}\nfor url in {urls}:\n{loop}")
    repository.models(models()).revision("a1", _CREATE, 'op.drop_table("users")').commit()
    repository.revision("a2", 'op.add_column("users", sa.Column("age", sa.Integer))').commit()
    ended = verify(repository, url="sqlite:///app.db")
    assert (ended.code, ended.outputs["verdict"]) == (3, "inconclusive"), ended.log
    assert "or migrates several databases" in ended.log
    with closing(sqlite3.connect(repository.folder / "other.db")) as connection:
        assert connection.execute("select name from sqlite_master where name = 'users'").fetchall() == []


def test_commit_that_never_comes_does_not_reach_the_head(verify: Verify, repository: MigrationRepository) -> None:
    repository.models(models()).revision("a1", _CREATE).commit()
    env = repository.folder / "migrations/env.py"
    env.write_text(
        env.read_text().replace("    context.configure", '    connection.execute(text("select 1"))\n    context.configure')
    )
    repository.revision("a2", 'op.add_column("users", sa.Column("age", sa.Integer))').commit()
    assert "head-not-reached" in rules(verify(repository), "error")


def test_async_project_with_one_transaction_is_judged(verify: Verify, tmp_path: Path) -> None:
    folder = tmp_path / "async"
    folder.mkdir()
    project = MigrationRepository(folder, asynchronous=True, options="transaction_per_migration=False")
    project.models(models()).revision("a1", _CREATE, 'op.drop_table("users")').commit()
    project.revision("a2", 'op.add_column("users", sa.Column("age", sa.Integer))', 'op.drop_column("users", "age")')
    project.revision("a3", "op.execute(\"update users set name = 'x'\")").commit()
    ended = verify(project, driver="asyncpg")
    assert {"backfill-under-lock"} <= rules(ended, "error"), ended.log
    assert {each["revision"] for each in report(ended)["findings"] if each["rule"] == "backfill-under-lock"} == {"a3"}


def test_plain_command_is_judged_by_the_server_alone(verify: Verify, repository: MigrationRepository) -> None:
    script = repository.folder / "migrate.py"
    run = "import os, psycopg\nwith psycopg.connect(os.environ['DATABASE_URL'].replace('+psycopg', '')) as c:\n"
    script.write_text(f"{run}    c.execute('create table if not exists t(id int primary key, v text)')\n")
    repository.commit()
    script.write_text(
        f"{script.read_text()}    c.execute('alter table t drop column v')\n    c.execute('create index i on t(id)')\n"
    )
    repository.commit()
    ended = verify(repository, command=f"{verify.python}/python migrate.py")
    assert {"column-missing", "blocking-index"} <= rules(ended, "error"), ended.log
    assert json.loads(ended.outputs["phases"]) == {"the migration": "contract"}
    assert any("not Alembic" in each for each in report(ended)["not-judged"])


def test_two_runs_at_once_on_one_server_do_not_meet(verify: Verify, project: MigrationRepository) -> None:
    hostile = "a\"b'c\\d; drop"
    project.revision("a2", f"op.create_table({hostile!r}, sa.Column({hostile!r}, sa.Integer))", f"op.drop_table({hostile!r})")
    project.commit()
    codes: list[int] = []
    runs = [threading.Thread(target=lambda: codes.append(verify(project, fail_on="old-code\nlocks").code)) for _ in range(2)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert codes == [0, 0]


def test_server_with_other_data_is_refused(verify: Verify, project: MigrationRepository) -> None:
    verify.server.sql("create database elsewhere")
    verify.server.sql("create table t as select 1 as v", "elsewhere")
    try:
        project.revision("a2", "pass", "pass").commit()
        refused = verify(project)
        assert refused.code == 2
        assert "allow-other-data: true" in refused.log
    finally:
        verify.server.sql("drop database elsewhere")


_TENANTS = """
import os
import sys
from alembic import context
from sqlalchemy import create_engine, pool, text

sys.path.insert(0, os.getcwd())
from models import metadata

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
for schema in ("one", "two"):
    with engine.connect() as connection:
        connection.execute(text(f"create schema if not exists {schema} authorization cicd_vm_app"))
        connection.execute(text("set role cicd_vm_app"))
        connection.execute(text(f"set search_path to {schema}"))
        connection.commit()
        context.configure(connection=connection, target_metadata=metadata)
        with context.begin_transaction():
            context.run_migrations()
"""


def test_tenants_of_another_role_in_another_time_zone_are_judged(verify: Verify, tmp_path: Path) -> None:
    folder = tmp_path / "tenants"
    folder.mkdir()
    project = MigrationRepository(folder, env=_TENANTS)
    created = _CREATE.replace('"name", sa.Text)', '"name", sa.Text), sa.Column("at", sa.DateTime(timezone=True))')
    more = ', sa.Column("at", sa.DateTime(timezone=True))'
    project.models(models(more)).revision("a1", created, 'op.drop_table("users")').commit()
    project.models('sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))')
    project.revision("a2", 'op.drop_column("users", "at")', f'op.add_column("users"{more})').commit()
    verify.server.sql("alter role postgres set timezone to 'Asia/Kathmandu'")
    try:
        ended = verify(project, driver="psycopg2")
    finally:
        verify.server.sql("alter role postgres reset timezone")
    assert (ended.code, rules(ended, "error")) == (1, {"column-missing"}), ended.log
    assert json.loads(ended.outputs["phases"]) == {"a2": "contract"}
    assert json.loads(ended.outputs["locks"]) == {
        "a2": {"one.users": "AccessExclusiveLock", "two.users": "AccessExclusiveLock"}
    }
    assert report(ended)["not-judged"] == []


def test_sqlite_project_is_judged_without_locks(verify: Verify, project: MigrationRepository) -> None:
    table = 'with op.batch_alter_table("users") as table:\n    '
    project.models(models(', sa.Column("age", sa.Integer)'))
    project.revision("a2", 'op.add_column("users", sa.Column("age", sa.Integer))', f'{table}table.drop_column("age")').commit()
    added = verify(project, url="sqlite:///app.db")
    assert (added.code, json.loads(added.outputs["phases"])) == (0, {"a2": "expand"}), added.log
    assert rules(added) == set()
    assert any("SQLite" in each for each in report(added)["not-judged"])

    project.models('sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("age", sa.Integer))')
    project.revision("a3", f'{table}table.drop_column("name")', "pass").commit()
    dropped = verify(project, url="sqlite:///app.db")
    assert (dropped.code, json.loads(dropped.outputs["phases"])) == (1, {"a2": "expand", "a3": "contract"}), dropped.log
    assert rules(dropped, "error") == {"column-missing", "downgrade-missing"}, dropped.log
    assert list(project.folder.glob("*.db")) == []


_ON_MARIADB = """
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40), nullable=False),
         sa.Column("mood", sa.Enum("sad", "ok"), nullable=False, server_default="ok"), sa.Column("data", sa.JSON),
         sa.Column("size", sa.Numeric(10, 2), sa.CheckConstraint("size in (1, 2)")), sa.Index("by_name", "name"))
sa.Table("notes", metadata, sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("raw", sa.LargeBinary),
         sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False))
sa.Table("likes", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("user_id", sa.Integer))
"""


def test_mariadb_project_is_judged_without_locks(verify: Verify, repository: MigrationRepository) -> None:
    repository.models(_ON_MARIADB)
    view = "op.execute('create view v as select id from users')"
    repository.revision("a1", f"from models import metadata\nmetadata.create_all(op.get_bind())\n{view}").commit()
    add = 'op.add_column("users", sa.Column("age", sa.Integer))\nop.create_index("by_age", "users", ["age"])'
    repository.revision("a2", add, 'op.drop_index("by_age", "users")\nop.drop_column("users", "age")')
    repository.revision("a3", 'op.drop_column("users", "name")', "pass")
    mood = "alter table users modify mood enum('ok', 'sad', 'great') not null default 'ok'"
    repository.revision("a4", f'op.execute("{mood}")')
    key = 'op.create_foreign_key("by_user", "likes", "users", ["user_id"], ["id"])'
    repository.revision("a5", key, 'op.drop_constraint("by_user", "likes", type_="foreignkey")').commit()
    phases = {"a2": "expand", "a3": "contract", "a4": "expand", "a5": "expand"}
    with mariadb.running() as port:
        url = f"mysql+pymysql://root:{mariadb.PASSWORD}@127.0.0.1:{port}/app"
        ended = verify(repository, url=url, fail_on="old-code\ndowngrade")
    assert json.loads(ended.outputs["phases"]) == phases, ended.log
    assert rules(ended, "error") == {"column-missing", "downgrade-missing"}
    assert [each[:25] for each in report(ended)["not-judged"]] == ["The database is MySQL: lo"]


def test_lane_verifies_its_migrations_with_its_own_variables(verify: Verify, project: MigrationRepository) -> None:
    project.models('sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True))')
    down = 'op.add_column("users", sa.Column("name", sa.Text))'
    env = project.folder / "migrations/env.py"
    env.write_text(env.read_text().replace("import os\n", "import os\nassert os.environ['LANE'] == 'api'\n", 1))
    project.revision("a2", 'with op.batch_alter_table("users") as table:\n    table.drop_column("name")', down).commit()
    lane = {
        "lane": "api",
        "directory": ".",
        "env": {"LANE": "api", "DATABASE_URL": "sqlite:///app.db"},
        "migrations": {"command": "alembic upgrade head", "variable": "DATABASE_URL", "base-install-command": ""},
    }
    given = {"job": json.dumps(lane), "part": "migrations", "base": project.base}
    path = f"{verify.warm}:{verify.python}:{os.environ['PATH']}"
    ended = run("run-lane", given, project.folder, PATH=path, RUNNER_TEMP=str(verify.scratch))
    assert (ended.code, rules(ended, "error")) == (1, {"column-missing"}), ended.log


_SETTINGS = """
import os
from urllib.parse import urlsplit
url = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username,
                         "PASSWORD": url.password, "HOST": url.hostname, "PORT": url.port}}
INSTALLED_APPS = ["shop"]
SECRET_KEY = "of-tests"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
_INITIAL = """
from django.db import migrations, models
class Migration(migrations.Migration):
    initial = True
    operations = [migrations.CreateModel("Item", [("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())])]
"""
_INDEX = """
from django.db import migrations, models
deploy_phase = "contract"
class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.AddIndex("Item", models.Index(fields=["name"], name="i")),
                  migrations.AddField("Item", "age", models.IntegerField(default=0))]
"""


_ROWS = """
from django.db import migrations, models
def fill(apps, _editor):
    apps.get_model("shop", "Item").objects.update(name="x")
class Migration(migrations.Migration):
    dependencies = [("shop", "0002_index")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
"""
_MORE = """
from django.db import migrations, models
class Migration(migrations.Migration):
    dependencies = [("shop", "0003_rows")]
    operations = [migrations.AddField("Item", "more", models.IntegerField(null=True))]
"""


def test_django_project_is_judged_with_its_models(verify: Verify, tmp_path: Path) -> None:
    folder = tmp_path / "django"
    folder.mkdir()
    project = MigrationRepository(folder)
    (folder / "shop/migrations").mkdir(parents=True)
    for name, text in {
        "manage.py": "import sys\nfrom django.core import management\nmanagement.execute_from_command_line(sys.argv)\n",
        "config.py": _SETTINGS,
        "shop/__init__.py": "",
        "shop/migrations/__init__.py": "",
        "shop/models.py": "from django.db import models\n\n\nclass Item(models.Model):\n    name = models.TextField()\n",
        "shop/migrations/0001_initial.py": _INITIAL,
    }.items():
        (folder / name).write_text(text)
    project.commit()
    added = {"0002_index": _INDEX, "0003_rows": _ROWS, "0004_more": _MORE}
    for name, text in added.items():
        (folder / f"shop/migrations/{name}.py").write_text(text)
    project.commit()
    python = python_with(OTHER_TOOLS)
    ended = verify(project, command=f"env DJANGO_SETTINGS_MODULE=config {python}/python manage.py migrate", driver="")
    assert json.loads(ended.outputs["new"]) == ["shop.0002_index", "shop.0003_rows", "shop.0004_more"], ended.log
    failing = {(each["revision"], each["rule"]) for each in report(ended)["findings"] if each["fails"]}
    # What one transaction changed does not count for the next one.
    assert failing == {("shop.0002_index", "blocking-index"), ("shop.0003_rows", "whole-table-update")}
    assert "new-required-column" in rules(ended, "warning")
    assert "AddIndexConcurrently" in ended.log
    assert {found.get("file") for found in ended.findings} == {f"shop/migrations/{name}.py" for name in added}
    assert "(shop.models.Item)" in ended.outputs["reason"] + ended.log
    assert len(report(ended)["not-judged"]) == 1


_FLASK = """
import os
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
app = Flask("app")
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
db = SQLAlchemy(app)
Migrate(app, db)
class User(db.Model):
    __tablename__ = "users"
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.Text)
"""
_FLASK_ENV = """
from alembic import context
from flask import current_app
db = current_app.extensions["migrate"].db
with db.engine.connect() as connection:
    context.configure(connection=connection, target_metadata=db.metadata)
    with context.begin_transaction():
        context.run_migrations()
"""


def test_flask_project_is_judged_as_alembic(verify: Verify, tmp_path: Path) -> None:
    folder = tmp_path / "flask"
    folder.mkdir()
    project = MigrationRepository(folder, env=_FLASK_ENV)
    (folder / "migrations/alembic.ini").write_text("[alembic]\n")
    (folder / "app.py").write_text(_FLASK)
    project.revision("a1", _CREATE).commit()
    project.revision("a2", 'op.drop_column("users", "name")', "pass").commit()
    ended = verify(project, command=f"{python_with(OTHER_TOOLS)}/flask db upgrade")
    assert rules(ended, "error") == {"column-missing", "downgrade-missing", "models-differ"}, ended.log
    assert "(app.User)" in ended.outputs["reason"] + ended.log
    assert report(ended)["not-judged"] == []
