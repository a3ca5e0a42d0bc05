from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from mlops.adapters import files, incidents
from mlops.adapters.incidents import Findings, Incident
from mlops.adapters.label_pool import Wanted
from mlops.adapters.labelling import ask
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.predictions import insert_batch, labelled
from mlops.adapters.sql.engine import database, open_database
from mlops.adapters.sql.tables import label_requests, predictions
from mlops.cli.label import export, take
from mlops.core.example import example_id
from mlops.core.prediction import Label, Prediction
from mlops.core.schema import Column, ImageSchema, TableSchema, to_plain
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


def chosen(site: Site) -> dict[str, str]:
    """Return how what was given out was chosen."""
    with database(site) as engine, engine.connect() as connection:
        rows = connection.execute(sa.select(label_requests)).all()
    return {row.prediction_id: row.chosen for row in rows}


def log_more(site: Site) -> None:
    rng = np.random.default_rng(1)
    p = np.array([0.4, 0.3, 0.3], dtype="<f4").tobytes()
    rows = []
    for n in range(200):
        image = rng.integers(0, 256, SHAPE, dtype=np.uint8).tobytes()
        rows.append(Prediction(
            f"m{n}", 1000.0 + n, "1", example_id(image, SHAPE), None, image, p, 0.001,
        ))  # fmt: skip
    with database(site) as engine:
        insert_batch(engine, "digits", rows)


def of_version(site: Site, version: str, classes: list[str]) -> None:
    """Let a version lie here, in service."""
    folder = site.layout.serving / "digits" / version
    schema = {"kind": "image", "classes": classes, "height": 4, "width": 4, "channels": 1}
    files.write_json(folder / "model.json", {"schema": schema})
    pointer = {"folder": str(folder.relative_to(site.layout.root))}
    files.write_json(site.layout.serving / "digits" / "current.json", pointer)


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
        "new": 0, "known": 40, "blank": 0, "gone": 0, "random": 0, "active": 0,
    }  # fmt: skip
    more = give_out(tmp_path / "b", capsys, random=200, hard=200)
    assert (more["random"], more["hard"], more["again"]) == (90, 0, 0)  # each is answered once


def test_what_nobody_answered_is_given_out_again_first_and_as_it_was(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = give_out(tmp_path / "a", capsys, random=20, hard=10)
    assert lost["again"] == 0
    first = chosen(site)
    log_more(site)  # of which some come before the first ones in the order of the sample
    facts = give_out(tmp_path / "b", capsys, random=20, hard=10)
    assert (facts["random"], facts["hard"], facts["again"]) == (20, 10, 30)
    assert chosen(site) == first
    rows = fill(tmp_path / "b" / "labels.csv", count=12)
    assert take(tmp_path / "b" / "labels.csv") == 0
    answered = {row["prediction_id"] for row in rows[:12]}
    capsys.readouterr()
    assert export(tmp_path / "c", random=20, hard=10) == 0
    assert "18 of them were given out before, and nobody answered" in capsys.readouterr().out
    with (tmp_path / "c" / "labels.csv").open(newline="") as stream:
        third = {row["prediction_id"] for row in csv.DictReader(stream)}
    assert set(first) - third == answered
    assert {i: chosen(site)[i] for i in first} == first


def test_the_random_part_is_of_the_whole_span(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from mlops.adapters import label_pool

    monkeypatch.setattr(label_pool, "_NEWEST", 15)
    facts = give_out(tmp_path / "a", capsys, random=40, hard=40)
    assert facts["random"] == 40
    rows = [int(i[1:]) for i, how in chosen(site).items() if how == "random"]
    assert min(rows) < 20
    hard = [int(i[1:]) for i, how in chosen(site).items() if how == "active"]
    assert min(hard) >= 105


@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_an_example_is_drawn_once_and_answered_once_in_both_databases(
    site: Site, tmp_path: Path, request: pytest.FixtureRequest, where: str
) -> None:
    url = f"sqlite:///{tmp_path / 'own.db'}"
    engine = open_database(url if where == "sqlite" else request.getfixturevalue("postgres_url"))
    image = np.zeros(SHAPE, dtype=np.uint8)
    p = np.full(3, 1 / 3, dtype="<f4").tobytes()
    rows = []
    for n in range(30):  # ten examples, three times each
        image[0, 0] = n % 10
        rows.append(Prediction(
            f"q{n}", float(n), "1", example_id(image.tobytes(), SHAPE), None, image.tobytes(), p,
            0.001,
        ))  # fmt: skip
    insert_batch(engine, "drawn", rows)
    schema = ImageSchema(tuple(CLASSES), 4, 4, 1)
    tasks = ask(engine, "drawn", Wanted("1", 0, 4, 3), schema, 50.0)
    assert len({int(t.prediction_id[1:]) % 10 for t in tasks}) == 7
    told = [Label(t.prediction_id, 1, t.chosen, 60.0) for t in tasks[:5]]
    insert_batch(engine, "drawn", (), told)
    later = ask(engine, "drawn", Wanted("1", 0, 20, 20), schema, 70.0)
    assert {t.prediction_id for t in tasks[5:]} <= {t.prediction_id for t in later}
    random = [int(t.prediction_id[1:]) % 10 for t in later if t.chosen == "random"]
    done = [int(one.prediction_id[1:]) % 10 for one in told if one.label_source == "random"]
    assert sorted(random + done) == list(range(10))
    engine.dispose()


def test_a_label_is_numbered_by_the_version_that_predicted(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give_out(tmp_path, capsys, random=5, hard=0)
    fill(tmp_path / "labels.csv", "two")
    of_version(site, "1", CLASSES)
    of_version(site, "2", ["new", "two", *CLASSES[:2]])  # now in service
    assert take(tmp_path / "labels.csv") == 0
    with database(site) as engine:
        found = [x.label for x in labelled(engine, "digits", "1")]
    assert {x.label for x in found if x.label_source == "random"} == {2.0}
    fill(tmp_path / "labels.csv", "new")
    with pytest.raises(DataError, match="label = 'new' is no class; write one of: zero"):
        take(tmp_path / "labels.csv")


def test_labels_of_predictions_that_are_gone_are_counted_and_left(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give_out(tmp_path, capsys, random=5, hard=0)
    rows = fill(tmp_path / "labels.csv")
    with database(site) as engine:
        gone = max(int(row["prediction_id"][1:]) for row in rows)
        with engine.begin() as connection:
            connection.execute(sa.delete(predictions).where(predictions.c.id == f"p{gone}"))
    assert take(tmp_path / "labels.csv") == 0
    assert "4 new (4 measure, 0 only train), 0 known already, 0 left blank, 1 of predictions" in (
        capsys.readouterr().out
    )


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
