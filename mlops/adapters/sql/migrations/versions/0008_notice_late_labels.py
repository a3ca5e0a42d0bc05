"""Notice labels that come after their window."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'

_ONLY = {
    'ix_labels_unnoticed': ('labels', 'noticed IS NULL', ['project', 'seq']),
    'ix_windows_stale': ('windows', 'stale_s IS NOT NULL', ['project', 'stale_s']),
}


def upgrade() -> None:
    """Apply this revision: all labels are unnoticed, so windows that lack some are filled in."""
    # Not in batches: those would copy the tables on SQLite, for columns that may be NULL.
    op.add_column('labels', sa.Column('noticed', sa.Boolean(), nullable=True))
    op.add_column('windows', sa.Column('stale_s', sa.Double(), nullable=True))
    for name, (table, where, columns) in _ONLY.items():
        only = sa.text(where)
        op.create_index(name, table, columns, sqlite_where=only, postgresql_where=only)


def downgrade() -> None:
    """Undo this revision."""
    for name, (table, _, _) in _ONLY.items():
        op.drop_index(name, table_name=table)
    with op.batch_alter_table('windows', schema=None) as batch_op:
        batch_op.drop_column('stale_s')
    with op.batch_alter_table('labels', schema=None) as batch_op:
        batch_op.drop_column('noticed')
