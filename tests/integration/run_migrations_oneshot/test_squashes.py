"""Squashes of Django: half applied, applied, new, without the replaced files, and named as the target."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from tests.harness.alembic_project import OTHER_TOOLS, Project, python_with
from tests.harness.django_project import AGE, ITEM, SIZE, DjangoProject
from tests.integration.run_migrations_oneshot.conftest import Database, Ended, Migrating

pytestmark = [pytest.mark.postgres, pytest.mark.network]

_THREE = ("0001_initial", "0002_age", "0003_size")
_SQUASH = "0001_squashed_0003"


class Deploy:
    """Runs `migrate` of one project on one database."""

    def __init__(self, project: DjangoProject, database: Database, migrate: Migrating) -> None:
        self.project = project
        self.database = database
        self._migrate = migrate

    def __call__(self, arguments: str = "", dry_run: str = "false") -> Ended:
        command = f"python manage.py migrate {arguments}".strip()
        return self._migrate(cast(Project, self.project), self.database.url(""), command=command, dry_run=dry_run)

    @property
    def columns(self) -> str:
        where = "attrelid = to_regclass('shop_item') AND attnum > 0 AND NOT attisdropped"
        return self.database.sql(f"SELECT coalesce(string_agg(attname, ' '), '') FROM pg_attribute WHERE {where}")[0][0]


@pytest.fixture
def deploy(tmp_path: Path, database: Database, migrate: Migrating) -> Deploy:
    folder = tmp_path / "django"
    folder.mkdir()
    migrate.python = python_with(OTHER_TOOLS)
    project = DjangoProject(folder)
    project.migration("0001_initial", ITEM).migration("0002_age", AGE, after=["0001_initial"])
    return Deploy(project, database, migrate)


def squashed(deploy: Deploy) -> DjangoProject:
    deploy.project.migration("0003_size", SIZE, after=["0002_age"])
    return deploy.project.migration(_SQUASH, ITEM, AGE, SIZE, replaces=_THREE)


@pytest.mark.parametrize("target", ["", "shop", f"shop {_SQUASH}", "shop 0003_size"])
def test_half_applied_squash_runs_what_is_left_of_it(deploy: Deploy, target: str) -> None:
    assert deploy().applied == ["shop.0001_initial", "shop.0002_age"]
    squashed(deploy)
    plan = deploy(target, dry_run="true")
    assert (plan.status, plan.report.headline) == ("dry-run", "Dry run: 1 migration would be applied to shop.0002_age."), (
        plan.log
    )
    ended = deploy(target)
    assert (ended.status, ended.applied) == ("applied", ["shop.0003_size"]), ended.log
    assert (ended.output("from-revision"), deploy.columns) == ("shop.0002_age", "id name age size")
    again = deploy()
    assert (again.status, again.output("to-revision")) == ("up-to-date", f"shop.{_SQUASH}"), again.log


def test_squash_runs_by_itself_where_nothing_of_it_is_applied(deploy: Deploy) -> None:
    squashed(deploy)
    ended = deploy()
    assert (ended.status, ended.applied) == ("applied", [f"shop.{_SQUASH}"]), ended.log
    deploy.project.remove(*_THREE)
    assert deploy().status == "up-to-date"


def test_part_of_a_squash_as_the_target_says_what_to_name(deploy: Deploy) -> None:
    squashed(deploy)
    ended = deploy("shop 0002_age")
    assert (ended.status, ended.verdict) == ("failed", "fail")
    assert f"shop.0002_age is a part of shop.{_SQUASH}, which Django runs as a whole here" in ended.report.headline
    assert deploy().status == "applied"
    assert deploy("shop 0003_size").status == "up-to-date"
    assert deploy("shop 0001_initial").report.headline.endswith("which does not migrate a database forward.")


def test_squash_without_the_replaced_files_is_applied_only_where_all_of_them_are(deploy: Deploy) -> None:
    squashed(deploy).remove(_SQUASH)
    assert deploy().status == "applied"
    # A squash of the later ones: the database is not ahead, although their files are gone.
    deploy.project.migration("0002_squashed_0003", AGE, SIZE, after=["0001_initial"], replaces=_THREE[1:])
    deploy.project.remove(*_THREE[1:])
    ended = deploy()
    assert (ended.status, deploy.columns) == ("up-to-date", "id name age size"), ended.log


@pytest.mark.parametrize("parent", ["", _SQUASH, "0003_size"])
def test_half_applied_squash_without_the_replaced_files_is_refused(deploy: Deploy, parent: str) -> None:
    assert deploy().status == "applied"
    squashed(deploy).remove(*_THREE)
    if parent:
        note = "migrations.AddField('item', 'note', models.TextField(null=True))"
        deploy.project.migration("0004_note", note, after=[parent])
    for dry_run in ("true", "false"):
        ended = deploy(dry_run=dry_run)
        assert (ended.status, ended.verdict) == ("refused", "fail"), ended.log
        what = f"The squash shop.{_SQUASH} is half applied: the database lacks shop.0003_size, and the image has no file of it."
        assert ended.report.headline == what
        assert "git log --diff-filter=D --name-only --all -- '*/0003_size.py'" in ended.text
    assert deploy.columns == "id name age"


@pytest.mark.parametrize("version", ["", "3.13"])
def test_squash_of_a_squash_is_applied_from_django_6_on(deploy: Deploy, migrate: Migrating, version: str) -> None:
    migrate.python = python_with(OTHER_TOOLS, version)
    assert deploy().status == "applied"
    squashed(deploy).install("shop", "late").migration("0001_first", app="late", before=["shop.0004_note"])
    note = "migrations.AddField('item', 'note', models.TextField(null=True))"
    deploy.project.migration("0004_note", note, after=[_SQUASH])
    deploy.project.migration("0001_again", ITEM, AGE, SIZE, note, replaces=[_SQUASH, "0004_note"])
    ended = deploy()
    if not version:
        assert (ended.status, ended.verdict) == ("refused", "fail"), ended.log
        assert ended.report.headline.startswith(f"shop.0001_again replaces shop.{_SQUASH}, which is a squash itself.")
        return
    assert (ended.status, set(ended.applied)) == ("applied", {"late.0001_first", "shop.0003_size", "shop.0004_note"}), ended.log
    assert deploy().status == "up-to-date"


def test_app_under_another_label_replaces_what_is_applied_under_the_old_one(deploy: Deploy) -> None:
    assert deploy().status == "applied"
    deploy.project.install("store").migration("0001_moved", ITEM, AGE, app="store", replaces=[f"shop.{e}" for e in _THREE[:2]])
    ended = deploy()
    assert (ended.status, deploy.columns) == ("up-to-date", "id name age"), ended.log


def test_migrations_that_django_cannot_order_say_what_to_do(deploy: Deploy) -> None:
    def said(headline: str, fix: str) -> None:
        ended = deploy()
        assert ended.verdict == "fail", ended.log
        assert headline in ended.report.headline
        assert fix in ended.text

    path = deploy.project.migration("0003_lost", after=["0002_age"]).path("0003_lost")
    path.write_text(path.read_text().replace("replaces = []", "replaces = ['0002_age']"))
    said("`replaces` of shop.0003_lost holds '0002_age', which is not a pair of app and name", "")
    deploy.project.migration("0003_lost", after=["0003_nowhere"])
    said("A migration depends on shop.0003_nowhere, which the image does not have", "'*/0003_nowhere.py'")
    deploy.project.remove("0003_lost").migration("0003_x", after=["0002_age", "late.0001_first"])
    deploy.project.install("shop", "late").migration("0001_first", app="late", after=["shop.0003_x"])
    said("Migrations depend on each other in a circle", "Squash only up to")
