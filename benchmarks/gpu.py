"""What a GPU brings: a training and a served model on it, beside the same machine's CPU.

Checks that both learn, to validation losses within a tenth of each other (not with `--quick`), and
that a served answer is within 1e-4 of the CPU's. Exits 1 if not, or if there is no GPU or no
runtime for it.

How: for each network a process with the GPU and one without (CUDA_VISIBLE_DEVICES) fit it to the
same pictures, whose classes are places of a bright square; rows per second of the second epoch on.
Then a serving worker each with `provider` cpu and cuda answers connections in a closed loop, with
a CNN of 206,922 parameters and with one 2048 × 2048 matrix 36 times. The CPU has one thread of ONNX
Runtime in serving, as always, and PyTorch's choice of threads in training.

Run: python benchmarks/gpu.py [--quick]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.serving_client import Ask, load
from benchmarks.serving_worker import SHAPE, Worker, cnn_version, heavy_version
from mlops.adapters.onnx_session import Session, lacking
from mlops.serving.config import Limits
from tests.serving.tiny import images, point

if TYPE_CHECKING:
    from numpy.typing import NDArray

NETWORKS = {
    "small CNN, 28 × 28": ("mlops.core.networks.SmallCNN", 28, 1, 40_000),
    "ResNet-18, 32 × 32": ("benchmarks.gpu_networks.ResNet18", 32, 3, 8_000),
}
"""Name → class path, side, channels, rows."""
EPOCHS, BATCH = 4, 256
SERVED = {"CNN of 206,922 parameters": cnn_version, "2048 × 2048, 36 times": heavy_version}
CONNECTIONS = {1: 64, 32: 16, 256: 4}
"""Rows of a request → how many ask at once."""
PATIENT = Limits(wait_s=60.0, deadline_s=60.0)
"""Nobody is turned away: a CPU that is slow shall be measured, not refuse."""
FAR, NEAR = 1e-4, 0.1
LEARNT = 1.5  # nats; guessing among nine places costs 2.2, and a tenth of the labels lies


def trained(path: str, side: int, channels: int, rows: int) -> dict[str, float]:
    """Fit in this process, where the adapter would; return rows per second and what came out."""
    import torch

    from mlops.adapters import lightning
    from mlops.adapters.device import device
    from mlops.core import learning, networks
    from mlops.core.schema import ImageSchema
    from tests.pictures import image_model

    torch.manual_seed(3)
    schema = ImageSchema(tuple("abcdefghi"), side, side, channels)
    network = networks.build(path, schema, width_factor=1.0, dropout=0.1)
    pictures, labels = squares(rows, side, channels)
    held = rows // 8
    sides = [
        lightning.Examples(torch.from_numpy(pictures[part]), torch.from_numpy(labels[part]))
        for part in (slice(held, None), slice(held))
    ]
    hyper = learning.Hyperparameters(2e-3, 1e-3, dropout=0.1, width_factor=1.0)
    plan = lightning.Plan(hyper, EPOCHS, EPOCHS, BATCH, seed=7, augment=True)
    model = image_model(network, [0.3] * channels, [0.3] * channels)
    with tempfile.TemporaryDirectory() as folder:
        fitted = lightning.fit(model, sides[0], sides[1], plan, Path(folder))
    pace = float(np.median([e.seconds for e in fitted.history[1:]]))
    memory = torch.cuda.max_memory_allocated() / 1e6 if device().type == "cuda" else 0.0
    loss = fitted.history[-1].validation_loss
    return {"rows_s": (rows - held) / pace, "loss": loss, "memory_mb": memory}


def squares(rows: int, side: int, channels: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return noise with a bright square in one of nine places, and the place; a tenth lies."""
    rng = np.random.default_rng(5)
    places = rng.integers(0, 9, rows)
    pictures = rng.integers(0, 120, (rows, side, side, channels), dtype=np.uint8)
    for picture, place in zip(pictures, places, strict=True):
        top, left = (side // 3 * n for n in divmod(int(place), 3))
        picture[top : top + 5, left : left + 5] += 60
    return pictures, np.where(rng.random(rows) < 0.1, rng.integers(0, 9, rows), places)


def _apart(name: str, rows: int, *, gpu: bool) -> dict[str, float]:
    """Train in a process that sees a GPU, or none."""
    hidden = {} if gpu else {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, __file__, "--train", name, str(rows)], check=True,
        env=os.environ | hidden | {"MLOPS_LOG_LEVEL": "error"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def training(*, quick: bool) -> bool:
    """Print a line for each network; return whether both devices train alike."""
    alike = True
    print(
        "| training | CPU, rows/s | GPU, rows/s | times | GPU memory, MB | losses |\n" + "|---" * 6
    )
    for name, (_, _, _, rows) in NETWORKS.items():
        rows = rows // 20 if quick else rows  # noqa: PLW2901 - the same number, smaller
        cpu, gpu = _apart(name, rows, gpu=False), _apart(name, rows, gpu=True)
        low, high = sorted((cpu["loss"], gpu["loss"]))
        alike = alike and (quick or (high < LEARNT and high - low <= NEAR * high))
        print(
            f"| {name} | {cpu['rows_s']:,.0f} | {gpu['rows_s']:,.0f} | "
            f"{gpu['rows_s'] / cpu['rows_s']:.1f} | {gpu['memory_mb']:.0f} | "
            f"{cpu['loss']:.4f}, {gpu['loss']:.4f} |", flush=True,
        )  # fmt: skip
    return alike


def serving(*, quick: bool) -> bool:
    """Print a line for each model and size of request; return whether the answers agree."""
    import uvloop

    near = True
    print("\n| serving | rows | CPU, requests/s | p50 ms | GPU, requests/s | p50 ms | farthest |")
    print("|---" * 7 + "|")
    for name, make in SERVED.items():
        with tempfile.TemporaryDirectory() as scratch:
            home = Path(scratch) / "serving"
            make(home, "1")
            point(home, "1")
            far = farthest(home / "1" / "model.onnx")
            near = near and far <= FAR
            with (
                Worker(home, PATIENT, provider="cpu") as cpu,
                Worker(home, PATIENT, provider="cuda") as gpu,
            ):
                for rows, many in CONNECTIONS.items():
                    body = images(rows, shape=SHAPE).tobytes()
                    ask = Ask("/predict", "application/octet-stream", body, rows)
                    cells = ""
                    for worker in (cpu, gpu):
                        uvloop.run(load(worker.port, ask, 0.5, many))
                        seconds = 0.5 if quick else 4.0
                        seen_s, took_s = uvloop.run(load(worker.port, ask, seconds, many))
                        cells += f" {len(seen_s) / took_s:,.0f} | {np.median(seen_s) * 1e3:.1f} |"
                    print(f"| {name} | {rows} |{cells} {far:.1g} |", flush=True)
    return near


def farthest(path: Path) -> float:
    """Return how far the GPU's answers are from the CPU's, at most."""
    rows = images(512, 5, SHAPE)
    cpu, gpu = (Session(path, provider=p).probabilities(rows) for p in ("cpu", "cuda"))
    assert cpu.std(axis=0).min() > 0.005, "answers that hardly differ are near each other anyway"
    return float(np.abs(cpu - gpu).max())


def main(arguments: list[str]) -> int:
    """Measure, print, and return 1 if the devices disagree."""
    if arguments[:1] == ["--train"]:
        made = trained(*NETWORKS[arguments[1]][:3], int(arguments[2]))
        print(json.dumps(made))
        return 0
    if lacks := lacking():
        print(f"no GPU to measure: {lacks}")
        return 1
    quick = "--quick" in arguments
    alike, near = training(quick=quick), serving(quick=quick)
    print("both agree" if alike and near else "CPU and GPU DISAGREE")
    return 0 if alike and near else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
