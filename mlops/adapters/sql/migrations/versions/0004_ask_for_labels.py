"""Remember which predictions were given out for labelling, and how long retrains took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'


def upgrade() -> None:
    """Apply this revision."""
    op.create_table('label_requests',
    sa.Column('project', sa.String(length=40), nullable=False),
    sa.Column('prediction_id', sa.String(length=64), nullable=False),
    sa.Column('chosen', sa.String(length=20), nullable=False),
    sa.Column('at_s', sa.Double(), nullable=False),
    sa.PrimaryKeyConstraint('project', 'prediction_id')
    )
    with op.batch_alter_table('retrains', schema=None) as batch_op:
        batch_op.add_column(sa.Column('started_s', sa.Double(), nullable=True))


def downgrade() -> None:
    """Undo this revision."""
    with op.batch_alter_table('retrains', schema=None) as batch_op:
        batch_op.drop_column('started_s')
    op.drop_table('label_requests')
