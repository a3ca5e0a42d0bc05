from __future__ import annotations

import csv
import json
import re
import shutil
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mlops.adapters import inherited, model_files, seal
from mlops.adapters.embedding import read_embedding
from mlops.adapters.onnx_session import Session
from mlops.adapters.publish import MAX_METRICS
from mlops.adapters.runtimes import open_model
from mlops.adapters.snapshot import read_rows
from mlops.client import Client
from mlops.core import networks
from mlops.core.assessment import BRIEF
from mlops.core.schema import ImageSchema
from mlops.errors import DataError, ParamsError, StepError
from mlops.params.load import load
from mlops.steps.evaluate import EvaluateParams, evaluate
from mlops.steps.train import TrainParams, train
from mlops.steps.tune import TuneParams, tune
from tests.pictures import image_model
from tests.serving.conftest import running
from tests.serving.tiny import point
from tests.steps import digits

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.params.base import View
    from mlops.site import Site


@pytest.fixture
def ready(site: Site) -> Site:
    """Return a site with prepared rows and quick parameters."""
    digits.write_prepared(site.layout.prepared)
    text = site.layout.params.read_text()
    for old, new in (
        ("trials: 6", "trials: 2"), ("epochs: 6", "epochs: 3"), ("epochs: 25", "epochs: 6"),
        ("resamples: 1000", "resamples: 200"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    site.layout.params.write_text(text)
    return site


def run(name: str, site: Site) -> None:
    views: dict[str, type[View]] = {"tune": TuneParams, "train": TrainParams}
    step = {"tune": tune, "train": train}[name]
    step(load(site.layout.params, views[name]), site)  # type: ignore[operator]


def write_best(site: Site, **changes: float | str) -> None:
    best = {
        "learning_rate": 0.004, "weight_decay": 1e-4, "dropout": 0.1, "width_factor": 0.5,
        "validation_loss": 0.3, "trials": 2, **changes,
    }  # fmt: skip
    site.layout.tuned.mkdir(parents=True, exist_ok=True)
    (site.layout.tuned / "best.json").write_text(json.dumps(best))


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_tune_writes_the_best_trial_and_all_trials_and_resumes(ready: Site) -> None:
    run("tune", ready)
    best = json.loads((ready.layout.tuned / "best.json").read_text())
    trials = read_csv(ready.layout.tuned / "trials.csv")
    assert len(trials) == best["trials"] == 2
    assert best["validation_loss"] == min(float(t["loss"]) for t in trials)
    assert set(best) == {
        "learning_rate", "weight_decay", "dropout", "width_factor", "validation_loss", "trials",
    }  # fmt: skip
    content = (ready.layout.tuned / "trials.csv").read_bytes()
    run("tune", ready)  # the work folder holds the finished search
    assert (ready.layout.tuned / "trials.csv").read_bytes() == content


def test_train_writes_a_candidate_whose_files_agree(ready: Site) -> None:
    write_best(ready)
    run("train", ready)
    folder = ready.layout.candidate
    card = json.loads((folder / "model.json").read_text())
    history = read_csv(folder / "history.csv")
    assert card["validation_loss"] == min(float(e["validation_loss"]) for e in history)
    assert card["epochs"] == 1 + min(
        range(len(history)), key=lambda n: float(history[n]["validation_loss"])
    )
    assert card["hyperparameters"]["width_factor"] == 0.5
    assert card["runtime"] == "onnx"
    rows = read_rows(ready.layout.prepared / "test.npz")
    embedding = read_embedding(folder)
    assert embedding is not None
    assert embedding.names[::4] == ("embedding 1 of 4", "embedding beyond the 4")
    seen = embedding.of(rows.features)
    assert seen.shape == (len(rows.features), 5)
    assert np.allclose(seen[:, :4].std(axis=0), 1.0, atol=0.4)  # rows that were not fitted on
    assert (folder / "seen.npy").read_bytes() == (ready.layout.prepared / "seen.npy").read_bytes()
    p = Session(folder / "model.onnx").probabilities(rows.features)
    assert float((p.argmax(1) == rows.label).mean()) > 0.8
    network = networks.build(
        card["network"], ImageSchema(tuple(digits.CLASSES), 8, 8, 1), width_factor=0.5, dropout=0.1
    )
    model = image_model(network, card["mean"], card["std"])
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    with torch.no_grad():
        again = model.eval()(torch.from_numpy(rows.features)).numpy()
    assert np.allclose(p, again, atol=1e-4)
    assert len(onnx.load(folder / "model.onnx").graph.input[0].type.tensor_type.shape.dim) == 4


def test_what_onnx_cannot_hold_faithfully_torch_exports_and_evaluate_scores(ready: Site) -> None:
    """No ONNX file is within 1e-12 of the network; its `torch.export` archive is the network."""
    write_best(ready)
    change(ready, parity="1.0e-12", explained="0", int8="0.1", robustness_rows="0", weak_depth="0")
    report = train(load(ready.layout.params, TrainParams), ready)
    folder = ready.layout.candidate
    assert not (folder / "model.onnx").exists()
    assert json.loads((folder / "model.json").read_text())["runtime"] == "torch.export"
    assert report.facts["runtime"] == "torch.export"
    assert "served by torch.export, slower, for model.onnx differs" in report.summary
    assert "int8 not taken: only ONNX files can be rounded" in report.summary
    figures = evaluate(load(ready.layout.params, EvaluateParams), ready).facts
    assert figures["model_bytes"] == (folder / "model.pt2").stat().st_size
    rows = read_rows(ready.layout.prepared / "test.npz")
    right = open_model(folder).probabilities(rows.features).argmax(1) == rows.label
    assert figures["accuracy"] == float(right.mean()) > 0.8


def test_a_model_rounded_to_eight_bits_is_the_one_that_is_evaluated(ready: Site) -> None:
    write_best(ready)
    change(ready, int8="0.3", robustness_rows="0", weak_depth="0")
    report = train(load(ready.layout.params, TrainParams), ready)
    folder = ready.layout.candidate
    rounded = json.loads((folder / "model.json").read_text())["int8"]
    assert report.facts["int8"] is rounded["kept"] is True
    assert report.facts["int8_loss"] == rounded["loss"]["value"]
    assert "; int8: costs " in report.summary
    before, after = rounded["size_bytes"]
    assert (folder / "model.onnx").stat().st_size == after < before
    assert read_embedding(folder) is not None  # of the whole network
    figures = evaluate(load(ready.layout.params, EvaluateParams), ready).facts
    assert figures["model_bytes"] == after
    rows = read_rows(ready.layout.prepared / "test.npz")
    right = open_model(folder).probabilities(rows.features).argmax(1) == rows.label
    assert figures["accuracy"] == float(right.mean()) > 0.8
    assert (ready.layout.evaluation / "explanations.png").is_file()


def test_a_warm_start_answers_for_what_the_champion_saw(ready: Site) -> None:
    layout = ready.layout
    write_best(ready)
    run("train", ready)
    first = json.loads((layout.candidate / "model.json").read_text())
    assert "start" not in first
    champion = layout.root / "champion"
    shutil.copytree(layout.candidate, champion)
    more = np.array([5, 2**63], np.uint64)
    seen = np.load(champion / "seen.npy")
    np.save(champion / "seen.npy", np.sort(np.append(seen, more)))
    (champion / "model.json").write_text(json.dumps({**first, "trained_until_s": 8e8}))
    inherited.put(layout.inherited, champion, "4")

    change(ready, start="auto", probe_epochs="2", epochs="2")
    run("train", ready)
    card = json.loads((layout.candidate / "model.json").read_text())
    start = card["start"]
    assert (start["kind"], start["version"]) == ("warm", "4")
    assert start["warm_loss"] < start["scratch_loss"]
    assert card["trained_until_s"] == 8e8
    taken = np.load(layout.candidate / "seen.npy")
    assert taken.tolist() == sorted({*seen.tolist(), *more.tolist()})
    assert card["validation_loss"] < first["validation_loss"] + 0.05  # two epochs, not six


@pytest.mark.parametrize(
    ("name", "damage", "error", "message"),
    [
        ("tune", "network", ParamsError, "cannot be imported"),
        ("train", "network", ParamsError, "cannot be imported"),
        ("tune", "split", DataError, r"split.json: no such file"),
        ("tune", "rows", DataError, r"train.npz: unreadable .*run: mlops prepare"),
        ("train", "rows", DataError, r"train.npz: unreadable .*run: mlops prepare"),
        ("train", "best", DataError, r"best.json: no such file"),
        ("train", "text", DataError, r"best.json: .*run: mlops tune"),
    ],
)
def test_bad_input_is_one_clear_line(
    name: str, damage: str, error: type[Exception], message: str, ready: Site
) -> None:
    write_best(ready)
    params, prepared = ready.layout.params, ready.layout.prepared
    if damage == "network":
        params.write_text(
            params.read_text().replace("network: auto", "network: mlops.core.nowhere.Net")
        )
    elif damage == "split":
        (prepared / "split.json").unlink()
    elif damage == "rows":
        (prepared / "train.npz").write_bytes((prepared / "train.npz").read_bytes()[:1000])
    elif damage == "best":
        (ready.layout.tuned / "best.json").unlink()
    elif damage == "text":
        write_best(ready, dropout="much")
    with pytest.raises(error, match=message):
        run(name, ready)


TABLES = (
    "per_class.csv", "slices.csv", "confusion.csv", "calibration.csv", "intervals.csv",
    "temperature.csv", "robustness.csv", "severity.csv",
)  # fmt: skip
PLOTS = (
    "confusion.png", "calibration.png", "per_class.png", "training.png", "mistakes.png",
    "slices.png", "robustness.png", "explanations.png",
)  # fmt: skip


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a candidate's folder: an untrained network is enough to be measured."""
    from mlops.adapters import onnx as adapter

    folder = tmp_path_factory.mktemp("candidate")
    torch.manual_seed(0)
    network = networks.SmallCNN(1, 8, 8, 10, 0.5)
    model = image_model(network, [0.3], [0.4])
    schema = ImageSchema(tuple(digits.CLASSES), 8, 8, 1)
    adapter.export(model, digits.rows(0, 10).features, schema, folder / "model.onnx", 1e-3)
    # What attributions are computed on: the network behind the model file.
    model_files.write_weights(folder / "weights.safetensors", model)
    model_files.write_card(folder / "model.json", {
        "schema": {"classes": digits.CLASSES, "height": 8, "width": 8, "channels": 1},
        "network": "mlops.core.networks.SmallCNN", "mean": [0.3], "std": [0.4],
        "hyperparameters": {"width_factor": 0.5, "dropout": 0.0},
    })  # fmt: skip
    head = "epoch,train_loss,validation_loss,validation_accuracy,learning_rate,seconds\n"
    (folder / "history.csv").write_text(f"{head}1,2.0,2.1,0.2,0.01,1\n2,1.0,1.2,0.5,0.005,1\n")
    return folder


def test_evaluate_measures_the_file_and_writes_every_table(site: Site, candidate: Path) -> None:
    digits.write_prepared(site.layout.prepared)
    # Nobody looks at the rows that will judge before the gate does: that look is paid for.
    (site.layout.prepared / "recent.npz").unlink()
    shutil.copytree(candidate, site.layout.candidate)
    report = evaluate(load(site.layout.params, EvaluateParams), site)
    folder = site.layout.evaluation
    figures = json.loads((folder / "metrics.json").read_text())
    rows = read_rows(site.layout.prepared / "test.npz")
    p = Session(candidate / "model.onnx").probabilities(rows.features)
    assert figures["accuracy"] == pytest.approx(float((p.argmax(1) == rows.label).mean()))
    assert figures["n"] == 200
    assert figures["model_bytes"] == (candidate / "model.onnx").stat().st_size
    assert 0.0 < figures["latency_in_process_p95_ms"] < 1000.0
    assert "recent" not in report.summary + "".join(figures)
    intervals = json.loads((folder / "intervals.json").read_text())["metrics"]
    for name, one in intervals.items():
        if name in figures:
            assert one["value"] == pytest.approx(figures[name]), name
        # Calibration errors have none, and a temperature none where the fit ends at a limit.
        if "ece" not in name and name != "temperature":
            assert one["low"] <= one["value"] <= one["high"], name
    counts = {"n", "model_bytes", "constant_log_loss"}
    assert set(figures) - counts - set(intervals) == set()
    # The rest of MLflow's comfortable number of keys is for the curves of training, and for the
    # figures on recent rows that a verdict brings.
    assert len(figures) + len(BRIEF) <= MAX_METRICS - 8
    for name in TABLES:
        assert read_csv(folder / name), name
    slices = {(s["rows"], s["slice"], s["value"]): s for s in read_csv(folder / "slices.csv")}
    assert slices["test", "origin", "production"]["status"] == "not assessable"
    assert slices["test", "all", "all"]["status"] == "assessed"
    assert slices["test", "contrast", "low"]["limits"].startswith("≤ ")
    assert all(0.0 <= float(s["adjusted_p"] or 0) <= 1.0 for s in slices.values())
    assert len(read_csv(folder / "robustness.csv")) == 6 * 6
    robust = [r for r in read_csv(folder / "robustness.csv") if r["severity"] != "0"]
    mean = np.mean([float(r["accuracy"]) for r in robust])
    assert figures["robustness_accuracy"] == pytest.approx(mean)
    assert len(read_csv(folder / "confusion.csv")) == 200
    for name in PLOTS:
        with Image.open(folder / name) as picture:
            assert 300 < picture.width <= 800, name  # at most a page's width
    assert not (folder / "fairness.csv").exists()
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        assert np.allclose(stored["probabilities"], p)
    with np.load(folder / "reference.npz", allow_pickle=False) as stored:
        assert stored["features"].shape == (200, 8, 8, 1)
        assert stored["probabilities"].shape == (200, 10)


def change(site: Site, **values: str) -> None:
    text = site.layout.params.read_text()
    for name, value in values.items():
        text, found = re.subn(rf"(?m)^(  {name}:) [^#\n]*", rf"\1 {value}  ", text, count=1)
        assert found, name
    site.layout.params.write_text(text)


def test_protected_columns_are_compared_by_group(site: Site, candidate: Path) -> None:
    digits.write_prepared(site.layout.prepared)
    shutil.copytree(candidate, site.layout.candidate)
    change(site, protected="[contrast, origin]", explained="0", robustness_rows="0", weak_depth="0")
    evaluate(load(site.layout.params, EvaluateParams), site)
    folder = site.layout.evaluation
    found = {(r["rows"], r["column"]): r for r in read_csv(folder / "fairness.csv")}
    assert found["test", "origin"]["status"] == "not assessable"
    assert found["test", "contrast"]["status"] == "assessed"
    groups = read_csv(folder / "fairness_groups.csv")
    own = [r for r in groups if (r["rows"], r["column"]) == ("test", "contrast")]
    assert [r["group"] for r in own] == ["low", "middle", "high"]
    assert sum(int(r["n"]) for r in own) == 200
    shares = [float(r["accuracy"]) for r in own]
    difference = float(found["test", "contrast"]["difference"])
    assert difference == pytest.approx(max(shares) - min(shares))
    # What is switched off leaves no stale file and no figure.
    assert not (folder / "robustness.csv").exists()
    assert not (folder / "explanations.png").exists()
    figures = json.loads((folder / "metrics.json").read_text())
    assert "robustness_accuracy" not in figures
    assert not [s for s in read_csv(folder / "slices.csv") if s["slice"] == "found"]


def test_a_protected_column_that_there_is_none_of_is_named(site: Site, candidate: Path) -> None:
    digits.write_prepared(site.layout.prepared)
    shutil.copytree(candidate, site.layout.candidate)
    change(site, protected="[age]", explained="0", robustness_rows="0")
    with pytest.raises(ParamsError, match=r'evaluate.protected names "age".*class, origin, bright'):
        evaluate(load(site.layout.params, EvaluateParams), site)


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ("epoch,validation_loss\n1,2.0\n", "history.csv:2: train_loss = None is no number"),
        ("epoch,train_loss,validation_loss\n1,2.0,\n", "2: validation_loss = '' is no number"),
        ("epoch,train_loss,validation_loss\n", "history.csv: holds no epoch"),
    ],
)
def test_a_history_that_lacks_a_loss_is_named(tmp_path: Path, history: str, said: str) -> None:
    (tmp_path / "history.csv").write_text(history)
    with pytest.raises(DataError, match=f"{re.escape(said)}.*; run: mlops train"):
        model_files.read_history(tmp_path)


