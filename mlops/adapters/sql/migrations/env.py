"""Alembic's environment: runs on the connection that `engine.open_database` hands over."""

from __future__ import annotations

from alembic import context

from mlops.adapters.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="mlops_revision",
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
