from __future__ import annotations

import json
import multiprocessing
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import optuna as adapter
from mlops.errors import StepError

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event
    from pathlib import Path

    from mlops.core.learning import Hyperparameters

SPACE = adapter.Search(
    trials=6, minutes=1.0, seed=7, learning_rate=(1e-4, 1e-1), weight_decay=(1e-5, 1e-2),
    dropout=(0.0, 0.5), width_factor=(0.5, 1.0),
)  # fmt: skip


def distance(chosen: Hyperparameters, number: int, tell: adapter.Report) -> float:
    """Be lowest at dropout 0.2; report three epochs."""
    loss = abs(chosen.dropout - 0.2)
    for epoch in (1, 2, 3):
        if tell(epoch, loss + 1.0 / epoch):
            raise adapter.Pruned
    return loss


def test_it_finds_the_best_of_its_trials_and_lists_all(tmp_path: Path) -> None:
    found = adapter.search(distance, SPACE, tmp_path / "study.jsonl")
    assert len(found.trials) == 6
    done = [t for t in found.trials if t.state == "complete"]
    assert found.loss == min(t.loss for t in done if t.loss is not None)
    assert found.loss == pytest.approx(abs(found.best.dropout - 0.2))
    assert 1e-4 <= found.best.learning_rate <= 1e-1
    assert {t.state for t in found.trials} <= {"complete", "pruned"}


def test_a_finished_search_is_only_read(tmp_path: Path) -> None:
    first = adapter.search(distance, SPACE, tmp_path / "study.jsonl")

    def refuse(*_: object) -> float:
        raise AssertionError("tried again")

    assert adapter.search(refuse, SPACE, tmp_path / "study.jsonl") == first


def test_a_resumed_search_draws_new_points(tmp_path: Path) -> None:
    adapter.search(distance, replace(SPACE, trials=2), tmp_path / "study.jsonl")
    found = adapter.search(distance, SPACE, tmp_path / "study.jsonl")
    assert len(found.trials) == 6
    assert len({t.dropout for t in found.trials}) == 6


def test_bad_trials_are_pruned(tmp_path: Path) -> None:
    def worse(chosen: Hyperparameters, number: int, tell: adapter.Report) -> float:
        del chosen
        for epoch in (1, 2, 3, 4):
            if tell(epoch, float(number)):
                raise adapter.Pruned
        return float(number)

    found = adapter.search(worse, SPACE, tmp_path / "study.jsonl")
    assert [t.state for t in found.trials] == ["complete"] * 3 + ["pruned"] * 3


def test_time_ends_the_search_once_a_trial_has_finished(tmp_path: Path) -> None:
    found = adapter.search(distance, replace(SPACE, minutes=1e-9), tmp_path / "study.jsonl")
    assert [t.state for t in found.trials] == ["complete"]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_search_without_a_finite_loss_fails(loss: float, tmp_path: Path) -> None:
    with pytest.raises(StepError, match="none of 6 trials finished"):
        adapter.search(lambda *_: loss, SPACE, tmp_path / "study.jsonl")


def hang(journal: Path, started: Event) -> None:
    def objective(chosen: Hyperparameters, number: int, tell: adapter.Report) -> float:
        del chosen
        tell(1, 5.0)
        if number >= 1:
            started.set()
            time.sleep(60)
        return 5.0

    adapter.search(objective, SPACE, journal)


def kill_a_search(journal: Path) -> None:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=hang, args=(journal, started))
    process.start()
    assert started.wait(30)
    process.kill()
    process.join()


def test_a_killed_trial_is_failed_and_tried_again_three_times_at_most(tmp_path: Path) -> None:
    journal = tmp_path / "study.jsonl"
    for _ in range(5):
        kill_a_search(journal)
        # What a kill in the middle of a write leaves: half a line, and a lock.
        with journal.open("ab") as stream:
            stream.write(b'{"op_code": 4, "worker')
        (tmp_path / "study.jsonl.lock").symlink_to(journal)
    found = adapter.search(distance, SPACE, journal)
    failed = [t for t in found.trials if t.state == "fail"]
    assert len(failed) == 5
    # The first and its three retries share their point; then it is given up.
    assert len({t.dropout for t in failed[:4]}) == 1
    assert failed[4].dropout != failed[0].dropout
    states = [t.state for t in found.trials]
    assert "running" not in states
    assert "waiting" not in states
    assert states.count("complete") + states.count("pruned") == 6


def test_mending_cuts_only_a_torn_line(tmp_path: Path) -> None:
    journal = tmp_path / "study.jsonl"
    adapter.search(distance, replace(SPACE, trials=1), journal)
    whole = journal.read_bytes()
    adapter.mend(journal)
    assert journal.read_bytes() == whole
    journal.write_bytes(whole + b'{"half": ')
    adapter.mend(journal)
    assert journal.read_bytes() == whole
    assert all(json.loads(line) for line in whole.splitlines())
