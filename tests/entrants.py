"""A tiny world in which one model is better by construction, and projects that hold it.

An image has 4 × 4 pixels; class k lights the five pixels of its block. On a hard row the block's
first pixel is dark and the next class's first pixel is bright: a model that looks at first pixels
only is wrong there, one that looks at whole blocks is right.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa
from onnx import TensorProto, helper, numpy_helper

from mlops.adapters.cohort import SHARD_TIME
from mlops.adapters.files import write_bytes, write_json
from mlops.adapters.onnx_session import Session
from mlops.adapters.snapshot import Rows, write_rows
from mlops.adapters.sql.engine import database
from mlops.adapters.sql.tables import labels, predictions
from mlops.core.features import canonical, identities
from mlops.core.schema import parse_schema

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.site import Site

CLASSES = ("zero", "one", "two")
SHAPE = (4, 4, 1)
SCHEMA = {"kind": "image", "classes": list(CLASSES), "height": 4, "width": 4, "channels": 1}
SPLIT = {"salt": "1", "validation": 0.15, "test": 0.25}
_DAY_S = 86_400.0


def block_weights() -> NDArray[np.float32]:
    """Return the good model's weights (16, 3): every pixel of a class's block."""
    weights = np.zeros((16, 3), dtype=np.float32)
    for k in range(3):
        weights[5 * k : 5 * k + 5, k] = 2.0
    return weights


def corner_weights() -> NDArray[np.float32]:
    """Return the weaker model's weights: the first pixel of each block."""
    weights = np.zeros((16, 3), dtype=np.float32)
    weights[[0, 5, 10], [0, 1, 2]] = 3.0
    return weights


