"""What is told of a prediction that is not in the log: that it is coming, or that it never will."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from mlops.adapters import predictions
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import labels
from mlops.core.prediction import Prediction
from mlops.serving.ids import is_drawn
from tests.serving.conftest import PROJECT
from tests.serving.tiny import images

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serving.conftest import Running

Given = tuple[int, str]
ACCEPTED: Given = (200, "")
HOUR_S, DAY_S = 3600.0, 86_400.0


def _looked_up(server: Running, name: str) -> Given:
    return _told(httpx.get(f"{server.url}/predictions/{name}"))


def _labelled(server: Running, *names: str) -> Given:
    items = [{"prediction_id": name, "label": 1} for name in names]
    return _told(httpx.post(f"{server.url}/feedback", json=items))


def _told(answer: httpx.Response) -> Given:
    content: dict[str, Any] = answer.json()
    return answer.status_code, content.get("error", {}).get("code", content.get("state", ""))


def _minted(server: Running, age_s: float) -> str:
    """Return an id that the server's project minted some time ago."""
    made_ns = time.time_ns() - int(age_s * 1e9)
    return server.app.minter._sign(f"{made_ns:016x}abcdef")


def _log(server: Running, *names: str) -> None:
    scores = np.array([0.2, 0.8, 0.0], "<f4").tobytes()
    rows = [Prediction(name, 1.0, "1", name, None, b"x", scores, 0.1) for name in names]
    predictions.insert_batch(open_database(server.config.database_url), PROJECT, rows)


def test_of_a_sampled_log_everybody_hears_what_it_lacks(serve: Callable[..., Running]) -> None:
    server = serve(sample=0.5)
    body = {"inputs": images(60).tolist()}
    ids = httpx.post(f"{server.url}/invocations", json=body).json()["prediction_ids"]
    kept = [name for name in ids if is_drawn(name, 0.5)]
    left = [name for name in ids if not is_drawn(name, 0.5)]
    before = [(_looked_up(server, one), _labelled(server, one)) for one in (kept[0], left[0])]
    assert before == [((202, "queued"), ACCEPTED), ((404, "not_logged"), (404, "not_logged"))]
    assert _labelled(server, kept[1], left[1]) == (404, "not_logged")  # all or none
    server.write_log()
    assert _looked_up(server, kept[0]) == (200, "logged")
    assert _looked_up(server, left[0]) == (404, "not_logged")
    with open_database(server.config.database_url).connect() as connection:
        assert list(connection.execute(sa.select(labels.c.prediction_id)).scalars()) == [kept[0]]
    answer = httpx.get(f"{server.url}/predictions/{left[0]}").json()["error"]
    assert left[0] in answer["message"]
    assert "MLOPS_LOG_SAMPLE keeps 0.5 of all" in answer["remedy"]


def test_what_the_log_holds_is_told_whatever_the_settings_are_now(
    serve: Callable[..., Running],
) -> None:
    server = serve(sample=1e-9)
    name = _minted(server, 1.0)
    _log(server, name)
    assert _looked_up(server, name) == (200, "logged")
    assert _labelled(server, name) == ACCEPTED


@pytest.mark.parametrize(
    ("age_s", "spooled_s", "told"),
    [
        (10.0, None, (202, "queued")),
        (-DAY_S, None, (202, "queued")),  # the clock was set back
        (HOUR_S, None, (404, "unknown_prediction")),
        (HOUR_S, 60.0, (404, "unknown_prediction")),
        (HOUR_S, 2 * HOUR_S, (202, "queued")),
        (HOUR_S, HOUR_S - 1.0, (202, "queued")),
    ],
)
def test_a_prediction_is_on_its_way_as_long_as_the_spool_may_hold_it(
    age_s: float, spooled_s: float | None, told: Given, serve: Callable[..., Running]
) -> None:
    """It is a matter of the oldest segment that waits, however long the database was away."""
    server = serve()
    if spooled_s is not None:
        place_ns = time.time_ns() - int(spooled_s * 1e9)
        (server.spool / f"{place_ns:020d}-1.seg").touch()
    assert _looked_up(server, _minted(server, age_s)) == told
    for path in server.spool.glob("*.seg"):
        path.unlink()


def test_rows_of_bulk_jobs_are_told_apart(serve: Callable[..., Running]) -> None:
    server = serve()
    (name,) = server.app.minter.numbered("abcdef", time.time_ns(), 1)
    assert _looked_up(server, name) == (404, "not_logged")
    assert _labelled(server, name) == (404, "not_logged")
    assert "mlops score" in httpx.get(f"{server.url}/predictions/{name}").text


@pytest.mark.parametrize(
    ("log_days", "age_s", "logged", "told"),
    [
        (0.0, 99 * DAY_S, False, ACCEPTED),  # rows stay for ever: the log is not asked
        (1.0, 0.5 * DAY_S, False, ACCEPTED),
        (1.0, 1.5 * DAY_S, True, ACCEPTED),  # `mlops collect` has not taken an earlier label
        (1.0, 1.5 * DAY_S, False, (404, "unknown_prediction")),
    ],
)
def test_nothing_is_given_back_to_what_was_pruned(
    log_days: float, age_s: float, *, logged: bool, told: Given, serve: Callable[..., Running]
) -> None:
    server = serve(log_days=log_days)
    name = _minted(server, age_s)
    if logged:
        _log(server, name)
    assert _labelled(server, name) == told


def test_while_the_database_is_away_only_what_is_in_doubt_waits(
    serve: Callable[..., Running],
) -> None:
    server = serve(log_days=1.0, database_url="postgresql://u:p@127.0.0.1:1/x")
    away = (503, "database_away")
    assert _labelled(server, _minted(server, 0.5 * DAY_S)) == ACCEPTED
    assert _labelled(server, _minted(server, 2.0 * DAY_S)) == away
    assert _labelled(server, "0" * 38) == away
