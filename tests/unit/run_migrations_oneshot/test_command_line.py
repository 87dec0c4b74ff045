"""Which commands are Alembic's."""

from __future__ import annotations

import pytest

from cicd_actions.run_migrations_oneshot.command_line import AlembicCommand, alembic_in
from cicd_actions.toolkit.errors import UnusableInput


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("alembic upgrade head", AlembicCommand((), "python3", ("upgrade", "head"))),
        ("uv run --frozen alembic upgrade head", AlembicCommand(("uv", "run", "--frozen"), "python3", ("upgrade", "head"))),
        (
            "/app/.venv/bin/alembic -c a.ini -x upgrade=no upgrade +1",
            AlembicCommand((), "python3", ("-c", "a.ini", "-x", "upgrade=no", "upgrade", "+1"), "/app/.venv/bin/alembic"),
        ),
        ("env A=b python3.12 -m alembic upgrade heads", AlembicCommand(("env", "A=b"), "python3.12", ("upgrade", "heads"))),
        ("alembic --name one upgrade ae1", AlembicCommand((), "python3", ("--name", "one", "upgrade", "ae1"))),
    ],
)
def test_recognised(words: str, expected: AlembicCommand) -> None:
    assert alembic_in(words.split()) == expected


@pytest.mark.parametrize(
    "words", [["python", "manage.py", "migrate"], ["sh", "-c", "cd x && alembic upgrade head"], ["flyway", "migrate"]]
)
def test_not_alembic(words: list[str]) -> None:
    assert alembic_in(words) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("alembic downgrade -1", "runs `alembic downgrade`,"),
        ("alembic -c upgrade stamp head", "runs `alembic stamp`,"),
        ("alembic upgrade head --sql", "runs `alembic … --sql`,"),
        ("alembic", "runs `alembic`,"),
    ],
)
def test_not_a_migration(words: str, said: str) -> None:
    with pytest.raises(UnusableInput, match="alembic upgrade head") as caught:
        alembic_in(words.split())
    assert said in caught.value.what
