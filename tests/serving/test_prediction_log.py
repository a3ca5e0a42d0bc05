"""The prediction log: every reply is in the database once, whatever dies or goes away meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from mlops.adapters import predictions
from mlops.adapters.sql.engine import open_database
from mlops.core.example import example_id
from mlops.core.prediction import Given, Label, Labelled, Logged, Prediction, Score
from mlops.core.schema import ImageSchema
from mlops.errors import DataError, Unavailable
from mlops.serving import spool
from mlops.serving.block import Block
from mlops.serving.config import Limits
from mlops.serving.cut import Cutter
from mlops.serving.ids import Minter, load_key
from mlops.serving.log import Answered, PredictionLog
from mlops.serving.writer import Writer
from tests.serving.conftest import PROJECT
from tests.serving.tiny import CLASSES, SHAPE, images, logged_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serving.conftest import Running


def _prediction(n: int, **changes: Any) -> Prediction:
    values: dict[str, Any] = {
        "id": f"id{n:04}", "at_s": float(n), "version": "1", "example_id": f"e{n}", "entity": None,
        "features": bytes([n % 256] * 16), "latency_s": 0.5,
        "probabilities": np.array([0.1, 0.2, 0.7], "<f4").tobytes(),
    }  # fmt: skip
    return Prediction(**{**values, **changes})


def test_every_reply_is_logged_as_it_was_given(serve: Callable[..., Running]) -> None:
    server = serve()
    rows = images(3)
    body = {"images": rows.tolist(), "entities": ["a", None, "c"]}
    replies = httpx.post(server.url + "/predict", json=body).json()["predictions"]
    assert server.write_log() == 3
    engine = open_database(server.config.database_url)
    ids = logged_ids(engine, PROJECT)
    assert ids == [row["prediction_id"] for row in replies]
    for name, entity, image, reply in zip(ids, ["a", None, "c"], rows, replies, strict=True):
        row = predictions.find(engine, PROJECT, name)
        assert isinstance(row, Logged)
        assert row.prediction.entity == entity
        assert row.prediction.features == image.tobytes()
        assert row.prediction.example_id == example_id(image.tobytes(), image.shape)
        assert row.scores.tolist() == list(reply["probabilities"].values())
        assert 0 < row.prediction.latency_s < 5
    assert logged_ids(engine, PROJECT, "2") == []


def test_hashed_payloads_leave_no_features(serve: Callable[..., Running]) -> None:
    server = serve(keep_payloads=False)
    httpx.post(server.url + "/predict", json={"image": images(1)[0].tolist()})
    server.write_log()
    engine = open_database(server.config.database_url)
    [name] = logged_ids(engine, PROJECT)
    row = predictions.find(engine, PROJECT, name)
    assert isinstance(row, Logged)
    assert row.prediction.features is None
    assert len(row.prediction.example_id) == 32


def test_feedback_counts_once_and_the_newest_label_wins(serve: Callable[..., Running]) -> None:
    server = serve()
    with httpx.Client(base_url=server.url) as client:
        made = client.post("/predict", json={"image": images(1)[0].tolist()}).json()
        name = made["prediction_id"]
        assert client.get(f"/predictions/{name}").status_code == 202  # still in the spool
        for label in ("one", 1, "one", 2):
            given = {"prediction_id": name, "label": label, "label_source": "random"}
            assert client.post("/feedback", json=given).json() == {"accepted": 1}
        server.write_log()
        shown = client.get(f"/predictions/{name}").json()
        assert (shown["label"], shown["label_source"]) == ("two", "random")
        assert shown["class"] == made["class"]
        client.post("/feedback", json=[{"prediction_id": name, "label": "zero"}])
        server.write_log()
        assert client.get(f"/predictions/{name}").json()["label_source"] == "user"
        both = [{"prediction_id": name, "label": 1}, {"prediction_id": "unknown", "label": 1}]
        assert client.post("/feedback", json=both).status_code == 404
        assert client.get("/predictions/unknown").status_code == 404
    assert server.write_log() == 0  # all or none
    [row] = predictions.labelled(open_database(server.config.database_url), PROJECT, "1")
    assert row.label.label == 0
    assert len(row.label_seqs) == 3  # one, two, zero: repeats left no row


def test_feedback_for_another_hosts_prediction_is_looked_up(serve: Callable[..., Running]) -> None:
    server = serve()
    engine = open_database(server.config.database_url)
    predictions.insert_batch(engine, PROJECT, [_prediction(1)])
    given = {"prediction_id": "id0001", "label": CLASSES[1]}
    assert httpx.post(server.url + "/feedback", json=given).status_code == 200


def test_a_spool_may_be_replayed(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'a.db'}")
    rows = [_prediction(n) for n in range(3)]
    labels = [Label("id0001", 1, "random", 5.0), Label("id0001", 2, "random", 6.0)]
    assert predictions.insert_batch(engine, PROJECT, rows, labels) == (3, 2)
    assert predictions.insert_batch(engine, PROJECT, rows, labels) == (0, 0)
    late = [Label("id0001", 0, "user", 5.5)]
    assert predictions.insert_batch(engine, PROJECT, (), late) == (0, 0)
    found = predictions.find(engine, PROJECT, "id0001")
    assert isinstance(found, Labelled)
    assert found.label.label == 2
    assert isinstance(predictions.find(engine, PROJECT, "id0002"), Logged)
    assert predictions.find(engine, "other", "id0002") is None


def test_predictions_work_on_postgres(postgres_url: str) -> None:
    engine = open_database(postgres_url)
    rows = [_prediction(n) for n in range(3)]
    labels = [Label("id0001", 1, "random", 5.0)]
    assert predictions.insert_batch(engine, PROJECT, rows, labels) == (3, 1)
    assert predictions.insert_batch(engine, PROJECT, rows, labels) == (0, 0)
    [row] = predictions.uncollected(engine, PROJECT)
    predictions.claim(engine, PROJECT, row.label_seqs, "a.parquet")
    assert predictions.uncollected(engine, PROJECT) == []
    assert predictions.claimed(engine, PROJECT, "a.parquet")[0].label == labels[0]
    assert predictions.claimed_shards(engine, PROJECT) == ["a.parquet"]
    engine.dispose()


def test_the_spool_waits_for_the_database(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    database = tmp_path / "away" / "mlops.db"
    database.parent.write_text("a file where a folder must be")
    content = spool.encode([_block(_prediction(1)), Label("id0001", 1, "random", 2.0)])
    spool.write(_made(folder), content)
    writer = Writer(folder, PROJECT, f"sqlite:///{database}")
    with pytest.raises((Unavailable, OSError)):
        writer.drain()
    assert len(spool.waiting(folder)) == 1
    database.parent.unlink()
    assert writer.drain() == 2
    assert spool.waiting(folder) == []


def test_the_writers_thread_outlives_the_databases_absence(tmp_path: Path) -> None:
    folder, database = _made(tmp_path / "spool"), tmp_path / "away" / "mlops.db"
    database.parent.write_text("a file where a folder must be")
    writer = Writer(folder, PROJECT, f"sqlite:///{database}")
    writer.start()
    spool.write(folder, spool.encode([_block(_prediction(1))]))
    time.sleep(0.5)
    database.parent.unlink()
    writer.close()
    assert spool.waiting(folder) == []
    assert predictions.find(open_database(f"sqlite:///{database}"), PROJECT, "id0001") is not None


def test_segments_survive_the_round_trip(tmp_path: Path) -> None:
    rows = [_prediction(1), _prediction(2, entity="é", features=b"longer"), _prediction(3)]
    looked = [_prediction(4, features=None, shadow_of="id0001")]
    given: list[Given] = [Label("id0001", 1, "active", 2.5), Score("id0001", 0.5, 2.5)]
    content = spool.encode([_block(*rows), given[0], _block(*looked), given[1]])
    segment = spool.read(spool.write(_made(tmp_path / "spool"), content))
    assert segment.predictions == rows + looked
    assert [*segment.labels, *segment.scores] == given


def test_an_example_gets_its_id_where_the_segment_is_read() -> None:
    block = Cutter(keep=True, redaction=None, sample=1.0).cut([_answered(["a", "b"])])
    assert block is not None
    assert block.examples is None
    want = [example_id(image.tobytes(), SHAPE) for image in images(2)]
    assert [row.example_id for row in spool.decode(spool.encode([block]), "").predictions] == want


def test_what_chance_does_not_take_leaves_nothing() -> None:
    assert Cutter(keep=True, redaction=None, sample=0.0).cut([_answered(["00000000"])]) is None


def test_requests_of_one_version_share_a_block_and_order_stays() -> None:
    one, label = _answered(["a", "b"]), Label("a", 1, "user", 2.0)
    other = _answered(["c"])._replace(at_s=2.0, latency_s=0.5)
    answers: list[Answered | list[Given]] = [
        one, other, [label], one._replace(version="2"), one._replace(shadow_of=["x", "y"]),
    ]  # fmt: skip
    blocks = Cutter(keep=True, redaction=None, sample=1.0).records(answers)
    first, given, second, shadow = blocks
    assert given is label
    assert isinstance(first, Block)
    assert [(row.id, row.at_s, row.latency_s) for row in first.rows()] == [
        ("a", 1.0, 0.01), ("b", 1.0, 0.01), ("c", 2.0, 0.5)]  # fmt: skip
    assert isinstance(second, Block)
    assert [row.version for row in second.rows()] == ["2", "2"]
    assert isinstance(shadow, Block)
    assert [(row.shadow_of, row.features) for row in shadow.rows()] == [("x", None), ("y", None)]


@pytest.mark.parametrize("cut", [0, 5, 40, -1])
def test_a_damaged_segment_is_set_aside_and_the_rest_goes_on(tmp_path: Path, cut: int) -> None:
    folder = _made(tmp_path / "spool")
    path = spool.write(folder, spool.encode([_block(_prediction(1))]))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="damaged"):
        spool.read(path)
    spool.write(folder, spool.encode([_block(_prediction(2))]))
    assert Writer(folder, PROJECT, f"sqlite:///{tmp_path / 'a.db'}").drain() == 1
    assert [p.name for p in (folder / "damaged").iterdir()] == [path.name]


def test_a_row_that_the_database_refuses_is_set_aside_alone(
    postgres_url: str, tmp_path: Path
) -> None:
    folder = _made(tmp_path / "spool")
    spool.write(folder, spool.encode([_block(_prediction(11))]))
    bad = spool.write(folder, spool.encode([_block(_prediction(12, version="v" * 50))]))
    spool.write(folder, spool.encode([_block(_prediction(13))]))
    writer = Writer(folder, "set-aside", postgres_url)
    assert writer.drain() == 2
    writer._forget_engine()
    assert [p.name for p in (folder / "damaged").iterdir()] == [bad.name]


def test_a_full_queue_drops_and_counts(tmp_path: Path) -> None:
    from mlops.serving.metrics import LOG_DROPPED

    before = LOG_DROPPED._value.get()
    log = PredictionLog(tmp_path / "spool", Limits(queued_rows=2, flush_s=5), keep_payloads=True)
    for n in range(5):
        log.append(_answered([f"i{n}"]))
    assert log.label([Label("i1", 1, "user", 1.0)]) is None
    log.close()
    assert LOG_DROPPED._value.get() - before == 3
    [path] = spool.waiting(tmp_path / "spool")
    assert [row.id for row in spool.read(path).predictions] == ["i0", "i1"]


def test_the_log_waits_for_the_disk(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    log = PredictionLog(folder, Limits(flush_s=0.01), keep_payloads=True)
    folder.rmdir()
    folder.write_text("not a folder")
    log.append(_answered(["a"]))
    time.sleep(0.3)
    folder.unlink()
    time.sleep(1.0)
    log.close()
    assert len(spool.waiting(folder)) == 1


def test_feedback_goes_on_after_an_outage_longer_than_its_wait(
    serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlops.serving import feedback

    monkeypatch.setattr(feedback, "_SYNC_S", 0.1)
    server = serve()
    asked = {"image": images(1)[0].tolist()}
    name = httpx.post(server.url + "/predict", json=asked).json()["prediction_id"]
    assert server.write_log() == 1
    away = server.spool.rename(server.spool.with_name("away"))
    server.spool.write_text("not a folder")
    given = {"prediction_id": name, "label": 1}
    assert httpx.post(server.url + "/feedback", json=given).status_code == 503
    server.spool.unlink()
    away.rename(server.spool)
    time.sleep(0.7)  # the log tries again every half second
    again = {"prediction_id": name, "label": 2}
    assert httpx.post(server.url + "/feedback", json=again).json() == {"accepted": 1}
    assert server.write_log() == 2


def test_a_segment_that_cannot_be_written_is_lost_alone_and_counted(tmp_path: Path) -> None:
    from mlops.serving.metrics import LOG_DROPPED

    before = LOG_DROPPED._value.get()
    log = PredictionLog(tmp_path / "spool", Limits(queued_rows=2, flush_s=0.01), keep_payloads=True)
    synced = log.label([Label("i1", object(), "user", 1.0)])  # type: ignore[arg-type]
    assert synced is not None
    with pytest.raises(OSError, match="not stored"):
        synced.result(5)
    assert LOG_DROPPED._value.get() - before == 1
    given = log.label([Label("i2", 1, "user", 1.0), Label("i3", 1, "user", 1.0)])
    assert given is not None, "its room in the queue was not given back"
    given.result(5)
    log.close()
    [path] = spool.waiting(tmp_path / "spool")
    assert [row.prediction_id for row in spool.read(path).labels] == ["i2", "i3"]


_VICTIM = """
import sys, time
from pathlib import Path
from tests.serving.test_prediction_log import _answered
from mlops.serving.config import Limits
from mlops.serving.cut import Cutter
from mlops.serving.log import PredictionLog
log = PredictionLog(Path(sys.argv[1]), Limits(flush_s=0.005), keep_payloads=True)
for n in range(10**6):
    log.append(_answered([f"v{n:08}"]))
    print(n, flush=True)
    time.sleep(0.0005)
