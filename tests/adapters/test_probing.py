from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.adapters import probing, registry
from mlops.adapters.embedding import FILE, read_layer, write_embedding
from mlops.adapters.files import write_bytes, write_json
from mlops.adapters.onnx_session import Session
from mlops.adapters.predictions import insert_batch
from mlops.adapters.probing import Prober
from mlops.adapters.snapshot import write_rows
from mlops.adapters.sql.engine import open_database
from mlops.core.example import key_hash, side
from mlops.core.features import canonical
from mlops.core.grouping import groups
from mlops.core.prediction import Label, Prediction
from mlops.core.schema import parse_schema, to_plain
from mlops.errors import DataError
from mlops.params.split import SplitSection
from tests import entrants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.adapters.snapshot import Rows
    from mlops.core.prediction import LabelSource
    from mlops.site import Site

SCHEMA = parse_schema(entrants.SCHEMA, "SCHEMA")
SPLIT = SplitSection(validation=0.15, test=0.25, salt="1")


@pytest.fixture
def folder(site: Site, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A version whose model looks at first pixels only, with its embedding."""
    made = site.layout.serving / "digits" / "1"
    entrants.write_onnx(made / "model.onnx", entrants.corner_weights())
    write_json(made / "model.json", {"schema": to_plain(SCHEMA)})
    assert write_embedding(made, entrants.rows(200, hard=0.0, seed=9).features) == 5
    np.save(made / "seen.npy", np.zeros(0, np.uint64))
    monkeypatch.setattr(registry, "fetch", lambda *_: made)
    return made


@pytest.fixture
def prober(site: Site, folder: Path) -> Iterator[Prober]:
    engine = open_database(site.settings.database(site.layout))
    yield Prober(site, engine, "digits", "1", SPLIT)
    engine.dispose()


def serve(
    prober: Prober, folder: Path, count: int, source: LabelSource = "random", *, seed: int = 5,
    hard: float = 0.5,
) -> Rows:  # fmt: skip
    """Log so many labelled predictions, half of them too hard for the version; return the rows."""
    rows = entrants.rows(count, hard=hard, seed=seed)
    said = Session(folder / "model.onnx").probabilities(rows.features)
    contents = canonical(rows.features, SCHEMA)
    made = [
        Prediction(f"{seed}-{n:05}", 100.0 + n, "1", str(rows.example_id[n]), None, contents[n],
                   said[n].tobytes(), 0.001)
        for n in range(count)
    ]  # fmt: skip
    given = [
        Label(row.id, float(label), source, row.at_s + 1)
        for row, label in zip(made, rows.label, strict=True)
    ]
    insert_batch(prober.engine, "digits", made, given)
    return rows


def prepare(site: Site, rows: Rows, **told: object) -> None:
    """Write the training side as `prepare` leaves it."""
    write_rows(site.layout.prepared / "train.npz", rows)
    plain = {"schema": to_plain(SCHEMA), "split": SPLIT.model_dump(), **told}
    write_json(site.layout.prepared / "split.json", plain)


def test_the_whole_layer_is_read_from_the_embedding(folder: Path) -> None:
    layer = read_layer(folder)
    assert layer is not None
    images = entrants.rows(10, hard=0.5, seed=1).features
    assert np.allclose(layer.probabilities(images), images.reshape(10, 16) / 255.0, atol=1e-6)
    write_bytes(folder / FILE, b"nothing of the kind")
    with pytest.raises(DataError, match="no embedding"):
        read_layer(folder)
    write_bytes(folder / FILE, (folder / "model.onnx").read_bytes())  # none of ours
    assert read_layer(folder) is None
    (folder / FILE).unlink()
    assert read_layer(folder) is None


def test_a_refitted_head_finds_what_the_version_does_not_look_at(
    prober: Prober, folder: Path
) -> None:
    serve(prober, folder, 400)
    found = prober(0)
    assert found.trouble == ""
    assert found.on == "its last layer"
    assert found.low > 0.3
    assert 270 < found.rows < 330  # of 400 a quarter judges
    assert found.older == 0
    assert prober(200).rows < 180  # labels of earlier predictions do not count


def test_base_rows_are_fitted_on_unless_they_are_new_or_dealt_otherwise(
    prober: Prober, folder: Path
) -> None:
    new = serve(prober, folder, 300)
    base = entrants.rows(150, hard=0.0, seed=6)
    prepare(prober.site, base)
    assert prober(0).older == 150
    prober.site.layout.probe.unlink()
    keys = groups(new.features, SCHEMA)
    new.key[:] = [key_hash(key) for key in keys]
    trains = [side(key, **SPLIT.model_dump()) == "train" for key in keys]
    prepare(prober.site, new.take(np.array(trains)))  # a rejected retrain had them already
    assert prober(0).older == 0
    prober.site.layout.probe.unlink()
    prepare(prober.site, base, split={**SPLIT.model_dump(), "salt": "2"})
    assert prober(0).older == 0


def test_what_the_version_was_fitted_on_measures_nothing(prober: Prober, folder: Path) -> None:
    rows = serve(prober, folder, 200)
    keys = [key_hash(group) for group in groups(rows.features, SCHEMA)]
    np.save(folder / "seen.npy", np.array(keys, np.uint64))
    assert prober(0).trouble.startswith("0 labelled rows may train and measure, 50 are needed")


def test_hard_rows_train_and_never_measure(prober: Prober, folder: Path) -> None:
    serve(prober, folder, 200, "active")
    words = prober(0).trouble
    assert words.startswith("0 labelled rows may train and measure, 50 are needed; ")
    assert "were chosen for being hard" in words
    serve(prober, folder, 120, seed=6)
    assert 60 < prober(0).rows < 120


def test_rows_that_judge_or_have_no_features_are_told(prober: Prober, folder: Path) -> None:
    serve(prober, folder, 40)
    sure = np.array([1, 0, 0], np.float32).tobytes()
    insert_batch(
        prober.engine, "digits",
        [Prediction("bare", 1.0, "1", "e", None, None, sure, 0.001)],
        [Label("bare", 0.0, "user", 2.0)],
    )  # fmt: skip
    words = prober(0).trouble
    assert "judge (the test side) and must not be spent" in words
    assert words.endswith("1 have no whole features that fit (MLOPS_PAYLOADS, MLOPS_REDACT)")


def test_a_probe_stands_until_a_tenth_more_labels_came(prober: Prober, folder: Path) -> None:
    serve(prober, folder, 200)
    first = prober(0)
    assert first.fresh
    again = prober(0)
    assert (again.fresh, again.gain, again.rows) == (False, first.gain, first.rows)
    serve(prober, folder, 10, seed=6)
    assert not prober(0).fresh
    serve(prober, folder, 20, seed=7)
    assert prober(0).fresh
    prober.site.layout.probe.write_text('{"labels": 1, "worth": {"other": 2}}')
    assert prober(0).fresh


def test_without_time_a_probe_says_so(
    prober: Prober, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(prober, folder, 200)
    monkeypatch.setattr(probing, "SECONDS", 0.0)
    monkeypatch.setattr(probing, "_CHUNK", 40)
    assert (
        prober(0).trouble
        == "only 40 new rows that measure could be looked at in 0 s; 50 are needed"
    )


def test_what_went_wrong_is_told_and_stops_nothing(prober: Prober, folder: Path) -> None:
    serve(prober, folder, 200)
    write_bytes(folder / FILE, b"nothing of the kind")
    assert "no embedding" in prober(0).trouble
