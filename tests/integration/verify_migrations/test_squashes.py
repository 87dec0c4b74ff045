"""Runs the action on Django projects whose change squashes migrations: half applied, applied, new, or without originals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.action import Ended
from tests.harness.alembic_project import OTHER_TOOLS, python_with
from tests.harness.django_project import AGE, ITEM, SIZE, DjangoProject
from tests.harness.migration_repository import MigrationRepository
from tests.integration.verify_migrations.conftest import Verify, rules

pytestmark = [pytest.mark.postgres, pytest.mark.network]

_ITEM = "class Item(models.Model):\n    name = models.TextField()\n"
_AGE = "    age = models.IntegerField(null=True)\n"
_SIZE = "    size = models.IntegerField(null=True)\n"
_THREE = ("0001_initial", "0002_age", "0003_size")
_SQUASH = "0001_squashed_0003"

Judge = Callable[..., Ended]


@pytest.fixture
def repository(tmp_path: Path) -> MigrationRepository:
    folder = tmp_path / "django"
    folder.mkdir()
    return MigrationRepository(folder)


@pytest.fixture
def project(repository: MigrationRepository) -> DjangoProject:
    """A project whose base has two migrations."""
    made = DjangoProject(repository.folder).models(_ITEM + _AGE)
    made.migration("0001_initial", ITEM).migration("0002_age", AGE, after=["0001_initial"])
    return made


@pytest.fixture
def judge(verify: Verify, repository: MigrationRepository) -> Judge:
    def run() -> Ended:
        repository.commit()
        return verify(repository, command=f"{python_with(OTHER_TOOLS)}/python manage.py migrate", driver="")

    return run


def third(project: DjangoProject) -> None:
    project.migration("0003_size", SIZE, after=["0002_age"]).models(_ITEM + _AGE + _SIZE)


def squashed(project: DjangoProject) -> DjangoProject:
    return project.migration(_SQUASH, ITEM, AGE, SIZE, replaces=_THREE)


def report(ended: Ended) -> Any:
    assert ended.outputs["report"], ended.log
    return json.loads(Path(ended.outputs["report"]).read_text())


def test_half_applied_squash_runs_what_is_left_of_it(
    project: DjangoProject, repository: MigrationRepository, judge: Judge
) -> None:
    repository.commit()
    third(project)
    squashed(project)
    ended = judge()
    assert json.loads(ended.outputs["phases"]) == {"shop.0003_size": "expand", f"shop.{_SQUASH}": "expand"}, ended.log


def test_squash_of_what_is_applied_changes_nothing(
    project: DjangoProject, repository: MigrationRepository, judge: Judge
) -> None:
    third(project)
    repository.commit()
    squashed(project)
    ended = judge()
    assert (ended.code, json.loads(ended.outputs["phases"])) == (0, {f"shop.{_SQUASH}": "expand"}), ended.log
    project.remove(*_THREE)
    ended = judge()
    assert (ended.code, json.loads(ended.outputs["phases"])) == (0, {f"shop.{_SQUASH}": "expand"}), ended.log


@pytest.mark.parametrize("parent", ["", _SQUASH, "0003_size"])
def test_half_applied_squash_without_the_replaced_files_fails(
    project: DjangoProject, repository: MigrationRepository, judge: Judge, parent: str
) -> None:
    repository.commit()
    squashed(project).remove("0001_initial", "0002_age").models(_ITEM + _AGE + _SIZE)
    if parent:
        note = "migrations.AddField('item', 'note', models.TextField(null=True))"
        project.migration("0004_note", note, after=[parent])
    ended = judge()
    assert (ended.code, rules(ended, "error")) == (1, {"squash-incomplete"}), ended.log
    what = f"shop.{_SQUASH} replaces shop.0003_size, which the running release has not applied, and the file is gone"
    assert [each["what"] for each in report(ended)["findings"]] == [what]
    assert "Restore the replaced files." in ended.log


def test_squash_of_new_migrations_is_one_revision(
    project: DjangoProject, repository: MigrationRepository, judge: Judge
) -> None:
    repository.commit()
    drop = "migrations.RemoveField('item', 'age')"
    project.migration("0003_size", SIZE, after=["0002_age"]).migration("0004_drop", drop, after=["0003_size"])
    squash, replaced = "0003_squashed_0004", ["0003_size", "0004_drop"]
    project.migration(squash, SIZE, drop, after=["0002_age"], replaces=replaced, phase="contract")
    project.models(_ITEM + _SIZE)
    later = "migrations.AddField('item', 'note', models.TextField(null=True))"
    project.migration("0005_note", later, after=[squash]).models(_ITEM + _SIZE + "    note = models.TextField(null=True)\n")
    ended = judge()
    phases = {f"shop.{squash}": "contract", "shop.0005_note": "expand"}
    assert (ended.code, json.loads(ended.outputs["phases"])) == (0, phases), ended.log
    assert {each["revision"] for each in report(ended)["findings"] if each["rule"] == "column-missing"} == {f"shop.{squash}"}


def test_squash_of_a_squash_fails_before_django_6(
    project: DjangoProject, repository: MigrationRepository, judge: Judge
) -> None:
    third(project)
    squashed(project)
    repository.commit()
    note = "migrations.AddField('item', 'note', models.TextField(null=True))"
    project.migration("0004_note", note, after=["0003_size"])
    project.models(_ITEM + _AGE + _SIZE + "    note = models.TextField(null=True)\n")
    project.install("shop", "late").migration("0001_first", app="late", before=["shop.0004_note"])
    ended = judge()
    assert json.loads(ended.outputs["phases"]) == {"late.0001_first": "expand", "shop.0004_note": "expand"}, ended.log
    project.migration("0001_again", ITEM, AGE, SIZE, note, replaces=[_SQUASH, "0004_note"])
    ended = judge()
    assert rules(ended, "error") == {"upgrade-fails"}, ended.log
    assert f"shop.0001_again replaces the squash shop.{_SQUASH}, which works from Django 6.0 on only" in ended.log


def test_app_under_another_label_and_a_dependency_on_a_replaced_migration_are_judged(
    project: DjangoProject, repository: MigrationRepository, judge: Judge
) -> None:
    third(project)
    repository.commit()
    squashed(project).install("shop", "late").migration("0001_first", app="late", after=["shop.0003_size"])
    ended = judge()
    assert json.loads(ended.outputs["phases"]) == {"late.0001_first": "expand", f"shop.{_SQUASH}": "expand"}, ended.log
    project.remove(*_THREE)
    assert judge().code == 0
    # The app gets another label: what it replaces is applied under the old one.
    project.install("store", "late").remove(_SQUASH)
    project.migration("0001_moved", ITEM, AGE, SIZE, app="store", replaces=[f"shop.{each}" for each in _THREE])
    project.models(f"{_ITEM}{_AGE}{_SIZE}    class Meta:\n        db_table = 'shop_item'\n", "store")
    ended = judge()
    assert json.loads(ended.outputs["phases"]) == {"late.0001_first": "expand", "store.0001_moved": "expand"}, ended.log


def test_files_that_django_cannot_order_are_named(
    project: DjangoProject, repository: MigrationRepository, judge: Judge
) -> None:
    repository.commit()
    path = project.migration("0003_lost", after=["0002_age"]).path("0003_lost")
    path.write_text(path.read_text().replace("replaces = []", "replaces = ['0002_age']"))
    assert "`replaces` of shop.0003_lost holds '0002_age', which is not a pair" in judge().log
    project.migration("0003_lost", after=["0003_nowhere"])
    ended = judge()
    assert rules(ended, "error") == {"parent-missing"}, ended.log
    assert "`dependencies`" in ended.log
    project.remove("0003_lost").migration("0003_a", after=["0002_age"]).migration("0003_b", after=["0002_age"])
    ended = judge()
    assert rules(ended, "error") == {"several-heads"}, ended.log
    assert "makemigrations --merge" in ended.log
    project.remove("0003_a", "0003_b").install("shop", "late").migration("0001_first", app="late")
    project.migration("0001_initial", ITEM, after=["late.0001_first"])
    ended = judge()
    assert rules(ended, "error") == {"revision-changed"}, ended.log
    project.migration("0001_initial", ITEM).migration("0003_x", after=["0002_age", "late.0001_first"])
    project.migration("0001_first", app="late", after=["shop.0003_x"])
    ended = judge()
    assert "depend on each other in a circle" in ended.log


def test_model_in_another_schema_and_odd_names_are_judged(
    project: DjangoProject, repository: MigrationRepository, judge: Judge
) -> None:
    place = "options={'db_table': 'other\".\"t'}"
    other = (
        f"migrations.CreateModel('Other', [('id', models.BigAutoField(primary_key=True)), ('n', models.TextField())], {place})"
    )
    project.migration("0003_other", "migrations.RunSQL('create schema other')", other, after=["0002_age"])
    meta = "    class Meta:\n        db_table = 'other\".\"t'\n"
    project.models(f"{_ITEM}{_AGE}class Other(models.Model):\n    n = models.TextField()\n{meta}")
    repository.commit()
    odd, long = "0004 ünï spa'ce $%(x)s", f"0005_{'x' * 200}"
    project.migration(odd, "migrations.RemoveField('other', 'n')", after=["0003_other"])
    project.migration(long, SIZE, after=[odd])
    ended = judge()
    assert json.loads(ended.outputs["phases"]) == {f"shop.{odd}": "contract", f"shop.{long}": "expand"}, ended.log
    (found,) = [each for each in report(ended)["findings"] if each["rule"] == "column-missing"]
    assert (found["place"], found["revision"]) == ("other.t.n", f"shop.{odd}")
