"""Races: a slow challenger is found whatever its share, and an equal one is left alone."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from mlops.core.sequential import Tally, compare
from mlops.serving.race import Race, slower
from mlops.serving.split import Split
from mlops.serving.tallies import Side, Sides, read_sides
from tests.serving.kinds import RECORDS, TABLE, TinyModel, serving

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ALPHA, MARGIN = 0.005, 0.05
FIXED_S, ROW_S = 0.0005, 0.0002


class Paced(TinyModel):
    """A tiny model that takes its time: so much for a batch, and so much for each row of it."""

    def __init__(self, version: str, fixed_s: float = 0.0, row_s: float = 0.0) -> None:
        super().__init__(TABLE, version)
        self._fixed_s, self._each_s, self.calls = fixed_s, row_s, 0

    def predict(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        self.calls += 1
        time.sleep(self._fixed_s + self._each_s * len(rows))
        return super().predict(rows)


def _since(before: Sides) -> tuple[Tally, Tally]:
    sides = read_sides()
    champion, challenger = (sides[arm].since(before[arm]).slowness() for arm in sides)
    return champion, challenger


@pytest.mark.parametrize(
    ("champion_s", "challenger_s", "slow"),
    [(0.003, 0.003, None), (0.003, 0.0059, None), (0.003, 0.0061, "challenger"),
     (0.0061, 0.003, "champion"), (0.0001, 0.0005, None), (0.0001, 0.0007, "challenger"),
     (0.0007, 0.0001, "champion"), (0.0, 0.0, None)],
)  # fmt: skip
def test_slow_is_twice_the_others_time_and_noticeable(
    champion_s: float, challenger_s: float, slow: str | None
) -> None:
    assert slower(champion_s, challenger_s) == slow


def _raced(factor: float, races: int, random: np.random.Generator) -> list[str | None]:
    """Return who was slow in races of a noisy machine: pauses, and batches of all sizes."""
    rows = random.integers(1, 65, races)

    def took_s(times: float) -> NDArray[np.float64]:
        pause_s = np.where(random.random(races) < 0.2, random.exponential(0.02, races), 0.0)
        own_s = (FIXED_S + ROW_S * rows * times) * random.lognormal(0.0, 0.4, races)
        return np.asarray(own_s + pause_s)

    return [slower(*pair) for pair in zip(took_s(1.0), took_s(factor), strict=True)]


def _rolled_back(slow: list[str | None], every: int = 10) -> bool:
    """Say whether a canary that is looked at every few races is ever found worse."""
    for n in range(every, len(slow) + 1, every):
        tallies = [Tally(slow[:n].count(arm), n) for arm in ("champion", "challenger")]
        if compare(*tallies, alpha=ALPHA, margin=0.0).worse:  # the guarantee needs no margin
            return True
    return False


def test_an_equal_challenger_is_rolled_back_no_more_often_than_stated() -> None:
    random = np.random.default_rng(7)
    slow = [_raced(1.0, 400, random) for _ in range(150)]
    assert 0.1 < np.mean([who is not None for one in slow for who in one]) < 0.4  # noise there is
    assert sum(map(_rolled_back, slow)) <= 3  # of 150 at .005; more has probability .007


def test_a_challenger_slow_in_every_row_is_found_through_the_noise() -> None:
    random = np.random.default_rng(8)
    assert all(_rolled_back(_raced(15.0, 60, random)) for _ in range(50))


def _race(champion: Any, challenger: Any, batches: int) -> tuple[Tally, Tally]:
    """Hold races on the same batch, one after the other."""
    before, race = read_sides(), Race()
    rows: Any = np.zeros((16, *TABLE.shape))
    for _ in range(batches):
        race._next_s = 0.0  # not only for a twentieth of the time
        race.offer([rows[:7], rows[7:]], champion, challenger)
        end_s = time.monotonic() + 5
        while race._next_s == float("inf"):
            assert time.monotonic() < end_s
            time.sleep(0.001)
    return _since(before)


@pytest.mark.parametrize(
    ("fixed_s", "row_s", "worse"),
    [(0.002, 0.0005, False), (0.002, 0.005, True), (0.02, 0.0005, True)],
    ids=["equal", "each row", "each batch"],
)
def test_both_score_the_same_rows(fixed_s: float, row_s: float, worse: bool) -> None:
    champion, challenger = Paced("1", 0.002, 0.0005), Paced("2", fixed_s, row_s)
    old, new = _race(champion, challenger, 16)
    assert old.n == new.n == 16
    assert compare(old, new, alpha=ALPHA, margin=MARGIN).worse == worse
    assert champion.calls == challenger.calls == 32


def test_races_take_a_small_share_of_the_time_and_one_is_on_at_a_time() -> None:
    champion: Any = Paced("1", 0.01)
    challenger: Any = Paced("2", 0.01)
    rows: Any = np.zeros((1, *TABLE.shape))
    before, race, end_s = read_sides(), Race(), time.monotonic() + 1.0
    while time.monotonic() < end_s:
        race.offer([rows], champion, challenger)
        time.sleep(0.001)
    old, _ = _since(before)
    assert 1 <= old.n <= 2  # forty milliseconds each, so one every eight tenths of a second


def test_who_fails_has_no_time_and_the_next_race_is_held() -> None:
    champion: Any = Paced("1")
    challenger: Any = Paced("2")
    rows: Any = np.zeros((1, *TABLE.shape))
    before, race, honest = read_sides(), Race(), challenger.predict
    failed = threading.Event()

    def fail(_rows: NDArray[Any]) -> NDArray[np.float32]:
        failed.set()
        raise MemoryError("too large")

    challenger.predict = fail
    race.offer([rows], champion, challenger)
    assert failed.wait(5)
    challenger.predict = honest
    end_s = time.monotonic() + 5
    while not _since(before)[0].n:
        assert time.monotonic() < end_s
        race.offer([rows], champion, challenger)
        time.sleep(0.002)


def test_a_slow_challenger_of_a_small_share_is_seen_in_service(tmp_path: Path) -> None:
    """One request in twenty is its, so that its batches are small; each of its rows is slow."""
    champion, challenger = Paced("1", 0.0005, 0.0001), Paced("2", 0.0005, 0.0015)
    before: Sides = read_sides()
    with serving(tmp_path, champion) as server, httpx.Client(base_url=server.url) as client:
        server.app.batcher.compete(challenger, Split(0.05, "2"))  # type: ignore[arg-type]
        end_s = time.monotonic() + 20
        while _since(before)[1].n < 3:
            assert time.monotonic() < end_s
            assert client.post("/predict", json={"rows": RECORDS * 2}).is_success
        server.app.batcher.compete(None)
    old, new = _since(before)
    assert new.bad - old.bad >= 2


def test_counts_that_began_anew_are_all_new() -> None:
    side = Side(failed=1, n=5, slow=2, races=9)
    assert side.since(Side(failed=1, n=3, slow=1, races=4)) == Side(0, 2, 1, 5)
    assert side.since(Side(n=3, races=10)) == side
