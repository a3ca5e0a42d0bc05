"""Refuse `INSERT OR REPLACE` into the ledger, which fires no trigger of UPDATE or DELETE."""

from __future__ import annotations

from alembic import op

revision = '0006'
down_revision = '0005'


def upgrade() -> None:
    """Apply this revision."""
    if op.get_bind().dialect.name != "sqlite":
        return  # ON CONFLICT DO UPDATE fires Postgres's trigger
    op.execute(
        "CREATE TRIGGER ledger_no_replace BEFORE INSERT ON ledger WHEN EXISTS ("
        "SELECT 1 FROM ledger AS held WHERE held.seq = NEW.seq OR (held.project = NEW.project "
        "AND (held.number = NEW.number OR (held.kind = NEW.kind AND held.key = NEW.key)))) "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    )


def downgrade() -> None:
    """Undo this revision."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER ledger_no_replace")
