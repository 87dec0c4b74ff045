"""Fill updated_at where it is missing.

In batches, so that no lock is held for long. Items that the previous release adds after this one
ran have none again. The code reads them as "not updated since they were created", so it never
needs this to be complete.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
deploy_phase = "expand"

BATCH = 1000
_items = sa.table(
    "items",
    sa.column("id", sa.Integer),
    sa.column("created_at", sa.DateTime(timezone=True)),
    sa.column("updated_at", sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    # Each batch commits, so a run that was killed keeps what it has done.
    with op.get_context().autocommit_block():
        fill = sa.update(_items).where(_items.c.updated_at.is_(None))
        fill = fill.values(updated_at=_items.c.created_at)
        if context.is_offline_mode():
            op.execute(fill)
            return
        connection = op.get_bind()
        last = 0
        while True:
            batch = sa.select(_items.c.id).where(_items.c.id > last).order_by(_items.c.id)
            ids = list(connection.scalars(batch.limit(BATCH)))
            if not ids:
                return
            connection.execute(fill.where(_items.c.id.between(ids[0], ids[-1])))
            last = ids[-1]


def downgrade() -> None:
    """Nothing to undo: the column's values are as good as before, and 0003 drops it."""
