"""Keep how good people found an answer, apart from labels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'


def upgrade() -> None:
    """Apply this revision."""
    op.create_table('scores',
    sa.Column('project', sa.String(length=40), nullable=False),
    sa.Column('prediction_id', sa.String(length=64), nullable=False),
    sa.Column('score', sa.Double(), nullable=False),
    sa.Column('at_s', sa.Double(), nullable=False),
    sa.PrimaryKeyConstraint('project', 'prediction_id')
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_table('scores')
