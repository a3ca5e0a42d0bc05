"""What the prediction log keeps, loses and deletes, by its settings, on bad days too."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import sqlalchemy as sa

from mlops.adapters import predictions
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import incidents, labels
from mlops.core.example import example_id
from mlops.core.prediction import Label, Logged, Prediction
from mlops.serving import metrics, spool
from mlops.serving.alarms import Alarms
from mlops.serving.config import Limits
from mlops.serving.log import PredictionLog
from mlops.serving.notices import Notices
from mlops.serving.redaction import Redaction
from mlops.serving.retention import OldFiles, OldRows
from mlops.settings import Settings
from mlops.site import Site
from tests.serving.conftest import PROJECT
from tests.serving.test_prediction_log import _answered, _block, _prediction
from tests.serving.tiny import images, logged_ids, make_version, point

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serving.conftest import Running


def _find(server: Running, name: str) -> Prediction:
    found = predictions.find(open_database(server.config.database_url), PROJECT, name)
    assert isinstance(found, Logged)
    return found.prediction


def test_a_redacted_entity_still_tells_who_is_the_same(serve: Callable[..., Running]) -> None:
    server = serve(redact=("entity", "features"))
    body = {"images": images(3).tolist(), "entities": ["ann", "ann", "bob"]}
    replies = httpx.post(server.url + "/predict", json=body).json()["predictions"]
    spooled = b"".join(path.read_bytes() for path in spool.waiting(server.spool))
    assert server.write_log() == 3
    rows = [_find(server, reply["prediction_id"]) for reply in replies]
    one, same, other = (str(row.entity) for row in rows)
    assert one == same != other
    assert one.startswith("redacted-")
    assert [row.features for row in rows] == [None] * 3
    plain = {example_id(image.tobytes(), image.shape) for image in images(3)}
    assert len({row.example_id for row in rows} - plain) == 3
    assert b"ann" not in spooled


def test_redaction_needs_the_key() -> None:
    one, other = (Redaction(("entity",), key).entity("ann") for key in (b"a" * 32, b"b" * 32))
    assert one != other
    assert Redaction(("features",), b"a").entity("ann") == "ann"


def test_a_sample_is_drawn_by_id_and_the_rest_counted(serve: Callable[..., Running]) -> None:
    server = serve(sample=0.25)
    before = metrics.LOG_SAMPLED_OUT._value.get()
    for _ in range(4):
        httpx.post(server.url + "/invocations", json={"inputs": images(100).tolist()})
    kept = server.write_log()
    assert 60 < kept < 140  # 400 draws with p = 0.25: five standard deviations
    assert metrics.LOG_SAMPLED_OUT._value.get() - before == 400 - kept


def test_with_a_bound_of_zero_the_row_is_on_disk_before_the_reply(
    serve: Callable[..., Running],
) -> None:
    server = serve(limits=Limits(flush_s=0.0, deadline_s=1.0))
    for n in range(1, 6):
        reply = httpx.post(server.url + "/invocations", json={"inputs": images(2).tolist()})
        names = [row.id for path in spool.waiting(server.spool)
                 for row in spool.read(path).predictions]  # fmt: skip
        assert len(names) == 2 * n
        assert names[-2:] == reply.json()["prediction_ids"]
    server.spool.rename(server.spool.with_name("away"))
    server.spool.write_text("a disk that takes nothing")
    reply = httpx.post(server.url + "/invocations", json={"inputs": images(2).tolist()})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "log_full")
    server.spool.unlink()
    server.spool.with_name("away").rename(server.spool)


def test_a_clock_that_jumps_back_changes_no_order(tmp_path: Path) -> None:
    hour_ns = 3600 * 10**9
    content = spool.encode([_block(_prediction(1))])
    future = spool.write(_made(tmp_path), content, time.time_ns() + hour_ns)
    log = PredictionLog(tmp_path, Limits(flush_s=0.005), keep_payloads=True)
    for n in range(3):
        log.append(_answered([f"i{n}"]))
        time.sleep(0.05)
    log.close()
    paths = spool.waiting(tmp_path)
    assert paths[0] == future
    found = [row.id for path in paths for row in spool.read(path).predictions]
    assert found == ["id0001", "i0", "i1", "i2"]


_FULL = """
import json, resource, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from tests.serving.test_prediction_log import _answered
from mlops.serving import metrics
from mlops.serving.config import Limits
from mlops.serving.log import PredictionLog
log = PredictionLog(Path(sys.argv[1]), Limits(flush_s=0.005, queued_rows=50), keep_payloads=True)
log.append(_answered(["first"]))
time.sleep(0.3)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
for n in range(80):
    log.append(_answered([f"full{n:02}"]))
