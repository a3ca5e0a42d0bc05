"""The project's own SQL tables. Times are seconds since 1970, UTC; JSON is canonical text.

Many clones may share one database: every table has the column `project`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

metadata = sa.MetaData()

_PROJECT = 40
_ID = 64


def _project() -> sa.Column[str]:
    return sa.Column("project", sa.String(_PROJECT), nullable=False)


def _partial(name: str, where: str, *columns: str) -> sa.Index:
    """Return an index over some rows only."""
    only = sa.text(where)
    return sa.Index(name, *columns, sqlite_where=only, postgresql_where=only)


class Names(sa.types.TypeDecorator[tuple[str, ...]]):
    """Names as a JSON list; NULL for none."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, _dialect: Dialect) -> str | None:
        """Write them."""
        return json.dumps(value) if value else None

    def process_result_value(self, value: str | None, _dialect: Dialect) -> tuple[str, ...]:
        """Read them."""
        return tuple(json.loads(value)) if value else ()


predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    _project(),
    sa.Column("id", sa.String(_ID), nullable=False, unique=True),
    sa.Column("at_s", sa.Double, nullable=False),
    sa.Column("version", sa.String(20), nullable=False),
    sa.Column("example_id", sa.String(_ID), nullable=False),
    sa.Column("entity", sa.String(200)),
    sa.Column("features", sa.LargeBinary),  # canonical bytes; NULL when payloads are hashed
    sa.Column(
        "probabilities", sa.LargeBinary, nullable=False
    ),  # or quantiles; float32, little-endian
    sa.Column("latency_s", sa.Double, nullable=False),
    sa.Column("shadow_of", sa.String(_ID)),  # the served prediction; NULL: this one was served
    sa.Column(
        "redacted", Names
    ),  # columns that features hold as missing, though the model saw them
    _partial("ix_predictions_window", "shadow_of IS NULL", "project", "version", "at_s"),
    _partial("ix_predictions_shadow", "shadow_of IS NOT NULL", "project", "version", "shadow_of"),
)
SERVED = predictions.c.shadow_of.is_(None)
"""What every query of the log asks for that counts traffic: a shadow's answers reached nobody."""

WHOLE = predictions.c.features.is_not(None) & predictions.c.redacted.is_(None)
"""Rows that may train: features of which the model saw more than was kept teach something else."""

labels = sa.Table(
    "labels",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    _project(),
    sa.Column("prediction_id", sa.String(_ID), nullable=False),
    sa.Column("label", sa.Double, nullable=False),  # index into the classes, or a number
    sa.Column("label_source", sa.String(20), nullable=False),  # random | active | user
    sa.Column("at_s", sa.Double, nullable=False),
    sa.Column("collected_in", sa.String(120)),  # the production shard, once collected
    sa.Column("noticed", sa.Boolean),  # NULL until its window is known to lack it
    sa.Index("ix_labels_prediction", "project", "prediction_id"),
    sa.Index("ix_labels_uncollected", "project", "collected_in"),
    _partial("ix_labels_unnoticed", "noticed IS NULL", "project", "seq"),
)

scores = sa.Table(
    "scores",
    metadata,
    sa.Column("project", sa.String(_PROJECT), primary_key=True),
    sa.Column("prediction_id", sa.String(_ID), primary_key=True),
    sa.Column("score", sa.Double, nullable=False),  # 0 … 1, how good somebody found the answer
    sa.Column("at_s", sa.Double, nullable=False),
)

label_requests = sa.Table(
    "label_requests",
    metadata,
    sa.Column("project", sa.String(_PROJECT), primary_key=True),
    sa.Column("prediction_id", sa.String(_ID), primary_key=True),
    sa.Column("chosen", sa.String(20), nullable=False),  # random | active: how, for ever
    sa.Column("at_s", sa.Double, nullable=False),
)

windows = sa.Table(
    "windows",
    metadata,
    sa.Column("id", sa.String(_ID), primary_key=True),
    _project(),
    sa.Column("version", sa.String(20), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),  # counts from 1 within the version
    sa.Column("start_s", sa.Double, nullable=False),
    sa.Column("end_s", sa.Double, nullable=False),
    sa.Column("first_seq", sa.BigInteger, nullable=False),  # of predictions, inclusive
    sa.Column("last_seq", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("alarm", sa.Boolean, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),  # JSON: statistics, thresholds, reasons
    sa.Column("report", sa.String(20), nullable=False),  # see report_states
    sa.Column("incident", sa.String(_ID)),
    sa.Column("stale_s", sa.Double),  # since when it may lack labels; NULL: it has what came
    sa.Column("counted", sa.Boolean),  # whether the rule looked at it; NULL: from before it is kept
    sa.UniqueConstraint("project", "version", "number"),
    sa.UniqueConstraint("project", "version", "first_seq"),
    _partial("ix_windows_stale", "stale_s IS NOT NULL", "project", "stale_s"),
)

incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("id", sa.String(_ID), primary_key=True),
    _project(),
    sa.Column("kind", sa.String(20), nullable=False),  # drift | quality | serving
    sa.Column("cause", sa.String(200), nullable=False),  # what it is deduplicated by
    sa.Column("version", sa.String(20), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),  # open | resolved
    sa.Column("opened_s", sa.Double, nullable=False),
    sa.Column("updated_s", sa.Double, nullable=False),
    sa.Column("resolved_s", sa.Double),
    sa.Column("body", sa.Text, nullable=False),  # JSON: windows, top columns, accuracy, stage
    sa.Index("ix_incidents_open", "project", "state"),
)

silences = sa.Table(
    "silences",
    metadata,
    sa.Column("id", sa.String(_ID), primary_key=True),
    _project(),
    sa.Column("incident", sa.String(_ID), nullable=False),
    sa.Column("until_s", sa.Double, nullable=False),
    sa.Column("by", sa.String(200), nullable=False),
)

retrains = sa.Table(
    "retrains",
    metadata,
    sa.Column("id", sa.String(_ID), primary_key=True),
    _project(),
    sa.Column("incident", sa.String(_ID)),
    sa.Column("reason", sa.String(400), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),  # requested | running | ended
    sa.Column("requested_s", sa.Double, nullable=False),
    sa.Column("started_s", sa.Double),
    sa.Column("ended_s", sa.Double),
    sa.Column("outcome", sa.String(40)),  # promote | reject | inconclusive | failed
    sa.Index("ix_retrains_state", "project", "state"),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    _project(),
    sa.Column("number", sa.Integer, nullable=False),  # counts from 1 within the project
    sa.Column("at_s", sa.Double, nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),  # see adapters/ledger.py
    sa.Column("key", sa.String(_ID), nullable=False),  # idempotency key
    sa.Column("from_version", sa.String(20)),
    sa.Column("to_version", sa.String(20)),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # JSON: the decision, or the manifest's digest
    sa.Column("prev_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.UniqueConstraint("project", "number"),
    sa.UniqueConstraint("project", "kind", "key"),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("project", sa.String(_PROJECT), primary_key=True),
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("holder", sa.String(200), nullable=False),  # or the trigger's last answer to a cause
    sa.Column("expires_s", sa.Double, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    _project(),
    sa.Column("key", sa.String(200), nullable=False),  # one mail per key, ever
    sa.Column("at_s", sa.Double, nullable=False),
    sa.Column("message", sa.LargeBinary, nullable=False),  # RFC 5322 bytes
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_s", sa.Double, nullable=False),
    sa.Column("sent_s", sa.Double),
    sa.Column("error", sa.String(400)),
    sa.UniqueConstraint("project", "key"),
)
