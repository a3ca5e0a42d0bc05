"""`torch.export` archives, written plain and read without running anything of theirs.

PyTorch's own reader trusts a file: it unpickles entries that say so, falls back to a full unpickle
for sample inputs, evaluates symbolic shapes as Python, and pastes names into source code. So a file
is read here first, and rebuilt in memory from what is allowed: raw tensors, and a graph of ATen
operators whose every string is a plain name. What is written holds no more than that.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

from mlops.adapters.files import replacing
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import torch

_GRAPH, _SAMPLE = "models/model.json", "data/sample_inputs/model.pt"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_RAW = re.compile(
    r"(data/(weights/weight|constants/tensor)_\d+|archive_(format|version)|byteorder"
    r"|\.data/(version|serialization_id))"
)
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.(?!from_file)\w+\.\w+|_operator\.(add|sub|mul|floordiv|mod|neg|[gl][te]|eq|ne)"
)
_NAME = re.compile(r"[\w.+\-]*", re.ASCII)
_EXPRESSION = re.compile(
    r"(Symbol\('[su]\d+'(, (positive|nonnegative|integer)=True)*\)|Integer\(-?\d+\)|-?\d{1,18}"
    r"|[su]\d+|(Add|Mul|Mod|Max|Min|FloorDiv|CleanDiv|PythonMod)\(|[()+\-, ]|\*(?!\*)|//)+"
)
_NEVER = ("as_graph", "as_custom_obj", "as_operator", "custom_obj")
_EMPTY = ("guards_code", "custom_obj_values", "treespec_namedtuple_fields", "metadata")
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict")


def write(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a program without sample inputs, notes or anything pickled.

    Raises:
        DataError: if it holds what a reader of ours would refuse.
    """
    import torch

    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, stream)
    with zipfile.ZipFile(stream) as archive:
        parts = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    graph = json.loads(parts[_GRAPH])
    for node in graph["graph_module"]["graph"]["nodes"]:
        node["metadata"] = {}  # stack traces: paths of the machine that trained
    graph["graph_module"]["module_call_graph"] = graph["graph_module"]["module_call_graph"][:1]
    graph["graph_module"]["metadata"], graph["guards_code"] = {}, []
    parts |= {_GRAPH: json.dumps(graph).encode(), _SAMPLE: b""}
    _check(parts, str(path))
    with replacing(path) as temporary:
        temporary.write_bytes(_packed(parts))


def read(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the network of an archive.

    Raises:
        DataError: if it is damaged, or holds anything but tensors and a plain graph.
    """
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            parts = {entry.filename.partition("/")[2]: archive.read(entry)
                     for entry in _entries(archive, str(path))}  # fmt: skip
        _check(parts, str(path))
        return torch.export.load(io.BytesIO(_packed(parts))).module()
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - the reader raises whatever a broken graph makes it raise
        what = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{path}: no torch.export archive ({what}); run: mlops train") from None


def _entries(archive: zipfile.ZipFile, where: str) -> list[zipfile.ZipInfo]:
    """Return the entries; packed ones (bombs) and names given twice are none of ours."""
    found = archive.infolist()
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in found)
    if packed or len({entry.filename for entry in found}) != len(found):
        raise _refused(where, "entries that are compressed or stand there twice")
    return found


def _packed(parts: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in sorted(parts.items()):
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    return stream.getvalue()


def _check(parts: dict[str, bytes], where: str) -> None:
    """Refuse an archive that holds more than raw tensors and a plain graph."""
    for name in parts:
        if name not in (_GRAPH, _SAMPLE, *_CONFIGS) and not _RAW.fullmatch(name):
            raise _refused(where, f"the entry {name[:80]!r}")
    if parts.get(_SAMPLE):
        raise _refused(where, "sample inputs, which are pickled")
    for config in _CONFIGS:
        for entry in json.loads(parts[config])["config"].values():
            if entry["use_pickle"] is not False:
                raise _refused(where, "a pickled tensor")
    for content in (_GRAPH, *_CONFIGS):
        for why in _wrong("", json.loads(parts[content])):
            raise _refused(where, why)


def _wrong(key: str, value: Any) -> Iterator[str]:
    """Yield what is not allowed at a place of the graph or below it."""
    if key in _NEVER or (key in _EMPTY and value):
        yield f"{key!r} in the graph"
    if isinstance(value, dict):
        for name, below in value.items():
            if not _NAME.fullmatch(name):
                yield f"the name {name[:80]!r}"
            yield from _wrong(name, below)
    elif isinstance(value, list):
        for below in value:
            yield from _wrong(key, below)
    elif isinstance(value, str) and not _plain(key, value):
        yield f"{key} = {value[:80]!r}"


def _plain(key: str, text: str) -> bool:
    if key == "as_string":  # an operator's argument: data, such as a padding mode
        return True
    if key == "target":
        return _OPERATOR.fullmatch(text) is not None
    if key == "expr_str":
        return _EXPRESSION.fullmatch(text) is not None
    if key in ("in_spec", "out_spec"):
        return _containers(json.loads(text))
    return _NAME.fullmatch(text) is not None


def _containers(spec: Any) -> bool:
    """Say whether a description of arguments names nothing but tuples, lists and dicts."""
    if isinstance(spec, list):
        return all(map(_containers, spec))
    if not isinstance(spec, dict):
        return isinstance(spec, int)
    known = spec["type"] in _CONTAINERS and spec["context"] in (None, "null", "[]")
    return (
        known
        and set(spec) == {"type", "context", "children_spec"}
        and _containers(spec["children_spec"])
    )


def _refused(where: str, what: str) -> DataError:
    return DataError(f"{where}: holds {what}; it is not loaded, for that could run code")
