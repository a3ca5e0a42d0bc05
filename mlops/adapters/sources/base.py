"""What a source of examples gives, and how one is found by its name.

Your own source is a file `mlops/adapters/sources/NAME.py` with one function,
`load(section: DataSection, root: Path) -> Examples`; `params.yaml: data.source = NAME` uses it.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

import mlops.adapters.sources
from mlops.errors import DataError, ParamsError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.schema import ImageSchema
    from mlops.params.data import DataSection

_PACKAGE = mlops.adapters.sources.__name__


@dataclass(frozen=True)
class Examples:
    """The base examples of a project.

    Attributes:
        schema: shape of the images and names of the classes.
        images: uint8, (N, H, W, C).
        labels: int64, (N,): index into `schema.classes`; -1 where there is none.
        entities: per row what it is a picture of (a patient, a product): rows of one entity
            never stand on two sides of the split; None where that is not known.
        observed_s: float64, (N,): seconds since 1970, UTC; NaN where the source has no times.
    """

    schema: ImageSchema
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    entities: tuple[str | None, ...]
    observed_s: NDArray[np.float64]


def known_sources() -> list[str]:
    """Return the names that `data.source` may have."""
    names = (module.name for module in pkgutil.iter_modules(mlops.adapters.sources.__path__))
    return sorted(name for name in names if name != "base")


def load(section: DataSection, root: Path) -> Examples:
    """Load the examples of the source that `section` names, at most `section.limit` of them.

    Under a limit the rows are taken at equal distances, so that a source sorted by class
    keeps all its classes.

    Raises:
        ParamsError: if there is no such source.
        DataError: if the source's files are wrong, or what it returns is.
    """
    name = section.source
    if name not in known_sources():
        known = ", ".join(known_sources())
        msg = (
            f'params.yaml: data.source = "{name}" is unknown; write one of: {known}; '
            f"or add mlops/adapters/sources/{name}.py"
        )
        raise ParamsError(msg)
    module = importlib.import_module(f"{_PACKAGE}.{name}")
    if not hasattr(module, "load"):
        msg = f"mlops/adapters/sources/{name}.py: has no function load(section, root); add it"
        raise ParamsError(msg)
    examples: Examples = module.load(section, root)
    _check(name, examples)
    return _limit(examples, section.limit)


def _check(name: str, examples: Examples) -> None:
    """Hold a source to its contract, so that its mistakes are named here and not steps later."""
    schema, images, labels = examples.schema, examples.images, examples.labels
    count = len(images)
    shapes = {len(labels), len(examples.entities), len(examples.observed_s)}
    lowest, highest = (labels.min(), labels.max()) if len(labels) else (0, 0)
    problem = ""
    if count == 0:
        problem = "holds no examples; check data.path and data.limit in params.yaml"
    elif len(schema.classes) < 2 or len(set(schema.classes)) < len(schema.classes):
        problem = f"declares the classes {schema.classes}; at least two different ones are needed"
    elif images.dtype != np.uint8 or images.shape[1:] != schema.shape:
        problem = f"gives {images.dtype} images of {images.shape[1:]}, not uint8 of {schema.shape}"
    elif shapes != {count}:
        problem = f"gives {count} images, but labels, entities and times for {sorted(shapes)} rows"
    elif lowest < -1 or highest >= len(schema.classes):
        row = int(np.argmax((labels < -1) | (labels >= len(schema.classes))))
        problem = (
            f"gives row {row} the label {labels[row]}; "
            f"labels are 0 to {len(schema.classes) - 1}, or -1 for none"
        )
    if problem:
        raise DataError(f"source {name} {problem}")


def _limit(examples: Examples, limit: int | None) -> Examples:
    count = len(examples.images)
    if limit is None or limit >= count:
        return examples
    rows = np.arange(limit) * count // limit
    return replace(
        examples,
        images=examples.images[rows],
        labels=examples.labels[rows],
        entities=tuple(examples.entities[row] for row in rows),
        observed_s=examples.observed_s[rows],
    )