def test_evaluate_refuses_an_empty_test_side(site: Site, candidate: Path) -> None:
    digits.write_prepared(site.layout.prepared)
    shutil.copytree(candidate, site.layout.candidate)
    shutil.copy(candidate / "model.onnx", site.layout.candidate)
    from mlops.adapters.snapshot import write_rows

    write_rows(site.layout.prepared / "test.npz", digits.rows(0, 0))
    with pytest.raises(StepError, match=r"test.npz: no rows; raise split.test"):
        evaluate(load(site.layout.params, EvaluateParams), site)


def test_over_http_come_the_probabilities_that_evaluate_recorded(
    site: Site, candidate: Path, tmp_path: Path
) -> None:
    digits.write_prepared(site.layout.prepared, recent=0)
    shutil.copytree(candidate, site.layout.candidate)
    change(site, explained="0", robustness_rows="0", weak_depth="0", resamples="200")
    evaluate(load(site.layout.params, EvaluateParams), site)
    with np.load(site.layout.evaluation / "predictions.npz") as stored:
        recorded = stored["probabilities"]
    images = read_rows(site.layout.prepared / "test.npz").features
    folder = shutil.copytree(candidate, tmp_path / "serving" / "1")
    np.savez(folder / "golden.npz", features=images[:8], probabilities=recorded[:8])
    seal.write_manifest(folder)
    point(tmp_path / "serving", "1")
    with running(tmp_path, version=None) as server, Client(server.url) as client:
        together = client.predict_images(images)
        alone = [client.predict(image) for image in images[:40]]
    found = np.array([list(one.probabilities.values()) for one in together], np.float32)
    np.testing.assert_array_equal(found, recorded)
    # Cut into other batches, the last bit may differ.
    single = np.array([list(one.probabilities.values()) for one in alone], np.float32)
    np.testing.assert_allclose(single, recorded[:40], atol=1e-6, rtol=0)
