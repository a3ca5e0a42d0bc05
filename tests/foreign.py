"""Small models that another tool might have logged to MLflow, saved for real."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops.adapters import files, flavour
from mlops.adapters.onnx_session import Session
from mlops.core.schema import to_plain
from mlops.log import quieten
from tests.serving.tiny import SHAPE, write_model

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.core.schema import Schema

ROWS = pd.DataFrame({
    "age": [30.0, 45.5, 61.0, 22.0], "city": ["Bern", "Genf", "Bern", "Chur"],
    "visits": np.array([1, 5, 2, 0]), "member": [True, False, True, False],
})  # fmt: skip
ANSWERS = np.array(["no", "yes", "no", "yes"])
_CODE = """
import mlflow
from pathlib import Path

class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        Path({trace!r}).write_text("it ran")

    def predict(self, context, model_input, params=None):
        factor = (params or {{}}).get("factor", 1.0)
        if (model_input["x"] < -1e6).any():
            raise RuntimeError("broken")
        return model_input.assign(twice=2 * factor * model_input["x"], large=model_input["x"] > 1)

mlflow.models.set_model(Model())
"""


def save_sklearn(folder: Path, form: str = "skops", *, signed: bool = True, **more: Any) -> Path:
    """Save a pipeline of numbers and a category that answers with names of classes."""
    quieten()
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    names = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough"
    )
    model = make_pipeline(names, LogisticRegression()).fit(ROWS, ANSWERS)
    mlflow.sklearn.save_model(
        model, folder, serialization_format=form, input_example=ROWS[:2] if signed else None,
        signature=infer_signature(ROWS, ANSWERS) if signed else None,
        pip_requirements=["scikit-learn"], **more,
    )  # fmt: skip
    return folder


def save_onnx(folder: Path) -> Path:
    """Save a network of tiny images under MLflow's ONNX flavour."""
    import mlflow.onnx
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    write_model(folder.with_suffix(".onnx"), 0)
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.uint8), (-1, *SHAPE), "image")]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, 3), "probabilities")]),
    )
    mlflow.onnx.save_model(
        onnx.load(folder.with_suffix(".onnx")), folder, signature=signature,
        pip_requirements=["onnxruntime"], save_as_external_data=False,
    )  # fmt: skip
    return folder


def save_version(folder: Path, model: Path, schema: Schema) -> Path:
    """Save a model file as `mlops register` does."""
    session = Session(model)
    example = np.zeros((2, *schema.shape), dtype=schema.dtype)
    flavour.save(folder, model, session, schema, example)
    files.write_json(folder / "model.json", {"schema": to_plain(schema)})
    return folder


def save_code(folder: Path, trace: Path) -> Path:
    """Save a model that is a Python file; loading it writes `trace`."""
    import mlflow.pyfunc
    from mlflow.models import infer_signature

    script = folder.with_suffix(".py")
    script.write_text(_CODE.format(trace=str(trace)))
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    signature = infer_signature(frame, frame.assign(twice=0.0, large=True), params={"factor": 1.0})
    mlflow.pyfunc.save_model(
        folder, python_model=str(script), signature=signature, pip_requirements=["mlflow"]
    )
    trace.unlink(missing_ok=True)
    return folder
