from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops.adapters.files import digest_path, read_json, write_json
from mlops.adapters.snapshot import read_rows
from mlops.adapters.weighing import WEIGHTS, read_weights, write_weights
from mlops.core.example import key_hash, side
from mlops.errors import CheckFailed, DataError
from mlops.params.holdout import HoldoutSection
from mlops.params.split import SplitSection
from mlops.params.training_window import TrainingWindowSection
from mlops.steps.prepare import PrepareParams, prepare
from tests.examples import START, base_rows, production_rows, write_snapshot

if TYPE_CHECKING:
    from mlops.site import Site

HOLDOUT = HoldoutSection(recent_share=0.4, gap_s=120.0, reference_rows=50)
PARAMS = PrepareParams(
    split=SplitSection(validation=0.2, test=0.3, salt="1"),
    holdout=HOLDOUT,
    training_window=TrainingWindowSection(policy="all"),
)


def _write(site: Site, rows: list[dict[str, Any]]) -> None:
    write_snapshot(site.layout.snapshot, rows)
    write_json(site.layout.checked, {"snapshot": digest_path(site.layout.snapshot)})


def _side(row: dict[str, Any]) -> str:
    return side(row["entity"] or row["group"], salt="1", validation=0.2, test=0.3)


def test_rows_go_where_their_keys_say(site: Site) -> None:
    rows = base_rows(200)
    _write(site, rows)
    report = prepare(PARAMS, site)
    where = {row["example_id"]: _side(row) for row in rows}
    for name in ("train", "validation", "test"):
        part = read_rows(site.layout.prepared / f"{name}.npz")
        assert {where[one] for one in part.example_id} == {name}
        assert report.facts[name] == len(part) == list(where.values()).count(name)
    seen = np.load(site.layout.prepared / "seen.npy", allow_pickle=False)
    expected = {key_hash(row["group"]) for row in rows if _side(row) != "test"}
    assert seen.dtype == np.uint64
    assert seen.tolist() == sorted(expected)


def test_an_entity_overrides_the_group(site: Site) -> None:
    rows = base_rows(200)
    for row in rows:
        row["entity"] = f"e{row['label']}-{int(row['group'][:2], 16) // 16}"
    _write(site, rows)
    prepare(PARAMS, site)
    train = read_rows(site.layout.prepared / "train.npz")
    keys = {key_hash(row["entity"]) for row in rows if _side(row) == "train"}
    assert set(train.key.tolist()) == keys


def test_the_statistics_are_those_of_training_pixels_alone(site: Site) -> None:
    _write(site, base_rows(200))
    prepare(PARAMS, site)
    content = read_json(site.layout.prepared / "split.json")
    pixels = read_rows(site.layout.prepared / "train.npz").features / 255.0
    assert content["mean"] == pytest.approx([pixels.mean()], abs=1e-12)
    assert content["std"] == pytest.approx([pixels.std()], abs=1e-12)
    assert content["cutoff_s"] is None
    assert content["trained_until_s"] is None
    assert content["split"] == PARAMS.split.model_dump()
    assert content["schema"] == read_json(site.layout.snapshot / "schema.json")


def test_the_newest_production_rows_are_kept_from_training(site: Site) -> None:
    _write(site, [*base_rows(120), *production_rows(100)])
    prepare(PARAMS, site)
    content = read_json(site.layout.prepared / "split.json")
    cutoff_s = START.timestamp() + 59 * 60
    assert content["cutoff_s"] == cutoff_s
    parts = {
        name: read_rows(site.layout.prepared / f"{name}.npz")
        for name in ("train", "validation", "test", "recent", "reference")
    }
    for name in ("train", "validation", "test"):
        assert not (parts[name].observed_s > cutoff_s).any()
        assert parts[name].production.any()
    recent = parts["recent"]
    assert len(recent) > 0
    assert recent.observed_s.min() >= cutoff_s + HOLDOUT.gap_s
    assert recent.production.all()
    assert set(recent.label_source) == {"random"}
    assert not np.isin(parts["reference"].key, np.load(site.layout.prepared / "seen.npy")).any()
    assert len(parts["reference"]) == 50


