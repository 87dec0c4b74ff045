"""Add the time of the last change.

Nullable; the next migration fills it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
deploy_phase = "expand"


def upgrade() -> None:
    op.add_column("items", sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("items") as table:
        table.drop_column("updated_at")
