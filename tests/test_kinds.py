"""Every kind of example through every step: the same steps, from files to a watched champion."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import yaml

from mlops.adapters import flavour, registry
from mlops.adapters.predictions import insert_batch
from mlops.adapters.snapshot import read_rows, read_schema
from mlops.adapters.sql.engine import database
from mlops.core import features
from mlops.core.prediction import Label, Prediction
from mlops.params.load import load
from mlops.run import STEPS, find_step
from mlops.serving.model import Model
from tests.conftest import REPOSITORY
from tests.serving.conftest import running
from tests.serving.tiny import point

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.core.schema import Schema
    from mlops.site import Report, Site

LOOP = ("ingest", "validate", "prepare", "tune", "train", "evaluate", "register", "promote")


def wine(path: Path) -> dict[str, Any]:
    """Write scikit-learn's wines with a column of names and missing cells: three classes."""
    from sklearn.datasets import load_wine

    bunch = load_wine()
    rng = np.random.default_rng(0)
    strength = np.where(bunch.data[:, 0] > 13, "strong", "light").astype(object)
    lines = [",".join([*bunch.feature_names, "body", "grape"]).replace("/", "_")]
    for row, body, label in zip(np.tile(bunch.data, (3, 1)), np.tile(strength, 3),
                                np.tile(bunch.target, 3), strict=True):  # fmt: skip
        cells = [f"{v * (1 + 0.01 * rng.normal()):.6g}" for v in row]
        cells[rng.integers(len(cells))] = "?"
        lines.append(",".join([*cells, body, f"grape {label}"]))
    path.write_text("\n".join(lines) + "\n")
    return {"source": "table", "target": "grape"}


def diabetes(path: Path) -> dict[str, Any]:
    """Write scikit-learn's diabetes patients: a number is to be predicted."""
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes()
    table = [",".join([*bunch.feature_names, "progress"])]
    pairs = zip(bunch.data.tolist(), bunch.target.tolist(), strict=True)
    table += [",".join(map(repr, [*row, y])) for row, y in pairs]
    path.write_text("\n".join(table) + "\n")
    return {"source": "table", "target": "progress", "task": "regression"}


def notes(path: Path) -> dict[str, Any]:
    """Write made-up messages of two kinds."""
    rng = np.random.default_rng(0)
    words = {
        "offer": [
            "win",
            "free",
            "prize",
            "cash",
            "now",
            "call",
            "claim",
            "urgent",
            "bonus",
            "click",
        ],
        "chat": [
            "see",
            "you",
            "later",
            "home",
            "dinner",
            "tomorrow",
            "sorry",
            "love",
            "meeting",
            "bus",
        ],
    }
    both = ["the", "a", "to", "and", "for", "on", "it", "is", "my", "your"]
    lines = ["kind\tmessage"]
    for n in range(500):
        kind = "offer" if n % 2 else "chat"
        chosen = [*rng.choice(words[kind], 4), *rng.choice(both, 5), f"#{rng.integers(10**9)}x"]
        # Letters, not numbers, make them different: numbers alone would be near-copies.
        chosen += ["".join(rng.choice(list("bcdfg"), 6))]
        lines.append(f"{kind}\t{' '.join(rng.permutation(chosen))}")
    path.write_text("\n".join(lines) + "\n")
    return {"source": "text", "target": "kind", "text": "message", "separator": "\t",
            "max_bytes": 96}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A data set, and what its figures must reach."""

    write: Callable[[Path], dict[str, Any]]
    metric: str
    least: float
    pictures: tuple[str, ...]


KINDS = {
    "classes of a table": Kind(wine, "accuracy", 0.8, ("confusion", "importance", "explanations")),
    "a number of a table": Kind(diabetes, "r2", 0.1, ("residuals", "coverage", "importance")),
    "classes of texts": Kind(notes, "accuracy", 0.9, ("confusion", "explanations")),
}


def set_up(site: Site, kind: Kind) -> None:
    """Write the data and quick parameters."""
    tree = yaml.safe_load(site.layout.params.read_text())
    data = kind.write(site.layout.root / "data" / "base.csv")
    tree["data"] = {**data, "path": "data/base.csv", "reserve": 0.0}
    tree["checks"].update(min_rows=100, max_duplicate_share=0.5)
    tree["tune"].update(trials=1, epochs=2, learning_rate=[0.004, 0.005])
    tree["model"].update(batch_size=16)
    tree["train"].update(epochs=12, patience=12)
    tree["evaluate"].update(resamples=200, robustness_rows=60, explained=2)
    tree["gate"].update(resamples=500)
    tree["gate"]["floors"].update(accuracy=0.5, balanced_accuracy=0.5, coverage=0.5)
    tree["gate"]["ceilings"].update(latency_ms=500.0, memory_mb=2000.0, ece=0.5)
    tree["monitoring"].update(
        window_rows=40, min_rows=40, replicates=200, false_alarms="1 per 10 windows"
    )
    site.layout.params.write_text(yaml.safe_dump(tree))


def run(name: str, site: Site, **changes: Any) -> Report:
    """Run a step in a work folder of its own."""
    step = find_step(name, site.layout)
    work = site.layout.work / name
    work.mkdir(parents=True, exist_ok=True)
    return step.function(load(site.layout.params, step.view), replace(site, work=work, **changes))


def log(site: Site, model: Model, contents: list[bytes], labels: list[float]) -> None:
    """Serve rows as the server's log has them, and label them."""
    answers = model.predict(features.decode(contents, model.schema))
    ids = features.identities(contents, model.schema)
    start_s = site.now.timestamp()
    made = [
        Prediction(f"p{n}", start_s + n, model.version, ids[n], None, content,
                   answers[n].astype("<f4").tobytes(), 0.001)
        for n, content in enumerate(contents)
    ]  # fmt: skip
    given = [Label(f"p{n}", y, "random", start_s + n + 0.5) for n, y in enumerate(labels)]
    project = yaml.safe_load(site.layout.params.read_text())["project"]["name"]
    with database(site) as engine:
        insert_batch(engine, project, made, given)


