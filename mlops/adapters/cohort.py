"""Which predictions the gate's recent rows stand for, and for how many of them labels have come."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters.sql.tables import SERVED, labels, predictions
from mlops.core.exam import Cohort
from mlops.core.example import sampled

if TYPE_CHECKING:
    from mlops.params.labels import LabelsSection

ACTIVE = "active"
"""Source of a label that was asked for because a model was unsure: it trains, and never judges."""

SHARD_TIME = "%Y%m%dT%H%M%S%fZ"
"""How a production shard's name begins: when it was collected, in UTC."""

_CHUNK_ROWS = 10_000  # bounds the memory of a long cohort


def matured_until_s(
    engine: sa.Engine, project: str, section: LabelsSection, *, now_s: float
) -> float:
    """Return until when predictions' labels were to be here when rows were last collected.

    What was collected is what judges: labels that came since then are in no snapshot. Minus
    infinity if nothing was collected.

    Args:
        engine: the project's database.
        project: whose predictions.
        section: the time that labels take.
        now_s: the present, seconds since 1970.
    """
    newest = sa.select(sa.func.max(labels.c.collected_in)).where(labels.c.project == project)
    with engine.connect() as connection:
        shard = connection.execute(newest).scalar()
    if shard is None:
        return -math.inf
    at = datetime.strptime(str(shard).partition("-")[0], SHARD_TIME).replace(tzinfo=UTC)
    return min(at.timestamp(), now_s) - 60.0 * section.delay_minutes


def count_cohort(
    engine: sa.Engine, project: str, section: LabelsSection, *, since_s: float, until_s: float
) -> Cohort:
    """Count the distinct examples of the random sample in a time, and those that are labelled.

    Labelled is an example whose newest label was not chosen by a model and lies in a production
    shard: it is among the rows that judge, as far as it belongs to the test side.

    Args:
        engine: the project's database.
        project: whose predictions.
        section: the sample's share.
        since_s: predictions must be later, seconds since 1970; may be minus infinity.
        until_s: and not later than this.
    """
    same = sa.and_(
        labels.c.prediction_id == predictions.c.id, labels.c.project == predictions.c.project
    )
    example = predictions.c.example_id
    query = (
        sa.select(example, labels.c.label_source, labels.c.collected_in)
        .select_from(predictions.outerjoin(labels, same))
        .where(
            (predictions.c.project == project)
            & (predictions.c.at_s > max(since_s, 0.0))
            & (predictions.c.at_s <= max(until_s, 0.0))
            & SERVED
        )
        .order_by(example, sa.func.coalesce(labels.c.at_s, 0.0), labels.c.seq)
    )
    total = labelled = 0
    with engine.connect() as connection:
        rows = connection.execution_options(yield_per=_CHUNK_ROWS).execute(query)
        for identity, group in groupby(rows, key=lambda row: row.example_id):
            *_, newest = group
            if sampled(identity, share=section.sample):
                total += 1
                known = newest.label_source is not None and newest.label_source != ACTIVE
                labelled += known and newest.collected_in is not None
    return Cohort(total, labelled, until_s)
