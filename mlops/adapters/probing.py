"""The probe of what a retrain would gain: its rows, its time, and how long it stands.

It looks at rows that train alone. Rows of the test side judge candidates: a probe that looked at
them would choose the moment of a retrain by what the gate decides on afterwards.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters import probe_rows, registry
from mlops.adapters.embedding import read_layer
from mlops.adapters.files import read_json, write_json
from mlops.adapters.runtimes import open_model
from mlops.adapters.snapshot import Rows, read_rows
from mlops.core.head import HOW, LEAST, ROWS, Sample, beside_answers, gain, most_rows
from mlops.core.schema import parse_schema
from mlops.core.worth import Worth
from mlops.errors import DataError, MlopsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import sqlalchemy as sa
    from numpy.typing import NDArray

    from mlops.adapters.probe_rows import Found
    from mlops.core.schema import Schema
    from mlops.params.split import SplitSection
    from mlops.site import Site

    See = Callable[[NDArray[Any], NDArray[np.float32]], NDArray[np.float64]]

SECONDS = 20.0
"""For seeing rows, at most; what was not seen by then is left out. The fits are bounded by rows."""
_MORE = 1.1  # times as many labels make a new probe: till then the last one stands
_CHUNK = 256


@dataclass(frozen=True)
class Prober:
    """Makes probes for the version in service; call it with the first prediction that counts.

    Attributes:
        site: where versions are fetched, and base rows lie.
        engine: the project's database.
        project: registered-model name.
        version: in service.
        split: which rows train.
    """

    site: Site
    engine: sa.Engine
    project: str
    version: str
    split: SplitSection

    def __call__(self, since_seq: int) -> Worth:
        """Return what a probe on labelled predictions from a place of the log on says.

        It never raises for want of data: a probe that cannot be made says why.
        """
        labels = probe_rows.count(self.engine, self.project, self.version, since_seq)
        asked = {"version": self.version, "since_seq": since_seq, "split": self.split.model_dump()}
        if (held := self._held(asked, labels)) is not None:
            return held
        try:
            made = self._probe(since_seq)
        except MlopsError as error:
            made = Worth(trouble=f"{error}")
        write_json(self.site.layout.probe, {**asked, "labels": labels, "worth": asdict(made)})
        return made

    def _held(self, asked: dict[str, object], labels: int) -> Worth | None:
        """Return the last probe, if it was of the same and hardly a label came since."""
        try:
            kept: dict[str, Any] = dict(read_json(self.site.layout.probe))
            had, worth = int(kept.pop("labels")), Worth(**{**kept.pop("worth"), "fresh": False})
        except (DataError, KeyError, TypeError, ValueError):
            return None  # none yet, or another release's
        return worth if kept == asked and labels < _MORE * had else None

    def _probe(self, since_seq: int) -> Worth:
        folder = registry.fetch(self.site, self.project, self.version)
        described = folder / "model.json"
        schema = parse_schema(read_json(described).get("schema"), str(described))
        found = probe_rows.find(
            self.engine, self.project, self.version, schema=schema, split=self.split,
            since_seq=since_seq, most=ROWS,
        ).without(_seen(folder))  # fmt: skip
        if int(found.scored.sum()) < LEAST:
            return Worth(trouble=found.lack(LEAST))
        return _made(found, self._base(folder, found), folder, schema)

    def _base(self, folder: Path, found: Found) -> Rows | None:
        """Return rows of the last training side, none of them new; None if it is another's."""
        prepared = self.site.layout.prepared
        try:
            told = read_json(prepared / "split.json")
            rows = read_rows(prepared / "train.npz")
        except MlopsError:
            return None
        same = read_json(folder / "model.json").get("schema") == told.get("schema")
        if told.get("split") != self.split.model_dump() or not same:
            return None
        rows = rows.take(~np.isin(rows.key, found.key))
        some = np.random.default_rng(HOW["seed"]).permutation(len(rows))[:ROWS]
        return rows.take(some)


def _seen(folder: Path) -> NDArray[np.uint64]:
    """Return the keys that a version was fitted on; none where it was registered without them."""
    path = folder / "seen.npy"
    if not path.is_file():
        return np.zeros(0, np.uint64)
    keys: NDArray[np.uint64] = np.load(path, allow_pickle=False)
    return keys


def _made(found: Found, base: Rows | None, folder: Path, schema: Schema) -> Worth:
    from threadpoolctl import threadpool_limits

    regression = not schema.classes
    on, see = _sight(folder, schema)
    end_s = time.monotonic() + SECONDS
    hidden = _see(see, found.features, found.answers, end_s - SECONDS / 2)
    rows = slice(len(hidden))
    new = Sample(
        hidden, found.answers[rows], found.label[rows], found.key[rows], found.scored[rows]
    )
    most = min(ROWS, most_rows(hidden.shape[1], new.answers.shape[1]) // 2)
    new = new.take(slice(most))
    if int(new.scored.sum()) < LEAST:
        words = f"only {int(new.scored.sum())} new rows that measure could be looked at"
        return Worth(trouble=f"{words} in {SECONDS:g} s; {LEAST} are needed")
    older = _older(base, folder, see, (min(most, len(new)), end_s), new)
    with threadpool_limits(1):  # several wait for each other without end on a busy machine
        bounds = gain(new, older, regression=regression, **HOW)
    if not np.isfinite([bounds.estimate, bounds.lower, bounds.upper]).all():
        return Worth(trouble="the gain on new rows is no finite number")
    return Worth(
        bounds.estimate, bounds.lower, bounds.upper, rows=int(new.scored.sum()),
        older=len(older), regression=regression, on=on,
    )  # fmt: skip


def _sight(folder: Path, schema: Schema) -> tuple[str, See]:
    """Return what a version's rows are seen by, in words and as a function of rows and answers."""
    layer = read_layer(folder)
    if layer is not None:
        return "its last layer", lambda x, _: layer.probabilities(x).astype(np.float64)

    def watched(x: NDArray[Any], answers: NDArray[np.float32]) -> NDArray[np.float64]:
        return beside_answers(x, answers, schema)

    return "a head on the watched columns (the model has no embedding)", watched


def _see(
    see: See, features: NDArray[Any], answers: NDArray[np.float32], end_s: float
) -> NDArray[np.float64]:
    """See rows in their order until the time is over; one batch at least."""
    parts: list[NDArray[np.float64]] = []
    for start in range(0, len(features), _CHUNK):
        if parts and time.monotonic() > end_s:
            break
        part = slice(start, start + _CHUNK)
        parts.append(see(features[part], answers[part]))
    return np.concatenate(parts)


def _older(
    base: Rows | None, folder: Path, see: See, bounds: tuple[int, float], new: Sample
) -> Sample:
    """Return base rows as the champion sees them, at most as many as there are new ones."""
    most, end_s = bounds
    if base is None or not len(base) or not most:
        return new.take(slice(0))
    rows = base.take(np.arange(min(most, len(base))))
    model, left_s = open_model(folder), end_s - time.monotonic()

    def answer(x: NDArray[Any], _: NDArray[np.float32]) -> NDArray[np.float64]:
        return model.probabilities(x).astype(np.float64)

    # The second argument is only cut like the rows: what they are answered is not known yet.
    told = _see(answer, rows.features, rows.features, end_s - left_s / 2).astype(np.float32)
    hidden = _see(see, rows.features[: len(told)], told, end_s)
    count = len(hidden)
    measures = np.zeros(count, dtype=bool)
    return Sample(hidden, told[:count], rows.label[:count], rows.key[:count], measures)
