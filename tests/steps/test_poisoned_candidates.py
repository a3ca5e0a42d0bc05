"""Candidates that must never be promoted, through the real registry, server and ledger.

The champion is sound and the gate asks for superiority. Each poison is what goes wrong in
training, in the split or in the store; each must be refused, and for its own reason.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.adapters import files, history, registry
from mlops.core.canonical import from_json
from mlops.core.decision import Decision
from mlops.errors import MlopsError
from tests import entrants
from tests.kept import copy_state
from tests.steps.test_register_promote import PROJECT, enter, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops.site import Site


@pytest.fixture(scope="module")
def kept(keep: Callable[[], Site]) -> Site:
    """Keep a site whose champion is fairly good: wrong on hard rows only."""
    site = keep()
    entrants.set_params(site, min_rows=60)
    given = entrants.world(site, recent=300)
    entrants.prepare(site, given)
    entrants.train(site, given, entrants.corner_weights())
    enter(site)
    assert judge(site).facts["outcome"] == "promote"
    return site


@pytest.fixture
def defended(kept: Site, site: Site) -> Site:
    """Return a copy of that site."""
    return copy_state(kept, site)


def _train(site: Site, weights: NDArray[np.float32]) -> None:
    entrants.train(site, entrants.world(site, recent=300), weights)


def _flipped(site: Site) -> None:
    """Fit the same kind of model by least squares on rows of which 30 % have another label."""
    rng, rows = np.random.default_rng(1), entrants.rows(60, hard=0.3, seed=9)
    label = rows.label.copy()
    wrong = rng.random(len(label)) < 0.3
    label[wrong] = (label[wrong] + rng.integers(1, 3, int(wrong.sum()))) % 3
    flat = rows.features.reshape(len(label), -1)[:, [0, 5, 10]] / 255.0
    fitted, *_ = np.linalg.lstsq(flat, np.eye(3)[label], rcond=None)
    weights = np.zeros((16, 3), dtype=np.float32)
    weights[[0, 5, 10]] = 6.0 * fitted  # as sure of itself as a softmax that was trained
    _train(site, weights)


def _leaked(site: Site) -> None:
    """Look at one pixel, which in the base rows gives the label away and in production says no."""
    base = entrants.world(site, recent=300).test
    base.features[:, 3, 3, 0] = base.label * 120
    entrants.prepare(site, replace(entrants.world(site, recent=300), test=base))
    weights = np.zeros((16, 3), dtype=np.float32)
    weights[15] = [-8.0, 0.0, 8.0]
    _train(site, weights)


def _constant(site: Site) -> None:
    _train(site, np.zeros((16, 3), dtype=np.float32))


def _nan(site: Site) -> None:
    weights = entrants.block_weights()
    weights[3, 1] = np.nan
    _train(site, weights)


def _swapped(site: Site) -> None:
    _train(site, entrants.block_weights()[:, [1, 0, 2]])


def _split(site: Site, **changed: object) -> None:
    """Train on another split than the prepared rows': what it has seen cannot be told."""
    _train(site, entrants.block_weights())
    path = site.layout.candidate / "model.json"
    card = files.read_json(path)
    files.write_json(path, {**card, "split": {**entrants.SPLIT, **changed}})


def _seen(site: Site) -> None:
    """Train on the very rows that are to judge."""
    given = entrants.world(site, recent=300)
    keys = np.unique(np.concatenate([given.recent.key, given.test.key]))
    entrants.train(site, replace(given, seen=keys), entrants.block_weights())


def _unproven(site: Site) -> None:
    """Say that it was trained on nothing: then every row would look unseen."""
    given = entrants.world(site, recent=300)
    nothing = np.array([], dtype=np.uint64)
    entrants.train(site, replace(given, seen=nothing), entrants.block_weights())


POISON: dict[str, tuple[Callable[[Site], None], str]] = {
    "30 % flipped labels": (_flipped, "accuracy on"),
    "a leaked feature": (_leaked, "accuracy on"),
    "a constant predictor": (_constant, "the best constant predictor has"),
    "NaN weights": (_nan, "NaN"),
    "swapped classes": (_swapped, "accuracy on"),
    "a smaller holdout": (lambda s: _split(s, test=0.05), "was split by"),
    "a different split seed": (lambda s: _split(s, salt="2"), "was split by"),
    "a record of nothing seen": (_unproven, "seen.npy: holds no keys"),
    "trained on the rows that judge": (_seen, "was seen in training"),
}


@pytest.mark.parametrize("name", POISON)
def test_a_poisoned_candidate_is_refused_for_its_own_reason(defended: Site, name: str) -> None:
    poison, words = POISON[name]
    poison(defended)
    try:
        enter(defended)
        report = judge(defended)
    except MlopsError as error:
        said = str(error)
    else:
        assert report.facts["outcome"] == "reject"
        decision = history.find_decision(defended, PROJECT, str(report.facts["decision"]))
        assert decision is not None
        said = " ".join(decision.verdict.reasons)
    assert words in said, said
    assert registry.champion(defended, PROJECT) == "1"


def test_a_candidate_whose_signature_was_altered_in_the_store_is_refused(defended: Site) -> None:
    _train(defended, entrants.block_weights())
    enter(defended)
    newest = max(
        defended.layout.mlartifacts.rglob("MLmodel"), key=lambda path: path.stat().st_mtime
    )
    assert "uint8" in newest.read_text()
    newest.write_text(newest.read_text().replace("uint8", "float32"))
    report = judge(defended)
    assert report.facts["outcome"] == "reject"
    assert "MLmodel: does not match" in report.markdown.replace("\\", "")
    assert registry.champion(defended, PROJECT) == "1"


def test_the_same_model_unpoisoned_is_promoted(defended: Site) -> None:
    """Without this the refusals above would prove nothing."""
    _train(defended, entrants.block_weights())
    enter(defended)
    report = judge(defended)
    assert report.facts["outcome"] == "promote"
    kept = defended.layout.decisions / str(report.facts["decision"]) / "decision.json"
    assert from_json(Decision, kept.read_text()).verdict.outcome == "promote"
