"""Which commands are watched, and how their program is started."""

from __future__ import annotations

import shlex

import pytest

from cicd_actions.run_migrations_oneshot.command_line import MigrationCommand, migration_in
from cicd_actions.toolkit.errors import UnusableInput

HEAD = ("upgrade", "head")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("alembic upgrade head", MigrationCommand((), "python3", HEAD)),
        ("uv run --frozen alembic upgrade head", MigrationCommand(("uv", "run", "--frozen"), "python3", HEAD)),
        ("uv run --with alembic alembic upgrade head", MigrationCommand(("uv", "run", "--with", "alembic"), "python3", HEAD)),
        (
            "uv run --project alembic alembic upgrade head",
            MigrationCommand(("uv", "run", "--project", "alembic"), "python3", HEAD),
        ),
        ("uvx --from alembic alembic upgrade head", MigrationCommand(("uvx", "--from", "alembic"), "python3", HEAD)),
        (
            "uvx --with psycopg alembic upgrade head",
            MigrationCommand(("uvx", "--with", "psycopg", "--from", "alembic"), "python3", HEAD),
        ),
        (
            "/app/.venv/bin/alembic -c a.ini -x upgrade=no upgrade +1",
            MigrationCommand((), "python3", ("-c", "a.ini", "-x", "upgrade=no", "upgrade", "+1"), "/app/.venv/bin/alembic"),
        ),
        (
            "env A=b python3.12 -m alembic upgrade heads",
            MigrationCommand(("env", "A=b"), "python3.12", ("upgrade", "heads"), module=True),
        ),
        ("python -m alembic.config upgrade head", MigrationCommand((), "python", HEAD, module=True)),
        ("alembic --name one upgrade ae1", MigrationCommand((), "python3", ("--name", "one", "upgrade", "ae1"))),
        ("alembic -n alembic upgrade head", MigrationCommand((), "python3", ("-n", "alembic", *HEAD))),
        ("/entrypoint.sh alembic upgrade head", MigrationCommand(("/entrypoint.sh",), "python3", HEAD)),
        (
            "flask --app shop db upgrade",
            MigrationCommand((), "python3", ("--app", "shop", "db", "upgrade"), "flask", tool="flask"),
        ),
        (
            "python manage.py migrate --no-input",
            MigrationCommand((), "python", ("migrate", "--no-input"), "manage.py", tool="django"),
        ),
        ("python -m django migrate", MigrationCommand((), "python", ("migrate",), "django-admin", module=True, tool="django")),
        (
            "sh -c 'cd app && alembic upgrade head'",
            MigrationCommand(("sh", "-c", 'cd app && exec "$@"', "sh"), "python3", HEAD),
        ),
        (
            "bash -ec 'export A=$B; exec uv run alembic upgrade head;'",
            MigrationCommand(("bash", "-ec", 'export A=$B; exec "$@"', "bash", "uv", "run"), "python3", HEAD),
        ),
        (
            "sh -c 'A=b alembic upgrade head'",
            MigrationCommand(("sh", "-c", 'exec "$@"', "sh", "env", "A=b"), "python3", HEAD),
        ),
    ],
)
def test_command_that_is_watched_is_taken_apart(words: str, expected: MigrationCommand) -> None:
    assert migration_in(shlex.split(words)) == expected


@pytest.mark.parametrize(
    "words",
    [
        "flyway migrate",
        "sh -c 'python seed.py && alembic upgrade head'",  # the seed would run in a dry run too
        "sh -c 'alembic upgrade head && python seed.py'",
        "sh -c 'alembic upgrade $REVISION'",
        "sh -c 'cd $(./where) && alembic upgrade head | tee log'",
        "flask db upgrade --sql",
    ],
)
def test_command_that_cannot_be_watched_is_none(words: str) -> None:
    assert migration_in(shlex.split(words)) is None


@pytest.mark.parametrize("option", ["--fake", "--plan", "--check", "--prune"])
def test_command_of_django_that_does_not_migrate_is_refused(option: str) -> None:
    with pytest.raises(UnusableInput, match="manage") as caught:
        migration_in(["python", "manage.py", "migrate", "shop", option])
    assert f"runs `migrate {option}`," in caught.value.what


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("alembic downgrade -1", "runs `alembic downgrade`,"),
        ("alembic -c upgrade stamp head", "runs `alembic stamp`,"),
        ("alembic upgrade head --sql", "runs `alembic … --sql`,"),
        ("alembic", "runs `alembic`,"),
    ],
)
def test_command_of_alembic_that_does_not_migrate_is_refused(words: str, said: str) -> None:
    with pytest.raises(UnusableInput, match="alembic upgrade head") as caught:
        migration_in(words.split())
    assert said in caught.value.what
