"""Evidently's measures of a window's answers, once its labels are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.evidently.run import Part, agree, run, shown
from mlops.core.quality import hits
from mlops.core.sent import evenly

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

LABEL, PREDICTION, INSIDE = "label", "prediction", "between the outer quantiles"
NONE = "(no answer)"


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
    measure, metrics, definition = _classes() if window.classes else _numbers()
    snapshot = run(metrics, _frame(new), _frame(old), **definition)
    told = snapshot.metric_results[measure.get_metric_id()].to_dict()["value"]
    theirs = float(told["share"] if isinstance(told, dict) else told)
    agree(f"window {name}: accuracy", ours, theirs)
    model = snapshot.to_snapshot_model()
    return Part("performance", model.widgets, snapshot.dict()["metrics"])


def _classes() -> tuple[Any, list[Any], dict[str, Any]]:
    from evidently import MulticlassClassification
    from evidently.metrics import Accuracy
    from evidently.presets import ClassificationPreset

    task = MulticlassClassification(target=LABEL, prediction_labels=PREDICTION)
    definition = {"classification": [task], "categorical_columns": [LABEL, PREDICTION]}
    return Accuracy(), [ClassificationPreset()], definition


def _numbers() -> tuple[Any, list[Any], dict[str, Any]]:
    from evidently import Regression
    from evidently.metrics import MAE, RMSE, CategoryCount, MeanError

    inside = CategoryCount(column=INSIDE, category="yes")
    definition = {
        "regression": [Regression(target=LABEL, prediction=PREDICTION)],
        "numerical_columns": [LABEL, PREDICTION], "categorical_columns": [INSIDE],
    }  # fmt: skip
    return inside, [inside, MAE(), RMSE(), MeanError()], definition


def _frame(rows: Labelled) -> pd.DataFrame:
    import pandas as pd

    if not rows.classes:
        middle = rows.answers[:, rows.answers.shape[1] // 2]
        inside = np.where(rows.right, "yes", "no")
        return pd.DataFrame({LABEL: rows.label.astype(float), PREDICTION: middle, INSIDE: inside})
    names = dict(enumerate(map(shown, rows.classes)))
    label = [names.get(n, f"class {n}") for n in rows.label.astype(int).tolist()]
    best = rows.answers.argmax(axis=1)
    fits = rows.finite.tolist()
    said = [names[n] if fit else NONE for n, fit in zip(best.tolist(), fits, strict=True)]
    return pd.DataFrame({LABEL: label, PREDICTION: said})
