"""The folder of a model version: MLflow's flavours with all that serving and watching need."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from mlops.adapters import files, flavour, model_card
from mlops.adapters.embedding import FILE as EMBEDDING
from mlops.adapters.model_files import read_schema
from mlops.adapters.onnx_session import PROBABILITIES
from mlops.adapters.runtimes import model_file, open_model
from mlops.adapters.seal import write_manifest
from mlops.adapters.snapshot import read_rows
from mlops.adapters.thresholds import write_thresholds
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.adapters.runtimes import Scorer
    from mlops.core.card import Card
    from mlops.params.monitoring import MonitoringSection
    from mlops.site import Site

GOLDEN_ROWS = 32
_SAME = 1e-5  # one file in one runtime; other batches may round otherwise
_FROM_CANDIDATE = ("weights.safetensors", "model.json", "seen.npy")
_FROM_EVALUATION = ("reference.npz", "metrics.json")


def package(site: Site, folder: Path, monitoring: MonitoringSection, card: Card) -> str:
    """Build the folder of a version from the candidate and its evaluation; return its digest.

    What MLflow needs, see `mlops.adapters.flavour`; beside it weights, `model.json`, `seen.npy`,
    `embedding.onnx` if there is one, `reference.npz`, `metrics.json`, `thresholds.json`,
    `golden.npz` (requests with the answers that a server must give), the model card, and
    `manifest.json` over all of them.

    Args:
        site: where candidate, evaluation and test rows lie.
        folder: where to build; replaced if there.
        monitoring: for which rules the thresholds are calibrated.
        card: the model card, which so travels with the model.

    Raises:
        DataError: if a file is missing, the model cannot be read, or the evaluation is of
            another model.
        MonitorError: if no thresholds can be calibrated on the reference.
    """
    model = model_file(site.layout.candidate)
    session, golden = open_model(site.layout.candidate), _golden_rows(site)
    probabilities = session.probabilities(golden)
    if not np.isfinite(probabilities).all():
        msg = f"{model}: its answers hold NaN or infinity; the candidate is refused: mlops train"
        raise DataError(msg)
    files.remove(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    schema = read_schema(site.layout.candidate)
    flavour.save(folder, model, session, schema, golden[:2])
    for source, names in (
        (site.layout.candidate, _FROM_CANDIDATE),
        (site.layout.evaluation, _FROM_EVALUATION),
    ):
        for name in names:
            _copy(source / name, folder / name)
    if (site.layout.candidate / EMBEDDING).is_file():  # a model may have no last linear layer
        _copy(site.layout.candidate / EMBEDDING, folder / EMBEDDING)
    _need_own_evaluation(site, session)
    with files.replacing(folder / "golden.npz") as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, features=golden, probabilities=probabilities)
    write_thresholds(folder, monitoring)
    model_card.write(folder, card)
    return write_manifest(folder)


def _need_own_evaluation(site: Site, session: Scorer) -> None:
    """Refuse the evaluation of an older candidate: its figures and reference would be sealed in."""
    path = site.layout.evaluation / "reference.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            features, recorded = stored["features"], stored["probabilities"]
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        msg = f"{path}: unreadable ({error}); run: mlops evaluate"
        raise DataError(msg) from None
    found = session.probabilities(features)
    # Of a regression in units of its spread.
    unit = 1.0 if session.output == PROBABILITIES else max(float(np.ptp(recorded)), _SAME)
    if found.shape != recorded.shape or not np.allclose(
        found, recorded, rtol=0.0, atol=_SAME * unit
    ):
        msg = f"{path}: holds the answers of another model than the candidate; run: mlops evaluate"
        raise DataError(msg)


def _golden_rows(site: Site) -> np.ndarray:
    """Return features of 32 test rows spread over the split, or of all if fewer."""
    rows = read_rows(site.layout.prepared / "test.npz").features
    if rows.ndim == 2 and rows.dtype == np.uint8:
        rows = rows[rows.any(axis=1)]  # no server takes an empty text
    if len(rows) == 0:
        msg = f"{site.layout.prepared / 'test.npz'}: no test rows; raise split.test"
        raise DataError(msg)
    return rows[np.unique(np.linspace(0, len(rows) - 1, GOLDEN_ROWS).astype(np.int64))]


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        step = "train" if source.parent.name == "candidate" else "evaluate"
        msg = f"{source}: no such file; run: mlops {step}"
        raise DataError(msg) from None
