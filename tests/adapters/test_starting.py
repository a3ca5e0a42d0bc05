from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
import torch

from mlops.adapters import inherited, model_files
from mlops.adapters.files import read_json
from mlops.adapters.keeper import Examples
from mlops.adapters.snapshot import read_rows, write_rows
from mlops.adapters.starting import Setting, begin
from mlops.core import networks
from mlops.core.learning import Hyperparameters
from mlops.core.sprint import Course
from mlops.errors import DataError
from tests.pictures import image_model
from tests.steps import digits

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.adapters.inherited import Inherited
    from mlops.core.preprocessing import ImagePreprocessed
    from mlops.core.warm_start import Start
    from mlops.site import Site

BEST = Hyperparameters(0.004, 1e-4, 0.1, 0.25)
COURSE = Course(BEST, 1, 64, 7, augment=False)


def _model(seed: int) -> ImagePreprocessed:
    torch.manual_seed(seed)
    return image_model(networks.SmallCNN(1, 8, 8, 10, 0.25, 0.1), [0.3], [0.4])


def _champion(site: Site) -> Path:
    """Write prepared rows, and an untrained champion's files; return their folder."""
    digits.write_prepared(site.layout.prepared)
    folder = site.layout.root / "champion"
    folder.mkdir()
    _, split = model_files.read_split(site.layout.prepared)
    model_files.write_weights(folder / "weights.safetensors", _model(1))
    model_files.write_card(folder / "model.json", {
        "schema": split["schema"], "split": split["split"], "network": "a.Net",
        "hyperparameters": asdict(BEST), "trained_until_s": None,
    })  # fmt: skip
    shutil.copy(site.layout.prepared / "seen.npy", folder)
    return folder


def _begin(
    site: Site, model: ImagePreprocessed, how: Literal["warm", "auto"]
) -> tuple[Start, Inherited | None]:
    layout = site.layout
    _, split = model_files.read_split(layout.prepared)
    own = {**split, "network": "a.Net", "hyperparameters": asdict(BEST)}
    rows = [read_rows(layout.prepared / f"{name}.npz") for name in ("train", "validation")]
    sides = [Examples(torch.from_numpy(r.features), torch.from_numpy(r.label)) for r in rows]
    setting = Setting(how, COURSE, inherited.pedigree(own), layout.inherited, layout.prepared)
    return begin(model, (sides[0], sides[1]), setting)


def _same(one: ImagePreprocessed, other: ImagePreprocessed) -> bool:
    found = other.network.state_dict()
    return all(torch.equal(t, found[name]) for name, t in one.network.state_dict().items())


def test_a_warm_start_has_the_champions_weights(site: Site) -> None:
    inherited.put(site.layout.inherited, _champion(site), "4")
    model = _model(2)
    start, held = _begin(site, model, "warm")
    assert (start.kind, start.version) == ("warm", "4")
    assert held is not None
    assert held.seen.tolist() == np.load(site.layout.prepared / "seen.npy").tolist()
    assert _same(model, _model(1))


def test_auto_leaves_the_weights_of_whichever_did_better(site: Site) -> None:
    champion = _champion(site)
    kinds = set()
    for theirs, own in ((1, 2), (2, 1)):  # both untrained: the better one wins in either role
        model_files.write_weights(champion / "weights.safetensors", _model(theirs))
        inherited.put(site.layout.inherited, champion, "4")
        model = _model(own)
        start, held = _begin(site, model, "auto")
        assert start.warm_loss is not None
        assert start.scratch_loss is not None
        warm = start.warm_loss < start.scratch_loss
        assert start.kind == ("warm" if warm else "scratch")
        assert (held is not None) == warm
        assert _same(model, _model(theirs if warm else own))
        assert model.training
        kinds.add(start.kind)
    assert kinds == {"warm", "scratch"}


def test_rows_that_judge_were_never_seen_by_what_a_training_begins_with(site: Site) -> None:
    champion = _champion(site)
    seen = np.load(champion / "seen.npy")
    recent = read_rows(site.layout.prepared / "recent.npz").key[:3]
    np.save(champion / "seen.npy", np.sort(np.append(seen, recent)))
    inherited.put(site.layout.inherited, champion, "4")
    model = _model(2)
    start, held = _begin(site, model, "warm")
    assert start.why == "the champion was fitted on 3 of the rows that judge"
    assert (start.kind, start.version, held) == ("scratch", "4", None)
    assert _same(model, _model(2))


@pytest.mark.parametrize(("observed_s", "known"), [(np.nan, 2), (900.0, 2), (1001.0, 0)])
def test_rows_of_known_entities_may_watch_if_they_are_newer_than_what_was_fitted(
    site: Site, observed_s: float, known: int
) -> None:
    champion, path = _champion(site), site.layout.prepared / "reference.npz"
    described = read_json(champion / "model.json")
    model_files.write_card(champion / "model.json", {**described, "trained_until_s": 1000.0})
    inherited.put(site.layout.inherited, champion, "4")
    rows = read_rows(path).take(np.arange(2))
    seen = np.load(champion / "seen.npy")[:2]
    write_rows(path, replace(rows, key=seen, observed_s=np.full(2, observed_s)))
    start, _ = _begin(site, _model(2), "warm")
    said = f"the champion was fitted on {known} of the rows that judge"
    assert (start.kind, start.why) == (
        ("scratch", said) if known else ("warm", "with the weights of version 4")
    )


def test_without_a_champion_a_start_is_from_scratch_and_a_torn_one_is_refused(site: Site) -> None:
    champion, model = _champion(site), _model(2)
    start, held = _begin(site, model, "warm")
    assert (start.kind, start.version, held) == ("scratch", "", None)
    assert _same(model, _model(2))
    inherited.put(site.layout.inherited, champion, "1")
    (site.layout.inherited / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"inherited: unreadable .*run: mlops inherit"):
        _begin(site, model, "warm")
