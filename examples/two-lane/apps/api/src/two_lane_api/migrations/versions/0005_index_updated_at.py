"""Index updated_at.

For lists of what changed. Concurrently on PostgreSQL: writers do not wait.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
deploy_phase = "expand"

_NAME = "ix_items_updated_at"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        if _left_invalid():
            op.drop_index(_NAME, "items", postgresql_concurrently=True)
        op.create_index(_NAME, "items", ["updated_at"], postgresql_concurrently=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(_NAME, "items", postgresql_concurrently=True)


def _left_invalid() -> bool:
    """Whether an earlier run was stopped half-way: that leaves an index that nothing uses, and
    that `IF NOT EXISTS` would take for the real one."""
    if context.is_offline_mode() or op.get_bind().dialect.name != "postgresql":
        return False
    query = sa.text(
        "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid"
    )
    return op.get_bind().scalar(query, {"name": _NAME}) is not None
