"""Whether the source, columns and slices that `params.yaml` names are those that the data have."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from mlops.adapters.files import read_json
from mlops.adapters.sources.base import need_source
from mlops.core.columns import elsewhere, look_names
from mlops.core.redacted import parse_redact
from mlops.core.schema import parse_schema
from mlops.errors import ParamsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.core.schema import Schema
    from mlops.layout import Layout
    from mlops.params.data import DataSection
    from mlops.params.everything import Everything
    from mlops.params.model import ModelSection

_THIRDS = ("low", "middle", "high")


_TABLES = ("table", "text")
_NO_COLUMNS = ("digits", "fashion_mnist", "text")


def check_network(section: ModelSection) -> None:
    """Import the network that `model.network` names, if it is one of the user's own.

    Raises:
        ParamsError: if it cannot be imported or is none.
    """
    if section.network != "auto":
        from mlops.core.networks import network_class

        network_class(section.network)


def check_source(layout: Layout, section: DataSection) -> None:
    """Hold `data` against what lies on the disk, without reading a row.

    Raises:
        ParamsError: if there is no such source, path or column.
        DataError: if the file cannot be read.
    """
    need_source(section.source)
    if section.path is not None and not (layout.root / section.path).exists():
        msg = f'params.yaml: data.path = "{section.path}" does not exist below {layout.root}'
        raise ParamsError(f"{msg}; correct it, or get the data: dvc pull")
    if section.source not in _TABLES:
        return
    from mlops.adapters.sources.cells import need_column
    from mlops.adapters.sources.files import read_head

    head = read_head(section, layout.root)
    needed = ("target", "text") if section.source == "text" else ("target",)
    named = [(key, getattr(section, key)) for key in ("target", "text", "entity", "time")]
    named += [
        (key, name) for key in ("drop", "categorical", "times") for name in getattr(section, key)
    ]
    for key, name in named:
        if name is not None or key in needed:
            need_column(head, name, key)


def check_redacted(layout: Layout, section: DataSection, text: str) -> list[str]:
    """Hold the columns that `MLOPS_REDACT` names against the data's, as far as they are known.

    Returns:
        One line if only data can tell.

    Raises:
        UsageError: naming the value, the name and the columns that there are.
        DataError: if the snapshot's schema, or the source's file, cannot be read.
    """
    redact, path = parse_redact(text), layout.snapshot / "schema.json"
    if not redact.columns:
        return []
    if path.is_file():
        redact.need(parse_schema(read_json(path), str(path)), "the snapshot")
    elif section.source in _NO_COLUMNS:
        redact.need_among((), f"what data.source = {section.source} gives")
    else:
        names = ", ".join(redact.columns)
        return [f"MLOPS_REDACT names {names}: only data tell whether there is such: dvc repro"]
    return []


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
    slices = tuple(f"class {name}" for name in classes if gate.class_slices)
    slices += tuple(f"{column} {third}" for column in gate.slices for third in _THIRDS)
    for key, names, known in (
        ("gate.slices", gate.slices, columns),
        ("gate.protected", gate.protected, ("class", *columns)),
        ("gate.required_slices", gate.required_slices, slices),
        ("evaluate.protected", params.evaluate.protected, ("class", "origin", *columns)),
    ):
        yield from ((key, name, known) for name in names)
