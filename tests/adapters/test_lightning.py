from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import structlog
import torch
from sklearn.datasets import load_digits
from structlog.testing import capture_logs

from mlops.adapters import checkpoints, keeper, lightning
from mlops.core import learning, networks
from mlops.errors import StepError
from tests.pictures import image_model

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event
    from pathlib import Path

HYPER = learning.Hyperparameters(3e-3, 1e-3, dropout=0.3, width_factor=0.5)
PLAN = lightning.Plan(HYPER, 5, 9, batch_size=32, seed=7, augment=True, threads=1)


def data() -> tuple[lightning.Examples, lightning.Examples]:
    found = load_digits()
    images = torch.from_numpy((found.images[..., None] * 15).astype("uint8"))
    labels = torch.from_numpy(found.target.astype("int64"))
    return (
        lightning.Examples(images[:320], labels[:320]),
        lightning.Examples(images[320:420], labels[320:420]),
    )


def train(
    folder: Path, plan: lightning.Plan = PLAN
) -> tuple[dict[str, torch.Tensor], lightning.Fitted]:
    torch.manual_seed(1)
    network = networks.SmallCNN(1, 8, 8, 10, 0.5, 0.3)
    model = image_model(network, [0.3], [0.37])
    fitted = lightning.fit(model, *data(), plan, folder)
    return model.state_dict(), fitted


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, torch.Tensor], lightning.Fitted]:
    return train(tmp_path_factory.mktemp("whole"))


def losses(fitted: lightning.Fitted) -> list[tuple[float, float]]:
    return [(e.train_loss, e.validation_loss) for e in fitted.history]


def assert_same(
    found: tuple[dict[str, torch.Tensor], lightning.Fitted],
    expected: tuple[dict[str, torch.Tensor], lightning.Fitted],
) -> None:
    # The sum of the losses is rounded when it is saved; the weights are not.
    assert np.allclose(losses(found[1]), losses(expected[1]), atol=1e-6)
    for name, tensor in expected[0].items():
        assert torch.equal(found[0][name], tensor), name


def test_training_learns_and_reports_every_epoch(
    whole: tuple[dict[str, torch.Tensor], lightning.Fitted],
) -> None:
    _, fitted = whole
    assert [e.epoch for e in fitted.history] == [1, 2, 3, 4, 5]
    assert fitted.validation_loss == min(e.validation_loss for e in fitted.history)
    assert fitted.history[-1].validation_accuracy > 0.6
    assert fitted.history[-1].train_loss < fitted.history[0].train_loss


class Odd(networks.SmallCNN):
    """One with an operation that has no deterministic kernel, as PyTorch says it on a GPU."""

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        warnings.warn("odd_cuda does not have a deterministic implementation. Or", stacklevel=1)
        warnings.warn("a tip of no use", stacklevel=1)
        return super().forward(x_NCHW)


def test_what_would_not_be_the_same_twice_is_said(tmp_path: Path) -> None:
    structlog.reset_defaults()  # an earlier test may have asked for errors only
    model = image_model(Odd(1, 8, 8, 10, 0.5, 0.3), [0.3], [0.37])
    with capture_logs() as logs:
        lightning.fit(model, *data(), replace(PLAN, epochs=1), tmp_path)
    assert [log["why"] for log in logs if log["log_level"] == "warning"] == [
        "odd_cuda does not have a deterministic implementation"
    ]


def test_the_same_seed_gives_the_same_weights(
    whole: tuple[dict[str, torch.Tensor], lightning.Fitted], tmp_path: Path
) -> None:
    assert_same(train(tmp_path), whole)


