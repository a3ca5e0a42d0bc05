"""The server keeps aliases and ledger in agreement, and serves whatever comes of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import files, mlflow, registry
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.sql.engine import database
from mlops.core.canonical import to_json
from mlops.serving.agreement import Agreement
from mlops.serving.follower import Follower
from mlops.serving.model import read_pointer
from mlops.serving.notices import Notices
from tests.promotions import PROJECT, add_version, decide, decision, entries, kinds
from tests.serving.tiny import make_version, point

if TYPE_CHECKING:
    from mlops.site import Site


@pytest.fixture
def pair(mlflow_site: Site) -> Site:
    """Return a site with two versions, the first in service."""
    for _ in range(2):
        add_version(mlflow_site)
    decide(mlflow_site, "1", None, approval="auto")
    return mlflow_site


def test_a_kill_between_ledger_and_alias_is_repaired_at_the_start(pair: Site) -> None:
    made, key = decision(pair, "2", "1")
    with database(pair) as engine:
        row = Row("decided", key, made.at_s, "test", "1", "2", to_json(made))
        Ledger(engine, PROJECT).append(row)
    Agreement(pair, PROJECT).keep("1")
    assert registry.champion(pair, PROJECT) == "2"
    assert kinds(pair)[-2:] == ["decided", "applied"]


def test_a_persons_move_is_recorded_when_it_is_seen_with_the_time(pair: Site) -> None:
    agreement = Agreement(pair, PROJECT)
    agreement.keep("1")
    before = kinds(pair)
    registry.set_alias(pair, PROJECT, "champion", "2")
    agreement.keep("1")  # nothing new was seen, and it is not time yet
    assert kinds(pair) == before
    agreement.keep("2")
    assert kinds(pair) == [*before, "observed"]
    # The process may have started long ago: its own start is not when this happened.
    assert abs(entries(pair)[-1].at_s - time.time()) < 60
    mlflow.client(pair).delete_model_version(PROJECT, "2")
    agreement.keep(None)
    assert entries(pair)[-1].to_version is None


def test_whoever_is_moving_the_alias_is_not_waited_for(pair: Site) -> None:
    agreement = Agreement(pair, PROJECT)
    registry.set_alias(pair, PROJECT, "champion", "2")
    with database(pair) as engine, Ledger(engine, PROJECT).exclusive():
        agreement.keep("2")
        assert "observed" not in kinds(pair)
    agreement.keep("2")
    assert kinds(pair)[-1] == "observed"


def test_serving_goes_on_whatever_is_in_the_way(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.layout.database.mkdir(parents=True)  # no database can be opened there
    agreement = Agreement(site, PROJECT)
    agreement.keep("1")
    agreement.keep("2")
    assert "".join(capsys.readouterr()).count("check MLOPS_DATABASE_URL") == 1


def test_a_deleted_champion_is_served_on(pair: Site) -> None:
    home = pair.layout.serving / PROJECT
    files.remove(home / "1")  # what its promotion fetched, which no server can run
    make_version(home, "1")
    point(home, "1")
    follower = Follower(pair, PROJECT, registry, Notices(pair, PROJECT), Agreement(pair, PROJECT))
    mlflow.client(pair).delete_model_version(PROJECT, "1")
    assert follower.poll(time.time()) == "1"
    assert read_pointer(home) is not None
    assert entries(pair)[-1].kind == "observed"
    assert entries(pair)[-1].to_version is None
