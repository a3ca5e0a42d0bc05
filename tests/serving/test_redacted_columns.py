"""Columns that nobody may read: the model sees them, and no file does."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from mlops.adapters import predictions
from mlops.adapters.sql.engine import open_database
from mlops.core import features
from mlops.core.prediction import Labelled, Prediction
from mlops.core.schema import Column, TableSchema
from mlops.serving import metrics, spool
from mlops.serving.beat import READY
from mlops.serving.config import EXIT_NO_MODEL, ServingConfig, from_environment
from mlops.serving.damage import Damage
from mlops.serving.following import Bell, follow
from mlops.serving.model import read_pointer
from mlops.serving.redaction import Redaction
from mlops.serving.writer import Writer
from tests.serving.conftest import PROJECT
from tests.serving.kinds import TABLE, TinyModel, columns, make_table_version, serving
from tests.serving.test_follower import Shelf, is_whole, made, spoil
from tests.serving.tiny import logged_ids, make_version, point

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.site import Site
    from tests.serving.conftest import Running

AGE, CITY = 73519.25, "Zermatt-am-See"
RECORDS: list[dict[str, Any]] = [
    {"age": AGE, "city": CITY, "size of shoe": 42.5},
    {"age": AGE, "city": "Genf", "size of shoe": 38},
]
FORMS = (
    b"73519.25", struct.pack("<d", AGE), struct.pack("<f", AGE), CITY.encode(),
    *(name.encode() for name in features.identities(features.canonical(columns(RECORDS), TABLE),
                                                    TABLE)),
)  # fmt: skip
"""How the values would look in a file, and hashes of the rows, which would let one try values."""
REDACT = ("age", "city")


def found_below(folder: Path) -> list[tuple[str, bytes]]:
    """Return where a redacted value stands, whatever kind of file it is."""
    return [
        (str(path), form)
        for path in sorted(folder.rglob("*")) if path.is_file()
        for form in FORMS if form in path.read_bytes()
    ]  # fmt: skip


def ask(server: Running) -> list[Any]:
    """Ask in several ways, wrong ones too; return what was answered."""
    whole = [[row[c.name] for c in TABLE.columns] for row in RECORDS]
    with httpx.Client(base_url=server.url, timeout=10) as client:
        replies = [
            client.post("/predict", json={"rows": RECORDS}),
            client.post("/predict", params={"explain": "1"}, json={"row": RECORDS[0]}),
            client.post("/invocations", json={"dataframe_records": RECORDS}),
            client.post("/predict", json={"rows": [[*whole[0], 1]]}),
            client.post("/predict", json={"rows": [[CITY, AGE, AGE]]}),
        ]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 422, 422]
    first = [row["probabilities"] for row in replies[0].json()["predictions"]]
    return [first, replies[1].json()["explanation"],
            replies[2].json()["predictions"]]  # fmt: skip


def rows_of(server: Running, version: str = "1") -> list[Prediction]:
    engine = open_database(server.config.database_url)
    found = []
    for name in logged_ids(engine, PROJECT, version):
        row = predictions.find(engine, PROJECT, name)
        if row is not None:
            found.append(row.logged.prediction if isinstance(row, Labelled) else row.prediction)
    engine.dispose()
    return found


@pytest.mark.parametrize("kept", [True, False])
def test_no_file_holds_a_redacted_value(tmp_path: Path, kept: bool) -> None:
    model, folder = TinyModel(TABLE), tmp_path / "redacted"
    changes = {"access_log": True, "keep_payloads": kept}
    with serving(tmp_path / "plain", model, **changes) as plain:
        expected = ask(plain)
        plain.write_log()
    with serving(folder, model, **changes, redact_columns=REDACT) as server:
        server.app.mirror.show_to(TinyModel(TABLE, "2", seed=5))  # type: ignore[arg-type]
        assert ask(server) == expected
        time.sleep(server.config.limits.flush_s * 3)
        assert spool.waiting(server.spool)
        assert found_below(folder) == []  # while the database has seen none of it
        server.write_log()
        server.app.mirror.close()
        server.write_log()
        assert found_below(folder) == []
        rows = rows_of(server)
    assert len(rows) == 5
    assert {row.redacted for row in rows} == {REDACT}
    assert {row.features for row in rows} == (
        {b"[null,null,42.5]", b"[null,null,38.0]"} if kept else {None}
    )
    # The same search finds them where nothing is redacted: in the log, or as a hash.
    assert {form for _, form in found_below(tmp_path / "plain")} >= (
        {b"73519.25", CITY.encode()} if kept else set(FORMS[-2:])
    )


def test_whoever_looks_a_prediction_up_is_told_what_it_lacks(tmp_path: Path) -> None:
    with serving(tmp_path, TinyModel(TABLE), redact_columns=("city",)) as server:
        reply = httpx.post(server.url + "/predict", json={"rows": RECORDS}).json()
        server.write_log()
        name = reply["predictions"][0]["prediction_id"]
        found = httpx.get(f"{server.url}/predictions/{name}").json()
    assert (found["state"], found["redacted"]) == ("logged", ["city"])
    assert CITY not in str(found)


def test_the_spool_says_what_is_redacted_while_the_database_is_away(tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.write_text("no folder")
    with serving(
        tmp_path / "state", TinyModel(TABLE), redact_columns=("age",),
        database_url=f"sqlite:///{away}/mlops.db",
    ) as server:  # fmt: skip
        httpx.post(server.url + "/predict", json={"rows": RECORDS})
        server.app.log.close()
        found = [
            row for path in spool.waiting(server.spool) for row in spool.read(path).predictions
        ]
        assert [row.redacted for row in found] == [("age",)] * 2
        assert found[0].features == b'[null,"Zermatt-am-See",42.5]'
        assert not [form for _, form in found_below(server.spool) if form != CITY.encode()]


def test_a_segment_of_the_release_before_is_replayed() -> None:
    before = (
        b'MLSPOOL1V\x00\x00\x00["b","3",["a1","a2"],[1.5,2.5],[0.01,0.02],["ann",null],null,null,'
        b'["table"],[9,10],16][1.0,"x"][null,"y"]\x00\x00\x80>\x00\x00@?\x00\x00\x00?\x00\x00\x00?'
        b"\x80\x08\x9e\x1cC\xd0\x9fn\x87\xebB\x0f\x19'a="
    )
    rows = spool.decode(before, "").predictions
    assert [(row.id, row.features, row.redacted) for row in rows] == [
        ("a1", b'[1.0,"x"]', ()), ("a2", b'[null,"y"]', ())]  # fmt: skip


def test_a_version_that_lacks_the_column_has_nothing_to_redact() -> None:
    other = TableSchema(("a", "b"), (Column("years", "number"), Column("city", "category", ())))
    redaction = Redaction((), b"k", REDACT)
    assert redaction.columns(other) == ("city",)
    assert redaction.columns(TABLE) == REDACT


def test_features_that_are_left_out_cannot_be_tried_against_a_hash() -> None:
    name = "0" * 32
    one, other = (Redaction(("features",), key).example(name) for key in (b"a", b"b"))
    assert len({one, other, name}) == 3
    assert len(one) == 32
    assert Redaction(("entity",), b"a", REDACT).example(name) == name


def test_a_worker_is_told_which_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ServingConfig("p", "h", "s", "d", redact=("entity",), redact_columns=REDACT)
    for name, value in told.environment().items():
        monkeypatch.setenv(name, value)
    assert from_environment() == told


def test_the_first_version_that_comes_must_have_the_columns(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf = Shelf(site.layout.serving / "tiny")
    make_table_version(shelf.home, "1")
    shelf.alias_of["champion"] = "1"
    wrong = replace(site, settings=site.settings.model_copy(update={"redact": "aeg"}))
    assert follow(made(wrong, shelf), 0.01, Bell()) == EXIT_NO_MODEL
    assert "error: MLOPS_REDACT = 'aeg': 'aeg' is no field" in capsys.readouterr().err
    assert read_pointer(shelf.home) is None
    right = replace(site, settings=site.settings.model_copy(update={"redact": "age"}))
    follower = made(right, shelf)
    assert follower.poll(1.0) == "1"
    make_version(shelf.home, "2")  # a later one may lack it
    shelf.alias_of["champion"] = "2"
    assert (follower.poll(2.0), follower.unfit) == ("2", "")


@pytest.mark.parametrize("what", ["copy", "pointer", "no pointer"])
@pytest.mark.parametrize("again", [False, True])
def test_damage_to_a_version_that_lacks_the_column_ends_nobody(
    what: str, again: bool, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came later, so it may; that it is fetched again does not make it the first one."""
    site = replace(site, settings=site.settings.model_copy(update={"redact": "age"}))
    shelf = Shelf(site.layout.serving / "tiny")
    make_table_version(shelf.home, "1")
    make_version(shelf.home, "2")
    follower = made(site, shelf)
    for now_s, version in enumerate("12"):
        shelf.alias_of["champion"] = version
        assert follower.poll(float(now_s)) == version
    (shelf.home / "alive").mkdir()
    (shelf.home / "alive" / "1").touch(READY)  # a worker that has it in memory
    damage = Damage(follower)
    if what == "copy":
        spoil(shelf, "2", monkeypatch)
    elif what == "pointer":
        (shelf.home / "current.json").write_text("{}")
        metrics.LOAD_FAILURES.inc()
    else:
        (shelf.home / "current.json").unlink()
    if again:  # the follower died, too
        follower = made(site, shelf)
        damage = Damage(follower)
    bell = Bell()
    threading.Timer(0.5, bell.end).start()
    assert follow(follower, 0.05, bell, (damage,)) == 0
    assert is_whole(shelf.home)


