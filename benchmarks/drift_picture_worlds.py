"""Data sets of pictures as a monitor sees them: a small network, its answers and its embedding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters import onnx
from mlops.adapters.embedding import FILE, read_embedding, write_embedding
from mlops.adapters.onnx_session import Session
from mlops.core.columns import Columns, columns
from mlops.core.schema import ImageSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

FITTED, FOUND = 6000, 1000
"""Pictures that the network is fitted on, and that the embedding's directions are found on."""
_EPOCHS = 4
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class World:
    """A data set's held-out pictures as a monitor sees them.

    Attributes:
        name: of the data set.
        images: uint8, (N, H, W, C); the reference first.
        label: int64, (N,).
        seen: their columns, the embedding's last.
        folder: of the model.
        schema: of the pictures.
    """

    name: str
    images: NDArray[np.uint8]
    label: NDArray[np.int64]
    seen: Columns
    folder: Path
    schema: ImageSchema

    def see(self, images: NDArray[np.uint8]) -> Columns:
        """Return the columns of pictures."""
        return see(images, self.folder, self.schema)


def see(images: NDArray[np.uint8], folder: Path, schema: ImageSchema) -> Columns:
    """Return the columns of pictures, the embedding's last."""
    answers, embedding = (
        Session(folder / "model.onnx").probabilities(images),
        read_embedding(folder),
    )
    if embedding is None:
        raise SystemExit(f"{folder / FILE}: the network has no last linear layer")
    return columns(images, answers, schema).join(embedding.names, embedding.of(images))


def fashion(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read Fashion-MNIST's test and some training pictures."""
    from mlops.adapters.sources.fashion_mnist import load
    from mlops.params.data import DataSection

    found = load(DataSection(source="fashion_mnist", path=str(folder)), _ROOT)
    return found.values, found.labels


def cifar(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read 16,000 of CIFAR-10's training pictures from sheets of 25 × 40."""
    from PIL import Image

    sheets = [folder / f"train_{n:02d}.webp" for n in range(16)]
    found = [np.asarray(Image.open(sheet).convert("RGB")) for sheet in sheets]
    tiles = [s.reshape(25, 32, 40, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3) for s in found]
    with np.load(folder / "labels_names.npz") as stored:
        return np.concatenate(tiles), stored["y_train"][: 1000 * len(tiles)].astype(np.int64)


def make(name: str, images: NDArray[np.uint8], label: NDArray[np.int64], folder: Path) -> World:
    """Fit a network, export it, and look at the pictures that it was not fitted on."""
    import torch

    from mlops.core import networks
    from mlops.core.learning import batches, epoch_order, training_loss
    from mlops.core.preprocessing import with_preprocessing
    from mlops.core.statistics import Statistics

    torch.set_num_threads(1)
    torch.manual_seed(0)
    order = np.random.default_rng(0).permutation(len(images))[:16_000]
    images, label = images[order], label[order]
    schema = ImageSchema(tuple(map(str, range(10))), *images.shape[1:])
    unit = images[:FITTED] / 255.0
    told = (tuple(map(float, m)) for m in (unit.mean(axis=(0, 1, 2)), unit.std(axis=(0, 1, 2))))
    network = networks.build(networks.AUTO, schema, width_factor=1.0, dropout=0.1)
    model = with_preprocessing(network, Statistics(*told), schema)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    x, y = torch.from_numpy(images[:FITTED]), torch.from_numpy(label[:FITTED])
    model.train()
    for epoch in range(_EPOCHS):
        for part in batches(x, y, epoch_order(FITTED, 0, epoch), 64):
            optimiser.zero_grad()
            training_loss(model, *part, augment=False).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    onnx.export(model, images[:64], schema, folder / "model.onnx", 1e-3)
    write_embedding(folder, images[FITTED : FITTED + FOUND])
    held = images[FITTED + FOUND :]
    return World(
        name, held, label[FITTED + FOUND :], see(held, folder, schema), folder, schema
    )  # fmt: skip