"""


def test_a_killed_worker_loses_at_most_what_was_not_synced(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    victim = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, str(folder)], stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    assert victim.stdout is not None
    while int(victim.stdout.readline()) < 300:
        pass
    victim.send_signal(signal.SIGKILL)
    answered = 301 + len(victim.stdout.read().splitlines())
    victim.wait()
    url = f"sqlite:///{tmp_path / 'a.db'}"
    written = Writer(folder, PROJECT, url).drain()
    assert logged_ids(open_database(url), PROJECT) == [f"v{n:08}" for n in range(written)]
    assert answered - 256 <= written <= answered + 1


def test_ids_grow_and_cannot_be_invented(tmp_path: Path) -> None:
    key = load_key(tmp_path)
    assert load_key(tmp_path) == key
    one, other = Minter(key, "a"), Minter(key, "b")
    ids = one.mint(1000) + one.mint(1000)
    assert ids == sorted(set(ids))
    assert all(one.genuine(i) for i in ids)
    assert Minter(key, "a").genuine(ids[0])
    assert not other.genuine(ids[0])
    assert not one.genuine(ids[0][:-1] + ("0" if ids[0][-1] != "0" else "1"))
    assert not one.genuine("")


def _answered(ids: list[str]) -> Answered:
    rows = len(ids)
    scores = np.full((rows, 3), 1 / 3, np.float32)
    schema = ImageSchema(CLASSES, *SHAPE)
    return Answered(ids, 1.0, "1", None, images(rows), schema, scores, 0.01)


def _block(*rows: Prediction) -> Block:
    """Return rows of one version as the worker writes them."""
    kept = rows[0].features is not None
    contents = [row.features or b"" for row in rows]
    return Block(
        rows[0].version, [row.id for row in rows], [row.at_s for row in rows],
        [row.latency_s for row in rows], [row.entity for row in rows],
        [str(row.shadow_of) for row in rows] if rows[0].shadow_of else None,
        [row.example_id for row in rows], SHAPE,
        [*map(len, contents)] if kept else None, b"".join(contents),
        b"".join(row.probabilities for row in rows),
    )  # fmt: skip


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