def rows(
    n: int, *, hard: float, seed: int, until_s: float | None = None, production: bool = False
) -> Rows:
    """Return labelled rows, a share of them hard, observed over the day before `until_s`."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    pixels = rng.integers(0, 40, (n, 16))
    for k in range(3):
        own = label == k
        pixels[own, 5 * k : 5 * k + 5] = rng.integers(180, 255, (int(own.sum()), 5))
    is_hard = rng.random(n) < hard
    pixels[is_hard, 5 * label[is_hard]] = 0
    pixels[is_hard, 5 * ((label[is_hard] + 1) % 3)] = 250
    image = pixels.astype(np.uint8).reshape(n, *SHAPE)
    times = np.full(n, np.nan) if until_s is None else until_s - _DAY_S * rng.random(n)
    schema = parse_schema(SCHEMA, "SCHEMA")
    ids = identities(canonical(image, schema), schema)
    return Rows(
        features=image, label=label.astype(np.int64), example_id=np.array(ids),
        key=rng.integers(1 << 40, 1 << 60, n).astype(np.uint64), observed_s=times,
        production=np.full(n, production), label_source=np.full(n, "random"),
    )  # fmt: skip


def write_onnx(path: Path, weights_DK: NDArray[np.float32]) -> None:
    """Write the ONNX file of a linear softmax over pixel / 255."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "scale"], ["unit"]),
        helper.make_node("Flatten", ["unit"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", *SHAPE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])],
        [
            numpy_helper.from_array(np.array(255, dtype=np.float32), "scale"),
            numpy_helper.from_array(weights_DK, "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    write_bytes(path, model.SerializeToString())


def write_exported(path: Path, weights_DK: NDArray[np.float32]) -> None:
    """Write the same as a `torch.export` archive."""
    import torch

    from mlops.adapters import pt2

    class Linear(torch.nn.Module):
        weights: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weights", torch.from_numpy(weights_DK.copy()))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            logits = (image.to(torch.float32) / 255.0).flatten(1) @ self.weights
            return torch.softmax(logits, 1)

    sample = (torch.zeros((2, *SHAPE), dtype=torch.uint8),)
    batch = ({0: torch.export.Dim("batch")},)
    pt2.write(torch.export.export(Linear(), sample, dynamic_shapes=batch), path)


@dataclass(frozen=True)
class World:
    """The prepared rows of a project."""

    test: Rows
    recent: Rows
    seen: NDArray[np.uint64]
    trained_until_s: float | None


def world(site: Site, *, recent: int = 150, hard: float = 0.3) -> World:
    """Return a world whose recent rows are partly hard and whose base rows are easy."""
    now_s = site.now.timestamp()
    return World(
        test=rows(150, hard=0.0, seed=1),
        recent=rows(recent, hard=hard, seed=2, until_s=now_s, production=True),
        seen=np.arange(100, dtype=np.uint64),
        trained_until_s=now_s - 2 * _DAY_S,
    )


def log(site: Site, recent: Rows, project: str = "digits") -> None:
    """Put rows into the prediction log, each with its label: the cohort that they stand for."""
    with database(site) as engine, engine.begin() as connection:
        for place in range(len(recent)):
            name, at_s = f"{recent.example_id[place]}-{place}", float(recent.observed_s[place])
            held = sa.select(predictions.c.seq).where(predictions.c.id == name)
            if not np.isfinite(at_s) or connection.execute(held).first() is not None:
                continue
            connection.execute(predictions.insert().values(
                project=project, id=name, at_s=at_s, version="1", latency_s=0.001,
                example_id=str(recent.example_id[place]), probabilities=b"",
            ))  # fmt: skip
            connection.execute(labels.insert().values(
                project=project, prediction_id=name, label=int(recent.label[place]),
                label_source=str(recent.label_source[place]), at_s=at_s,
                collected_in=f"{site.now.strftime(SHARD_TIME)}-made.parquet",
            ))  # fmt: skip


def prepare(site: Site, given: World) -> None:
    """Write what the step `prepare` leaves, and the prediction log behind its recent rows."""
    log(site, given.recent)
    folder = site.layout.prepared
    write_rows(folder / "validation.npz", rows(150, hard=0.0, seed=3))
    write_rows(folder / "test.npz", given.test)
    write_rows(folder / "recent.npz", given.recent)
    counts = {"train": len(given.seen), "test": len(given.test), "recent": len(given.recent)}
    split = {"schema": SCHEMA, "split": SPLIT, "counts": counts, "trained_until_s": None}
    write_json(folder / "split.json", {**split, "mean": [0.2], "std": [0.3]})


def train(site: Site, given: World, weights_DK: NDArray[np.float32]) -> None:
    """Write what the steps `tune`, `train` and `evaluate` leave."""
    candidate, evaluation = site.layout.candidate, site.layout.evaluation
    write_onnx(candidate / "model.onnx", weights_DK)
    write_bytes(candidate / "weights.safetensors", weights_DK.tobytes())
    write_json(
        candidate / "model.json",
        {"schema": SCHEMA, "split": SPLIT, "trained_until_s": given.trained_until_s},
    )
    (candidate / "history.csv").write_text("epoch,loss\n0,1.0\n1,0.5\n")
    with (candidate / "seen.npy").open("wb") as stream:
        np.save(stream, given.seen)
    write_json(site.layout.tuned / "best.json", {"learning_rate": 0.01, "trials": 2})
    (site.layout.tuned / "trials.csv").write_text("number,value\n0,0.4\n1,0.3\n")
    write_json(evaluation / "metrics.json", {"accuracy": 0.97, "log_loss": 0.1})
    (evaluation / "confusion.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    interval = {"value": 0.97, "low": 0.93, "high": 0.99, "method": "wilson"}
    write_json(
        evaluation / "intervals.json", {"confidence": 0.95, "metrics": {"accuracy": interval}}
    )
    (evaluation / "slices.csv").write_text(
        "rows,slice,value,n,status,accuracy,low,high,log_loss\n"
        "test,all,all,150,assessed,0.97,0.93,0.99,0.1\n"
        "test,class,one,50,assessed,0.9,0.79,0.96,0.2\n"
        "test,class,two,7,not assessable,,,,\n"
    )
    reference = given.test
    scores = Session(candidate / "model.onnx").probabilities(reference.features)
    with (evaluation / "reference.npz").open("wb") as stream:
        np.savez(
            stream, features=reference.features, probabilities=scores, label=reference.label,
            key=reference.key, observed_s=reference.observed_s, example_id=reference.example_id,
        )  # fmt: skip


def set_params(site: Site, **gate: object) -> None:
    """Make the project's parameters quick, and change keys of the section `gate`."""
    import yaml

    tree = yaml.safe_load(site.layout.params.read_text())
    tree["monitoring"].update(
        replicates=200, window_rows=30, min_rows=30, false_alarms="1 per 10 windows"
    )
    tree["gate"].update(resamples=500, **gate)
    tree["gate"]["ceilings"]["ece"] = 0.3  # a linear softmax is never sure
    tree["evaluate"].update(explained=0)  # no torch network stands behind these files
    tree["labels"].update(delay_minutes=0.0)
    site.layout.params.write_text(yaml.safe_dump(tree))


def with_options(site: Site, *options: str) -> Site:
    """Return the site with options of one call."""
    return replace(site, options=frozenset(options))


def show(path: Path) -> object:
    """Return a JSON file's content."""
    content: object = json.loads(path.read_text())
    return content