def test_the_first_version_is_looked_at_though_its_damaged_copy_is_fetched_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the start nobody could read its columns; no worker may have it before somebody did."""
    shelf = Shelf(site.layout.serving / "tiny")
    make_table_version(shelf.home, "1")
    point(shelf.home, "1")
    spoil(shelf, "1", monkeypatch)
    wrong = replace(site, settings=site.settings.model_copy(update={"redact": "aeg"}))
    shelf.alias_of["champion"] = "1"
    assert follow(made(wrong, shelf), 0.01, Bell()) == EXIT_NO_MODEL
    assert "'aeg' is no field" in capsys.readouterr().err
    assert read_pointer(shelf.home) is None


@pytest.fixture
def served(root: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `mlops serve` for a table with two redacted columns, its log beside the state."""
    home = root / ".mlops" / "serving" / "digits"
    make_table_version(home, "1")
    point(home, "1")
    environment = {
        **os.environ, "MLOPS_ROOT": str(root), "MLOPS_METRICS_PORT": "0",
        "MLOPS_MLFLOW_URI": "http://127.0.0.1:9", "MLOPS_POLL_S": "3600",
        "MLOPS_REDACT": "entity,age,city", "MLOPS_ACCESS_LOG": "1", "MLOPS_LOG_LEVEL": "debug",
    }  # fmt: skip
    with (root / ".mlops" / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlops.cli.main", "serve", "--port", "0", "--workers", "1"],
            env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.wait()


def test_a_whole_server_keeps_it_to_itself(
    served: tuple[subprocess.Popen[str], str], root: Path
) -> None:
    process, line = served
    url = line.split()[5]
    body = {"rows": RECORDS, "entities": [CITY, None]}
    reply = httpx.post(url + "/predict", json=body, timeout=10).json()
    given = [list(row["probabilities"].values()) for row in reply["predictions"]]
    np.testing.assert_allclose(given, TinyModel(TABLE).expected(columns(RECORDS)), atol=1e-6)
    httpx.post(url + "/predict", json={"rows": [[CITY, AGE, AGE]]}, timeout=10)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert found_below(root) == []
    url = f"sqlite:///{root / '.mlops' / 'mlops.db'}"
    # A follower that was still starting has left them in the spool.
    Writer(root / ".mlops" / "spool", "digits", url).drain()
    assert found_below(root) == []
    engine = open_database(url)
    assert len(logged_ids(engine, "digits")) == 2
    engine.dispose()
