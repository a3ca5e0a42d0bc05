"""Keep of each window whether it could open an incident: the budget is for those."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'


def upgrade() -> None:
    """Apply this revision: of windows so far nobody knows; they count."""
    op.add_column('windows', sa.Column('counted', sa.Boolean(), nullable=True))


def downgrade() -> None:
    """Undo this revision."""
    with op.batch_alter_table('windows', schema=None) as batch_op:
        batch_op.drop_column('counted')
