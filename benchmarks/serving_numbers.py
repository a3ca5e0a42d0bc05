"""Same bytes in, same numbers out: a project's whole test set through HTTP, as `evaluate` saw it.

Limits that are checked: every picture, sent alone as raw pixels and a hundred at a time as JSON,
gets exactly the probabilities that `mlops evaluate` recorded; within 1e-4 of them through
`torch.export`, which runs the same weights, and on a GPU.

How: where no project is named, a small one is made: a network trained and evaluated on
scikit-learn's digits. A worker serves the candidate's own folder, then one with `model.pt2`,
exported from its weights, for a model file, and with `--gpu` the first again on one. `mlops
evaluate` must have run in the project, its examples must be pictures and its model an ONNX file.
Exits 1 if a limit does not hold.

Run: python benchmarks/serving_numbers.py [PROJECT] [--gpu]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.serving_worker import Worker
from mlops.adapters import pt2, seal
from mlops.adapters.model_files import read_trained, write_best
from mlops.adapters.snapshot import read_rows
from mlops.core.learning import Hyperparameters
from mlops.layout import Layout
from mlops.params.load import load
from mlops.steps.evaluate import EvaluateParams, evaluate
from mlops.steps.train import TrainParams, train
from tests.conftest import make_root, make_site
from tests.serving.tiny import point
from tests.steps import digits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlops.adapters.onnx_session import Provider

TOGETHER = 100
ACROSS = 1e-4
ONNX, EXPORTED = "model.onnx", "model.pt2"


def made(folder: Path) -> Layout:
    """Make a project whose model is trained and evaluated on digits."""
    site = make_site(make_root(folder))
    digits.write_prepared(site.layout.prepared)
    best = Hyperparameters(0.004, 1e-4, 0.1, 0.5)
    write_best(site.layout.tuned, best, validation_loss=0.0, trials=1)
    train(load(site.layout.params, TrainParams), site)
    evaluate(load(site.layout.params, EvaluateParams), site)
    return site.layout


def asked(port: int, bodies: Iterator[tuple[str, bytes]]) -> Iterator[list[dict[str, float]]]:
    """Ask one after the other over one connection; yield the probabilities of each row."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    for kind, body in bodies:
        connection.request("POST", "/predict", body, {"content-type": kind})
        answer = connection.getresponse()
        content: dict[str, Any] = orjson.loads(answer.read())
        assert answer.status == 200, content
        yield [one["probabilities"] for one in content.get("predictions", [content])]
    connection.close()


def farthest(port: int, features: NDArray[np.uint8], recorded: NDArray[np.float32]) -> list[float]:
    """Return how far the answers are from what was recorded, at most: alone, and together."""

    def alone() -> Iterator[tuple[str, bytes]]:
        return (("application/octet-stream", image.tobytes()) for image in features)

    def together() -> Iterator[tuple[str, bytes]]:
        for start in range(0, len(features), TOGETHER):
            part = {"images": features[start : start + TOGETHER]}
            yield "application/json", orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY)

    found = []
    for bodies in (alone(), together()):
        rows = [list(one.values()) for answers in asked(port, bodies) for one in answers]
        found.append(float(np.abs(np.array(rows, dtype=np.float32) - recorded).max()))
    return found


def exported(folder: Path, features: NDArray[np.uint8]) -> None:
    """Write the trained network of a candidate's folder as `model.pt2`."""
    import torch

    sample = torch.from_numpy(features)
    shapes = ({0: torch.export.Dim("batch")},)
    with torch.no_grad():
        program = torch.export.export(read_trained(folder).eval(), (sample,), dynamic_shapes=shapes)
    pt2.write(program, folder / EXPORTED)


def main(arguments: list[str]) -> int:
    """Serve the candidate in each runtime that it has; return 1 if a limit does not hold."""
    named = [word for word in arguments if word != "--gpu"]
    with tempfile.TemporaryDirectory() as scratch:
        layout = Layout(Path(named[0]).resolve()) if named else made(Path(scratch))
        held = compare(layout, gpu="--gpu" in arguments)
    print("all bars hold" if held else "a bar is BROKEN")
    return 0 if held else 1


def compare(layout: Layout, *, gpu: bool) -> bool:
    """Ask a project's candidate in each runtime; return whether the limits hold."""
    with np.load(layout.evaluation / "predictions.npz", allow_pickle=False) as stored:
        recorded = stored["probabilities"]
    features = read_rows(layout.prepared / "test.npz").features
    held = True
    runs: list[tuple[str, Provider, float]] = [(ONNX, "cpu", 0.0), (EXPORTED, "cpu", ACROSS)]
    if gpu:
        runs.append((ONNX, "cuda", ACROSS))
    for name, provider, bar in runs:
        with tempfile.TemporaryDirectory() as scratch:
            home = Path(scratch) / "serving"
            folder = shutil.copytree(layout.candidate, home / "1")
            if name == EXPORTED:
                (folder / ONNX).unlink()
                exported(folder, features[:2])
            np.savez(folder / "golden.npz", features=features[:8], probabilities=recorded[:8])
            seal.write_manifest(folder)
            point(home, "1")
            with Worker(home, provider=provider) as worker:
                alone, together = farthest(worker.port, features, recorded)
        held = held and max(alone, together) <= bar
        print(
            f"{name}, {provider}: {len(features)} rows, at most {alone:.2g} away alone, "
            f"{together:.2g} {TOGETHER} at a time (bar {bar:g})"
        )
    return held


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
