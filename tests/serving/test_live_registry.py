"""Canary and shadow as in service: MLflow's own server, two workers, aliases moved in MLflow."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from mlops.adapters import files, mlflow
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.registry import Registration
from mlops.adapters.sql.engine import database, open_database
from mlops.adapters.sql.tables import incidents, predictions
from mlops.core.canonical import to_json
from mlops.serving.canary import read_state
from mlops.serving.pointer import read_pointer
from mlops.serving.split import Split
from tests.mlflow_server import mlflow_server
from tests.promotions import PROJECT, kinds
from tests.serving.lines import Group, Said, serving_group, until
from tests.serving.tiny import images, make_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.site import Site
    from tests.serving.lines import Line
    from tests.serving.tiny import Fault

GOOD, BAD = np.maximum(images(1), 1), np.zeros_like(images(1))
SHARE = 0.3


@dataclass
class Stage:
    """Everything that a team has in service, for real."""

    site: Site
    api: httpx.Client
    group: Group
    said: Said = field(default_factory=Said)

    def call(self, method: str, path: str, **content: str) -> dict[str, Any]:
        """Ask MLflow as its own pages do."""
        shape: dict[str, Any] = {"params" if method == "GET" else "json": content}
        reply = self.api.request(method, f"/api/2.0/mlflow/{path}", **shape)
        assert reply.is_success, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def alias(self, name: str, version: str) -> None:
        self.call("POST", "registered-models/alias", name=PROJECT, alias=name, version=version)

    def canary(self, version: str, share: str) -> None:
        """Ask for a canary in MLflow, and wait until both workers know."""
        path = "model-versions/set-tag"
        self.call("POST", path, name=PROJECT, version=version, key="mlops.canary", value=share)
        self.alias("challenger", version)
        split = Split(float(share.rstrip("%")) / 100, version)
        key = next(f"k{n}" for n in range(999) if split.arm(f"k{n}") == "challenger")
        lines = self.group.lines(self.said)
        until(lambda: {line.ask(key, GOOD) for line in lines} == {version})

    def state(self) -> str:
        found = read_state(self.site.layout.serving / PROJECT)
        return f"{found.version} {found.state}" if found else ""

    def incidents(self) -> list[tuple[str, ...]]:
        query = sa.select(incidents.c.kind, incidents.c.cause, incidents.c.state)
        with open_database(self.site.settings.database(self.site.layout)).connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def logged(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the version of each prediction, and of whose answer each shadow row is."""
        found = sa.select(predictions.c.id, predictions.c.version, predictions.c.shadow_of)
        with open_database(self.site.settings.database(self.site.layout)).connect() as connection:
            rows = connection.execute(found).all()
        own = {row.id: row.version for row in rows if row.shadow_of is None}
        shadows = {row.shadow_of: row.version for row in rows if row.shadow_of is not None}
        assert len(own) + len(shadows) == len(rows)
        return own, shadows


def _register(site: Site, fault: Fault) -> str:
    """Put a real model into the store, make it a version, and let the ledger vouch for it."""
    api = mlflow.client(site)
    if not api.search_registered_models(f"name = '{PROJECT}'"):
        api.create_registered_model(PROJECT)
    store = site.layout.mlartifacts / PROJECT
    number = str(len(list(store.glob("*"))) + 1)
    folder = make_version(store, number, seed=int(number), fault=fault)
    assert str(api.create_model_version(PROJECT, str(folder)).version) == number
    digest = str(files.read_json(folder / "manifest.json")["digest"])
    known = Registration(digest, "c" * 64, "run", "manual", "", "", "")
    with database(site) as engine:
        row = Row("registered", f"k{number}", 1.0, "me", None, number, to_json(known))
        Ledger(engine, PROJECT).append(row)
    return number


@pytest.fixture
def stage(mlflow_site: Site) -> Iterator[Stage]:
    """Serve version 1; 2 is brittle, 3 the shadow, 4 sound, 5 slow."""
    site, faults = mlflow_site, ("", "brittle", "", "", "slow")
    assert [_register(site, fault) for fault in faults] == ["1", "2", "3", "4", "5"]  # type: ignore[arg-type]
    with mlflow_server(site.layout) as address, httpx.Client(base_url=address) as api:
        for alias, version in (("champion", "1"), ("shadow", "3")):
            named = {"name": PROJECT, "alias": alias, "version": version}
            api.post("/api/2.0/mlflow/registered-models/alias", json=named).raise_for_status()
        with serving_group(
            site, MLOPS_MLFLOW_URI=address, MLOPS_POLL_S="0.5", MLOPS_LOG_FLUSH_MS="0"
        ) as group:
            yield Stage(site, api, group)


def _everybody(line: Line, keys: list[str], pixels: Any = GOOD) -> dict[str, str]:
    return {key: line.ask(key, pixels) for key in keys}


def _only_the_champion(lines: list[Line], keys: list[str]) -> None:
    def alone() -> bool:
        return {v for line in lines for v in _everybody(line, keys).values()} == {"1"}

    until(alone, every_s=0.2)


