from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops.adapters.cohort import SHARD_TIME, count_cohort, matured_until_s
from mlops.adapters.sql.engine import database
from mlops.adapters.sql.tables import labels, predictions
from mlops.core.example import sampled
from mlops.params.labels import LabelsSection

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from mlops.site import Site

NOW_S = 1_767_614_400.0  # the site's
SECTION = LabelsSection(sample=1.0, delay_minutes=10.0, min_coverage=0.9)


@pytest.fixture
def engine(site: Site) -> Iterator[sa.Engine]:
    with database(site) as opened:
        yield opened


def predict(engine: sa.Engine, example: str, at_s: float, name: str = "") -> str:
    identity = name or f"p-{example}"
    with engine.begin() as connection:
        connection.execute(predictions.insert().values(
            project="digits", id=identity, at_s=at_s, version="1", latency_s=0.001,
            example_id=example, probabilities=b"",
        ))  # fmt: skip
    return identity


def label(
    engine: sa.Engine, prediction: str, at_s: float, *, source: str = "random",
    shard: str | None = "20260105T115000000000Z-a.parquet",
) -> None:  # fmt: skip
    with engine.begin() as connection:
        connection.execute(labels.insert().values(
            project="digits", prediction_id=prediction, label=1, label_source=source, at_s=at_s,
            collected_in=shard,
        ))  # fmt: skip


def count(engine: sa.Engine, section: LabelsSection = SECTION, **span: float) -> tuple[int, int]:
    given = {"since_s": 0.0, "until_s": NOW_S} | span
    found = count_cohort(engine, "digits", section, **given)
    return found.predictions, found.labelled


def test_only_what_was_collected_and_chosen_by_nobody_counts_as_labelled(
    engine: sa.Engine,
) -> None:
    names = [predict(engine, f"e{n}", 100.0 + n) for n in range(5)]
    label(engine, names[0], 200.0)
    label(engine, names[1], 200.0, shard=None)  # came after the last collection
    label(engine, names[2], 200.0, source="active")
    label(engine, names[3], 200.0)
    label(engine, names[3], 300.0, source="active")  # the newest label is what ingest keeps
    assert count(engine) == (5, 1)
    assert count(engine, since_s=100.0, until_s=103.0) == (3, 0)
    assert count(engine, until_s=float("-inf")) == (0, 0)


def test_an_example_predicted_twice_is_one(engine: sa.Engine) -> None:
    predict(engine, "e", 100.0, "first")
    label(engine, predict(engine, "e", 110.0, "second"), 200.0)
    assert count(engine) == (1, 1)


def test_of_a_sample_only_its_examples_count(engine: sa.Engine) -> None:
    names = {f"e{n}": predict(engine, f"e{n}", 100.0 + n) for n in range(60)}
    for name in names.values():
        label(engine, name, 500.0)
    half = SECTION.model_copy(update={"sample": 0.5})
    inside = sum(sampled(name, share=0.5) for name in names)
    assert 0 < inside < 60
    assert count(engine, half) == (inside, inside)


def test_rows_are_mature_as_of_the_last_collection(engine: sa.Engine) -> None:
    assert matured_until_s(engine, "digits", SECTION, now_s=NOW_S) == float("-inf")
    name = predict(engine, "e", 100.0)
    label(engine, name, 200.0)
    assert matured_until_s(engine, "digits", SECTION, now_s=NOW_S) == NOW_S - 600 - 600
    label(engine, name, 200.0, shard=f"{'20990101T000000000000Z'}-b.parquet")
    assert matured_until_s(engine, "digits", SECTION, now_s=NOW_S) == NOW_S - 600
    assert SHARD_TIME.startswith("%Y")
