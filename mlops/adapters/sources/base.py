"""What a source of examples gives, and how one is found by its name.

Your own source is a file `mlops/adapters/sources/NAME.py` with one function,
`load(section: DataSection, root: Path) -> Examples`; `params.yaml: data.source = NAME` uses it.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import mlops.adapters.sources
from mlops.core import features
from mlops.core.schema import ImageSchema
from mlops.errors import CheckFailed, DataError, ParamsError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.schema import Schema
    from mlops.params.data import DataSection

_SHARED = ("base", "cells", "files")
_PACKAGE = mlops.adapters.sources.__name__


@dataclass(frozen=True)
class Examples:
    """The base examples of a project.

    Attributes:
        schema: what the examples are, and names of the classes.
        values: N examples as `mlops.core.features` says by kind; images: uint8, (N, H, W, C).
        labels: int64, (N,): index into `schema.classes`, -1 where there is none; for regression
            float64, NaN where there is none.
        entities: per row what it is about (a patient, a product): rows of one entity
            never stand on two sides of the split; None where that is not known.
        observed_s: float64, (N,): seconds since 1970, UTC; NaN where the source has no times.
    """

    schema: Schema
    values: Any
    labels: NDArray[Any]
    entities: tuple[str | None, ...]
    observed_s: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of examples."""
        return features.count(self.values, self.schema)

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Return some of the examples."""
        return replace(
            self, values=features.take(self.values, rows, self.schema), labels=self.labels[rows],
            entities=tuple(self.entities[row] for row in rows), observed_s=self.observed_s[rows],
        )  # fmt: skip


def known_sources() -> list[str]:
    """Return the names that `data.source` may have."""
    names = (module.name for module in pkgutil.iter_modules(mlops.adapters.sources.__path__))
    return sorted(name for name in names if name not in _SHARED)


def need_source(name: str) -> None:
    """Refuse a name of which there is no source.

    Raises:
        ParamsError: naming those that there are.
    """
    if name not in known_sources():
        known = ", ".join(known_sources())
        msg = (
            f'params.yaml: data.source = "{name}" is unknown; write one of: {known}; '
            f"or add mlops/adapters/sources/{name}.py"
        )
        raise ParamsError(msg)


def load(section: DataSection, root: Path) -> Examples:
    """Load the examples of the source that `section` names, at most `section.limit` of them.

    Under a limit the rows are taken at equal distances, so that a source sorted by class
    keeps all its classes.

    Raises:
        ParamsError: if there is no such source.
        CheckFailed: if it has no examples, or one class only.
        DataError: if the source's files are wrong, or what it returns is.
    """
    name = section.source
    need_source(name)
    module = importlib.import_module(f"{_PACKAGE}.{name}")
    if not hasattr(module, "load"):
        msg = f"mlops/adapters/sources/{name}.py: has no function load(section, root); add it"
        raise ParamsError(msg)
    try:
        examples: Examples = module.load(section, root)
        _check(name, examples)
    except (DataError, CheckFailed) as error:
        if section.path is None or str(section.path) in str(error):
            raise
        raise type(error)(f"{section.path}: {error}") from None
    return _limit(examples, section.limit)


def _check(name: str, examples: Examples) -> None:
    """Hold a source to its contract, so that its mistakes are named here and not steps later."""
    schema, count = examples.schema, len(examples)
    shapes = {len(examples.labels), len(examples.entities), len(examples.observed_s)}
    if count == 0:
        msg = f"source {name} holds no examples; check data.path and data.limit in params.yaml"
        raise CheckFailed(msg)
    if len(schema.classes) == 1 or len(set(schema.classes)) < len(schema.classes):
        msg = f"source {name} declares the classes {schema.classes}; two different ones are needed"
        raise CheckFailed(msg)
    if shapes != {count}:
        problem = f"gives {count} examples, but labels, entities, times for {sorted(shapes)} rows"
    else:
        problem = _features_fault(examples) or _labels_fault(examples)
    if problem:
        raise DataError(f"source {name} {problem}")


def _features_fault(examples: Examples) -> str:
    schema, values = examples.schema, examples.values
    if isinstance(schema, ImageSchema):
        if values.dtype != np.uint8 or values.shape[1:] != schema.shape:
            shape = values.shape[1:]
            return f"gives {values.dtype} images of {shape}, not uint8 of {schema.shape}"
        return ""
    array = features.arrays(values, schema)
    if array.shape[1:] != schema.shape or np.isinf(array).any():
        return f"gives features of the shape {array.shape[1:]}, expected {schema.shape} and finite"
    return ""


def _labels_fault(examples: Examples) -> str:
    labels, classes = examples.labels, len(examples.schema.classes)
    wrong = (labels < -1) | (labels >= classes) if classes else np.isinf(labels)
    if not wrong.any():
        return ""
    row = int(np.argmax(wrong))
    allowed = f"labels are 0 to {classes - 1}, or -1 for none" if classes else "it must be finite"
    return f"gives row {row} the label {labels[row]}; {allowed}"


def _limit(examples: Examples, limit: int | None) -> Examples:
    count = len(examples)
    if limit is None or limit >= count:
        return examples
    return examples.take(np.arange(limit) * count // limit)