def _sticky_over_both_workers(stage: Stage, version: str) -> None:
    """The share is right, and a key goes the same way whichever worker it meets."""
    keys = [f"user-{n}" for n in range(100)]
    lines = stage.group.lines(stage.said)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda line: _everybody(line, keys), lines)
    assert one == other
    tried = sum(found == version for found in one.values())
    assert abs(tried - SHARE * len(keys)) < 4 * (len(keys) * SHARE * (1 - SHARE)) ** 0.5
    assert set(one.values()) == {"1", version}


def _shadow_is_there(stage: Stage) -> None:
    """Wait until both workers show the shadow what they answer."""
    for line in stage.group.lines(stage.said):
        before = stage.group.metric("mlops_shadow_rows_total")

        def shown(line: Line = line, before: float = before) -> bool:
            line.ask("anybody", GOOD)
            return stage.group.metric("mlops_shadow_rows_total") > before

        until(shown, every_s=0.2)


def _shadow_has_seen(stage: Stage, rows: float) -> None:
    """Wait until the shadow has been shown so many rows, none of them in vain."""
    until(lambda: stage.group.metric("mlops_shadow_rows_total") >= rows)
    assert stage.group.metric("mlops_shadow_rows_total", outcome="skipped") == 0
    assert stage.group.metric("mlops_shadow_rows_total", outcome="failed") == 0


def _one_worker_is_killed(stage: Stage, version: str) -> None:
    """Whoever was connected to it asks again; the one that takes its place splits as it did."""
    group, keys = stage.group, [f"guest-{n}" for n in range(80)]
    [victim, _], lines = group.workers(), group.lines(stage.said)
    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(_everybody, line, keys) for line in lines]
        until(lambda: group.metric("mlops_arm_requests_total") > 230)
        os.kill(victim, signal.SIGKILL)
        found = [one.result() for one in asking]
    until(lambda: len(set(group.workers()) - {victim}) == 2)
    found += [_everybody(line, keys[:40]) for line in group.lines(stage.said)]
    assert found[0] == found[1]
    assert all(one.items() <= found[0].items() for one in found)
    assert set(found[0].values()) == {"1", version}


def _a_failing_challenger_is_rolled_back(stage: Stage, version: str, told: str) -> None:
    """Nobody hears of it but the incident and the tag, both once."""
    keys = [f"late-{n}" for n in range(20)]
    lines = stage.group.lines(stage.said)
    pixels = BAD if told == "fails" else GOOD

    def over() -> bool:
        for line in lines:
            _everybody(line, keys, pixels)
        return stage.state() == f"{version} rolled back"

    until(over, 60)
    _only_the_champion(lines, keys)
    tag = f"canary of version {version}"
    until(lambda: ("serving", tag, "open") in stage.incidents())
    seen = stage.call("GET", "model-versions/get", name=PROJECT, version=version)
    [text] = [t["value"] for t in seen["model_version"]["tags"] if t["key"] == "mlops.canary"]
    assert text.startswith(f"rolled back: {told} ")
    polls = stage.group.metric("mlops_registry_seen_timestamp_seconds")
    until(lambda: stage.group.metric("mlops_registry_seen_timestamp_seconds") > polls + 1)
    assert [cause for _, cause, _ in stage.incidents()].count(tag) == 1
    assert read_pointer(stage.site.layout.serving / PROJECT, "challenger") is None


def _a_deleted_challenger_leaves_quietly(stage: Stage, version: str) -> None:
    before = stage.incidents()
    stage.call("DELETE", "model-versions/delete", name=PROJECT, version=version)
    _only_the_champion(stage.group.lines(stage.said), [f"last-{n}" for n in range(20)])
    assert stage.state() == f"{version} off"
    assert stage.incidents() == before
    assert stage.group.metric("mlops_canary_share") == 0


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.bench)])
def test_two_workers_follow_what_is_done_in_mlflow(stage: Stage, full: bool) -> None:
    stage.canary("2", f"{SHARE:.0%}")
    _shadow_is_there(stage)
    unseen = len(stage.said.version_of) - stage.group.metric("mlops_shadow_rows_total")
    early = set(stage.said.version_of)
    _sticky_over_both_workers(stage, "2")
    _shadow_has_seen(stage, len(stage.said.version_of) - unseen)
    heard = stage.said.version_of.keys() - early
    _one_worker_is_killed(stage, "2")
    _a_failing_challenger_is_rolled_back(stage, "2", "fails")
    rolled_back = 1
    if full:
        stage.canary("5", "50%")
        _a_failing_challenger_is_rolled_back(stage, "5", "takes more than")
        rolled_back = 2
    stage.canary("4", f"{SHARE:.0%}")
    _a_deleted_challenger_leaves_quietly(stage, "4")
    assert stage.group.metric("mlops_canary_rollbacks_total") == rolled_back
    stage.group.end()

    own, shadows = stage.logged()
    said = stage.said.version_of
    assert said.items() <= own.items()
    unheard = own.keys() - said.keys()
    assert len(unheard) <= stage.said.broken <= 2  # of what the killed worker had in hand
    assert heard <= shadows.keys() <= own.keys()
    assert set(shadows.values()) == {"3"}
    assert "3" not in own.values()
    # A canary is no decision: the ledger has the aliases that a person moved, and nothing else.
    assert kinds(stage.site) == ["registered"] * 5 + ["observed", "shadowed"]
    refused = [line for line in (stage.site.work / "serve.log").read_text().splitlines()
               if "not done" in line]  # fmt: skip
    assert refused == [], json.dumps(refused)
