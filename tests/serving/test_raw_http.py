"""What no client library sends: bytes on a socket, each with the status that they earn."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import socket
import tracemalloc
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pandas as pd
import pytest

from mlops.serving.routes import ROUTES
from tests.serving.kinds import RECORDS, TABLE, TEXT, TinyModel, asking, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving.conftest import Running

HEAD = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"inputs": [[1]]}'
RAW: dict[str, tuple[bytes, int]] = {
    "no length": (HEAD + b"\r\n", 411),
    "a length of nothing": (HEAD + b"Content-Length: 0\r\n\r\n", 400),
    "chunks of nothing": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a negative length": (HEAD + b"Content-Length: -5\r\n\r\n", 400),
    "a length that is none": (HEAD + b"Content-Length: x\r\n\r\n", 400),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
    "length and chunks": (
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a huge length": (HEAD + b"Content-Length: 99999999999999\r\n\r\n", 413),
    "a broken chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n", 400),
    "a long path": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
    "a long header": (HEAD + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "many headers": (HEAD + b"X: aaaaaaaa\r\n" * 3_000 + b"\r\n", 431),
    "a header without end": (HEAD + b"X: " + b"a" * 200_000, 431),
    "traversal": (b"GET /predictions/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "hidden traversal": (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "NUL in the path": (b"GET /predictions/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "bad UTF-8 in the path": (b"GET /predictions/%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
}  # fmt: skip


def _say(server: Running, content: bytes) -> bytes:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as line:
        found = b""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it had heard enough
            line.sendall(content)
        with contextlib.suppress(ConnectionResetError):
            while part := line.recv(65536):
                found += part
                head, ended, body = found.partition(b"\r\n\r\n")
                if ended and b"content-length: %d" % len(body) in head.lower():
                    break
    return found


@pytest.mark.parametrize(("content", "status"), RAW.values(), ids=RAW)
def test_raw_requests_earn_their_status(content: bytes, status: int, shared: Running) -> None:
    found = _say(shared, content)
    assert found.startswith(b"HTTP/1.1 %d " % status), found[:200]
    error = json.loads(found.partition(b"\r\n\r\n")[2])["error"]
    assert set(error) == {"code", "message", "field", "remedy"}
    assert httpx.get(f"{shared.url}/health").status_code == 200


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_refuses_other_methods(route: Any, client: httpx.Client) -> None:
    path = route.name.replace("{name}", "tiny").replace("{version}", "1").replace("{id}", "a")
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "POST" if route.method == "GET" else "GET"):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, route.allow)
    assert client.put("/nothing").status_code == 404


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with asking(tmp_path_factory.mktemp("tables"), TABLE) as client:
        yield client


def _parquet(frame: pd.DataFrame, **options: Any) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out, **options)
    return out.getvalue()


def _arrow(frame: pd.DataFrame, compression: str) -> bytes:
    import pyarrow as pa

    table = pa.Table.from_pandas(frame)
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(out, table.schema, options=options) as writer:
        writer.write_table(table)
    return out.getvalue()


ROW = RECORDS[0]
FRAME = pd.DataFrame([ROW])
MANY = pd.DataFrame([ROW] * 200_000)
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
STREAM = "application/vnd.apache.arrow.stream"
JSON = "application/json"


def _records(*rows: Any) -> bytes:
    return json.dumps({"dataframe_records": rows}).encode()


TABLES: dict[str, tuple[str, bytes, int]] = {
    "missing column": (JSON, _records({"age": 1, "city": "Bern"}), 422),
    "text for a number": (JSON, _records({**ROW, "age": "30"}), 422),
    "beyond single precision": (JSON, _records({**ROW, "age": -1e39}), 422),
    "truth for a number": (JSON, _records({**ROW, "age": True}), 422),
    "number for a category": (JSON, _records({**ROW, "city": 1}), 422),
    "list for a number": (JSON, _records({**ROW, "age": [1]}), 422),
    "unequal columns": (
        JSON, b'{"inputs": {"age": [1, 2], "city": ["a"], "size of shoe": [1]}}', 422),
    "too wide": (JSON, b'{"inputs": [[1, "a", 2, 3]]}', 422),
    "many rows": (JSON, json.dumps({"inputs": [[1, "a", 2]] * 1025}).encode(), 413),
    "wide split": (JSON, json.dumps({"dataframe_split": {
        "columns": [f"c{n}" for n in range(5000)], "data": [[1] * 5000]}}).encode(), 422),
    "csv of nothing": (CSV, b"\n", 422),
    "csv without rows": (CSV, b"age,city,size of shoe\n", 422),
    "csv ragged": (CSV, b"age,city,size of shoe\n1,a\n", 422),
    "csv twice the same name": (CSV, b"age,age,size of shoe\n1,2,3\n", 422),
    "csv of words": (CSV, b"age,city,size of shoe\nmany,a,1\n", 422),
    "csv infinite": (CSV, b"age,city,size of shoe\ninf,a,1\n", 422),
    "csv with NUL": (CSV, b"age,city,size of shoe\n1,\x00,1\n", 400),
    "csv in UTF-16": (CSV, "age,city\n1,a\n".encode("utf-16"), 400),
    "csv open quote": (CSV, b'age,city,size of shoe\n1,"a,1\n', 400),
    "csv of many rows": (CSV, b"age,city,size of shoe\n" + b"1,a,1\n" * 1025, 413),
    "csv of many columns": (CSV, b",".join(b"c%d" % n for n in range(20_001)) + b"\n", 422),
    "csv of one huge field": (CSV, b"age,city,size of shoe\n1," + b"a" * 200_000 + b",1\n", 400),
    "parquet cut": (PARQUET, _parquet(FRAME)[:-9], 400),
    "parquet of noise": (PARQUET, b"PAR1" + b"\xff" * 500 + b"PAR1", 400),
    "parquet of many rows": (PARQUET, _parquet(MANY), 413),
    "parquet in zstd": (PARQUET, _parquet(FRAME, compression="zstd"), 415),
    "parquet in gzip": (PARQUET, _parquet(FRAME, compression="gzip"), 415),
    "parquet of truth": (PARQUET, _parquet(FRAME.assign(age=True)), 400),
    "parquet of times": (PARQUET, _parquet(FRAME.assign(age=pd.Timestamp(0))), 422),
    "parquet of lists": (PARQUET, _parquet(pd.DataFrame([{**ROW, "age": [1, 2]}])), 422),
    "parquet infinite": (PARQUET, _parquet(FRAME.assign(age=np.inf)), 422),
    "parquet of a huge text": (PARQUET, _parquet(FRAME.assign(city="a" * (2 << 20))), 413),
    "arrow in zstd": (STREAM, _arrow(MANY, "zstd"), 415),
    "arrow in lz4": (STREAM, _arrow(FRAME, "lz4"), 415),
    "arrow of noise": (STREAM, b"\xff\xff\xff\xff" + b"\x10" * 300, 400),
    "arrow of nothing": (STREAM, b"ARROW1\0\0", 400),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "content", "status"), TABLES.values(), ids=TABLES)
def test_tables_that_are_refused(
    kind: str, content: bytes, status: int, tables: httpx.Client
) -> None:
    tracemalloc.start()
    answer = tables.post("/invocations", content=content, headers={"content-type": kind})
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == status, answer.text
    assert set(answer.json()["error"]) == {"code", "message", "field", "remedy"}
    assert len(answer.text) < 700
    assert peak_bytes < (64 << 20)


def test_a_gzip_bomb_is_not_unpacked(tables: httpx.Client) -> None:
    bomb = gzip.compress(b" " * (100 << 20))
    answer = tables.post(
        "/invocations", content=bomb, headers={"content-type": JSON, "content-encoding": "gzip"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "compressed")


TEXTS: dict[str, tuple[str, bytes, int]] = {
    "empty": (JSON, b'{"text": ""}', 422),
    "NUL": (JSON, b'{"text": "a\\u0000b"}', 422),
    "surrogate": (JSON, b'{"text": "\\ud800"}', 400),
    "number": (JSON, b'{"text": 5}', 422),
    "null": (JSON, b'{"texts": [null]}', 422),
    "of many": (JSON, json.dumps({"texts": ["a"] * 1025}).encode(), 413),
    "plain, no UTF-8": ("text/plain", b"\xff\xfe", 400),
    "plain, NUL": ("text/plain", b"a\0", 422),
    "image": ("image/png", b"\x89PNG", 415),
    "raw": ("application/octet-stream", b"abc", 422),
}


def test_texts_that_are_refused(tmp_path: Any) -> None:
    with (
        serving(tmp_path, TinyModel(TEXT)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        for name, (kind, content, status) in TEXTS.items():
            answer = client.post("/predict", content=content, headers={"content-type": kind})
            assert answer.status_code == status, (name, answer.text)
