from __future__ import annotations

import pytest
import torch

from mlops.core import learning, networks
from tests.pictures import image_model


def test_order_is_a_permutation_decided_by_seed_and_epoch() -> None:
    first = learning.epoch_order(50, seed=1, epoch=3)
    assert torch.equal(first.sort().values, torch.arange(50))
    assert torch.equal(first, learning.epoch_order(50, seed=1, epoch=3))
    for other in (learning.epoch_order(50, 1, 4), learning.epoch_order(50, 2, 3)):
        assert not torch.equal(first, other)


@pytest.mark.parametrize(("rows", "size", "steps"), [(10, 4, 2), (3, 8, 1), (8, 4, 2), (1, 4, 1)])
def test_batches_cover_whole_batches_once_and_resume_in_the_middle(
    rows: int, size: int, steps: int
) -> None:
    images, labels = torch.zeros(rows, 2, 2, 1, dtype=torch.uint8), torch.arange(rows)
    order = learning.epoch_order(rows, 0, 0)
    whole = [b.tolist() for _, b in learning.batches(images, labels, order, size)]
    assert len(whole) == steps == learning.batch_count(rows, size)
    assert sum(whole, []) == order[: steps * size].tolist()  # noqa: RUF017 - two short lists
    rest = [b.tolist() for _, b in learning.batches(images, labels, order, size, first=1)]
    assert rest == whole[1:]


def test_schedule_rises_falls_and_never_reaches_zero() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = learning.schedule(optimizer, 100)
    rates = []
    for _ in range(110):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    peak = max(range(110), key=rates.__getitem__)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[peak] == pytest.approx(1.0)
    assert min(rates) > 0.0


def test_augmented_images_keep_type_and_shape_and_move_little() -> None:
    torch.manual_seed(0)
    images = torch.zeros(20, 16, 16, 3, dtype=torch.uint8)
    images[:, 5:11, 5:11] = 200
    varied = learning.augmented(images)
    assert varied.dtype == torch.uint8
    assert varied.shape == images.shape
    assert not torch.equal(varied, images)
    # The bright square is still there: its centre stays bright, the corner dark.
    assert (varied[:, 8, 8] > 100).all()
    assert (varied[:, 0, 0] < 50).all()


def test_score_is_the_mean_over_all_rows_whatever_the_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    model = image_model(networks.SmallCNN(1, 8, 8, 3, 0.5, 0.5), [0.5], [0.2])
    images, labels = torch.randint(0, 256, (70, 8, 8, 1), dtype=torch.uint8), torch.arange(70) % 3
    whole = learning.score(model, images, labels)
    monkeypatch.setattr(learning, "EVALUATION_ROWS", 16)
    chunked = learning.score(model, images, labels)
    assert chunked.accuracy == whole.accuracy
    assert chunked.loss == pytest.approx(whole.loss, rel=1e-5)


def test_weights_of_one_change_no_bit_and_a_weightless_row_teaches_nothing() -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (8, 8, 8, 1), dtype=torch.uint8)
    labels = torch.arange(8) % 2
    model = image_model(networks.SmallCNN(1, 8, 8, 2, 0.25, 0.0), [0.5], [0.2])

    def loss(*weights: torch.Tensor, rows: int = 8) -> float:
        [batch] = (
            learning.batches(
                images[:rows], labels[:rows], torch.arange(rows), rows, weights=weights[0]
            )
            if weights
            else learning.batches(images[:rows], labels[:rows], torch.arange(rows), rows)
        )
        model.eval()
        return float(learning.training_loss(model, *batch, augment=False).detach())

    assert loss(torch.ones(8)) == loss()
    half = torch.tensor([2.0] * 4 + [0.0] * 4)
    assert loss(half) == pytest.approx(loss(rows=4), rel=1e-6)
    assert loss(half) != pytest.approx(loss(), rel=1e-3)
