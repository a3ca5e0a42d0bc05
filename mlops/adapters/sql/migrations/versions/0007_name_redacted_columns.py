"""Name the columns that a prediction was kept without."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'


def upgrade() -> None:
    """Apply this revision."""
    # Not in a batch: that would copy the whole log on SQLite, for a column that may be NULL.
    op.add_column('predictions', sa.Column('redacted', sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo this revision."""
    with op.batch_alter_table('predictions', schema=None) as batch_op:
        batch_op.drop_column('redacted')
