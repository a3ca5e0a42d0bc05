"""What leaves the log with its time: predictions, and what was said of predictions not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from mlops.adapters.predictions import insert_batch
from mlops.adapters.pruning import prune
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import labels, scores
from mlops.core.prediction import Label, Prediction, Score

if TYPE_CHECKING:
    from pathlib import Path

SCORES = np.array([0.1, 0.9], "<f4").tobytes()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_was_said_of_no_prediction_goes_with_its_time(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/mlops.db"
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")
    engine = open_database(url)
    row = Prediction("there", 9.0, "1", "e", None, b"x", SCORES, 0.1)
    given = [("there", 1.0), *((f"lost{n:04}", 1.0) for n in range(1200)), ("early", 8.0)]
    for project, rows in (("pruning", [row]), ("another", [])):
        told = [Label(name, 1, "user", at_s) for name, at_s in given]
        scored = [Score(name, 0.5, at_s) for name, at_s in given]
        insert_batch(engine, project, rows, told, scored)
    assert prune(engine, "pruning", before_s=5.0) == 0  # of predictions
    with engine.connect() as connection:
        for table in (labels, scores):
            query = sa.select(table.c.prediction_id).where(table.c.project == "pruning")
            # Of `early` the row may still be on its way.
            assert sorted(connection.execute(query).scalars()) == ["early", "there"]
            rest = sa.select(sa.func.count()).where(table.c.project == "another")
            assert connection.execute(rest).scalar_one() == 1202
    engine.dispose()
