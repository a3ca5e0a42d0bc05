"""The networks of tables and texts behind their preprocessing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlops.core import networks
from mlops.core.features import arrays
from mlops.core.preprocessing import with_preprocessing
from mlops.core.schema import Column, Schema, TableSchema, TextSchema, table_columns
from mlops.core.statistics import measure

COLUMNS = (Column("when_s", "number"), Column("city", "category", ("a", "b", "c")))
SCHEMAS: list[Schema] = [
    TableSchema(("no", "yes"), COLUMNS), TableSchema((), COLUMNS),
    TableSchema(("x", "y"), COLUMNS[:1]), TableSchema(("x", "y"), COLUMNS[1:]),
    TextSchema(("no", "yes", "well"), 40), TextSchema((), 40),
]  # fmt: skip


def given(schema: Schema, n: int = 64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, n) if schema.classes else 1e6 + 1e3 * rng.normal(size=n)
    if isinstance(schema, TextSchema):
        texts = [f"text number {v}" for v in rng.integers(0, 1000, n)]
        return arrays(texts, schema).copy(), label
    drawn = {"number": 1.7e9 + rng.normal(size=n), "category": rng.integers(0, 3, n).astype(float)}
    return np.column_stack([drawn[c.kind] for c in table_columns(schema)]), label


@pytest.mark.parametrize("schema", SCHEMAS, ids=repr)
def test_answers_are_probabilities_or_quantiles_that_do_not_cross(schema: Schema) -> None:
    x, label = given(schema)
    torch.manual_seed(0)
    network = networks.build("auto", schema, width_factor=0.5, dropout=0.1)
    model = with_preprocessing(network, measure(x, label, schema), schema).eval()
    with torch.no_grad():
        answers = model(torch.from_numpy(x))
    assert answers.dtype == torch.float32
    if schema.classes:
        assert answers.shape == (len(x), len(schema.classes))
        assert torch.allclose(answers.sum(1), torch.ones(len(x)))
    else:
        assert answers.shape == (len(x), 3)
        assert bool((answers.diff(dim=1) >= 0).all())
        assert abs(float(answers[:, 1].mean()) - 1e6) < 3e3


def test_seconds_since_1970_keep_their_digits_and_strange_values_have_an_answer() -> None:
    schema = SCHEMAS[0]
    x, label = given(schema)
    model = with_preprocessing(
        networks.build("auto", schema, width_factor=0.5, dropout=0.0), measure(x, label, schema),
        schema,
    ).eval()  # fmt: skip
    # Two times one second apart are one number in float32, and two to the network.
    number, _ = model.prepared(
        torch.tensor([[1.7e9, 0.0], [1.7e9 + 1.0, 0.0]], dtype=torch.float64)
    )
    assert not torch.equal(number[0], number[1])
    odd = torch.tensor([[np.nan, np.nan], [1e300, -1.0], [-1e300, 99.0]], dtype=torch.float64)
    _, code = model.prepared(odd)
    assert code[:, 0].tolist() == [4, 3, 3]  # missing; unknown; of a newer schema, so unknown
    assert bool(torch.isfinite(model(odd)).all())
