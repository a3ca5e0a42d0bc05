from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlops.adapters.learners import UNTUNED, Project, quick
from mlops.core.schema import Column, TableSchema, TextSchema
from mlops.errors import UsageError
from mlops.params.model import ModelSection
from mlops.params.train import TrainSection
from tests.streams import stream


def equal(*rows: int) -> tuple[Any, Any]:
    """Return weights of 1 for as many rows of both sides."""
    first, second = (np.ones(n) for n in rows)
    return first, second


def test_boosted_trees_learn_classes_and_leave_out_those_that_no_row_had() -> None:
    past = stream(600)
    columns = (Column("x", "number"), Column("y", "category", ("a", "b")))
    named = replace(past, schema=TableSchema(("no", "yes", "never"), columns))
    named.features[:, 1] = np.arange(600) % 3 - 1.0  # an unknown name, and two known ones
    learnt = quick(named.schema)(named, named.take(np.arange(50)), equal(600, 50))
    said = learnt.answers(named.features)
    assert said.dtype == np.float32
    assert (said.argmax(axis=1) == past.label).mean() > 0.9
    assert (said[:, 2] == 0.0).all()
    assert learnt.minutes > 0.0
    assert learnt.answers(named.features[:0]).shape == (0, 3)


def test_boosted_trees_learn_quantiles_in_order() -> None:
    past = stream(600, numbers=True)
    learnt = quick(past.schema)(past, past.take(np.arange(50)), equal(600, 50))
    said = learnt.answers(past.features)
    assert (np.diff(said, axis=1) >= 0.0).all()
    inside = (said[:, 0] <= past.label) & (past.label <= said[:, 2])
    assert 0.7 < inside.mean() <= 1.0
    assert learnt.answers(past.features[:0]).shape == (0, 3)


def test_texts_want_the_network() -> None:
    with pytest.raises(UsageError, match=r"-S backtest\.model=project"):
        quick(TextSchema(("a", "b"), 16))


def test_the_projects_network_is_trained_as_train_does() -> None:
    past = stream(300)
    train = TrainSection(epochs=3, patience=3, seed=7, parity=0.001)
    model = ModelSection(batch_size=32, augment=False)
    learnt = Project(past.schema, model, train, UNTUNED, 1)(
        past, past.take(np.arange(60)), equal(300, 60)
    )
    said = learnt.answers(past.features)
    assert np.allclose(said.sum(axis=1), 1.0, atol=1e-5)
    assert (said.argmax(axis=1) == past.label).mean() > 0.8
