"""Bad and odd files of the sources `table` and `text`: read as they are, or named in one line."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.adapters.sources import base, files
from mlops.core.schema import Column, TableSchema
from mlops.errors import CheckFailed, DataError, MlopsError, ParamsError
from mlops.params.data import DataSection

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.adapters.sources.base import Examples

GOOD = "a,b,y\n1,x,0\n2,z,1\n"


def read(folder: Path, content: str | bytes, name: str = "f.csv", **keys: Any) -> Examples:
    """Write a file and read it as the source of the given keys would."""
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(raw)
    return base.load(
        DataSection(**{"source": "table", "target": "y", "path": name, **keys}), folder
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD + "3,1\n", "Expected 3 columns, got 2: 3,1"),
        (GOOD + "3,x,1,5\n", "Expected 3 columns, got 4: 3,x,1,5"),
        (GOOD.encode("utf-16"), "is UTF-16; save it as CSV in UTF-8"),
        ("a,b,y\n1,é,0\n".encode("latin-1"), "is no UTF-8.; save it as UTF-8"),
        ("a,é,y\n1,x,0\n".encode("latin-1"), "is no UTF-8.; save it as UTF-8"),
        (b"PK\3\4 workbook", "is a zip file or a workbook; save it as CSV"),
        ("a,a,y\n1,x,0\n2,z,1\n", "the column 'a' stands twice; rename one"),
        (
            'a,y,b\n1,0,x\n2,1,"z\n3,0,x\n',
            "before 'z 3,0,x ' is never closed; .*data.quoted: false",
        ),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(str(tmp_path / "f.csv"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "keys", "error", "said"),
    [
        ("a,b,y\n1,x,0\nten,z,1\n", {}, DataError, "column a holds numbers and text such as 'ten'"),
        ("a,y\n1,0\n1e999,1\n", {}, DataError, "column a holds a number beyond"),
        ("a,y\n1,0\n-1e39,1\n", {}, DataError, "column a holds a number beyond"),
        ("a,b\n1,x\n", {}, ParamsError, 'data.target = "y" is no column; columns: a, b$'),
        (GOOD, {"target": None}, ParamsError, "data.target is not set; columns: a, b, y"),
        ("a;b;y\n1;x;0\n", {}, ParamsError, "columns: a;b;y; is data.separator right"),
        (GOOD, {"drop": ["q"]}, ParamsError, 'data.drop = "q" is no column'),
        (GOOD, {"categorical": ["q"]}, ParamsError, 'data.categorical = "q" is no column'),
        (GOOD, {"entity": "q"}, ParamsError, 'data.entity = "q" is no column'),
        (GOOD, {"time": "q"}, ParamsError, 'data.time = "q" is no column'),
        (GOOD, {"times": ["q"]}, ParamsError, 'data.times = "q" is no column'),
        (GOOD, {"times": ["b"]}, DataError, r"\(data.times\) holds no times"),
        (GOOD, {"time": "b"}, DataError, r"holds no times \(.*\); write ISO 8601, or seconds"),
        ("y\n0\n1\n", {}, ParamsError, "leaves no column as a feature"),
        ("", {}, CheckFailed, "f.csv: holds no rows; see params.yaml: data.path"),
        ("\n\n", {}, CheckFailed, "f.csv: holds no rows"),
        ("a,b,y\n", {}, CheckFailed, "column y holds no label"),
        (
            "a,y\n1,0\n2,0\n",
            {},
            CheckFailed,
            "column y holds only the label '0'; a model needs two",
        ),
        ("a,y\n1,\n2,?\n", {}, CheckFailed, "column y holds no label; a model needs two"),
        (
            "a,y\n1,3\n2,3\n",
            {"task": "regression"},
            CheckFailed,
            "column y holds only the label 3.0",
        ),
        ("a,y\n1,\n2,\n", {"task": "regression"}, CheckFailed, "column y holds no label"),
        ("a,y\n1,p\n2,q\n", {"task": "regression"}, DataError, "column y holds text; data.task"),
        ("a,label,y\n1,x,0\n2,z,1\n", {}, DataError, "cannot be called 'label'; rename or drop it"),
        ("a,,y\n1,x,0\n2,z,1\n", {}, DataError, "cannot be called ''; rename or drop it"),
        (GOOD, {"source": "text"}, ParamsError, "data.text is not set; columns: a, b, y"),
        (GOOD, {"source": "text", "text": "q"}, ParamsError, 'data.text = "q" is no column'),
        (GOOD, {"columns": ["a", "a", "y"]}, DataError, "'a' stands twice; .*data.columns"),
    ],
)
def test_what_cannot_be_learned_from_is_said(
    tmp_path: Path, content: str, keys: dict[str, Any], error: type[MlopsError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        read(tmp_path, content, **keys)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("".join(f"n{n},{n % 2}\n" for n in range(1001)), "column a has 1001 different texts"),
        ("".join(f"1,n{n}\n" for n in range(501)), "column y has 501 different labels"),
    ],
)
def test_names_without_end_are_no_category(tmp_path: Path, column: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, "a,y\n" + column)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("f.csv.gz", b"no gzip", "Not a gzipped file"),
        ("f.csv.gz", gzip.compress(GOOD.encode(), mtime=0)[:-9], "ended before the end"),
        ("f.parquet", b"nope", "smaller than the minimum"),
    ],
)
def test_a_damaged_archive_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=f"{name}: cannot be read .*{said}.*; repair the file"):
        read(tmp_path, content, name)


def test_a_file_is_bounded_once_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="more than 1000 bytes once unpacked; split the file"):
        read(tmp_path, gzip.compress(GOOD.encode() + b"1,x,0\n" * 500), "f.csv.gz")
    monkeypatch.setattr(files, "MAX_CELLS", 10)
    pq.write_table(pa.table({"a": range(20), "y": range(20)}), tmp_path / "big.parquet")
    with pytest.raises(DataError, match="claims 20 × 2 cells, above 10"):
        base.load(DataSection(source="table", target="y", path="big.parquet"), tmp_path)


def test_a_long_text_is_read_and_an_endless_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = f"y,m\n0,{'long ' * 500_000}\n1,short\n"
    found = read(tmp_path, content, source="text", text="m")
    assert len(found.values[0]) == 2_499_999
    monkeypatch.setattr(files, "_BLOCK_BYTES", 1 << 20)
    with pytest.raises(DataError, match="a row is longer than 1048576 bytes"):
        read(tmp_path, content, source="text", text="m")


def test_odd_files_are_read_as_they_are(tmp_path: Path) -> None:
    marked = read(tmp_path, "\ufeff" + GOOD.replace("\n", "\r\n"))
    plain = read(tmp_path, GOOD)
    assert marked.schema == plain.schema == TableSchema(
        ("0", "1"), (Column("a", "number"), Column("b", "category", ("x", "z")))
    )  # fmt: skip
    empty = read(tmp_path, "a,b,y\n,x,0\n?,z,1\n")
    assert np.isnan(empty.values[0]).all()
    # A mark that opens a cell which is closed at the file's end is a cell of two lines.
    closed = read(tmp_path, 'a,y,b\n1,0,x\n2,1,"z\nw"\n')
    assert closed.values[1].tolist() == ["x", "z\nw"]
    inch = read(tmp_path, 'y,m\n0,"a, b"\n1,5" pipe\n', source="text", text="m")
    assert inch.values == ["a, b", '5" pipe']


def test_a_column_of_times_is_a_feature_in_seconds(tmp_path: Path) -> None:
    content = "at,y\n1970-01-02T00:00:00Z,0\n,1\n"
    found = read(tmp_path, content, times=["at"])
    assert found.schema == TableSchema(("0", "1"), (Column("at", "number", time=True),))
    assert np.array_equal(found.values[0], [86_400.0, np.nan], equal_nan=True)
