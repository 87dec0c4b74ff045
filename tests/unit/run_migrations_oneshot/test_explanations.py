"""What a failed run is explained by, where the tool or what is left decides."""

from __future__ import annotations

import io

import pytest

from cicd_actions.run_migrations_oneshot.explanations import explained
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.progress import Problem, Progress
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime

INPUTS = load(Inputs, {"image": "app@1", "engine": "command", "job-command": "true"}, Runtime({}, io.StringIO()).redactor)


@pytest.mark.parametrize(
    ("tool", "code", "advice"),
    [
        ("alembic", "42701", "alembic stamp REVISION"),
        ("django", "42701", "manage.py migrate APP NAME --fake"),
        ("sql", "42701", "make the file accept it"),
        ("alembic", "25001", "autocommit_block"),
        ("flask", "25001", "autocommit_block"),
        ("django", "25001", "atomic = False"),
        ("sql", "25001", "-- transaction: none"),
        ("django", "23505", "Fix the data"),
    ],
)
def test_explained_advice_is_that_of_the_tool(tool: str, code: str, advice: str) -> None:
    found = explained(Progress(tool=tool, rule="migration", step="r1", problem=Problem(sqlstate=code)), INPUTS)
    assert advice in found.fix


@pytest.mark.parametrize("tool", ["alembic", "django", "sql"])
def test_explained_migration_that_is_half_applied_is_never_to_be_marked_as_applied(tool: str) -> None:
    progress = Progress(tool=tool, rule="migration", step="r1", partial=True, problem=Problem(sqlstate="42701"))
    found = explained(progress, INPUTS)
    assert "--fake" not in found.fix
    assert "stamp" not in found.fix
    assert "statement by statement" in found.fix
