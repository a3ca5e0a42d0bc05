"""A small head on what the champion makes of its input, refitted on new rows: a probe of the gain.

The head adds to the champion's own answer, and its penalty pulls it back to that answer. So without
anything to learn it learns next to nothing, and few rows are enough. Its gain is measured on rows
that it was not fitted on, fold by fold, against the champion's answers to the same rows.

Sources: G. Alain, Y. Bengio (2016), Understanding intermediate layers using linear classifier
probes; S. Geisser (1975), J. Am. Stat. Assoc. 70 (cross-validation). Folds share training rows, so
that no interval of a cross-validation is exact: Y. Bengio, Y. Grandvalet (2004), JMLR 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from scipy import optimize, special

from mlops.core.bounds import Resampling, accuracy_bounds, mean_bounds
from mlops.core.columns import columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.bounds import Bounds
    from mlops.core.schema import Schema

FOLDS = 5
WORK = 10_000_000
"""Rows × width × answers of one pass over the rows, at most: five folds then take seconds."""
ROWS = 2000
"""New rows at most, the newest; as many base rows at most."""
LEAST = 50
"""New rows that measure, at least."""
HOW = Resampling(alpha=0.025, resamples=500, seed=7)
_PENALTY = 10.0
"""On the sum over rows, inputs standardised. Tried on digits, 60 and 400 new rows: 1 to 10 find a
like gain in darkened and in relabelled ones, 100 four fifths of it; on unchanged ones 10 loses
less than 1."""
_STEPS = 60  # of L-BFGS; from the champion's answer they suffice
_FAINT = 1e-9
_LEAST_P = 1e-6


@dataclass(frozen=True)
class Sample:
    """Labelled rows as a champion sees them.

    Attributes:
        hidden: float64 (N, H): what the head is fitted on.
        answers: float32 (N, K): the champion's probabilities; of a regression its quantiles.
        label: int64 (N,): places among the classes; of a regression float64.
        key: uint64 (N,): rows of one key depend on each other.
        scored: bool (N,): whether the row measures; the others are only fitted on.
    """

    hidden: NDArray[np.float64]
    answers: NDArray[np.float32]
    label: NDArray[Any]
    key: NDArray[np.uint64]
    scored: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.label)

    def take(self, index: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Sample:
        """Return the rows that a mask, an index array or a slice selects."""
        return Sample(**{name: value[index] for name, value in vars(self).items()})


def most_rows(width: int, answers: int) -> int:
    """Return how many rows a probe may look at: what is wide is looked at with fewer."""
    return WORK // max((width + 1) * answers, 1)


def beside_answers(
    features: NDArray[Any], answers: NDArray[np.float32], schema: Schema
) -> NDArray[np.float64]:
    """Return what a head is fitted on where a model shows no layer: float64 (N, H).

    The watched columns that are numbers, and the model's own answers.

    Args:
        features: (N, *shape) of the schema.
        answers: (N, K): probabilities, or quantiles.
        schema: of the rows.
    """
    seen = columns(features, answers, schema)
    numbers = [at for at in range(len(seen.names)) if at not in seen.named_at]
    told = _logits(answers) if schema.classes else answers
    return np.column_stack([seen.values[:, numbers], told])


def gain(new: Sample, base: Sample, *, regression: bool, **how: Unpack[Resampling]) -> Bounds:
    """Bound what a refitted head gains over the champion on new rows.

    In accuracy; of a regression the share by which the mean absolute error is smaller. Rows of one
    key are in one fold, and rows that do not measure are left out of the fits that would have
    their key on both sides.

    Args:
        new: rows that the champion was not fitted on, at least one of which is scored.
        base: older rows that every fit has, too; may be empty.
        regression: which of the two.
        how: alpha of each side, resamples and seed, as `mlops.core.bounds` has them.
    """
    fit = _fit_numbers if regression else _fit_classes
    ours = new.answers.astype(np.float64)
    fold_N = _folds(new.key, how["seed"])
    for fold in range(FOLDS):
        mine, other = fold_N == fold, fold_N != fold
        if (mine & new.scored).any() and other.any():
            ours[mine] = fit((new.take(other), base), new.take(mine))
    rows, ours = new.take(new.scored), ours[new.scored]
    if regression:
        middle = ours.shape[1] // 2
        mine, theirs = (np.abs(rows.label - a[:, middle]) for a in (ours, rows.answers))
        scale = float(theirs.mean()) or 1.0
        # Advice, and no verdict: unlike the gate it holds no row in reserve that may lose all.
        return mean_bounds((theirs - mine).astype(np.float64) / scale, rows.key, **how)
    right = [(a.argmax(axis=1) == rows.label).astype(np.int64) for a in (ours, rows.answers)]
    return accuracy_bounds(right[0] - right[1], rows.key, **how)


def _folds(key_N: NDArray[np.uint64], seed: int) -> NDArray[np.int64]:
    """Return each row's fold: rows of one key share it."""
    found, place = np.unique(key_N, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(found)) % FOLDS)[place]


def _inputs(parts: tuple[Sample, ...], rows: Sample) -> tuple[NDArray[np.float64], ...]:
    """Return the inputs of the rows to fit on and of others, standardised, with a constant."""
    hidden = np.concatenate([part.hidden for part in parts])
    centre, spread = hidden.mean(axis=0), hidden.std(axis=0)
    scale = np.where(spread > _FAINT, spread, np.inf)  # what never varies tells nothing
    both = ((h - centre) / scale for h in (hidden, rows.hidden))
    return tuple(np.column_stack([h, np.ones(len(h))]) for h in both)


def _fit_classes(parts: tuple[Sample, ...], rows: Sample) -> NDArray[np.float64]:
    """Fit a penalised logistic head that begins at the champion's answer; return logits."""
    x, x_new = _inputs(parts, rows)
    start = _logits(np.concatenate([part.answers for part in parts]))
    label = np.concatenate([part.label for part in parts]).astype(np.int64)
    wanted = np.zeros_like(start)
    wanted[np.arange(len(label)), label] = 1.0
    shape = (x.shape[1], start.shape[1])

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(shape)
        logits = start + x @ weights
        top = special.logsumexp(logits, axis=1, keepdims=True)
        value = float((top[:, 0] - logits[np.arange(len(label)), label]).sum())
        slope = x.T @ (np.exp(logits - top) - wanted) + _PENALTY * weights
        return value + _PENALTY / 2.0 * float(flat @ flat), slope.ravel()

    found = optimize.minimize(
        loss, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B",
        options={"maxiter": _STEPS},
    )  # fmt: skip
    logits: NDArray[np.float64] = _logits(rows.answers) + x_new @ found.x.reshape(shape)
    return logits


def _logits(answers: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.log(np.maximum(answers.astype(np.float64), _LEAST_P))


def _fit_numbers(parts: tuple[Sample, ...], rows: Sample) -> NDArray[np.float64]:
    """Fit a ridge to what the champion's median misses; return all quantiles moved by it."""
    x, x_new = _inputs(parts, rows)
    answers = np.concatenate([part.answers for part in parts]).astype(np.float64)
    missed = np.concatenate([part.label for part in parts]) - answers[:, answers.shape[1] // 2]
    inner = x.T @ x + _PENALTY * np.eye(x.shape[1])
    moved: NDArray[np.float64] = x_new @ np.linalg.solve(inner, x.T @ missed)
    return rows.answers.astype(np.float64) + moved[:, None]
