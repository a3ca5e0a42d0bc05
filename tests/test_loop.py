"""The loop on a clone: one cache for every door, and reruns of exactly what changed."""

from __future__ import annotations

import functools
import json
import os
from typing import TYPE_CHECKING

import pytest
import yaml

from mlops.adapters import dvc
from mlops.adapters.pipeline import read_stages
from mlops.layout import Layout
from mlops.run import run_cached, run_step
from mlops.settings import Settings
from tests import project as clones

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

run = functools.partial(clones.run, measured=False)  # every stage is measured in its own test
STAGES = ["ingest", "validate", "prepare", "tune", "train", "evaluate"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a clone in which `dvc repro` and then `register` and `promote` have run."""
    # The demo trains with the template's own numbers; here it matters what runs, not how long.
    folder = clones.clone(
        tmp_path_factory.mktemp("loop") / "project",
        {"trials: 6": "trials: 2", "epochs: 25": "epochs: 12"},
    )
    run(folder, "dvc", "repro")
    before = dict(os.environ)
    os.environ["MLOPS_ROOT"] = str(folder)
    for name in ("register", "promote"):
        run_step(name, Layout(folder), Settings())
    yield folder
    os.environ.clear()
    os.environ.update(before)


def test_a_second_repro_has_nothing_to_do(project: Path) -> None:
    shown = run(project, "dvc", "repro").stdout
    assert shown.count("didn't change, skipping") == len(STAGES)
    assert "Running stage" not in shown


def test_after_repro_a_flow_finds_every_stage_cached(project: Path) -> None:
    assert {n: run_cached(n, Layout(project), Settings()) for n in STAGES} == dict.fromkeys(STAGES)


def test_register_and_promote_say_that_it_is_decided(project: Path) -> None:
    for name, word in (("register", "already registered"), ("promote", "already decided")):
        assert word in run_step(name, Layout(project), Settings()).summary


def test_after_a_flow_run_repro_has_nothing_to_do(project: Path) -> None:
    """The last stage is made stale, then made by the door of flows; DVC must agree."""
    path = project / "params.yaml"
    text = path.read_text()
    try:
        path.write_text(text.replace("  bins: 10", "  bins: 9"))
        assert [n for n in STAGES if dvc.is_stale(project, n)] == ["evaluate"]
        assert run_cached("evaluate", Layout(project), Settings()) is not None
        assert "Running stage" not in run(project, "dvc", "repro").stdout
    finally:
        path.write_text(text)
    # Changed back: what was made before is checked out, by either door.
    before = dvc.locked_md5s(project)["reports/evaluation"]
    assert dvc.is_stale(project, "evaluate")
    assert run_cached("evaluate", Layout(project), Settings()) is None
    assert dvc.locked_md5s(project)["reports/evaluation"] != before
    assert not dvc.is_stale(project, "evaluate")
    assert "Running stage" not in run(project, "dvc", "repro").stdout


def test_a_change_of_the_checks_does_not_reach_the_rows(project: Path) -> None:
    path = project / "params.yaml"
    text = path.read_text()
    try:
        path.write_text(text.replace("  min_rows: 500", "  min_rows: 499", 1))
        assert run_cached("validate", Layout(project), Settings()) is not None
        assert [n for n in STAGES if dvc.is_stale(project, n)] == []
    finally:
        path.write_text(text)
    assert run_cached("validate", Layout(project), Settings()) is None


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        ("  bins: 10", "  bins: 11", {"evaluate"}),
        ("  patience: 10", "  patience: 11", {"train"}),
        ("  batch_size: 64", "  batch_size: 65", {"tune", "train"}),
        ("  trials: 2", "  trials: 3", {"tune"}),
        ("  min_rows: 500", "  min_rows: 501", {"validate"}),
        ("  reserve: 0.35", "  reserve: 0.36", {"ingest"}),
        ("  recent_share: 0.3", "  recent_share: 0.31", {"prepare"}),
        ('  salt: "1"', '  salt: "2"', {"validate", "prepare"}),
        ("  window_rows: 100", "  window_rows: 101", set()),
        ("  cooldown_minutes: 10.0", "  cooldown_minutes: 11.0", set()),
        ("  alpha: 0.05", "  alpha: 0.04", set()),
    ],
)
def test_a_parameter_reruns_only_the_stages_that_read_it(
    project: Path, old: str, new: str, stale: set[str]
) -> None:
    path = project / "params.yaml"
    text = path.read_text()
    assert old in text
    try:
        path.write_text(text.replace(old, new, 1))
        assert {name for name in STAGES if dvc.is_stale(project, name)} == stale
    finally:
        path.write_text(text)


@pytest.mark.parametrize(
    "module",
    ["mlops/core/metrics.py", "mlops/core/networks.py", "mlops/core/drift.py", "mlops/site.py"],
)
def test_a_line_of_code_reruns_only_the_stages_that_reach_it(project: Path, module: str) -> None:
    path = project / module
    text = path.read_text()
    listed = {name for name, stage in read_stages(project).items() if module in stage.deps}
    try:
        path.write_text(text + "\n# a new line\n")
        assert {name for name in STAGES if dvc.is_stale(project, name)} == listed
    finally:
        path.write_text(text)


def test_a_changed_output_is_noticed(project: Path) -> None:
    path = project / "models" / "tuned" / "best.json"
    text = path.read_text()
    try:
        path.unlink()  # a hard link into the cache must not be written through
        path.write_text(text + " ")
        assert dvc.is_stale(project, "tune")
    finally:
        path.unlink()
        path.write_text(text)


def test_dvc_shows_metrics_plots_and_the_graph(project: Path) -> None:
    metrics = json.loads(run(project, "dvc", "metrics", "show", "--json").stdout)
    [values] = [v["data"] for v in metrics[""]["data"].values()]
    assert values["accuracy"] > 0.9
    plots = run(project, "dvc", "plots", "show", "--json").stdout
    for name in ("confusion.csv", "calibration.csv", "Training curve"):
        assert name in plots
    shown = run(project, "dvc", "dag").stdout
    assert all(name in shown for name in STAGES)


def test_the_clone_stays_clean_but_for_the_lock(project: Path) -> None:
    assert run(project, "git", "status", "--porcelain").stdout.split() == ["??", "dvc.lock"]
    assert set(yaml.safe_load((project / "dvc.lock").read_text())["stages"]) == set(STAGES)
