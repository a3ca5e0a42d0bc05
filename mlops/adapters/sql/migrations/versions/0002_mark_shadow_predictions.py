"""Mark the predictions of a shadow version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'


def upgrade() -> None:
    """Apply this revision."""
    served, shadow = sa.text('shadow_of IS NULL'), sa.text('shadow_of IS NOT NULL')
    with op.batch_alter_table('predictions', schema=None) as batch_op:
        batch_op.add_column(sa.Column('shadow_of', sa.String(length=64), nullable=True))
        batch_op.drop_index('ix_predictions_window')
        batch_op.create_index('ix_predictions_window', ['project', 'version', 'at_s'],
                              unique=False, sqlite_where=served, postgresql_where=served)
        batch_op.create_index('ix_predictions_shadow', ['project', 'version', 'shadow_of'],
                              unique=False, sqlite_where=shadow, postgresql_where=shadow)
