"""What the answers rest on, in pictures: pixels, columns or words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters import attribution_plots
from mlops.adapters.model_files import write_table
from mlops.core import importance, metrics, showcase
from mlops.core.features import arrays, values_of
from mlops.core.importance import Token
from mlops.core.schema import ImageSchema, TableSchema, TextSchema

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.appraisal import Side
    from mlops.adapters.runtimes import Scorer
    from mlops.core.schema import Schema
    from mlops.params.evaluate import EvaluateSection

_SHUFFLED, _EXPLAINED, _BACKGROUND = 1500, 200, 400  # rows: enough for a picture
_WORDS = 60
_WORD = re.compile(r"\S+")


def write(  # noqa: PLR0917 - everything that there is to explain from
    folder: Path,
    candidate: Path,
    session: Scorer,
    test: Side,
    schema: Schema,
    section: EvaluateSection,
) -> None:
    """Write pictures of what the answers rest on; none if `evaluate.explained` is 0.

    Images by Captum on the network behind the model file; tables by shuffled columns and Shapley
    values, texts by leaving out words, both on the model file itself.
    """
    if section.explained == 0:
        return
    if isinstance(schema, ImageSchema):
        if schema.classes:
            _images(folder, candidate, test, schema, section)
    elif isinstance(schema, TableSchema):
        _table(folder, session, test, schema, section)
    else:
        _texts(folder, session, test, schema, section)


def _images(
    folder: Path, candidate: Path, test: Side, schema: Schema, section: EvaluateSection
) -> None:
    p = test.scored.probabilities
    pairs = showcase.pairs(test.scored.label, p, section.explained)
    if not pairs:
        return
    from mlops.adapters import explanations, sheets

    rows = np.array(sorted({row for pair in pairs for row in pair if row != showcase.NOBODY}))
    images, answers = test.rows.features[rows], p[rows].argmax(axis=1)
    found = explanations.explain(candidate, images, answers, p[rows])
    shown = sheets.Explained(rows, images, test.scored.label[rows], p[rows], found)
    sheets.explanations(folder / "explanations.png", pairs, shown, schema.classes)


def _table(
    folder: Path, session: Scorer, test: Side, schema: TableSchema, section: EvaluateSection
) -> None:
    """Write `importance.csv` and `.png`, and `explanations.png` with Shapley values."""
    rng = np.random.default_rng(section.seed)
    names = tuple(column.name for column in schema.columns)
    some = np.sort(rng.permutation(len(test.rows))[:_SHUFFLED])
    rows = test.rows.take(some)
    loss = metrics.row_log_loss if schema.classes else _absolute
    found = importance.permuted(
        rows.features, rows.label, rows.key, names, session.probabilities, loss,
        confidence=section.confidence, resamples=section.resamples, seed=section.seed,
    )  # fmt: skip
    table = [(one.name, one.rise.value, one.rise.low, one.rise.high) for one in found]
    write_table(folder / "importance.csv", ("column", "rise", "low", "high"), table)
    unit = "log loss, in nats" if schema.classes else "mean absolute error"
    attribution_plots.importance(folder / "importance.png", found, len(rows), unit)
    told = test.rows.features[np.sort(rng.permutation(len(test.rows))[:_EXPLAINED])]
    others = test.rows.features[rng.permutation(len(test.rows))[:_BACKGROUND]]
    answered = session.probabilities(told).argmax(axis=1)

    def value(row_MD: NDArray[np.float64], number_M: NDArray[np.int64]) -> NDArray[np.float64]:
        return _value(session.probabilities(row_MD), answered[number_M], schema)

    effects = importance.shapley(told, others, value, seed=section.seed)
    attribution_plots.shapley(folder / "explanations.png", effects, told, schema)


def _value(
    answers: NDArray[np.float32], answered: NDArray[np.int64], schema: Schema
) -> NDArray[np.float64]:
    """Return what is explained: log-odds of a class, or the prediction of a regression.

    Of two classes the second's, so that all rows can be compared; of more the answered one's.
    """
    if not schema.classes:
        return answers[:, answers.shape[1] // 2].astype(np.float64)
    chosen = np.ones(len(answers), dtype=np.int64) if len(schema.classes) == 2 else answered
    p = np.clip(answers[np.arange(len(answers)), chosen].astype(np.float64), 1e-6, 1.0 - 1e-6)
    return np.asarray(np.log(p / (1.0 - p)))


def _absolute(label: NDArray[Any], answers: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(np.abs(answers[:, answers.shape[1] // 2] - label))


def _texts(
    folder: Path, session: Scorer, test: Side, schema: TextSchema, section: EvaluateSection
) -> None:
    """Write `explanations.png`: the surest mistakes and right answers, word by word."""
    label, p = test.scored.label, test.scored.probabilities
    if schema.classes:
        pairs = showcase.pairs(label, p, section.explained)
        rows = [row for pair in pairs for row in pair if row != showcase.NOBODY]
    else:
        rows = list(np.argsort(-np.abs(test.scored.point - label))[: 2 * section.explained])
    texts = values_of(test.rows.features[rows], schema)
    shown = []
    for row, text in zip(rows, texts, strict=True):
        if schema.classes:
            said, true = schema.classes[p[row].argmax()], schema.classes[int(label[row])]
            title = f"{said}, rightly" if said == true else f"said {said}, is {true}"
        else:
            title = f"said {test.scored.point[row]:.4g}, is {label[row]:.4g}"
        shown.append((title, _words(session, text, schema)))
    attribution_plots.tokens(folder / "explanations.png", shown)


def _words(session: Scorer, text: str, schema: TextSchema) -> tuple[Token, ...]:
    """Leave out each word in turn: what the answer loses is the word's effect (occlusion)."""
    spans = [match.span() for match in _WORD.finditer(text)][:_WORDS]
    without = [text[:start] + text[end:] for start, end in spans]
    answers = session.probabilities(arrays([text, *without], schema))
    same = np.full(len(answers), int(answers[0].argmax()))
    value = _value(answers, same, schema)
    if len(schema.classes) == 2 and answers[0].argmax() == 0:
        value = -value  # of the answered class, not of the second
    effects = value[0] - value[1:]
    return tuple(
        Token(text[start:end], float(effect))
        for (start, end), effect in zip(spans, effects, strict=True)
    )
