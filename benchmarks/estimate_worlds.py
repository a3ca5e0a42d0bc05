"""Regressions that are estimated without labels: one made up, two of real data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.backtest_streams import trips
from mlops.core.columns import columns
from mlops.core.quality import errors, hits
from mlops.core.schema import QUANTILES, Column, TableSchema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops.core.columns import Columns

CLEAN, SHIFTED, HIDDEN = "clean", "shifted", "hidden noise"
_LOUDER = 1.8  # hidden noise, times the model's own errors
_SHIFTED_SHARE = 0.9  # of the rows of a shifted window
_LATER = (("2018-07 to 12", "2018-07", "2018-12"), ("2020-04 to 06", "2020-04", "2020-06"))


@dataclass(frozen=True)
class Drawn:
    """Rows as the monitor sees them, which the model got right, and how far off it was."""

    rows: Columns
    right: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class World:
    """A regression in service.

    Attributes:
        name: of it.
        kinds: of windows that it has.
        begin: draws a reference of so many rows, and returns what draws windows of a kind.
        follows: whether it is claimed that the estimate follows its shift.
    """

    name: str
    kinds: tuple[str, ...]
    begin: Callable[[np.random.Generator, int], tuple[Drawn, Callable[[str, int], Drawn]]]
    follows: bool = False


def made_up(tail: float | None = None) -> World:
    """Return ten numbers of which one brings noise; the model believes in the same noise always.

    Args:
        tail: degrees of freedom of Student's t, of which the noise is drawn in the normal's place.
    """
    schema = TableSchema((), tuple(Column(f"x{n}", "number") for n in range(10)))

    def draw(rng: np.random.Generator, rows: int, kind: str) -> Drawn:
        x = rng.normal(size=(rows, 10))
        x[:, 0] += float(kind == SHIFTED)
        middle = x.sum(axis=1)
        drawn = rng.normal(size=rows) if tail is None else rng.standard_t(tail, rows)
        off = np.exp(0.5 * x[:, 0]) * drawn
        off *= _LOUDER if kind == HIDDEN else 1.0
        answers = (middle[:, None] + [-1.9, 0.0, 1.9]).astype(np.float32)
        return _drawn(x, answers, middle + off, schema)

    def begin(rng: np.random.Generator, rows: int) -> tuple[Drawn, Callable[[str, int], Drawn]]:
        return draw(rng, rows, CLEAN), lambda kind, count: draw(rng, count, kind)

    name = "made up" if tail is None else "heavy tail"
    return World(name, (CLEAN, SHIFTED, HIDDEN), begin, follows=True)


@dataclass(frozen=True)
class _Served:
    """Real rows that a model answered.

    Attributes:
        x: features.
        answers: quantiles.
        y: targets.
        usual: places of rows of which references and clean windows are drawn.
        others: by the kind of a window, of the rows that it is full of, and their share in it.
    """

    x: np.ndarray
    answers: np.ndarray
    y: np.ndarray
    usual: np.ndarray
    others: dict[str, tuple[np.ndarray, float]]

    def begin(
        self, rng: np.random.Generator, rows: int
    ) -> tuple[Drawn, Callable[[str, int], Drawn]]:
        """Draw a reference, and windows of rows that are not in it."""
        mixed = rng.permutation(self.usual)
        reference, rest = mixed[:rows], mixed[rows:]

        def window(kind: str, count: int) -> Drawn:
            places, share = self.others.get(kind, (rest, 0.0))
            many = round(share * count)
            other = rng.choice(np.setdiff1d(places, reference), many, replace=False)
            at = np.concatenate([rng.choice(rest, count - many, replace=False), other])
            return self._of(at, _LOUDER if kind == HIDDEN else 1.0)

        return self._of(reference), window

    def _of(self, at: np.ndarray, louder: float = 1.0) -> Drawn:
        schema = TableSchema((), tuple(Column(f"x{n}", "number") for n in range(self.x.shape[1])))
        middle = self.answers[at, 1]
        return _drawn(self.x[at], self.answers[at], middle + louder * (self.y[at] - middle), schema)


def housing(folder: Path) -> World:
    """Return California's districts, of which model and reference saw few that lie inland.

    Args:
        folder: with `housing.csv.gz`.
    """
    table = pd.read_csv(folder / "housing.csv.gz")
    inland = (table.pop("ocean_proximity") == "INLAND").to_numpy()
    y = table.pop("median_house_value").to_numpy(dtype=np.float64)
    x = table.fillna(0.0).to_numpy(dtype=np.float64)
    rng = np.random.default_rng(0)
    kept = ~inland | (rng.random(len(y)) < 0.1)
    fitted = kept & (rng.random(len(y)) < 0.5)
    others = {SHIFTED: (np.flatnonzero(inland & ~fitted), _SHIFTED_SHARE)}
    served = _Served(x, _answers(x, y, fitted), y, np.flatnonzero(kept & ~fitted), others)
    return World("housing", (CLEAN, SHIFTED, HIDDEN), served.begin)


def taxi(folder: Path) -> World:
    """Return the minutes of New York's taxi trips; the model and its reference are of early 2018.

    Args:
        folder: with `yellow_YYYY-MM.parquet`.
    """
    table = trips(folder)
    month = pd.to_datetime(table.pop("at"), unit="s").dt.strftime("%Y-%m").to_numpy()
    y = table.pop("minutes").to_numpy(dtype=np.float64)
    x = table.to_numpy(dtype=np.float64)
    fitted, usual = month <= "2018-03", (month > "2018-03") & (month <= "2018-06")
    long = table["distance"].to_numpy() > table["distance"].quantile(0.9)
    others = {SHIFTED: (np.flatnonzero(usual & long), _SHIFTED_SHARE)}
    for name, first, last in _LATER:
        others[name] = (np.flatnonzero((first <= month) & (month <= last)), 1.0)
    served = _Served(x, _answers(x, y, fitted), y, np.flatnonzero(usual), others)
    return World("taxi", (CLEAN, HIDDEN, *others), served.begin)


def _answers(x: np.ndarray, y: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Return the quantiles of boosted trees, in order where they cross."""
    from sklearn.ensemble import HistGradientBoostingRegressor as Trees

    told = [
        Trees(loss="quantile", quantile=q, random_state=0).fit(x[fitted], y[fitted]).predict(x)
        for q in QUANTILES
    ]
    return np.sort(np.column_stack(told).astype(np.float32), axis=1)


def _drawn(x: np.ndarray, answers: np.ndarray, target: np.ndarray, schema: TableSchema) -> Drawn:
    right = hits(target, answers, regression=True).astype(np.float64)
    return Drawn(columns(x, answers, schema), right, errors(target, answers))
