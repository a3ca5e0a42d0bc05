"""Rounding a real ONNX file to eight bits: kept where it is cheap, and only there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.adapters.int8 import round_model
from mlops.adapters.onnx_session import Session
from mlops.adapters.snapshot import Rows
from tests.serving.tiny import images, write_model

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (12, 12, 1)


def _rows(path: Path, count: int) -> Rows:
    """Return rows whose labels are what the model says, so that any other answer is a loss."""
    features = images(count, 1, SHAPE)
    label = Session(path).probabilities(features).argmax(axis=1)
    blank = np.array([""] * count)
    return Rows(
        features, label, blank, np.arange(count, dtype=np.uint64), np.full(count, np.nan),
        np.zeros(count, bool), blank,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model.onnx", 0, SHAPE)
    return tmp_path


def test_the_kept_file_is_smaller_says_so_and_answers_alike_in_any_batch(folder: Path) -> None:
    path = folder / "model.onnx"
    held, before = _rows(path, 300), path.read_bytes()
    whole = Session(path).probabilities(held.features)
    found = round_model(folder, images(100, 2, SHAPE), held, 0.2)
    assert found.kept
    assert found.size_bytes == (len(before), path.stat().st_size)
    session = Session(path)
    assert session.runs_on == "ONNX Runtime, CPU, int8"
    answers = session.probabilities(held.features)
    assert found.loss.gap == pytest.approx(np.abs(answers - whole).max())
    assert 0.0 < found.loss.gap < 0.4
    assert found.loss.value == np.mean(answers.argmax(1) != held.label)
    alone = np.concatenate([session.probabilities(held.features[n : n + 1]) for n in range(20)])
    assert np.array_equal(alone, answers[:20])
    assert found.words(0.2).startswith("int8: costs ")
    assert "of the size" in found.words(0.2)


def test_what_may_cost_too_much_leaves_the_file_as_it_was(folder: Path) -> None:
    path = folder / "model.onnx"
    before = path.read_bytes()
    found = round_model(folder, images(100, 2, SHAPE), _rows(path, 60), 0.001)
    assert not found.kept
    assert path.read_bytes() == before
    assert Session(path).runs_on == "ONNX Runtime, CPU"
    assert found.words(0.001).startswith("int8 not taken: it may cost")
    assert "train.int8 allows 0.1 %" in found.words(0.001)
