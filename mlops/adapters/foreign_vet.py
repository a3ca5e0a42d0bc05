"""Look at a model that another tool logged to MLflow before anything of it is loaded.

Loading most flavours unpickles, or imports what the model brought: both run code of its own.
MLflow's switch for that is all or nothing, and counts skops files as pickles, for MLflow believes
the model's own list of trusted types. So its `MLmodel` is read here first, and only what is known
to hold data alone is let through, unless the setting says that this model may run code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.adapters import flavour
from mlops.errors import DataError, UnverifiedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SETTING = "MLOPS_SERVE_CODE"
MLMODEL = "MLmodel"
Flavour = dict[str, Any]


def vet(folder: Path, *, code: bool) -> str:
    """Read what MLflow would do to load a model, and refuse what may run code of the model's own.

    Args:
        folder: with the file `MLmodel`.
        code: whether this model may run code.

    Returns:
        The flavour: `sklearn`, `onnx` …

    Raises:
        UnverifiedModel: naming what would run, and the setting that allows it.
        DataError: if the folder holds no model that MLflow can serve.
    """
    import yaml

    path = folder / MLMODEL
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        flavours: dict[str, Flavour] = found["flavors"]
        loaded = flavours["python_function"]
        loader = str(loaded["loader_module"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        what = " ".join(str(error).split())[:200]
        msg = f"{path}: no model that MLflow can serve ({what}); log it with a pyfunc flavour"
        raise DataError(msg) from None
    name = loader.rpartition(".")[2]
    if code:
        return name
    check = _PLAIN.get(loader)
    if check is None:
        raise _refused(folder, f"is loaded by {loader}, which may unpickle it or run its own code")
    if loaded.get("code"):
        raise _refused(folder, "brings Python files of its own")
    check(folder, flavours.get(name) or {}, loaded)
    return name


def _skops(folder: Path, own: Flavour, loaded: Flavour) -> None:
    """Let skops name every type in the file that it would not make without being told to."""
    if own.get("serialization_format") != "skops":
        form = own.get("serialization_format", "pickle")
        raise _refused(folder, f"is a {form} file; log it with serialization_format='skops'")
    import skops.io

    path = _file(folder, loaded.get("data") or loaded.get("model_path"))
    unknown = skops.io.get_untrusted_types(file=path)
    if unknown:
        raise _refused(
            folder, f"holds types that skops does not trust ({', '.join(unknown)[:200]})"
        )


def _one_file(folder: Path, _own: Flavour, loaded: Flavour) -> None:
    _file(folder, loaded.get("data"))


def _xgboost(folder: Path, own: Flavour, loaded: Flavour) -> None:
    """Read a class's name, which MLflow would make whatever it is, and the form of the file."""
    if not str(own.get("model_class", "xgboost.core.Booster")).startswith("xgboost."):
        raise _refused(folder, "names a class that is not XGBoost's")
    if own.get("model_format") not in ("json", "ubj"):
        raise _refused(folder, "is not in XGBoost's json or ubj form")
    _file(folder, loaded.get("data"))
    _file(folder, own.get("data"))


_PLAIN: Mapping[str, Callable[[Path, Flavour, Flavour], None]] = {
    "mlflow.sklearn": _skops, "mlflow.onnx": _one_file, "mlflow.xgboost": _xgboost,
    flavour.LOADER: _one_file,
}  # fmt: skip
"""Loaders that make nothing but data, if the check of flavour and `python_function` holds."""


def _file(folder: Path, name: object) -> Path:
    """Return a file beside `MLmodel`: below it MLflow would read another `MLmodel`, unseen here."""
    if not isinstance(name, str) or "/" in name or not (folder / name).is_file():
        raise _refused(folder, f"names {str(name)[:60]!r} as its file, which is not beside it")
    return folder / name


def _refused(folder: Path, why: str) -> UnverifiedModel:
    return UnverifiedModel(
        f"{folder / MLMODEL}: the model {why}; it is refused. If you trust whoever made it, set "
        f"{SETTING}=true"
    )
