"""Evidently's measures of a window's answers, once its labels are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.evidently.run import Part, agree, distinct, run
from mlops.core.quality import hits
from mlops.core.sent import evenly

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

LABEL, PREDICTION, RIGHT = "label", "prediction", "right"
NONE = "(no answer)"
_PAIR = 2  # names with which Evidently asks for a positive one, however many classes there are


@dataclass(frozen=True)
class Labelled:
    """Labelled predictions.

    Attributes:
        label: (N,): indices of classes, or numbers.
        answers: float32 (N, K): probabilities, or quantiles.
        classes: their names; none of a regression.
    """

    label: NDArray[Any]
    answers: NDArray[np.float32]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        """Return N."""
        return len(self.label)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which answers are right; bool (N,)."""
        told = hits(self.label, self.answers, regression=not self.classes)
        return np.asarray(told & self.finite)

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Which answers are numbers; bool (N,)."""
        return np.asarray(np.isfinite(self.answers).all(axis=1))

    @property
    def middle(self) -> NDArray[np.float64]:
        """The middle quantile of each answer, NaN where an answer is none; (N,)."""
        found = self.answers[:, self.answers.shape[1] // 2].astype(np.float64)
        found[~self.finite] = np.nan
        return found

    @property
    def error(self) -> float | None:
        """Mean absolute error of a regression; None of classes, or where no answer is a number."""
        if self.classes or not self.finite.any():
            return None
        return float(np.nanmean(np.abs(self.label - self.middle)))

    def sample(self) -> Labelled:
        """Return the rows that the page is made of: evenly spread, all if they are few."""
        at = evenly(len(self))
        return Labelled(self.label[at], self.answers[at], self.classes)


def performance(window: Labelled, reference: Labelled, counted: tuple[int, int], name: str) -> Part:
    """Compute the performance part of a page.

    Args:
        window: its labelled rows that measure; not empty.
        reference: those of its version's reference; not empty.
        counted: how many of the window's are labelled, and right, as it is recorded.
        name: of the window, for messages.

    Raises:
        MonitorError: if Evidently's accuracy is not the recorded one; of a sample, not our own of
            that sample.
    """
    new, old = window.sample(), reference.sample()
    labelled, correct = counted
    ours = correct / labelled if len(new) == len(window) else float(new.right.mean())
    tables = _frame(new), _frame(old)
    right, more, definition = _wanted(window.classes, *tables)
    snapshot = run([right, *more], *tables, **definition)
    metrics = snapshot.dict()["metrics"]
    for told in metrics:
        kind = told["config"]["type"].rpartition(":")[2]
        if kind in ("CategoryCount", "Accuracy"):
            theirs = told["value"]["share"] if kind == "CategoryCount" else told["value"]
            agree(f"window {name}: {kind} of right answers", ours, float(theirs))
        elif kind == "MAE" and new.error is not None:
            agree(f"window {name}: mean absolute error", new.error, float(told["value"]["mean"]))
    return Part("performance", snapshot.to_snapshot_model().widgets, metrics)


def _wanted(
    classes: tuple[str, ...], new: pd.DataFrame, old: pd.DataFrame
) -> tuple[Any, list[Any], dict[str, Any]]:
    """Return the share of right answers, what else is measured, and the columns' definition."""
    from evidently import MulticlassClassification, Regression
    from evidently.metrics import MAE, RMSE, CategoryCount, MeanError
    from evidently.presets import ClassificationPreset

    right = CategoryCount(column=RIGHT, category="yes")
    if not classes:
        numbers = {"numerical_columns": [LABEL, PREDICTION], "categorical_columns": [RIGHT]}
        task = Regression(target=LABEL, prediction=PREDICTION)
        errors = [MAE(), RMSE(), MeanError()] if _has_errors(new) and _has_errors(old) else []
        return right, errors, {"regression": [task], **numbers}
    names = {"categorical_columns": [LABEL, PREDICTION, RIGHT]}
    found, known = (frozenset(t[[LABEL, PREDICTION]].to_numpy().ravel()) for t in (new, old))
    unlike = found != known and _PAIR in (len(found), len(known))
    if unlike or not found - {NONE} <= set(old[LABEL]):
        return right, [], names  # it fails on a name that the reference has no example of
    if len(found) != _PAIR:
        told = MulticlassClassification(target=LABEL, prediction_labels=PREDICTION)
        return right, [ClassificationPreset()], {"classification": [told], **names}
    positive = next(name for name in reversed(_names(classes)) if name in found)
    return right, [ClassificationPreset()], {"classification": [_binary(positive)], **names}


def _has_errors(told: pd.DataFrame) -> bool:
    """Say whether Evidently can compute errors: it divides by the targets that are not 0."""
    return bool((told[PREDICTION].notna() & (told[LABEL] != 0)).any())


def _binary(positive: str) -> Any:
    from evidently import BinaryClassification

    return BinaryClassification(target=LABEL, prediction_labels=PREDICTION, pos_label=positive)


def _names(classes: tuple[str, ...]) -> tuple[str, ...]:
    return distinct(classes, (NONE,))


def _frame(rows: Labelled) -> pd.DataFrame:
    import pandas as pd

    right = np.where(rows.right, "yes", "no")
    if not rows.classes:
        target = rows.label.astype(float)
        return pd.DataFrame({LABEL: target, PREDICTION: rows.middle, RIGHT: right})
    names = dict(enumerate(_names(rows.classes)))
    label = [names.get(n, f"class {n}") for n in rows.label.astype(int).tolist()]
    best, fits = rows.answers.argmax(axis=1).tolist(), rows.finite.tolist()
    said = [names[n] if fit else NONE for n, fit in zip(best, fits, strict=True)]
    return pd.DataFrame({LABEL: label, PREDICTION: said, RIGHT: right})
