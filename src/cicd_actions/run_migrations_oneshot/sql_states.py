"""Explains PostgreSQL's error codes in a migration: the cause, and the fix.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from collections.abc import Mapping

_STATES: Mapping[str, tuple[str, str]] = {
    "08006": (
        (
            "The server ended the session, and psycopg2 does not hand over why: an administrator, a fail-over or a crash, or a"
            " timeout that the migration or env.py set (`idle_in_transaction_session_timeout`, `transaction_timeout`)."
        ),
        "The server's log names the reason. Remove a statement that sets such a timeout; after a fail-over, run it again.",
    ),
    "53100": (
        "The database's disk is full.",
        "Make room first (rewriting a table needs its size again, and so does an index); then run it again.",
    ),
    "53400": (
        "A limit that the server's configuration sets was reached, such as `temp_file_limit`.",
        "Raise it for the role of the migration (`ALTER ROLE … SET …`), or work in batches.",
    ),
    "53200": ("The database is out of memory.", "Lower `maintenance_work_mem` for this migration, or work in batches."),
    "57014": ("The statement took longer than `statement-timeout`.", "Work in batches, or raise `statement-timeout`."),
    "57P01": ("The database's administrator, or a fail-over, ended the session.", "Run it again once the database is up."),
    "40P01": (
        "Deadlock: this session and another were each waiting for the other.",
        (
            "Run it again, or let it retry. If it recurs, lock the tables in the order that the application uses.\n\n"
            "    with:\n      lock-retries: 3"
        ),
    ),
    "25P03": (
        "The server ended the session because its transaction was idle too long (`idle_in_transaction_session_timeout`).",
        (
            "The action resets that timeout, so the migration or env.py set it again. Remove that statement, or do slow work"
            " in Python before the transaction's first statement."
        ),
    ),
    "25P04": (
        "The transaction took longer than `transaction_timeout`, which the migration or env.py set.",
        "Remove that statement; work in batches.",
    ),
    "25006": (
        "The session is read-only: a replica, a read-only role, or a `SET` in env.py.",
        "Give the migration the primary's address, and a role that may write.",
    ),
    "42501": (
        "The role of the migration may not do this.",
        "Grant it what it needs, or migrate as the owner of the tables:\n\n    ALTER TABLE … OWNER TO …;",
    ),
    "55P03": (
        "Another session holds a lock that env.py waits for before the first migration.",
        "Run it again when that session is done.",
    ),
    "55006": (
        "Rows were changed in this transaction, and PostgreSQL has not checked their deferred constraints yet.",
        (
            "Change the rows in one migration and the table in the next one, each in a separate transaction; or check at once:"
            "\n\n    SET CONSTRAINTS ALL IMMEDIATE"
        ),
    ),
    "55P04": (
        "PostgreSQL cannot use a new enum value in the transaction that added it.",
        (
            "Add the value in a separate, earlier revision, and let each revision have a separate transaction"
            " (`transaction_per_migration=True` in env.py); or commit it at once:\n\n"
            "    with op.get_context().autocommit_block():\n        op.execute(\"ALTER TYPE … ADD VALUE '…'\")"
        ),
    ),
    "42P07": (
        "It exists already: made by hand, by an earlier attempt outside a transaction, or by another tool.",
        "Compare it with the migration. If it is what the migration would make, tell Alembic so: `alembic stamp REVISION`.",
    ),
    "42701": (
        "The column exists already: made by hand, by an earlier attempt outside a transaction, or by another tool.",
        "Compare it with the migration. If it is what the migration would make, tell Alembic so: `alembic stamp REVISION`.",
    ),
    "23505": (
        "Existing rows break the new rule.",
        "Fix the data in a migration before this one, in batches; then add the rule.",
    ),
    "23502": (
        "Existing rows have no value in this column.",
        "Add it as nullable, fill it in batches, and set NOT NULL in a later release.",
    ),
    "23514": (
        "Existing rows break the check.",
        "Add it NOT VALID, fix the data, and VALIDATE it in a later migration.",
    ),
    "23503": (
        "Existing rows refer to rows that do not exist.",
        "Add the key NOT VALID, fix the data, and VALIDATE it in a later migration.",
    ),
    "25001": (
        "The statement cannot run in a transaction.",
        (
            "Run it in Alembic's block for such statements:\n\n    with op.get_context().autocommit_block():\n"
            '        op.create_index("ix_items_name", "items", ["name"], postgresql_concurrently=True)'
        ),
    ),
}

EXISTS = ("42P07", "42701")
"""A table, index or column that the migration makes is there already."""

_OF_TOOL: Mapping[tuple[str, str], str] = {
    ("django", "25001"): (
        "Run the migration without a transaction:\n\n    class Migration(migrations.Migration):\n        atomic = False\n\n"
        "For an index, use `AddIndexConcurrently` of django.contrib.postgres.operations."
    ),
    ("sql", "25001"): "Give the statement a file without a transaction, which begins with:\n\n    -- transaction: none",
    ("django", "55P04"): "Add the value in a separate, earlier migration.",
    ("sql", "55P04"): "Add the value in a separate, earlier file.",
    **dict.fromkeys(
        [("django", code) for code in EXISTS],
        "Compare it with the migration. If it is what the migration would make, tell Django so by hand:\n\n"
        "    python manage.py migrate APP NAME --fake",
    ),
    **dict.fromkeys(
        [("sql", code) for code in EXISTS], "Compare it with the file. Then drop what is there, or make the file accept it."
    ),
}
"""Fixes that differ from Alembic's."""


def advice(code: str, tool: str) -> tuple[str, str]:
    """Returns the cause of an error code, and its fix with this tool; empty ones where nothing is known."""
    cause, fix = _STATES.get(code, ("", ""))
    return cause, _OF_TOOL.get((tool, code), fix)
