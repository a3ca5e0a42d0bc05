"""Columns of times at every door: ISO 8601 or seconds, and the same answer."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.core.schema import Column, TableSchema
from tests.serving.kinds import asking

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

SCHEMA = TableSchema(("no", "yes"), (Column("at", "number", time=True), Column("age", "number")))
SECONDS = [86_400.0, 90_245.25, None]
TEXTS = ["1970-01-02", "1970-01-02T03:04:05.25+02:00", None]
AGES = [1.0, 2.0, 3.0]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with asking(tmp_path_factory.mktemp("times"), SCHEMA) as found:
        yield found


def _parquet(times: pa.Array) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"at": times, "age": AGES}), out)
    return out.getvalue()


def _csv(times: list[Any]) -> bytes:
    rows = [f"{'' if at is None else at},{age}" for at, age in zip(times, AGES, strict=True)]
    return "\n".join(["at,age", *rows, ""]).encode()


def _rows(times: list[Any]) -> list[dict[str, Any]]:
    return [{"at": at, "age": age} for at, age in zip(times, AGES, strict=True)]


def _split(times: list[Any]) -> dict[str, Any]:
    return {"columns": ["age", "at"], "data": [[r["age"], r["at"]] for r in _rows(times)]}


CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
BODIES: dict[str, Any] = {
    "records": ({"dataframe_records": _rows(TEXTS)}, None),
    "split": ({"dataframe_split": _split(TEXTS)}, None),
    "inputs": ({"inputs": [[r["at"], r["age"]] for r in _rows(TEXTS)]}, None),
    "instances": ({"instances": _rows(TEXTS)}, None),
    "CSV": (_csv(TEXTS), CSV),
    "CSV of seconds": (_csv(SECONDS), CSV),
    "Parquet of texts": (_parquet(pa.array(TEXTS)), PARQUET),
    "Parquet of times": (
        _parquet(pa.array([None if s is None else datetime.fromtimestamp(s, UTC) for s in SECONDS],
                          pa.timestamp("ns", "Europe/Zurich"))),
        PARQUET,
    ),
}  # fmt: skip


def _post(client: httpx.Client, path: str, body: Any, kind: str | None) -> httpx.Response:
    if kind is None:
        return client.post(path, json=body)
    return client.post(path, content=body, headers={"content-type": kind})


@pytest.mark.parametrize("door", BODIES)
def test_a_time_in_text_is_answered_as_its_seconds_are(client: httpx.Client, door: str) -> None:
    body, kind = BODIES[door]
    wanted = client.post("/invocations", json={"dataframe_records": _rows(SECONDS)}).json()
    answer = _post(client, "/invocations", body, kind)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == wanted["predictions"]


def test_the_page_the_client_and_the_open_protocol_take_texts_too(client: httpx.Client) -> None:
    told = [
        client.post("/predict", json={"row": {"at": at, "age": 2.0}}).json()["probabilities"]
        for at in (SECONDS[1], TEXTS[1])
    ]
    form = client.post("/predict", files={"at": (None, "1970-01-02T03:04"), "age": (None, "2")})
    assert form.status_code == 200, form.text
    assert told[0] == told[1]
    page = client.get("/", headers={"accept": "text/html"}).text
    assert 'name="at" type="datetime-local"' in page
    assert "at (UTC)" in page
    answers = []
    for kind, data in (("FP64", SECONDS[:2]), ("BYTES", TEXTS[:2])):
        inputs = [
            {"name": "at", "shape": [2], "datatype": kind, "data": data},
            {"name": "age", "shape": [2], "datatype": "FP64", "data": AGES[:2]},
        ]
        answer = client.post("/v2/models/tiny/infer", json={"inputs": inputs})
        assert answer.status_code == 200, answer.text
        answers.append(answer.json()["outputs"][0]["data"])
    assert answers[0] == answers[1]
    described = client.get("/openapi.json").text
    assert '"format":"date-time"' in described.replace(" ", "")


BAD: dict[str, Any] = {
    "a date that is none": ({"dataframe_records": _rows([TEXTS[0], "1970-02-30", None])}, None),
    "a word in CSV": (_csv(["soon", *TEXTS[1:]]), CSV),
    "truth": ({"dataframe_records": _rows([True, *TEXTS[1:]])}, None),
    "a number in text": ({"dataframe_records": _rows(["86400", *TEXTS[1:]])}, None),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_time_is_refused_by_name(client: httpx.Client, what: str) -> None:
    body, kind = BAD[what]
    answer = _post(client, "/invocations", body, kind)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["field"] == "at"
    assert error["remedy"] == "write ISO 8601, UTC unless it says so, or seconds since 1970"
    assert "1970-02-30" not in answer.text


def test_the_row_that_is_no_time_is_named(client: httpx.Client) -> None:
    body = {"dataframe_records": _rows([TEXTS[0], "1970-02-30", None])}
    answer = client.post("/invocations", json=body)
    assert answer.json()["error"]["message"] == "row 2 holds no time"


def test_times_in_a_column_of_numbers_stay_refused(client: httpx.Client) -> None:
    table = pa.table({"at": AGES, "age": pa.array([date(1970, 1, 2)] * 3)})
    out = io.BytesIO()
    pq.write_table(table, out)
    answer = _post(client, "/invocations", out.getvalue(), PARQUET)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "age")
    text = client.post("/predict", json={"row": {"at": 1.0, "age": "1970-01-02"}})
    assert text.json()["error"]["message"] == "must be numbers or null"
