"""The model card in words: its Markdown, and the parts of it that a version's page shows too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.amounts import number
from mlops.core.markup import bullets, code, figure, moment, percent, plain, table
from mlops.core.schema import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops.core.card import Card, Score, SliceScore

NOT_STATED = "not stated; say it in `params.yaml`: `card`"
_RECENT = "recent_"  # in cards of before the gate alone looked at recent rows
_MAIN = (
    "accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss", "brier", "ece",
    "mae", "rmse", "r2", "mape", "coverage",
)  # fmt: skip
_METRICS = {
    "brier": "Brier score", "ece": "calibration error", "f1_macro": "F1, macro",
    "roc_auc": "ROC AUC", "mae": "mean absolute error", "rmse": "root mean squared error",
    "r2": "R²", "mape": "mean absolute error, share of the target", "pinball": "pinball loss",
    "coverage": "targets in their 90 % interval", "width": "width of the 90 % interval",
    "mse": "mean squared error", "robustness_mae": "mean absolute error when corrupted",
    "robustness_accuracy": "accuracy when corrupted", "pr_auc": "PR AUC",
    "f1_weighted": "F1, weighted",
    "latency_in_process_p95_ms": "latency in process, no server, 95 % within (ms)",
    "log_loss_rescaled": "log loss at the best temperature",
}  # fmt: skip
_TABLE_ROWS = 60  # classes and slices beyond are in slices.csv


def limits(card: Card) -> tuple[str, ...]:
    """Return what the model was not tested on and cannot do, as Markdown sentences.

    What people stated comes first; the rest follows from how it was made and measured.
    """
    found = [plain(text) for text in card.stated_limits]
    found += [
        f"Takes {_input(card)} only; tested with nothing else.",
        _answers(card),
        _evidence(card),
        _reference(card),
    ]
    assessed = {(s.name, s.value) for s in card.slices if s.accuracy is not None}
    unassessed = [s for s in card.slices if (s.name, s.value) not in assessed]
    if unassessed:
        listed = ", ".join(f"{slice_name(s)} (n = {s.n})" for s in unassessed[:6])
        rest = f" and {len(unassessed) - 6} more" if len(unassessed) > 6 else ""
        found.append(f"Not assessed for want of rows: {listed}{rest}.")
    found += [
        f"Not measured: {what}."
        for name, what in (
            ("robustness", "how it does on degraded examples (robustness)"),
            ("fairness", "differences between groups of people (fairness): none is declared"),
        )
        if name not in card.measured
    ]
    return tuple(found)


def slice_table(slices: tuple[SliceScore, ...], card: Card, gap: str = "") -> str:
    """Return some of a card's slices as a Markdown table with rows, score and interval."""
    measure = "mean absolute error" if card.regression else "accuracy"
    head = ("slice", "rows", "n", measure, _interval(card.confidence))
    write = _figure if card.regression else percent
    return table(head, [_slice_cells(s, write) for s in slices], gap)


def score_table(card: Card, gap: str = "", *, main: bool = False) -> str:
    """Return the candidate's metrics on the test rows with their intervals.

    Args:
        card: whose metrics.
        gap: as of `markup.table`.
        main: only those that a reviewer looks at first.
    """
    known = {s.name: s for s in card.scores if not s.name.startswith(_RECENT)}
    names = [name for name in _MAIN if name in known] if main else list(known)
    rows = [
        (_METRICS.get(name, plain(name.replace("_", " "))), _score(known[name])) for name in names
    ]
    head = f"{card.count('test')} test rows ({_interval(card.confidence)})"
    return table(("metric", head), rows, gap)


def slice_name(found: SliceScore) -> str:
    """Return a slice's property and value, escaped."""
    return plain(found.name) if found.name == "all" else plain(f"{found.name} {found.value}", 120)