time.sleep(0.7)
dropped, errors = metrics.LOG_DROPPED._value.get(), metrics.SPOOL_ERRORS._value.get()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
time.sleep(0.8)
log.append(_answered(["last"]))
log.close()
print(json.dumps([dropped, errors]))
"""


def test_a_full_disk_is_waited_out_in_bounded_memory(tmp_path: Path) -> None:
    """Writes beyond 64 bytes fail for real, then they succeed again; nothing is lost unseen."""
    done = subprocess.run([sys.executable, "-c", _FULL, str(tmp_path / "spool")],
                          capture_output=True, text=True, check=True, cwd=Path.cwd())  # fmt: skip
    dropped, errors = json.loads(done.stdout.splitlines()[-1])
    names = [row.id for path in spool.waiting(tmp_path / "spool")
             for row in spool.read(path).predictions]  # fmt: skip
    assert errors >= 1
    assert dropped == 30
    assert names == ["first", *(f"full{n:02}" for n in range(50)), "last"]
    assert not list((tmp_path / "spool").glob(".*"))


def _incidents(site: Site) -> list[tuple[Any, ...]]:
    query = sa.select(incidents.c.cause, incidents.c.version, incidents.c.state)
    with open_database(site.settings.database(site.layout)).connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_dropped_rows_raise_an_alarm_until_it_is_over(site: Site) -> None:
    home = site.layout.serving / PROJECT
    make_version(home, "1")
    point(home, "1")
    notices, now = Notices(site, PROJECT), [0.0]
    alarms = Alarms(home, notices, clock=lambda: now[0])
    alarms.keep(0.0)  # counts of other tests
    now[0] += 601.0
    alarms.keep(0.0)
    notices.keep(1.0)
    before = len(_incidents(site))
    metrics.LOG_DROPPED.inc(7)
    metrics.SPOOL_ERRORS.inc()
    for _ in range(3):
        alarms.keep(0.0)
        notices.keep(2.0)
    causes = ("predictions lost", "spool not written")
    assert _incidents(site)[before:] == [(cause, "1", "open") for cause in causes]
    assert metrics.ALARM.labels("dropped")._value.get() == 1.0
    with open_database(site.settings.database(site.layout)).begin() as connection:
        connection.execute(sa.update(incidents).values(state="resolved"))  # by a person
    alarms = Alarms(home, notices := Notices(site, PROJECT), clock=lambda: now[0])
    alarms.keep(0.0)  # a follower that was started again has nothing new to tell
    notices.keep(2.5)
    assert _incidents(site)[before:] == [(cause, "1", "resolved") for cause in causes]
    metrics.LOG_DROPPED.inc()
    metrics.SPOOL_ERRORS.inc()
    alarms.keep(0.0)
    alarms.keep(0.0)  # killed before the database could be told: the next one tells it
    alarms = Alarms(home, notices := Notices(site, PROJECT), clock=lambda: now[0])
    alarms.keep(0.0)
    notices.keep(2.6)
    assert len(_incidents(site)) == before + 4
    before += 2
    now[0] += 601.0
    alarms.keep(0.0)
    notices.keep(3.0)
    assert _incidents(site)[before:] == [(cause, "1", "resolved") for cause in causes]
    assert metrics.ALARM.labels("dropped")._value.get() == 0.0


def test_retention_deletes_what_is_old_and_nobody_needs(site: Site) -> None:
    day = 86_400.0
    engine = open_database(site.settings.database(site.layout))
    rows = [_prediction(n, at_s=n * day) for n in range(1200)]
    given = [Label("id0001", 1, "user", 1.0), Label("id0002", 1, "user", 1.0)]
    predictions.insert_batch(engine, "digits", rows, given)
    predictions.insert_batch(engine, "other", [_prediction(9000, at_s=0.0)])
    [_, second] = predictions.uncollected(engine, "digits")
    predictions.claim(engine, "digits", second.label_seqs, "a.parquet")
    settings = Settings(log_days=100.0, keep_versions=2)
    keeping = Site(site.layout, settings, site.now, site.work)
    home = site.layout.serving / "digits"
    for version in ("1", "2", "3", "4", "5"):
        folder = make_version(home, version)
        os.utime(folder, (0, 0))
    point(home, "1")
    os.utime(
        home / "3", (1100.5 * day, 1100.5 * day)
    )  # fetched a moment ago: a step may be at work on it
    damaged = site.layout.spool / "damaged" / "x.seg"
    damaged.parent.mkdir(parents=True)
    damaged.touch()
    os.utime(damaged, (0, 0))
    OldRows(keeping, "digits").sweep(1100.5 * day)
    OldFiles(keeping, "digits").sweep(1100.5 * day)
    kept = logged_ids(engine, "digits")
    assert kept == ["id0001", *(f"id{n:04}" for n in range(1001, 1200))]
    assert logged_ids(engine, "other") == ["id9000"]
    with engine.connect() as connection:
        assert list(connection.execute(sa.select(labels.c.prediction_id)).scalars()) == ["id0001"]
    assert sorted(path.name for path in home.iterdir() if path.is_dir()) == ["1", "3", "4", "5"]
    assert not damaged.exists()


def test_retention_begins_with_the_server_and_goes_on_every_hour(site: Site) -> None:
    """A server that is restarted every day, or more often, deletes as well as any other."""
    day = 86_400.0
    engine = open_database(site.settings.database(site.layout))
    keeping = replace(site, settings=Settings(log_days=1.0, keep_versions=1))
    home = site.layout.serving / "digits"
    now = [0.0]
    duties = [made(keeping, "digits", lambda: now[0]) for made in (OldRows, OldFiles)]
    for n, (since_s, deleted) in enumerate([(0.0, True), (3599.0, False), (3601.0, True)]):
        predictions.insert_batch(engine, "digits", [_prediction(n, at_s=0.0)])
        for version in ("1", "2"):
            (home / version).mkdir(parents=True, exist_ok=True)
            os.utime(home / version, (0, 0))
        now[0] = since_s
        for duty in duties:
            duty.keep(2.0 * day)
        assert logged_ids(engine, "digits") == ([] if deleted else [f"id{n:04}"])
        assert (home / "1").exists() is not deleted


def test_retention_is_off_unless_asked_for(site: Site) -> None:
    engine = open_database(site.settings.database(site.layout))
    predictions.insert_batch(engine, "digits", [_prediction(1)])
    now = [0.0]
    retention = OldRows(site, "digits", clock=lambda: now[0])
    now[0] = 1e9
    retention.keep(1e9)
    assert logged_ids(engine, "digits") == ["id0001"]


@pytest.mark.parametrize("shadows", [True, False])
@pytest.mark.parametrize("features", [b"0123456789abcdef", None])
def test_segments_of_the_release_before_can_be_read(features: bytes | None, shadows: bool) -> None:
    """They held each prediction alone; those of the release before it, not whom it shadows."""
    row = _prediction(1, features=features, shadow_of="id0000" if shadows else None)
    head = [
        "p", row.id, row.at_s, row.version, row.example_id, row.entity, row.latency_s,
        -1 if features is None else 16, 12, *([row.shadow_of] if shadows else []),
    ]  # fmt: skip
    text = json.dumps(head).encode()
    one = len(text).to_bytes(4, "little") + text + (features or b"") + row.probabilities
    label = spool.encode([Label("id0001", 1, "user", 2.0)])[8:-16]
    body = b"MLSPOOL1" + one + label + one
    digest = hashlib.blake2b(body, digest_size=16).digest()
    segment = spool.decode(body + digest, "old")
    assert segment.predictions == [row, row]
    assert segment.labels == [Label("id0001", 1, "user", 2.0)]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
