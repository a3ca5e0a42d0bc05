"""Create every table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None


def upgrade() -> None:
    """Apply this revision."""
    op.create_table('incidents',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('project', sa.String(length=40), nullable=False),
    sa.Column('kind', sa.String(length=20), nullable=False),
    sa.Column('cause', sa.String(length=200), nullable=False),
    sa.Column('version', sa.String(length=20), nullable=False),
    sa.Column('state', sa.String(length=20), nullable=False),
    sa.Column('opened_s', sa.Double(), nullable=False),
    sa.Column('updated_s', sa.Double(), nullable=False),
    sa.Column('resolved_s', sa.Double(), nullable=True),
    sa.Column('body', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('incidents', schema=None) as batch_op:
        batch_op.create_index('ix_incidents_open', ['project', 'state'], unique=False)

    op.create_table('labels',
    sa.Column('seq', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('project', sa.String(length=40), nullable=False),
    sa.Column('prediction_id', sa.String(length=64), nullable=False),
    sa.Column('label', sa.Integer(), nullable=False),
    sa.Column('label_source', sa.String(length=20), nullable=False),
    sa.Column('at_s', sa.Double(), nullable=False),
    sa.Column('collected_in', sa.String(length=120), nullable=True),
    sa.PrimaryKeyConstraint('seq')
    )
    with op.batch_alter_table('labels', schema=None) as batch_op:
        batch_op.create_index('ix_labels_prediction', ['project', 'prediction_id'], unique=False)
        batch_op.create_index('ix_labels_uncollected', ['project', 'collected_in'], unique=False)

    op.create_table('leases',
    sa.Column('project', sa.String(length=40), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('holder', sa.String(length=200), nullable=False),
    sa.Column('expires_s', sa.Double(), nullable=False),
    sa.PrimaryKeyConstraint('project', 'name')
    )
    op.create_table('ledger',
    sa.Column('seq', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('project', sa.String(length=40), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('at_s', sa.Double(), nullable=False),
    sa.Column('kind', sa.String(length=20), nullable=False),
    sa.Column('key', sa.String(length=64), nullable=False),
    sa.Column('from_version', sa.String(length=20), nullable=True),
    sa.Column('to_version', sa.String(length=20), nullable=True),
    sa.Column('actor', sa.String(length=200), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('prev_hash', sa.String(length=64), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('seq'),
    sa.UniqueConstraint('project', 'kind', 'key'),
    sa.UniqueConstraint('project', 'number')
    )
    op.create_table('outbox',
    sa.Column('seq', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('project', sa.String(length=40), nullable=False),
    sa.Column('key', sa.String(length=200), nullable=False),
    sa.Column('at_s', sa.Double(), nullable=False),
    sa.Column('message', sa.LargeBinary(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('next_s', sa.Double(), nullable=False),
    sa.Column('sent_s', sa.Double(), nullable=True),
    sa.Column('error', sa.String(length=400), nullable=True),
    sa.PrimaryKeyConstraint('seq'),
    sa.UniqueConstraint('project', 'key')
    )
    op.create_table('predictions',
    sa.Column('seq', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('project', sa.String(length=40), nullable=False),
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('at_s', sa.Double(), nullable=False),
    sa.Column('version', sa.String(length=20), nullable=False),
    sa.Column('example_id', sa.String(length=64), nullable=False),
    sa.Column('entity', sa.String(length=200), nullable=True),
    sa.Column('features', sa.LargeBinary(), nullable=True),
    sa.Column('probabilities', sa.LargeBinary(), nullable=False),
    sa.Column('latency_s', sa.Double(), nullable=False),
    sa.PrimaryKeyConstraint('seq'),
    sa.UniqueConstraint('id')
    )
    with op.batch_alter_table('predictions', schema=None) as batch_op:
        batch_op.create_index('ix_predictions_window', ['project', 'version', 'at_s'], unique=False)

    op.create_table('retrains',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('project', sa.String(length=40), nullable=False),
    sa.Column('incident', sa.String(length=64), nullable=True),
    sa.Column('reason', sa.String(length=400), nullable=False),
    sa.Column('state', sa.String(length=20), nullable=False),
    sa.Column('requested_s', sa.Double(), nullable=False),
    sa.Column('ended_s', sa.Double(), nullable=True),
    sa.Column('outcome', sa.String(length=40), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('retrains', schema=None) as batch_op:
        batch_op.create_index('ix_retrains_state', ['project', 'state'], unique=False)

    op.create_table('silences',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('project', sa.String(length=40), nullable=False),
    sa.Column('incident', sa.String(length=64), nullable=False),
    sa.Column('until_s', sa.Double(), nullable=False),
    sa.Column('by', sa.String(length=200), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('windows',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('project', sa.String(length=40), nullable=False),
    sa.Column('version', sa.String(length=20), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('start_s', sa.Double(), nullable=False),
    sa.Column('end_s', sa.Double(), nullable=False),
    sa.Column('first_seq', sa.BigInteger(), nullable=False),
    sa.Column('last_seq', sa.BigInteger(), nullable=False),
    sa.Column('rows', sa.Integer(), nullable=False),
    sa.Column('alarm', sa.Boolean(), nullable=False),
    sa.Column('verdict', sa.Text(), nullable=False),
    sa.Column('report', sa.String(length=20), nullable=False),
    sa.Column('incident', sa.String(length=64), nullable=True),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('project', 'version', 'first_seq'),
    sa.UniqueConstraint('project', 'version', 'number')
    )
    _append_only(op.get_bind().dialect.name)


def _append_only(dialect: str) -> None:
    """Let the database itself refuse to change or drop a row of the ledger."""
    if dialect == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER ledger_no_{verb.lower()} BEFORE {verb} ON ledger "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()"
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_table('windows')
    op.drop_table('silences')
    with op.batch_alter_table('retrains', schema=None) as batch_op:
        batch_op.drop_index('ix_retrains_state')

    op.drop_table('retrains')
    with op.batch_alter_table('predictions', schema=None) as batch_op:
        batch_op.drop_index('ix_predictions_window')

    op.drop_table('predictions')
    op.drop_table('outbox')
    op.drop_table('ledger')
    op.drop_table('leases')
    with op.batch_alter_table('labels', schema=None) as batch_op:
        batch_op.drop_index('ix_labels_uncollected')
        batch_op.drop_index('ix_labels_prediction')

    op.drop_table('labels')
    with op.batch_alter_table('incidents', schema=None) as batch_op:
        batch_op.drop_index('ix_incidents_open')

    op.drop_table('incidents')
