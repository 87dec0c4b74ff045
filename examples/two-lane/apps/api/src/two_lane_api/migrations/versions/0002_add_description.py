"""Add a description.

Nullable: the release before this one inserts items without it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
deploy_phase = "expand"


def upgrade() -> None:
    op.add_column("items", sa.Column("description", sa.String(2000), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("items") as table:
        table.drop_column("description")