@pytest.mark.parametrize(("epoch", "batch"), [(0, 2), (2, 0), (3, 9), (4, 5)])
def test_sigterm_saves_and_a_resumed_run_ends_with_the_same_weights(
    epoch: int,
    batch: int,
    whole: tuple[dict[str, torch.Tensor], lightning.Fitted],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = learning.training_loss
    calls = []

    def interrupted(*args: object, **kwargs: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == epoch * 10 + batch + 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*args, **kwargs)  # type: ignore[arg-type]

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(learning, "training_loss", interrupted)
        with pytest.raises(StepError, match=r"stopped by SIGTERM .* run it again: mlops train"):
            train(tmp_path)
    assert len(calls) == epoch * 10 + batch + 1  # stopped within one step
    assert signal.getsignal(signal.SIGTERM) == before
    assert_same(train(tmp_path), whole)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    whole: tuple[dict[str, torch.Tensor], lightning.Fitted], tmp_path: Path
) -> None:
    train(tmp_path)
    kept = sorted(tmp_path.glob("*.ckpt"))
    assert len(kept) == keeper.KEPT
    content = bytearray(kept[-1].read_bytes())
    content[len(content) // 2] ^= 1
    kept[-1].write_bytes(bytes(content))
    kept[-2].write_bytes(kept[-2].read_bytes()[:-100])
    assert checkpoints.newest_whole(tmp_path) == kept[-3]
    assert_same(train(tmp_path), whole)


def test_a_finished_run_is_not_trained_again(
    whole: tuple[dict[str, torch.Tensor], lightning.Fitted],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train(tmp_path)

    def refuse(*_: object, **__: object) -> torch.Tensor:
        raise AssertionError("trained again")

    monkeypatch.setattr(learning, "training_loss", refuse)
    assert_same(train(tmp_path), whole)


def test_training_stops_early_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    wild = learning.Hyperparameters(0.5, 0.0, 0.0, 0.5)  # so high that the loss jumps about
    plan = lightning.Plan(wild, 30, 2, batch_size=32, seed=7, augment=False, threads=1)
    _, fitted = train(tmp_path, plan)
    assert len(fitted.history) == fitted.best_epoch + 2 < 30


def test_it_trains_outside_the_main_thread(
    whole: tuple[dict[str, torch.Tensor], lightning.Fitted], tmp_path: Path
) -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(train(tmp_path)))
    thread.start()
    thread.join(60)
    assert_same(found[0], whole)


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    train_rows, validation = data()
    one = lightning.Examples(train_rows.features[:1], train_rows.labels[:1])
    model = image_model(networks.SmallCNN(1, 8, 8, 10), [0.3], [0.37])
    with pytest.raises(StepError, match="1 training and 100 validation rows"):
        lightning.fit(model, one, validation, PLAN, tmp_path)


def save_for_ever(folder: Path, ready: Event) -> None:
    torch.set_num_threads(1)  # a forked process has no other threads
    tensor = torch.arange(100_000, dtype=torch.float32)
    for n in range(100_000):
        content = {"n": n, "w": tensor + n}
        checkpoints.AtomicCheckpoints().save_checkpoint(content, folder / f"e-{n:06d}.ckpt")
        checkpoints.keep_newest(folder, 3)
        ready.set()


def kill_a_saver(folder: Path, rng: random.Random) -> int:
    """Kill a process at a random moment of saving; return the newest whole checkpoint's number."""
    context = multiprocessing.get_context("fork")  # a fresh one would import Lightning each time
    ready = context.Event()
    process = context.Process(target=save_for_ever, args=(folder, ready))
    process.start()
    assert ready.wait(30)
    time.sleep(rng.uniform(0.0, 0.1))
    process.kill()
    process.join()
    newest = checkpoints.newest_whole(folder)
    assert newest is not None
    content = checkpoints.AtomicCheckpoints().load_checkpoint(newest)
    assert torch.equal(content["w"], torch.arange(100_000, dtype=torch.float32) + content["n"])
    assert not list(folder.glob(".*.tmp"))
    return int(content["n"])


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.bench)])
def test_sigkill_while_saving_leaves_a_whole_checkpoint(kills: int, tmp_path: Path) -> None:
    rng = random.Random(1)  # noqa: S311 - moments to kill at, no secret
    for kill in range(kills):
        (tmp_path / str(kill)).mkdir()
        assert kill_a_saver(tmp_path / str(kill), rng) >= 0
