"""Bodies that nobody means well with, and what every door that reads JSON has to say to them."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

SECRET = "Rumpelstiltskin"
"""What must not come back."""
JSON = {"content-type": "application/json"}
_WORD = SECRET.encode()
_BLANK = b" " * (9 << 20)


def _chunks() -> Iterator[bytes]:
    for _ in range(9):
        yield b" " * (1 << 20)


CORPUS: dict[str, tuple[Any, dict[str, str], int, str]] = {
    "nothing": (b"", {}, 400, "malformed"),
    "no JSON": (_WORD, {}, 400, "malformed"),
    "cut": (b'{"' + _WORD + b'": [1', {}, 400, "malformed"),
    "a comma too many": (b'{"inputs": [1,]}', {}, 400, "malformed"),
    "two documents": (b"{} {}", {}, 400, "malformed"),
    "a comment": (b'{"inputs": [1] /* ' + _WORD + b" */}", {}, 400, "malformed"),
    "a mark of byte order": (b"\xef\xbb\xbf{}", {}, 400, "malformed"),
    "no UTF-8": (b'{"inputs": "' + _WORD + b'\xff"}', {}, 400, "malformed"),
    "half a surrogate": (b'{"inputs": "\\ud800"}', {}, 400, "malformed"),
    "a text at the root": (b'"' + _WORD + b'"', {}, 400, "malformed"),
    "NaN": (b'{"inputs": [NaN]}', {}, 400, "malformed"),
    "Infinity": (b'{"inputs": [Infinity]}', {}, 400, "malformed"),
    "-Infinity": (b'{"inputs": [-Infinity]}', {}, 400, "malformed"),
    "1e400": (b'{"inputs": [1e400]}', {}, 400, "malformed"),
    "5,000 digits": (b'{"inputs": [' + b"9" * 5000 + b"]}", {}, 400, "malformed"),
    "5,000 digits below 0": (b'{"inputs": [-' + b"9" * 5000 + b"]}", {}, 400, "malformed"),
    "a key twice": (b'{"inputs": [1], "inputs": [2]}', {}, 400, "malformed"),
    "a key twice, once escaped": (b'{"inputs": [1], "input\\u0073": [2]}', {}, 400, "malformed"),
    "a key twice, further in": (b'{"inputs": [{"a": 1, "a": 2}]}', {}, 400, "malformed"),
    "deep lists": (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}, 400, "malformed"),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {}, 400, "malformed"),
    "deep and cut": (b"[" * 1_000_000, {}, 400, "malformed"),
    "a gzip bomb": (gzip.compress(_BLANK), {"content-encoding": "gzip"}, 415, "compressed"),
    "a deflate bomb": (zlib.compress(_BLANK), {"content-encoding": "deflate"}, 415, "compressed"),
    "brotli": (_WORD, {"content-encoding": "br"}, 415, "compressed"),
    "two compressions": (_WORD, {"content-encoding": "gzip, gzip"}, 415, "compressed"),
    "too large": (_BLANK, {}, 413, "too_large"),
    "too large, in chunks": (_chunks, {}, 413, "too_large"),
    "another type": (b"<x/>", {"content-type": "text/xml"}, 415, "unsupported_type"),
    "another character set": (
        b"{}", {"content-type": "application/json; charset=utf-16"}, 415, "charset"),
    "a page of another site": (b"{}", {"sec-fetch-site": "cross-site"}, 403, "cross_site"),
    "a page of another port": (b"{}", {"sec-fetch-site": "same-site"}, 403, "cross_site"),
    "another host": (b"{}", {"host": f"{SECRET}.example"}, 403, "foreign_host"),
}  # fmt: skip
"""Body, headers beside JSON's, status, code."""


def npy_of(shape: str, dtype: str = "|u1", size: int = 16) -> bytes:
    """Return a `.npy` whose header says any shape; `numpy.save` writes possible ones only."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(size)


def _list_of_null(count: int) -> bytes:
    """Return Arrow of one row: a list of so many values, in some hundred bytes."""
    column = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.nulls(count))
    batch = pa.RecordBatch.from_arrays([column], ["image"])
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return out.getvalue()


INFER = "/v2/models/tiny/infer"
NPY = {"content-type": "application/x-npy"}
RAW = {"content-type": "application/octet-stream"}
_SHAPES = (
    "(-1, -16)", "(-4, -4)", "(-4, -4, 1)", "(-1, 4, -4)", "(True, 4, 4)", "(0, -1)",
    "(-(2**40), -(2**40))", f"({10**300}, 4, 4)",
)  # fmt: skip
PLACED: dict[str, tuple[str, bytes, dict[str, str], int, str]] = {
    **{f".npy of {shape[:20]}": ("/predict", npy_of(shape), NPY, 400, "malformed")
       for shape in _SHAPES},
    ".npy of (-1, -16) as raw": ("/predict", npy_of("(-1, -16)"), RAW, 400, "malformed"),
    ".npy of (-1, -16) for tensors": (
        INFER, npy_of("(-1, -16)"), {**RAW, "inference-header-content-length": "0"}, 400,
        "malformed"),
    "one output 100,000 times": (
        INFER, b'{"inputs": [{"name": "image", "shape": [1, 4, 4], "datatype": "UINT8", "data": [' +
        b"1," * 15 + b'1]}], "outputs": [' + b'{"name":"class"},' * 99_999 + b'{"name":"class"}]}',
        JSON, 422, "invalid_input"),
    **{f"Arrow of 60 million nulls, {door}": (
        door, _list_of_null(60_000_000), {"content-type": "application/vnd.apache.arrow.stream"},
        400, "malformed") for door in ("/invocations", "/predict")},
}  # fmt: skip
"""Door, body, headers, status, code: of what is read at one door only."""


def refused(reply: httpx.Response, status: int, code: str) -> None:
    """Check a refusal: its status, the one shape, and that nothing of the request is in it."""
    assert reply.status_code == status, reply.text
    content = reply.json()
    # Open Inference's clients print `error`, which is text there.
    error = content["detail"] if isinstance(content["error"], str) else content["error"]
    assert set(error) == {"code", "message", "field", "remedy"}
    assert error["code"] == content["error_code"] == code
    assert error["message"] == content["message"]
    assert error["message"]
    assert isinstance(error["remedy"], str)
    assert reply.headers["content-type"] == "application/json"
    assert len(reply.text) < 900
    assert SECRET not in reply.text + str(reply.headers)
    assert "Traceback" not in reply.text


def send(client: httpx.Client, path: str, name: str) -> None:
    """Send one of the corpus to a door and check what comes back."""
    body, more, status, code = CORPUS[name]
    content = body() if callable(body) else body
    refused(client.post(path, content=content, headers={**JSON, **more}), status, code)
    assert client.get("/health").status_code == 200