def test_unlabelled_rows_are_trained_on_by_nobody(site: Site) -> None:
    rows = base_rows(200)
    for row in rows[:60]:
        row["label"], row["label_source"] = None, None
    _write(site, rows)
    report = prepare(PARAMS, site)
    assert sum(int(str(report.facts[n])) for n in ("train", "validation", "test")) == 140


def test_the_same_snapshot_gives_the_same_bytes(site: Site) -> None:
    _write(site, base_rows(100))
    prepare(PARAMS, site)
    before = digest_path(site.layout.prepared)
    prepare(PARAMS, site)
    assert digest_path(site.layout.prepared) == before


def test_an_unchecked_snapshot_is_refused(site: Site) -> None:
    write_snapshot(site.layout.snapshot, base_rows(100))
    with pytest.raises(DataError, match=r"checked.json is missing.* run: mlops validate"):
        prepare(PARAMS, site)
    _write(site, base_rows(100))
    write_snapshot(site.layout.snapshot, base_rows(99))
    with pytest.raises(DataError, match=r"is of another snapshot.* run: mlops validate"):
        prepare(PARAMS, site)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
@pytest.mark.parametrize(("keep", "said"), [(None, "no labelled rows"), (0, "one class only")])
def test_a_side_that_nothing_can_be_learned_from_is_named(
    site: Site, name: str, keep: int | None, said: str
) -> None:
    rows = [one for one in base_rows(150) if _side(one) != name or one["label"] == keep]
    _write(site, rows)
    with pytest.raises(CheckFailed, match=f"the {name} side has .*{said}"):
        prepare(PARAMS, site)
    assert not site.layout.prepared.exists()


def test_an_empty_snapshot_is_a_clear_error(site: Site) -> None:
    _write(site, [])
    with pytest.raises(CheckFailed, match="holds no examples; run: mlops ingest"):
        prepare(PARAMS, site)


def _windowed(site: Site, **values: Any) -> dict[str, bytes]:
    """Prepare under a policy, and return every file that was written."""
    section = TrainingWindowSection(**values)
    prepare(PARAMS.model_copy(update={"training_window": section}), site)
    folder = site.layout.prepared
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / WEIGHTS).unlink(missing_ok=True)
    return found


@pytest.mark.parametrize(
    ("policy", "origins"),
    [
        ({"policy": "sliding", "rows": 7, "min_rows": 1}, {True}),
        ({"policy": "production", "min_rows": 1}, {True}),
        ({"policy": "weighted", "half_life_days": 0.01}, {True, False}),
    ],
)
def test_a_training_window_touches_training_rows_alone(
    policy: dict[str, Any], origins: set[bool], site: Site
) -> None:
    _write(site, [*base_rows(120), *production_rows(100)])
    before = _windowed(site, policy="all")
    whole = read_rows(site.layout.prepared / "train.npz")
    after = _windowed(site, **policy)
    # Not one byte of what judges, and of what says who has seen which row, moves.
    for name in ("validation.npz", "test.npz", "recent.npz", "reference.npz", "seen.npy"):
        assert after[name] == before[name], name
    train = read_rows(site.layout.prepared / "train.npz")
    assert set(train.production.tolist()) == origins
    assert set(train.example_id) <= set(whole.example_id)
    words = read_json(site.layout.prepared / "split.json")["training_window"]
    assert str(len(train)) in str(words)
    assert (WEIGHTS in after) == (policy["policy"] == "weighted")
    if policy["policy"] == "sliding":
        held = whole.observed_s[~np.isnan(whole.observed_s)]
        assert train.observed_s.tolist() == sorted(held)[-7:]


def test_weights_are_read_back_as_written_or_refused(site: Site) -> None:
    folder = site.layout.prepared
    folder.mkdir(parents=True)
    assert read_weights(folder, 3) is None
    write_weights(folder, np.array([0.5, 1.0, 1.5]))
    found = read_weights(folder, 3)
    assert found is not None
    assert found.tolist() == [0.5, 1.0, 1.5]
    assert found.dtype == np.float32
    with pytest.raises(DataError, match=r"\(3,\) for 4 training rows; run: mlops prepare"):
        read_weights(folder, 4)
    (folder / WEIGHTS).write_bytes(b"no array")
    with pytest.raises(DataError, match="unreadable"):
        read_weights(folder, 3)
