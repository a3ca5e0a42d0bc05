"""Scores: how good an answer was found; kept, replaced, looked up, and never taken for a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from mlops.adapters import predictions
from mlops.adapters.pruning import prune
from mlops.adapters.scores import score_of
from mlops.adapters.sql.engine import open_database
from mlops.core.prediction import Prediction, Score
from tests.serving.conftest import PROJECT, Running, running
from tests.serving.tiny import images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/mlops.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, str]]:
    """Give a client, and the id of a prediction."""
    with (
        running(tmp_path_factory.mktemp("scores")) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        made = client.post("/predict", json={"image": images(1)[0].tolist()}).json()
        yield client, made["prediction_id"]


def test_the_newest_score_stands_beside_the_label(serve: Callable[..., Running]) -> None:
    server = serve()
    engine = open_database(server.config.database_url)
    with httpx.Client(base_url=server.url) as client:
        made = client.post("/predict", json={"image": images(1)[0].tolist()}).json()
        name = made["prediction_id"]
        for given in ({"score": 0.25}, {"label": "two", "score": 1}, {"score": 0}, {"score": 0}):
            answer = client.post("/feedback", json={"prediction_id": name, **given})
            assert answer.json() == {"accepted": 1}
            server.write_log()
            shown = client.get(f"/predictions/{name}").json()
            assert shown["score"] == given["score"]
        assert (shown["label"], shown["label_source"]) == ("two", "user")
    assert server.write_log() == 0
    [row] = predictions.labelled(engine, PROJECT, "1")
    assert len(row.label_seqs) == 1
    engine.dispose()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"score": -0.01}, "score"), ({"score": 1.01}, "score"), ({"score": True}, "score"),
        ({"score": "1"}, "score"), ({"score": None}, "score"),
        ({"label": 1, "score": 2}, "score"), ({"label": 9, "score": 1}, "label"),
        ({"score": 1, "label_source": "user"}, None), ({}, None),
        ({"label": 1, "correction": 1, "score": 1}, None),
    ],
)  # fmt: skip
def test_what_is_no_score_is_refused(
    asked: tuple[httpx.Client, str], given: dict[str, Any], field: str | None
) -> None:
    client, name = asked
    answer = client.post("/feedback", json={"prediction_id": name, **given})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field


def test_scores_are_replayed_without_effect_and_leave_with_their_prediction(url: str) -> None:
    engine, project = open_database(url), "scored"
    scores = np.array([0.1, 0.9], "<f4").tobytes()
    rows = [Prediction(f"s{n}", float(n), "1", f"e{n}", None, b"x", scores, 0.1) for n in range(3)]
    given = [Score("s1", 0.5, 2.0), Score("s1", 0.75, 3.0), Score("s2", 1.0, 2.0)]
    assert predictions.insert_batch(engine, project, rows, (), given) == (3, 3)
    assert predictions.insert_batch(engine, project, rows, (), given) == (0, 0)
    assert score_of(engine, project, "s1") == 0.75
    assert score_of(engine, "another", "s1") is None
    assert predictions.labelled(engine, project, "1") == []
    assert predictions.uncollected(engine, project) == []
    assert predictions.count_unfit(engine, project) == (0, 0)
    assert prune(engine, project, before_s=2.0) == 2
    assert score_of(engine, project, "s1") is None
    assert score_of(engine, project, "s2") == 1.0
    engine.dispose()
