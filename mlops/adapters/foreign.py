"""A model that another tool logged to MLflow, run as a pyfunc after `foreign_vet`."""

from __future__ import annotations

import io
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops.adapters.foreign_tensors import columns, described, from_tensors, tensors
from mlops.adapters.foreign_vet import MLMODEL, vet
from mlops.errors import DataError
from mlops.log import quieten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from mlops.adapters.foreign_tensors import Given, Wire

_SWITCH = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
_SHOWN = 20


class Unfit(DataError):
    """What was sent does not fit the model's signature, or the model cannot answer it."""


class ForeignModel:
    """A model in MLflow's pyfunc runtime; of one thread at a time.

    Args:
        folder: of the model.
        code: whether it may run code of its own.

    Raises:
        UnverifiedModel: see `mlops.adapters.foreign_vet.vet`.
        DataError: if it cannot be loaded here, or has no signature.

    Attributes:
        flavour: what made it.
        takes: the inputs of its signature, for people.
        gives: the outputs of its signature, for people; empty where it states none.
        inputs: the tensors that it takes; empty where tensors cannot say it.
        outputs: the tensors that it gives; empty where the signature does not say.
    """

    def __init__(self, folder: Path, *, code: bool) -> None:
        self.flavour = vet(folder, code=code)
        quieten()
        import mlflow.pyfunc

        try:
            with _unpickling():
                self._model = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
        except Exception as error:  # whatever a flavour, or the model's own code, raises
            what = " ".join(str(error).split())[:300]
            msg = f"{folder}: cannot be loaded here ({type(error).__name__}: {what})"
            pins = folder / "requirements.txt"
            raise DataError(f"{msg}; it asks for what stands in {pins}") from error
        signature = self._model.metadata.signature
        if signature is None or signature.inputs is None:
            raise DataError(f"{folder / MLMODEL}: has no signature to check requests against; "
                            "log the model with one")  # fmt: skip
        self._signature, self._inputs = signature, signature.inputs
        self.takes = described(signature.inputs, "inputs")
        self.gives = described(signature.outputs, "predictions") if signature.outputs else []
        self.inputs = columns(signature.inputs, "inputs")
        self.outputs = columns(signature.outputs, "predictions") if signature.outputs else []

    @property
    def example(self) -> Any:
        """The request that was logged with the model; None if none was."""
        return self._model.input_example

    @property
    def names(self) -> list[str]:
        """Names of the columns; none where the model takes tensors."""
        tensor = self._inputs.is_tensor_spec() or not self._inputs.has_input_names()
        return [] if tensor else [str(name) for name in self._inputs.input_names()]

    def read_json(self, content: Mapping[str, Any]) -> Any:
        """Return what MLflow's scoring protocol makes of one of its four formats.

        Raises:
            Unfit: if it does not fit the signature.
        """
        from mlflow.pyfunc.scoring_server import infer_and_parse_data

        return self._parsed(lambda: infer_and_parse_data(dict(content), self._inputs))

    def read_csv(self, text: str) -> Any:
        """Return the rows of a CSV, as `read_json`."""
        from mlflow.pyfunc.scoring_server import parse_csv_input

        return self._parsed(lambda: parse_csv_input(io.StringIO(text), self._inputs))

    def read_batches(self, batches: Sequence[pa.RecordBatch]) -> Any:
        """Return record batches as `pandas.read_parquet` does, as `read_json`."""
        return self._parsed(lambda: _frame(batches))

    def read_tensors(self, given: Sequence[Given]) -> Any:
        """Return the rows of named tensors, as `read_json`."""
        return self._parsed(lambda: from_tensors(given, self._inputs))

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Return the model's answer, in whatever form it has.

        Raises:
            Unfit: if the data do not fit the signature, or the model says that it cannot use them.
        """
        from mlflow.exceptions import MlflowException

        known = self._signature.params is not None
        try:
            return self._model.predict(data, params=dict(params or {}) if known else None)
        except MlflowException as error:
            if error.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
                raise
            raise self._unfit() from None
        except (ValueError, TypeError, LookupError) as error:
            msg = f"the model cannot answer these rows ({type(error).__name__})"
            raise Unfit(msg) from error

    def plain(self, answer: Any) -> Any:
        """Return an answer as MLflow's scoring protocol writes it under `predictions`.

        Raises:
            FloatingPointError: if it holds NaN or infinity, which JSON cannot.
        """
        from mlflow.pyfunc.scoring_server import predictions_to_json

        text = io.StringIO()
        predictions_to_json(answer, text)
        return json.loads(text.getvalue(), parse_constant=_not_finite)["predictions"]

    def tensors(self, answer: Any) -> list[Wire]:
        """Return an answer as named tensors.

        Raises:
            Unfit: if tensors cannot hold it.
            FloatingPointError: as `plain`.
        """
        alone = self.outputs[0]["name"] if len(self.outputs) == 1 else "predictions"
        try:
            return tensors(answer, alone)
        except ValueError:
            raise Unfit("the model's answer is no tensor of numbers or texts") from None

    def _parsed(self, parse: Callable[[], Any]) -> Any:
        try:
            return parse()
        except Exception:  # noqa: BLE001 - MLflow's parser raises what pandas and NumPy raise
            raise self._unfit() from None

    def _unfit(self) -> Unfit:
        """Say what fits, and nothing of what was sent."""
        more = f" and {len(self.takes) - _SHOWN} more" if len(self.takes) > _SHOWN else ""
        told = ", ".join(self.takes[:_SHOWN]) + more
        return Unfit(f"does not fit the model's signature; it takes {told}")


def _frame(batches: Sequence[pa.RecordBatch]) -> Any:
    """Return one pandas frame; its texts are texts, whatever kept them small on their way."""
    import pandas as pd
    import pyarrow as pa

    frame = pa.Table.from_batches(batches).unify_dictionaries().to_pandas()
    kept = [name for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    return frame.astype(dict.fromkeys(kept, object))


@contextmanager
def _unpickling() -> Iterator[None]:
    """Turn MLflow's switch on for what `vet` let through, and back after."""
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "true"
    try:
        yield
    finally:
        os.environ.pop(_SWITCH)
        if before is not None:
            os.environ[_SWITCH] = before


def _not_finite(_name: str) -> None:
    raise FloatingPointError("the model's answer is not finite")
