"""Let labels be numbers: those of a regression are no indices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'


def upgrade() -> None:
    """Apply this revision."""
    with op.batch_alter_table('labels', schema=None) as batch_op:
        batch_op.alter_column(
            'label', existing_type=sa.Integer(), type_=sa.Double(), existing_nullable=False
        )


def downgrade() -> None:
    """Undo this revision; labels that are no whole numbers are cut."""
    with op.batch_alter_table('labels', schema=None) as batch_op:
        batch_op.alter_column(
            'label', existing_type=sa.Double(), type_=sa.Integer(), existing_nullable=False
        )