def markdown(card: Card) -> str:
    """Return the whole card as Markdown."""
    parts = [
        f"# Model card: {plain(card.project)}",
        "## Intended use", plain(card.intended_use) or NOT_STATED,
        "## Data", _data(card),
        "## Model", _model(card),
        "## Metrics", score_table(card) or "None was measured.",
        "## Slices", slice_table(_shown(card.slices), card) or "None.",
        "## Limits", bullets(limits(card)),
        "## Licence", plain(card.licence) or NOT_STATED,
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _shown(slices: Sequence[SliceScore]) -> tuple[SliceScore, ...]:
    """Return as many slices as a card has room for; those found by search always."""
    searched = [s for s in slices if s.name == "found"]
    others = [s for s in slices if s.name != "found"]
    return (*others[: max(0, _TABLE_ROWS - len(searched))], *searched)


def _evidence(card: Card) -> str:
    words = f"Measured on {card.count('test')} test rows; labels are taken for the truth. "
    if card.count("recent") == 0:
        return f"{words}Nothing is known of how it does in production."
    return f"{words}How it does in production is the gate's to say: see the version's page."


def _reference(card: Card) -> str:
    return (
        f"Drift is measured against {card.count('reference')} held-out rows; what those rows do "
        "not show cannot be told from drift."
    )


def _data(card: Card) -> str:
    rows = ", ".join(f"{r.n} {plain(r.split)}" for r in card.rows)
    until = (
        "no row has a time"
        if card.trained_until_s is None
        else f"fitted on rows up to {moment(card.trained_until_s)}"
    )
    snapshot = code(card.snapshot) if card.snapshot else "not tracked"
    return bullets((
        f"Source: {plain(card.source)}",
        f"Snapshot (DVC md5): {snapshot}",
        f"Rows: {rows}; {until}",
        *(f"Target: {plain(card.target)}" for _ in range(bool(card.target))),
        *(f"Classes: {', '.join(plain(name) for name in card.classes)}" for _ in card.classes[:1]),
        *(f"Columns: {', '.join(plain(name) for name in card.columns)}" for _ in card.columns[:1]),
    ))  # fmt: skip


def _model(card: Card) -> str:
    shape = ", ".join(map(str, card.shape))
    taken = {"image": "uint8 images", "table": "float64 rows", "text": "uint8 bytes of texts"}
    output = f"quantiles {', '.join(f'{q:g}' for q in QUANTILES)}: (N, {len(QUANTILES)})"
    if card.classes:
        output = f"probabilities (N, {len(card.classes)})"
    return bullets((
        f"Network: {code(card.network)}, exported as one ONNX file with its preprocessing inside",
        f"Input: {taken.get(card.kind, 'examples')} (N, {shape})",
        f"Output: {output}",
        *training(card),
    ))  # fmt: skip


def training(card: Card) -> tuple[str, ...]:
    """Return what was out of the ordinary in how the model was trained, as Markdown sentences."""
    found = (("Started", card.start), ("Trained on", card.window))
    return tuple(f"{what}: {plain(words, 300)}" for what, words in found if words)


def _input(card: Card) -> str:
    if card.kind == "table":
        return f"rows of {len(card.columns)} columns"
    if card.kind == "text":
        return f"texts, of which it reads {card.shape[0]} bytes,"
    height, width, channels = card.shape
    return f"uint8 images of {height} × {width} × {channels}"


def _answers(card: Card) -> str:
    if not card.classes:
        what = plain(card.target) or "a number"
        return f"Predicts {what} with a 90 % interval; beyond the targets seen it only guesses."
    names = ", ".join(plain(name, 30) for name in card.classes[:12])
    more = f" and {len(card.classes) - 12} more" if len(card.classes) > 12 else ""
    what = {"image": "picture"}.get(card.kind, card.kind if card.kind != "table" else "row")
    return f"Knows {len(card.classes)} classes ({names}{more}); any {what} is given one of them."


def _score(found: Score) -> str:
    value, low, high = (_figure(v) for v in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def _figure(value: float | None) -> str:
    """Write a metric: four decimals of a share, and as many digits of an error in its unit."""
    return figure(value) if value is None or abs(value) < 10.0 else number(value)


def _interval(confidence: float) -> str:
    return f"{100 * confidence:g} % interval"


def _slice_cells(s: SliceScore, write: Callable[[float | None], str]) -> tuple[str, ...]:
    interval = "not assessable" if s.low is None else f"{write(s.low)} to {write(s.high)}"
    return slice_name(s), plain(s.rows), str(s.n), write(s.accuracy), interval
