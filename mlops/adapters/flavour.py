"""A model version in MLflow's words: signature, input example, and what MLflow loads it with.

Images are one tensor, and MLflow's own ONNX flavour answers them. Tables and texts are columns, as
people send them: of a tensor MLflow would want codes and bytes. Their loader, and that of every
`torch.export` archive, is `mlops.adapters.pyfunc`.
"""

from __future__ import annotations

import shutil
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters import files
from mlops.adapters.runtimes import EXPORTED
from mlops.core.features import values_of
from mlops.core.schema import ImageSchema, TableSchema
from mlops.log import quieten

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.models.signature import ModelSignature
    from numpy.typing import NDArray

    from mlops.adapters.runtimes import Scorer
    from mlops.core.schema import Schema

LOADER = "mlops.adapters.pyfunc"
_REQUIREMENTS = ("mlflow", "numpy", "onnx", "onnxruntime")


def save(folder: Path, model: Path, session: Scorer, schema: Schema, example: NDArray[Any]) -> None:
    """Write a version's folder for MLflow, with the model file in it.

    The signature names what the scoring server takes. Every column is required, for one that is
    left out may be one that is misspelt; its values may be missing.

    Args:
        folder: that is not there yet.
        model: the model file; these very bytes are kept.
        session: the model file, opened.
        schema: of the examples.
        example: one or more of them as the model takes them, shown with the version.
    """
    quieten()
    if model.name == EXPORTED:
        _save_exported(folder, _signature(session, schema))
    else:
        _save_onnx(folder, model, _signature(session, schema), shown(example, schema))
    if not isinstance(schema, ImageSchema):
        _load_by_ours(folder)
    shutil.copyfile(model, folder / model.name)


def _signature(session: Scorer, schema: Schema) -> ModelSignature:
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    if isinstance(schema, ImageSchema):
        inputs = [TensorSpec(session.dtype, (-1, *session.shape), session.input)]
    elif isinstance(schema, TableSchema):
        kinds = {"number": "double", "category": "string"}
        inputs = [ColSpec(kinds[column.kind], column.name) for column in schema.columns]
    else:
        inputs = [ColSpec("string", schema.kind)]
    answers = TensorSpec(np.dtype(np.float32), (-1, session.answers), session.output)
    return ModelSignature(Schema(inputs), Schema([answers]))


def shown(example: NDArray[Any], schema: Schema) -> Any:
    """Return examples as the signature has them: a tensor, or a data frame."""
    import pandas as pd

    values = values_of(example, schema)
    if isinstance(schema, ImageSchema):
        return values
    if isinstance(schema, TableSchema):
        return pd.DataFrame({c.name: v for c, v in zip(schema.columns, values, strict=True)})
    return pd.DataFrame({schema.kind: values})


def _save_onnx(folder: Path, model: Path, signature: ModelSignature, example: Any) -> None:
    import mlflow.onnx
    import onnx

    mlflow.onnx.save_model(
        onnx.load(model),
        folder,
        signature=signature,
        input_example=example,
        # Inferring them takes 19 s; these are all that loading needs.
        pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )


def _load_by_ours(folder: Path) -> None:
    """Let MLflow load a version by our own loader; as a plain ONNX file others still may."""
    from mlflow.models import Model

    described = Model.load(str(folder))
    described.flavors["python_function"]["loader_module"] = LOADER
    described.save(str(folder / "MLmodel"))


def _save_exported(folder: Path, signature: ModelSignature) -> None:
    """Write the pyfunc flavour alone: MLflow's own for archives would unpickle."""
    from mlflow import pyfunc
    from mlflow.models import Model

    folder.mkdir()
    described = Model(signature=signature)
    pyfunc.add_to_model(described, loader_module=LOADER, data=EXPORTED)
    pins = "".join(f"{name}=={version(name)}\n" for name in ("mlflow", "numpy", "torch"))
    files.write_text(folder / "requirements.txt", pins)
    described.save(str(folder / "MLmodel"))