def missing_plots(site: Site) -> list[str]:
    """Return what `dvc plots` would look for in vain: files and columns that dvc.yaml names."""
    wanted: list[tuple[str, str]] = []
    for plot in yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["plots"]:
        [(name, axes)] = plot.items()
        for axis in (axes["x"], axes["y"]):
            if isinstance(axis, str) and Path(name).suffix:
                wanted.append((name, axis))
            elif isinstance(axis, dict):
                columns = ((f, c if isinstance(c, list) else [c]) for f, c in axis.items())
                wanted += [(file, column) for file, several in columns for column in several]
    assert len(wanted) >= 10
    return [f"{f}: {c}" for f, c in wanted if c not in _head(site.layout.root / f)]


def _head(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return next(lines).strip().split(",")


def assert_same_numbers(site: Site, folder: Path, schema: Schema) -> None:
    """Hold what `evaluate` recorded against what servers answer: ours over HTTP, and MLflow's."""
    from mlflow import pyfunc

    with np.load(site.layout.evaluation / "predictions.npz", allow_pickle=False) as stored:
        recorded = stored["probabilities"]
    rows = read_rows(site.layout.prepared / "test.npz").features
    frame = flavour.shown(rows, schema)
    home = site.layout.root / "served"
    shutil.copytree(folder, home / "serving" / "1")
    point(home / "serving", "1")
    columns = frame.astype(object).where(frame.notna(), None).to_dict("list")  # to the last bit
    with running(home, version=None) as server:
        answer = httpx.post(f"{server.url}/invocations", json={"inputs": columns}, timeout=60)
    assert answer.status_code == 200, answer.text
    [(output, found)] = answer.json()["predictions"].items()
    np.testing.assert_array_equal(np.array(found, np.float32), recorded)
    theirs = pyfunc.load_model("models:/digits@champion").predict(frame)
    np.testing.assert_array_equal(theirs[output], recorded)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_goes_round_the_loop(name: str, mlflow_site: Site) -> None:
    site, kind = mlflow_site, KINDS[name]
    (site.layout.root / "dvc.yaml").write_text("stages: {}\n")
    set_up(site, kind)
    done = {step: run(step, site) for step in LOOP}
    figures = json.loads((site.layout.evaluation / "metrics.json").read_text())
    assert figures[kind.metric] >= kind.least, figures
    for picture in kind.pictures:
        assert (site.layout.evaluation / f"{picture}.png").is_file(), picture
    assert missing_plots(site) == []
    assert done["promote"].facts["outcome"] == "promote", done["promote"].summary
    folder = registry.fetch(site, "digits", "1")
    model = Model(folder, "1")
    assert model.replay(folder) <= 1e-4
    rows = read_rows(site.layout.prepared / "test.npz")
    schema = read_schema(site.layout.snapshot)
    assert_same_numbers(site, folder, schema)
    values = features.values_of(rows.features[:80], schema)
    contents = features.canonical(values, schema)
    log(site, model, contents, [float(v) for v in rows.label[:80]])
    later = replace(site, now=site.now + timedelta(minutes=5))
    assert run("monitor", later).facts["windows"] == len(contents) // 40
    collected = run("collect", later)
    assert collected.facts["rows"] == len(set(contents))
    again = run("ingest", later)
    # What was served before is the same example: it keeps its row, and has its newest label.
    assert int(str(again.facts["duplicates"])) >= len(set(contents))
    assert set(LOOP) <= set(STEPS)
