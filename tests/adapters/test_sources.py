from __future__ import annotations

import gzip
import struct
import sys
import urllib.request
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops.adapters.sources import base
from mlops.adapters.sources.base import Examples
from mlops.core.schema import ImageSchema
from mlops.errors import EXIT_CHECK_FAILED, CheckFailed, DataError, ParamsError
from mlops.params.data import DataSection

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "train-images-idx3-ubyte.gz": (20, 3), "train-labels-idx1-ubyte.gz": (20, 1),
    "t10k-images-idx3-ubyte.gz": (10, 3), "t10k-labels-idx1-ubyte.gz": (10, 1),
}  # fmt: skip
IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def _idx(rows: int, dimensions: int, *, claim: int | None = None, side: int = 28) -> bytes:
    shape = (rows, side, side)[:dimensions]
    content = np.arange(np.prod(shape)) % 10
    claimed = (rows if claim is None else claim, *shape[1:])
    return (
        struct.pack(f">{1 + dimensions}I", 0x0800 + dimensions, *claimed)
        + content.astype(np.uint8).tobytes()
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "idx"
    target.mkdir()
    for name, (rows, dimensions) in FILES.items():
        (target / name).write_bytes(gzip.compress(_idx(rows, dimensions)))
    return target


def _fashion(root: Path, **changes: Any) -> Examples:
    return base.load(DataSection(source="fashion_mnist", path="idx", **changes), root)


@pytest.mark.parametrize("source", ["digits", "fashion_mnist"])
def test_every_source_keeps_the_contract(source: str, folder: Path) -> None:
    examples = base.load(DataSection(source=source, path="idx"), folder.parent)
    count = len(examples.values)
    assert count > 0
    assert examples.values.dtype == np.uint8
    assert examples.values.shape == (count, *examples.schema.shape)
    assert examples.labels.dtype == np.int64
    assert examples.labels.shape == examples.observed_s.shape == (count,)
    assert set(np.unique(examples.labels)) <= set(range(-1, len(examples.schema.classes)))
    assert len(set(examples.entities)) == count


def test_the_digits_use_the_whole_range_and_are_named(tmp_path: Path) -> None:
    examples = base.load(DataSection(source="digits"), tmp_path)
    assert examples.values.shape == (1797, 8, 8, 1)
    assert (examples.values.min(), examples.values.max()) == (0, 255)
    assert examples.entities[7] == "digits-0007"


def test_both_parts_of_fashion_mnist_become_examples(folder: Path) -> None:
    examples = _fashion(folder.parent)
    assert examples.values.shape == (30, 28, 28, 1)
    assert examples.entities[0] == "fashion-train-00000"
    assert examples.entities[-1] == "fashion-test-00009"
    assert list(examples.labels[:3]) == [0, 1, 2]


def test_a_limit_takes_rows_at_equal_distances(folder: Path) -> None:
    examples = _fashion(folder.parent, limit=3)
    assert examples.entities == (
        "fashion-train-00000", "fashion-train-00010", "fashion-test-00000",
    )  # fmt: skip
    assert len(_fashion(folder.parent, limit=99).values) == 30


def _gz(content: bytes) -> bytes:
    """Compress without a time stamp: the bytes are part of a test's name."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (IMAGES, None, "no such file; put the four"),
        (IMAGES, b"", "begins with nothing"),
        (IMAGES, b"no gzip at all", "not a whole gzip file"),
        (IMAGES, _gz(_idx(20, 3))[:-40], "not a whole gzip file"),
        (IMAGES, _gz(_idx(20, 3)[:-5]), "promises 15680 bytes, only 15675 follow"),
        (IMAGES, _gz(_idx(20, 3) + b"x"), "promises 15680 bytes, more follow"),
        (IMAGES, _gz(_idx(20, 1)), "begins with 00000801, an IDX file of this kind with"),
        (IMAGES, _gz(b"\0\0"), "begins with 0000"),
        (IMAGES, _gz(_idx(20, 3, claim=2**32 - 1)), "claims 4294967295 × 28 × 28"),
        (IMAGES, _gz(_idx(1, 3, side=29)), "claims 1 × 29 × 29"),
        (LABELS, _gz(_idx(19, 1)), "19 labels for 20 images"),
        (LABELS, _gz(_idx(20, 1)[:-1] + b"\x0b"), "row 19 has the label 11"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes | None, said: str) -> None:
    path = folder / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        _fashion(folder.parent)
    assert str(caught.value).startswith(str(path))


def test_a_gzip_bomb_is_not_unpacked(folder: Path) -> None:
    import tracemalloc

    bomb = _idx(20, 3) + bytes(200 << 20)
    (folder / IMAGES).write_bytes(gzip.compress(bomb, 1))
    del bomb
    tracemalloc.start()
    with pytest.raises(DataError, match="more follow"):
        _fashion(folder.parent)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_empty_files_are_an_empty_data_set(folder: Path) -> None:
    for name, (_, dimensions) in FILES.items():
        (folder / name).write_bytes(gzip.compress(_idx(0, dimensions)))
    with pytest.raises(CheckFailed, match="holds no examples"):
        _fashion(folder.parent)


def test_without_a_network_the_download_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proxy that refuses: what a machine without a network looks like to urllib.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    # urllib keeps the opener it builds, proxy and all: later tests must not inherit it.
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(DataError, match=r"failed \(.*[^: ]\); get .*: data.path"):
        base.load(DataSection(source="fashion_mnist"), tmp_path)


def test_an_earlier_download_is_used(folder: Path) -> None:
    target = folder.parent / "data" / "raw" / "FashionMNIST" / "raw"
    target.parent.mkdir(parents=True)
    folder.rename(target)
    loaded = base.load(DataSection(source="fashion_mnist"), folder.parent)
    assert len(loaded.values) == 30


@pytest.mark.parametrize("name", ["nope", "base"])
def test_an_unknown_source_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParamsError, match="write one of: digits, fashion_mnist"):
        base.load(DataSection(source=name), tmp_path)


def _examples(**changes: Any) -> Examples:
    values: dict[str, Any] = {
        "schema": ImageSchema(("a", "b"), 2, 2, 1),
        "values": np.zeros((2, 2, 2, 1), np.uint8),
        "labels": np.array([0, -1]),
        "entities": (None, None),
        "observed_s": np.full(2, np.nan),
    }
    return Examples(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": np.zeros((2, 2, 2, 1))}, "gives float64 images"),
        ({"values": np.zeros((2, 3, 2, 1), np.uint8)}, r"not uint8 of \(2, 2, 1\)"),
        ({"entities": ("x",)}, r"gives 2 examples, but labels, entities, times for \[1, 2\]"),
        ({"labels": np.array([0, 2])}, "gives row 1 the label 2; labels are 0 to 1"),
        ({"labels": np.array([-2, 0])}, "gives row 0 the label -2"),
    ],
)
def test_a_source_that_breaks_the_contract_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    module = ModuleType("mlops.adapters.sources.digits")
    module.load = lambda *_: _examples(**changes)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(DataError, match=f"^source digits .*{said}"):
        base.load(DataSection(source="digits"), tmp_path)


@pytest.mark.parametrize("classes", [("a",), ("a", "a")])
def test_a_source_of_one_class_is_a_failed_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: tuple[str, ...]
) -> None:
    module = ModuleType("mlops.adapters.sources.digits")
    found = _examples(schema=ImageSchema(classes, 2, 2, 1))
    module.load = lambda *_: found  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(CheckFailed, match="two different ones are needed") as refused:
        base.load(DataSection(source="digits"), tmp_path)
    assert refused.value.exit_code == EXIT_CHECK_FAILED


def test_a_source_without_its_function_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "mlops.adapters.sources.digits"
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    with pytest.raises(ParamsError, match=r"digits.py: has no function load\(section, root\)"):
        base.load(DataSection(source="digits"), tmp_path)
