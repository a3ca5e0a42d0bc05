from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import model_card
from mlops.adapters.files import read_json, write_json
from mlops.core.card_text import markdown
from mlops.errors import DataError
from mlops.params.base import View
from mlops.params.card import CardSection
from mlops.params.load import load
from tests import entrants

if TYPE_CHECKING:
    from mlops.core.card import Card
    from mlops.site import Site


class _View(View):
    card: CardSection


@pytest.fixture
def trained(site: Site) -> Site:
    """Return a site with everything that a card is made of."""
    given = entrants.world(site)
    entrants.prepare(site, given)
    entrants.train(site, given, entrants.block_weights())
    return site


def gather(site: Site) -> Card:
    words = load(site.layout.params, _View).card
    return model_card.gather(site, model_card.Stated("digits", "digits", words))


def test_a_card_is_gathered_from_what_the_steps_left(trained: Site) -> None:
    (trained.layout.evaluation / "robustness.csv").write_text("corruption,severity\n")
    card = gather(trained)
    assert "handwritten digit" in card.intended_use
    assert (card.classes, card.shape) == (entrants.CLASSES, entrants.SHAPE)
    assert {r.split: r.n for r in card.rows} == {
        "train": 100, "test": 150, "recent": 150, "reference": 150,
    }  # fmt: skip
    assert card.trained_until_s == trained.now.timestamp() - 2 * 86_400
    assert [(s.name, s.low) for s in card.scores] == [("accuracy", 0.93)]
    assert [(s.value, s.n, s.low) for s in card.slices] == [
        ("all", 150, 0.93), ("one", 50, 0.79), ("two", 7, None),
    ]  # fmt: skip
    assert card.measured == ("robustness",)
    assert card.snapshot == ""


def test_a_card_is_read_back_from_the_folder_that_it_travels_in(trained: Site) -> None:
    card, folder = gather(trained), trained.work / "model"
    assert model_card.read(folder) is None
    model_card.write(folder, card)
    assert model_card.read(folder) == card
    assert (folder / "model_card.md").read_text() == markdown(card)
    (folder / "model_card.json").write_text("{}")
    with pytest.raises(DataError, match="keys missing or unknown"):
        model_card.read(folder)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("reports/evaluation/intervals.json", "run: mlops evaluate"),
        ("reports/evaluation/slices.csv", "run: mlops evaluate"),
        ("reports/evaluation/reference.npz", "run: mlops evaluate"),
        ("data/prepared/split.json", "no such file"),
        ("models/candidate/model.json", "no such file"),
    ],
)
def test_what_is_missing_is_named(trained: Site, path: str, words: str) -> None:
    (trained.layout.root / path).unlink()
    with pytest.raises(DataError, match=words):
        gather(trained)


def test_what_has_lost_a_key_is_named(trained: Site) -> None:
    split = trained.layout.prepared / "split.json"
    content = read_json(split)
    write_json(split, {n: v for n, v in content.items() if n != "counts"})
    with pytest.raises(DataError, match=r"split\.json: counts is missing; run: mlops prepare"):
        gather(trained)
    write_json(split, content)
    write_json(trained.layout.candidate / "model.json", {})
    with pytest.raises(DataError, match=r"model\.json: .*schema is missing or damaged"):
        gather(trained)


def test_a_metric_without_an_interval_is_left_out(trained: Site) -> None:
    path = trained.layout.evaluation / "intervals.json"
    content = read_json(path)
    unknown = {"value": 0.5, "low": None, "high": None, "method": "none"}
    write_json(path, {**content, "metrics": {"roc_auc": unknown, **content["metrics"]}})  # type: ignore[dict-item]
    assert [s.name for s in gather(trained).scores] == ["accuracy"]


def test_what_was_stated_may_be_empty(trained: Site) -> None:
    words = CardSection(intended_use="", licence="", limits=())
    card = model_card.gather(trained, model_card.Stated("digits", "digits", words))
    assert replace(card, intended_use="x") != card
    assert "not stated" in markdown(card)
