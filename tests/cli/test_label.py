from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from mlops.adapters import files, incidents
from mlops.adapters.incidents import Findings, Incident
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.predictions import insert_batch, labelled
from mlops.adapters.sql.engine import database
from mlops.cli.label import export, take
from mlops.core.example import example_id
from mlops.core.prediction import Label, Prediction
from mlops.core.schema import Column, TableSchema, to_plain
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.site import Site

CLASSES = ["zero", "=cmd()", "two"]
SHAPE = (4, 4, 1)


@pytest.fixture(autouse=True)
def _logged(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log 120 predictions; the first forty, the hardest, were labelled by users."""
    monkeypatch.setenv("MLOPS_ROOT", str(site.layout.root))
    schema = {"kind": "image", "classes": CLASSES, "height": 4, "width": 4, "channels": 1}
    files.write_json(site.layout.snapshot / "schema.json", schema)
    rng = np.random.default_rng(0)
    rows = []
    for n in range(120):
        image = rng.integers(0, 256, SHAPE, dtype=np.uint8)
        sure = 0.34 + 0.66 * n / 120
        p = np.array([sure, (1 - sure) / 2, (1 - sure) / 2], dtype="<f4")
        rows.append(Prediction(
            f"p{n}", float(n), "1", example_id(image.tobytes(), SHAPE), None, image.tobytes(),
            p.tobytes(), 0.001,
        ))  # fmt: skip
    with database(site) as engine:
        insert_batch(engine, "digits", rows, [Label(f"p{n}", 0, "user", 500.0) for n in range(40)])


def give_out(folder: Path, capsys: pytest.CaptureFixture[str], **wanted: Any) -> dict[str, Any]:
    assert export(folder, json=True, **wanted) == 0
    content = json.loads(capsys.readouterr().out)
    assert isinstance(content, dict)
    return content


def fill(path: Path, label: str = "two", count: int = 10**6) -> list[dict[str, str]]:
    """Write a label into the first lines; return all lines."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows[:count]:
        row["label"] = label
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def test_how_a_label_was_chosen_comes_back_with_it(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = give_out(tmp_path / "a", capsys, random=30, hard=10)
    assert (facts["random"], facts["hard"]) == (30, 10)
    path = tmp_path / "a" / "labels.csv"
    rows = fill(path)
    assert list(rows[0]) == ["number", "prediction_id", "file", "label"]  # nothing that tells
    with Image.open(tmp_path / "a" / rows[0]["file"]) as picture:
        assert picture.size == (4, 4)
    assert (tmp_path / "a" / "sheet-001.png").is_file()
    assert take(path) == 0
    assert "40 new (30 measure, 10 only train), 0 known already" in capsys.readouterr().out
    with database(site) as engine:
        found = {x.label.prediction_id: x.label for x in labelled(engine, "digits", "1")}
    told = [found[row["prediction_id"]].label_source for row in rows]
    assert (told.count("random"), told.count("active")) == (30, 10)
    # Drawn from all, not only from what nobody had labelled; the hard ones of what was free.
    again = sum(int(r["prediction_id"][1:]) < 40 for r in rows)
    assert 3 <= again <= 20
    hard = [int(i[1:]) for i, x in found.items() if x.label_source == "active"]
    assert min(hard) >= 40
    assert np.mean(hard) < 90
    assert take(path, json=True) == 0
    assert json.loads(capsys.readouterr().out) == {
        "new": 0, "known": 40, "blank": 0, "random": 0, "active": 0,
    }  # fmt: skip
    more = give_out(tmp_path / "b", capsys, random=200, hard=200)
    assert (more["random"], more["hard"]) == (90, 0)  # each is asked for once


@pytest.mark.parametrize(("training", "hard"), [(60, 40), (0, 10)])
def test_an_incident_is_given_what_decides_when_its_retrain_starts(
    site: Site,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    training: int,
    hard: int,
) -> None:
    body = Findings(triage="unclear", wanted=20, training=training)
    with database(site) as engine, engine.begin() as connection:
        incidents.open_once(connection, Incident(
            "drift-digits-1-1", "digits", "drift", "x", "1", "open", 0.0, 0.0, None, body,
        ))  # fmt: skip
    facts = give_out(tmp_path / "a", capsys, incident="drift-digits-1-1")
    assert (facts["random"], facts["hard"]) == (20, hard)


def test_an_incident_that_is_measured_no_more_is_given_what_came_after_its_loss(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = Findings(triage="costly", unmeasured_s=1.0, unmeasured_labels=30, opened_seq=100)
    with database(site) as engine, engine.begin() as connection:
        incidents.open_once(connection, Incident(
            "accuracy-digits-1-1", "digits", "drift", "accuracy", "1", "open", 0.0, 0.0, None, body,
        ))  # fmt: skip
    facts = give_out(tmp_path / "a", capsys, incident="accuracy-digits-1-1", hard=0)
    assert facts["random"] == 20  # of 120 predictions


def test_the_random_part_is_the_gates_sample(
    tmp_path: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlops.core.example import sampled

    with database(site) as engine:
        shown = {x.logged.prediction.id for x in labelled(engine, "digits", "1")}
    assert shown
    give_out(tmp_path / "a", capsys, random=12, hard=0)
    rows = fill(tmp_path / "a" / "labels.csv")
    rng = np.random.default_rng(0)
    ids = {f"p{n}": example_id(rng.integers(0, 256, SHAPE, dtype=np.uint8).tobytes(), SHAPE)
           for n in range(120)}  # fmt: skip
    chosen = {row["prediction_id"] for row in rows}
    assert all(sampled(ids[i], share=0.25) for i in chosen)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (
            ",two\r\n",
            ",three\r\n",
            r"csv:2: label = 'three' is no class; write one of: zero",
        ),
        ("number,", "no,", r"labels.csv:1: does not begin with number,prediction_id,file,label"),
        ("1,p", "1,q", r"labels.csv:2: prediction_id = 'q\d+' was not given out"),
        (",two\r\n", "\r\n", r"labels.csv:2: 3 fields instead of 4"),
        ("1,p", "1,\x00p", r"labels.csv:.*|was not given out"),
    ],
)
def test_a_file_that_is_not_as_given_out_changes_nothing(  # noqa: PLR0917 - a table's columns
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str,
    says: str,
) -> None:  # fmt: skip
    give_out(tmp_path, capsys, random=5, hard=0)
    path = tmp_path / "labels.csv"
    fill(path)
    text = path.read_bytes().decode().replace(before, after, 1)
    path.write_bytes(text.encode())
    with pytest.raises(DataError, match=says):
        take(path)
    with database(site) as engine:
        assert len(labelled(engine, "digits", "1")) == 40


def test_a_line_twice_and_blank_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    give_out(tmp_path, capsys, random=5, hard=0)
    path = tmp_path / "labels.csv"
    rows = fill(path, count=3)
    assert take(path) == 0
    assert "3 new (3 measure, 0 only train), 0 known already, 2 left blank" in (
        capsys.readouterr().out
    )
    with path.open("a", newline="") as stream:
        csv.writer(stream).writerow([9, rows[0]["prediction_id"], "", "zero"])
    with pytest.raises(DataError, match=r"labels.csv:7: .* labelled twice and differently"):
        take(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="save it as CSV in UTF-8"):
        take(path)


def test_rows_of_a_table_are_shown_and_numbers_taken(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = (Column("size", "number"), Column("=kind", "category", ("=a", "b")))
    schema = TableSchema(classes=(), columns=columns)
    files.write_json(site.layout.snapshot / "schema.json", to_plain(schema))
    rows = [
        Prediction(
            f"t{n}", 1000.0 + n, "2", f"e{n}", None, f'[{n}.5,"=a"]'.encode(),
            np.array([1 - n, 2, 3 + n], dtype="<f4").tobytes(), 0.001,
        )
        for n in range(20)
    ]  # fmt: skip
    with database(site) as engine:
        insert_batch(engine, "digits", rows)
    give_out(tmp_path, capsys, random=8, hard=1)
    path = tmp_path / "labels.csv"
    lines = fill(path, "3.25")
    assert list(lines[0])[4:] == ["size", "'=kind"]
    assert {line["'=kind"] for line in lines} == {"'=a"}
    assert take(path) == 0
    with database(site) as engine:
        found = labelled(engine, "digits", "2")
    assert {x.label.label for x in found} == {3.25}
    place = {x.label.prediction_id: int(x.label.prediction_id[1:]) for x in found}
    hard = [place.pop(x.label.prediction_id) for x in found if x.label.label_source == "active"]
    assert hard == [max(set(range(20)) - set(place.values()))]  # the widest of the free ones
    fill(path, "much")
    with pytest.raises(DataError, match="label = 'much' is no number"):
        take(path)


def test_what_is_redacted_is_shown_as_that_and_rows_stay_apart(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = TableSchema(("a", "b"), (Column("age", "number"), Column("size", "number")))
    files.write_json(site.layout.snapshot / "schema.json", to_plain(schema))
    rows = [
        Prediction(f"t{n}", 1000.0 + n, "2", "same", None, b"[null,38.0]",
                   np.array([0.5, 0.5], dtype="<f4").tobytes(), 0.001,
                   redacted=("age",) if n else ())
        for n in range(6)
    ]  # fmt: skip
    with database(site) as engine:
        insert_batch(engine, "digits", rows)
    facts = give_out(tmp_path, capsys, random=4, hard=2)
    assert (facts["random"], facts["hard"]) == (4, 2)  # all six, though what was kept is the same
    with (tmp_path / "labels.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert sorted((line["prediction_id"], line["age"], line["size"]) for line in lines) == [
        ("t0", "", "38.0"), *((f"t{n}", "(redacted)", "38.0") for n in range(1, 6))]  # fmt: skip


def test_under_a_canary_the_version_in_service_is_labelled(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.zeros(SHAPE, dtype=np.uint8).tobytes()
    p = np.array([1, 0, 0], dtype="<f4").tobytes()
    made = Prediction("c0", 900.0, "2", example_id(image, SHAPE), None, image, p, 0.001)
    with database(site) as engine:
        insert_batch(engine, "digits", [made])
        Ledger(engine, "digits").append(Row("observed", "o1", 1.0, "test", None, "1", "{}"))
    assert give_out(tmp_path / "a", capsys, random=30, hard=0)["random"] == 30
