"""Whether the columns and slices that `params.yaml` names are those that the data have."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from mlops.adapters.files import read_json
from mlops.core.columns import elsewhere, look_names
from mlops.core.schema import parse_schema
from mlops.errors import ParamsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.core.schema import Schema
    from mlops.layout import Layout
    from mlops.params.everything import Everything

_THIRDS = ("low", "middle", "high")


def check_names(layout: Layout, params: Everything) -> list[str]:
    """Hold every name against the snapshot's schema; without a snapshot, say what is unchecked.

    Returns:
        One line per name that only data can tell, or that is of examples of another kind.

    Raises:
        ParamsError: naming the key, the value and the names that there are.
        DataError: if the snapshot's schema is damaged.
    """
    path = layout.snapshot / "schema.json"
    schema = parse_schema(read_json(path), str(path)) if path.is_file() else None
    later = []
    for key, name, known in _named(params, schema):
        if name in known:
            continue
        if schema is None:
            later.append(f'{key} names "{name}": only data tell whether there is one: dvc repro')
            continue
        if key == "gate.slices" and elsewhere(name, known):
            later.append(f'{key} names "{name}", which examples of this kind lack: it is no slice')
            continue
        near = get_close_matches(name, known, n=1)
        meant = f' (did you mean "{near[0]}"?)' if near else ""
        msg = f'params.yaml: {key} names "{name}", of which there is none{meant}'
        raise ParamsError(f"{msg}; choose from: {', '.join(known)}")
    return later


def _named(params: Everything, schema: Schema | None) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield every key, each name that stands there, and the names that may."""
    columns = look_names(schema)
    classes = schema.classes if schema is not None else ()
    gate = params.gate
    slices = tuple(f"class {name}" for name in classes)
    slices += tuple(f"{column} {third}" for column in gate.slices for third in _THIRDS)
    for key, names, known in (
        ("gate.slices", gate.slices, columns),
        ("gate.protected", gate.protected, ("class", *columns)),
        ("gate.required_slices", gate.required_slices, slices),
        ("evaluate.protected", params.evaluate.protected, ("class", "origin", *columns)),
    ):
        yield from ((key, name, known) for name in names)
