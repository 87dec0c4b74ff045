"""What only a server with special settings shows: prepared transactions, a replica, a vacuum that does not give way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.alembic_project import Project
from tests.harness.postgres import PASSWORD, Postgres
from tests.integration.run_migrations_oneshot.conftest import Database, Migrating

pytestmark = [pytest.mark.postgres, pytest.mark.network]

TABLE = "op.create_table('items', sa.Column('id', sa.Integer))"
COLUMN = "op.add_column('items', sa.Column('a', sa.Integer))"


def test_server_with_a_replica_and_a_prepared_transaction_is_told_in_full(
    own_postgres: Postgres, project: Callable[..., Project], migrate: Migrating
) -> None:
    own_postgres.configured(max_prepared_transactions=5)
    database = Database(own_postgres, "postgres")
    made = project().revision("r1", TABLE)
    assert migrate(made, database.url()).status == "applied"
    made.revision("r2", COLUMN)
    database.sql("BEGIN; INSERT INTO items VALUES (1); PREPARE TRANSACTION 'left over'")
    with tempfile.TemporaryDirectory(prefix="cicd-actions-replica-") as folder:
        replica = own_postgres.replica(Path(folder))
        try:
            plan = migrate(made, database.url(), dry_run="true")
            (found,) = [found for found in plan.report.findings if found.rule.endswith("/in-the-way")]
            assert "prepared transaction 'left over'" in found.message, plan.log

            refused = migrate(made, Database(replica, "postgres").url())
            assert (refused.status, refused.verdict) == ("refused", "fail"), refused.log
            assert "replica" in refused.report.headline

            database.sql("ROLLBACK PREPARED 'left over'")
            database.until("EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")
            ended = migrate(made, database.url())
            assert ended.status == "applied", ended.log
            assert "Largest replay lag of a replica: " in ended.text
        finally:
            replica.stop()


def test_vacuum_that_prevents_a_wraparound_is_told(
    own_postgres: Postgres, project: Callable[..., Project], migrate: Migrating
) -> None:
    own_postgres.configured(
        autovacuum_freeze_max_age=100_000,
        autovacuum_naptime=1,
        autovacuum_vacuum_cost_delay=100,
        autovacuum_vacuum_cost_limit=1,
    )
    database = Database(own_postgres, "postgres")
    made = project().revision("r1", TABLE)
    assert migrate(made, database.url()).status == "applied"
    made.revision("r2", COLUMN)
    # A vacuum against wraparound comes anyway; an ordinary one would give way.
    database.sql("ALTER TABLE items SET (autovacuum_enabled = off)")
    database.sql("INSERT INTO items SELECT generate_series(1, 200000)")
    # Each round takes a transaction id; the vacuum begins once the table is older than the limit.
    database.sql("DO $$ BEGIN FOR n IN 1..100100 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")
    database.until("EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE relid = 'items'::regclass)")

    plan = migrate(made, database.url(), dry_run="true")

    (found,) = [found for found in plan.report.findings if found.rule.endswith("/in-the-way")]
    assert "an anti-wraparound vacuum of items" in found.message, plan.log


def test_role_without_rights_on_the_version_table_is_told(
    database: Database, project: Callable[..., Project], migrate: Migrating
) -> None:
    made = project().revision("r1", TABLE)
    assert migrate(made, database.url()).status == "applied"
    role = f"poor_{database.name}"
    database.sql(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    try:
        ended = migrate(made.revision("r2", COLUMN), database.url().replace("//postgres:", f"//{role}:"))
    finally:
        database.sql(f"DROP ROLE {role}")

    assert ended.status in {"refused", "failed"}, ended.log
    assert "alembic_version" in ended.report.headline
    assert "GRANT" in ended.text
