"""Which predictions the gate's recent rows stand for, and for how many of them labels have come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops.adapters.sql.tables import labels, predictions
from mlops.core.exam import Cohort
from mlops.core.example import sampled

if TYPE_CHECKING:
    from mlops.params.labels import LabelsSection

ACTIVE = "active"
"""Source of a label that was asked for because a model was unsure: it trains, and never judges."""

_CHUNK_ROWS = 10_000  # bounds the memory of a long cohort


def count_cohort(
    engine: sa.Engine, project: str, section: LabelsSection, *, since_s: float, now_s: float
) -> Cohort:
    """Count the distinct examples of the random sample in a time, and those that are labelled.

    Args:
        engine: the project's database.
        project: whose predictions.
        section: the sample's share and the time that labels take.
        since_s: predictions must be later, seconds since 1970; may be minus infinity.
        now_s: the present, seconds since 1970.
    """
    until_s = now_s - 60.0 * section.delay_minutes
    counted = sa.case((labels.c.seq.is_not(None), 1), else_=0)
    its_label = sa.and_(
        labels.c.prediction_id == predictions.c.id,
        labels.c.project == predictions.c.project,
        labels.c.label_source != ACTIVE,
    )
    query = (
        sa.select(predictions.c.example_id, sa.func.max(counted).label("labelled"))
        .select_from(predictions.outerjoin(labels, its_label))
        .where(
            (predictions.c.project == project)
            & (predictions.c.at_s > max(since_s, 0.0))
            & (predictions.c.at_s <= until_s)
        )
        .group_by(predictions.c.example_id)
    )
    total = labelled = 0
    with engine.connect() as connection:
        for row in connection.execution_options(yield_per=_CHUNK_ROWS).execute(query):
            if sampled(row.example_id, share=section.sample):
                total += 1
                labelled += int(row.labelled)
    return Cohort(total, labelled, until_s)
