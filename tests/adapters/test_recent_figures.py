"""Figures on the rows that judge: shown by the verdict that paid for them, by nothing before."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import files, mlflow, recent_figures
from mlops.adapters.evidence import Dossier
from mlops.adapters.history import last_decision
from tests import entrants, judged
from tests.adapters.test_evidence import LOCK
from tests.core import test_regression_gate as numbers
from tests.kept import copy_state

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.site import Site

RUN_FILES = {"plots/recent.png", "tables/recent.csv", "tables/recent_slices.csv"}


@pytest.fixture
def entered(kept_second: Site, site: Site) -> Site:
    """Return a site with the weaker model in service and the better one waiting for the gate."""
    return copy_state(kept_second, site)


def shown(site: Site, version: str = "2") -> tuple[set[str], dict[str, float]]:
    """Return which files and metrics of a version's run are about recent rows."""
    api = mlflow.client(site)
    run = api.get_run(api.get_model_version(judged.PROJECT, version).run_id)
    folders = (api.list_artifacts(run.info.run_id, name) for name in ("plots", "tables"))
    found = {f.path for folder in folders for f in folder}
    metrics = {n: v for n, v in run.data.metrics.items() if n.startswith("recent_")}
    return {path for path in found if "recent" in path}, metrics


def test_the_verdict_brings_them_and_nothing_shows_them_before(entered: Site) -> None:
    assert shown(entered) == (set(), {})
    text = judged.judge(entered).markdown
    found, metrics = shown(entered)
    assert found == RUN_FILES
    assert (metrics["recent_accuracy"], metrics["recent_n"]) == (1.0, 150.0)
    assert "On the recent rows that judged it" in text
    decision = last_decision(entered, judged.PROJECT)
    assert decision is not None
    with (entered.layout.decisions / decision.id / recent_figures.TABLE).open() as stream:
        table = {(r["model"], r["metric"]): float(r["value"]) for r in csv.DictReader(stream)}
    for metric in decision.verdict.metrics:
        if metric.name == "recent accuracy":
            assert table["candidate", "accuracy"] == metric.candidate
            assert table["champion", "accuracy"] == metric.champion
    # A first model is judged by base rows: it looked at no recent ones, and shows none.
    assert shown(entered, "1") == (set(), {})


def test_a_verdict_that_looked_at_nothing_shows_nothing(entered: Site) -> None:
    entrants.prepare(entered, entrants.world(entered, recent=40))
    assert judged.judge(entered).facts["outcome"] == "inconclusive"
    assert shown(entered) == (set(), {})


def test_what_a_kill_left_out_is_shown_by_the_next_try_from_sound_evidence_only(
    entered: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(recent_figures, "show", lambda *_: None)
        judged.judge(entered)
    decision = last_decision(entered, judged.PROJECT)
    assert decision is not None
    folder = entered.layout.decisions / decision.id
    kept = entered.layout.root / "kept"
    folder.rename(kept)
    recent_figures.show(entered, decision)
    for damaged in ("scores.npz", "lock.json"):
        for path in kept.iterdir():
            more = b" " * (path.name == damaged)
            files.write_bytes(folder / path.name, path.read_bytes() + more)
        recent_figures.show(entered, decision)
    assert shown(entered) == (set(), {})
    files.remove(folder)
    kept.rename(folder)
    assert "already decided" in judged.judge(entered).summary
    assert shown(entered)[0] == RUN_FILES


def test_of_a_regression_they_are_errors(tmp_path: Path) -> None:
    dossier = Dossier(numbers.exam(2.0, 3.0), numbers.RULES, LOCK)
    figures = recent_figures.write(tmp_path, dossier)
    assert 1.0 < figures["recent_mae"] < 2.0
    assert "candidate,all,400,assessed," in (tmp_path / recent_figures.SLICES).read_text()
    assert (tmp_path / recent_figures.PICTURE).stat().st_size > 5000
