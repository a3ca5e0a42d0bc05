"""Export a trained model to one ONNX file, from raw features to answers, and check it."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.files import replacing
from mlops.adapters.onnx_session import PROBABILITIES, QUANTILES, Session
from mlops.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.preprocessing import Preprocessed
    from mlops.core.schema import Schema


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def export(
    model: Preprocessed, features: NDArray[Any], schema: Schema, path: Path, parity: float
) -> float:
    """Write `model` as ONNX and return how far it is from the original on real rows.

    Args:
        model: on the CPU; put into evaluation mode.
        features: (N, *shape) of real examples, N ≥ 1, on which both are compared.
        schema: of the examples; its kind is the name of the graph's input.
        path: the file to write; all weights are inside it.
        parity: largest difference allowed, in probability; of a regression in standard deviations
            of the target.

    Raises:
        StepError: if the model cannot be exported, or the file answers differently.
    """
    model.eval()
    with replacing(path) as temporary:
        temporary.write_bytes(_exported(model, features, schema))
    return need_parity(model, features, Session(path).probabilities(features), path, parity)


def need_parity(
    model: Preprocessed,
    features: NDArray[Any],
    answers: NDArray[np.float32],
    path: Path,
    parity: float,
) -> float:
    """Return the largest difference between a file's answers and the trained model's.

    In probability; of a regression in standard deviations of the target.

    Raises:
        StepError: if it is above `parity`.
    """
    import torch

    with torch.no_grad():
        expected = model(torch.from_numpy(features)).numpy()
    unit = float(model.target[1]) if model.regression else 1.0
    gap = float(np.abs(answers - expected).max()) / unit
    # Written so that NaN fails too.
    if not gap <= parity:
        words = "standard deviations of the target" if model.regression else "probability"
        msg = f"{path.name} differs from the trained model by {gap:.2g} in {words}"
        raise StepError(f"{msg}, above train.parity = {parity:g}; the network does not export well")
    return gap


def _exported(model: Preprocessed, features: NDArray[Any], schema: Schema) -> bytes:
    import torch

    # Two rows: with one, the exporter would take the batch for a constant 1.
    sample = torch.from_numpy(np.resize(features, (2, *features.shape[1:])))
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model, (sample,), dynamo=True, input_names=[schema.kind],
                output_names=[QUANTILES if model.regression else PROBABILITIES],
                dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False,
            )  # fmt: skip
    except Exception as error:  # the exporter raises whatever the network's code raises
        # Its message is about its own steps, in colours; the cause says what is in the way.
        told = _COLOUR.sub("", str(error.__cause__ or error))
        what = told.strip().splitlines()
        msg = f"{type(model.network).__name__} cannot be exported to ONNX"
        raise StepError(
            f"{msg} ({what[0][:200] if what else error!r}); see model.network"
        ) from error
    if program is None:
        raise StepError(f"{type(model.network).__name__}: the ONNX exporter gave no program")
    content: bytes = program.model_proto.SerializeToString()
    return content
