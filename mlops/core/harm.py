"""Parts of the rows that a candidate harms though the whole may gain.

Every slice asks one question, so that together they pay by Holm: only harm that chance does not
explain blocks. A slice with too few rows neither passes nor blocks, unless it is required.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mlops.core.boxes import Condition, FoundSlice
from mlops.core.columns import elsewhere
from mlops.core.decision import Check
from mlops.core.noninferiority import absolute, right, scores
from mlops.core.paired import count, holm, mcnemar_p, one_per_key
from mlops.core.slices import absent, named, terciles
from mlops.core.wanted import larger, told
from mlops.core.weakness import Rules as Search
from mlops.core.weakness import find_slices, finding_half

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.exam import Exam, Paired
    from mlops.core.rules import Rules

_DEPTH, _MOST_FOUND = 2, 3  # what a person can read, and what Holm can afford


@dataclass(frozen=True)
class Slice:
    """A named part of the rows.

    Attributes:
        name: `class 3`, `brightness low`, or a found slice's conditions.
        mask: bool (N,): which rows belong to it.
        found: whether it was searched for on the other half of the rows.
        excused: a class whose right answers the champion bought with false ones.
    """

    name: str
    mask: NDArray[np.bool_]
    found: bool = False
    excused: bool = False


def slice_harm(exam: Exam, recent: Paired, rules: Rules) -> tuple[Check, ...]:
    """Look for slices in which the candidate is worse: one test in each, Holm over all.

    McNemar's test of right answers; of a regression Student's test of the absolute errors.

    Declared slices are the classes (unless `gate.class_slices` is false) and the thirds of the
    columns that `gate.slices` names; weak ones are searched for on the rows of even keys and
    tested on those of odd keys. With `auto` a class that the champion answers too often is not
    judged, see `_overanswered`.

    Args:
        exam: names of classes and columns; its base rows say where a column is cut.
        recent: the rows that count.
        rules: levels and least rows.
    """
    parts = [*declared(exam, recent, rules), *_found(exam, recent, rules)]
    excused = [p.name for p in parts if p.excused]
    large = [p for p in parts if int(p.mask.sum()) >= rules.min_slice_rows and not p.excused]
    small = [p.name for p in parts if int(p.mask.sum()) < rules.min_slice_rows]
    gain_N = gains(recent)
    test = _mean_p if exam.regression else _harm_p
    adjusted = holm([test(p, gain_N, recent.key) for p in large])
    harmed = [p.name for p, value in zip(large, adjusted, strict=True) if value <= rules.alpha]
    rest = f"; too few rows to assess: {', '.join(small)}" if small else ""
    rest += (
        f"; not assessed, for the champion answers it too often: {', '.join(excused)}"
        if excused
        else ""
    )
    if harmed:
        words = f"worse on {', '.join(harmed)} beyond chance (p = {min(adjusted):.4f}){rest}"
    else:
        searched = sum(p.found for p in large)
        found = f" ({searched} of them found by search)" if searched else ""
        words = f"no slice harmed beyond chance, of {len(large)} assessed{found}{rest}"
    checks = [Check("slices", not harmed, min(adjusted, default=None), rules.alpha, words)]
    checks += [_not_there(name) for name in rules.slices if _is_missing(name, exam, recent)]
    return (*checks, *_required(rules, parts, len(recent.label)))


def _is_missing(name: str, exam: Exam, recent: Paired) -> bool:
    """Say whether a declared slice cannot be cut; what another kind of examples has is none."""
    if name not in exam.columns:
        return not (exam.columns and elsewhere(name, exam.columns))
    place = exam.columns.index(name)
    sides = [side.columns for side in (recent, exam.base) if side.columns is not None]
    return len(sides) < 2 or any(np.isnan(s[:, place]).all() for s in sides if len(s))


def _not_there(name: str) -> Check:
    words = f"gate.slices names {name!r}, which is no column of these rows, or has no value"
    return Check(f"slices {name}", passed=False, value=None, limit=None, words=words)


def declared(exam: Exam, rows: Paired, rules: Rules) -> list[Slice]:
    """Return the classes, and the thirds of the declared columns cut as in the base rows."""
    classes = exam.classes if rules.class_slices else ()
    auto = rules.class_slices == "auto" and rows.champion is not None
    out = [
        Slice(f"class {name}", rows.label == k, excused=auto and _overanswered(k, rows, rules))
        for k, name in enumerate(classes)
    ]
    for name in rules.slices:
        out += thirds(exam, rows, name)
    return out


def _overanswered(k: int, rows: Paired, rules: Rules) -> bool:
    """Say whether the champion answers a class more often than it comes, the candidate not less.

    Who answers a class too often is right on more of its rows, at the cost of the others; a model
    that follows a moved mix of classes gives those up. Whether answers are as frequent as labels
    is McNemar's test of a marginal: rows taken for the class wrongly against rows of it missed.
    What chance explains of the champion, or does not of the candidate, excuses nothing.
    """
    is_class = (rows.label == k).astype(np.int64)
    candidate, champion = (
        count(one_per_key((said.argmax(axis=1) == k) - is_class, rows.key)) for said in scores(rows)
    )
    too_often = mcnemar_p(champion.gained, champion.lost) <= rules.alpha
    return too_often and mcnemar_p(candidate.lost, candidate.gained) > rules.alpha


def thirds(exam: Exam, rows: Paired, name: str) -> list[Slice]:
    """Return the low, middle, high and missing rows of a column; nothing if there is none.

    Of a column of names the rows of each name.
    """
    if rows.columns is None or exam.base.columns is None or name not in exam.columns:
        return []
    c = exam.columns.index(name)
    if name in exam.named:
        parts = named(name, exam.named[name], rows.columns[:, c])
        return [Slice(f"{name} {part.value}", part.mask) for part in parts]
    [cuts] = terciles(exam.base.columns[:, [c]])
    limits = (-np.inf, *cuts, np.inf)
    words = ("low", "middle", "high") if len(cuts) == 2 else ("low", "high")
    cut = [
        Slice(f"{name} {word}", FoundSlice((Condition(c, name, low, high),)).mask(rows.columns))
        for word, low, high in zip(words, limits, limits[1:], strict=False)
    ]
    gone = absent(name, rows.columns[:, c])
    return [*cut, *(Slice(f"{name} {part.value}", part.mask) for part in gone)]


def _found(exam: Exam, recent: Paired, rules: Rules) -> list[Slice]:
    """Search where the candidate loses on one half of the keys; return it on the other half."""
    if recent.columns is None or recent.columns.size == 0:
        return []
    found = find_slices(
        recent.columns, exam.columns, gains(recent), recent.key,
        Search(_DEPTH, rules.min_slice_rows, _MOST_FOUND),
        categories=exam.named,
    )  # fmt: skip
    testing_N = ~finding_half(recent.key)
    return [Slice(f.name, f.mask(recent.columns) & testing_N, found=True) for f in found]


def gains(rows: Paired) -> NDArray[np.float64]:
    """Return of each row how much better the candidate answers, float64 (N,).

    Right answers gained, or of a regression by how much the absolute error is smaller.
    """
    candidate, champion = scores(rows)
    if rows.label.dtype.kind == "f":
        return absolute(rows.label, champion) - absolute(rows.label, candidate)
    return (right(rows.label, candidate) - right(rows.label, champion)).astype(np.float64)


def _harm_p(part: Slice, gain_N: NDArray[np.float64], key_N: NDArray[np.uint64]) -> float:
    difference_N = gain_N[part.mask].astype(np.int64)
    pairs = count(one_per_key(difference_N, key_N[part.mask]))
    return mcnemar_p(pairs.lost, pairs.gained)


def _mean_p(part: Slice, gain_N: NDArray[np.float64], key_N: NDArray[np.uint64]) -> float:
    """Return the one-sided p-value of `no smaller on average`, rows of one key as one."""
    _, place = np.unique(key_N[part.mask], return_inverse=True)
    mean_G = np.bincount(place, gain_N[part.mask]) / np.bincount(place)
    if len(mean_G) < 2 or np.ptp(mean_G) == 0.0:
        return 0.0 if len(mean_G) >= 2 and mean_G[0] < 0.0 else 1.0
    return float(stats.ttest_1samp(mean_G, 0.0, alternative="less").pvalue)


def _required(rules: Rules, parts: Sequence[Slice], rows: int) -> list[Check]:
    out, held = [], {p.name: int(p.mask.sum()) for p in parts}
    for name in rules.required_slices:
        if name not in held:
            words = f"gate.required_slices names {name!r}, which is no slice of these rows"
            out.append(Check(f"slice {name}", passed=False, value=None, limit=None, words=words))
        elif held[name] < rules.min_slice_rows:
            words = (
                f"slice {name} is required and has fewer than gate.min_slice_rows = "
                f"{rules.min_slice_rows} rows: label more of it"
            )
            check = Check(f"slice {name}", passed=None, value=None, limit=None, words=words)
            out.append(told(check, larger(rows, held[name], rules.min_slice_rows)))
    return out
