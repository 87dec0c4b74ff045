"""What Prisma and golang-migrate print, read."""

from __future__ import annotations

import pytest

from cicd_actions.run_migrations_oneshot.in_image.touched import tables_in_source
from cicd_actions.run_migrations_oneshot.known_tools import State, golang_state, prisma_state, tool_in
from cicd_actions.run_migrations_oneshot.programs import libpq_variables

_PRISMA = "3 migrations found in prisma/migrations\n\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_PRISMA + "Database schema is up to date!\n", State("up to date", ())),
        (
            _PRISMA + "Following migrations have not yet been applied:\n20240101_a\n20240102_b\n\nTo apply migrations …\n",
            State("2 pending", ("20240101_a", "20240102_b")),
        ),
        (
            _PRISMA + "Following migration have failed:\n20240101_a\n\n",
            State("failed at 20240101_a", (), "these migrations failed before: 20240101_a"),
        ),
        (
            "The migration from the database are not found locally in prisma/migrations:\n20250101_new\n",
            State("ahead at 20250101_new", (), "the image does not have 20250101_new"),
        ),
        (
            (
                "The last common migration is: 1_a\n\nThe migration have not yet been applied:\n3_c\n\n"
                "The migration from the database are not found locally in prisma/migrations:\n2_b"
            ),
            State("ahead at 2_b", (), "the image does not have 2_b"),
        ),
        ("Error: P1001: Can't reach database server\n", State()),
    ],
)
def test_prisma_status_is_read(text: str, expected: State) -> None:
    assert prisma_state(text) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("error: no migration", State("", ("1_a", "2_b"))),
        ("1", State("1_a", ("2_b",))),
        ("2", State("2_b", ())),
        ("2 (dirty)", State("2_b (dirty)", (), "the database is dirty at 2_b: a migration failed half-way")),
        ("7", State("7", (), "the image does not have 7")),
        ("error: dial tcp: refused", State()),
    ],
)
def test_golang_migrate_version_is_read(version: str, expected: State) -> None:
    assert golang_state(version, "1_a.down.sql\n1_a.up.sql\n2_b.up.sql\n") == expected


def test_questions_ask_the_same_tool_with_the_same_options() -> None:
    prisma = tool_in(["npx", "prisma", "migrate", "deploy", "--schema", "db/schema.prisma"])
    assert prisma is not None
    assert prisma.questions == (("npx", "prisma", "migrate", "status", "--schema", "db/schema.prisma"),)

    options = ("/bin/migrate", "-source", "file://db", "-database", "URL")
    golang = tool_in([*options, "up", "2"])
    assert golang is not None
    assert golang.questions == ((*options, "version"), ("ls", "-1", "db"))
    assert tool_in(["flyway", "migrate"]) is None


def test_tables_are_read_from_a_revision_without_running_it() -> None:
    source = """
raise RuntimeError("never run")
def upgrade():
    op.add_column("items", sa.Column("a", sa.Text))
    op.create_index("ix", "orders", ["a"], schema="shop")
    op.execute("UPDATE ONLY users SET a = 1; CREATE INDEX CONCURRENTLY i ON Logs (a)")
    with op.batch_alter_table("Mixed") as batch: ...
def downgrade():
    op.drop_table("gone")
"""
    assert tables_in_source(source) == {"items", "shop.orders", "users", "Logs", '"Mixed"'}


def test_libpq_variables_come_from_a_sqlalchemy_url() -> None:
    assert libpq_variables("postgresql+asyncpg://app:a%40b@db.example:6432/shop?ssl=require") == {
        "PGHOST": "db.example",
        "PGPORT": "6432",
        "PGUSER": "app",
        "PGPASSWORD": "a@b",
        "PGDATABASE": "shop",
    }
    assert libpq_variables("mysql://u:p@h/d") == {}
