from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import timedelta
from email.message import EmailMessage
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.adapters import incidents, predictions, retrains
from mlops.adapters.causes import why
from mlops.adapters.cohort import SHARD_TIME
from mlops.adapters.mail import outbox
from mlops.adapters.sql.engine import database
from mlops.cli.why import lines
from mlops.cli.why import why as verb
from mlops.core.alert import ColumnChange
from mlops.core.prediction import Label, Prediction
from mlops.core.warm_start import chosen
from mlops.errors import RegistryError
from mlops.params.load import load
from mlops.steps.register import RegisterParams, register
from tests import entrants, judged
from tests.kept import copy_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.site import Site

PROJECT = judged.PROJECT
NAME = "drift-digits-1-7"


@pytest.fixture
def site(kept: Site, site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a copy of the site that was kept."""
    monkeypatch.setenv("MLOPS_ROOT", str(site.layout.root))
    return replace(copy_state(kept, site), now=kept.now)


@pytest.fixture(scope="module")
def kept(keep: Callable[[], Site], kept_first: Site) -> Site:
    """Keep a site whose version 1 drifted, was mailed about, and was replaced by version 2."""
    first = copy_state(kept_first, keep())
    later = replace(first, now=first.now + timedelta(hours=2))
    drift(later)
    judged.enter(later, entrants.block_weights(), "reason=drift: contrast", f"incident={NAME}")
    judged.judge(later)
    return later


def drift(site: Site) -> None:
    now_s = site.now.timestamp()
    column = ColumnChange("contrast", "wasserstein", 0.9, 0.3, "40 % lower than the reference")
    body = incidents.Findings(columns=(column,), advice="accuracy 71 % on 400 rows", severity=3)
    opened = incidents.Incident(
        NAME, PROJECT, "drift", "contrast", "1", "open", now_s - 3000, now_s, None, body
    )
    scores = np.array([0.1, 0.2, 0.7], dtype="<f4").tobytes()
    rows = [Prediction(f"p{n}", now_s - 900, "1", "e", None, b"x", scores, 0.0) for n in range(5)]
    # Collected before version 1, three since then, and one that no shard holds.
    given = [Label(f"p{n}", 1, "random", now_s - 800) for n in range(5)]
    shards = {-9000: "p0", -60: "p1 p2 p3"}
    with database(site) as engine:
        predictions.insert_batch(engine, PROJECT, rows, given)
        seqs = {row.logged.prediction.id: row.label_seqs
                for row in predictions.uncollected(engine, PROJECT)}  # fmt: skip
        for since_s, names in shards.items():
            at = (site.now + timedelta(seconds=since_s)).strftime(SHARD_TIME)
            chosen = [seq for name in names.split() for seq in seqs[name]]
            predictions.claim(engine, PROJECT, chosen, f"{at}-abc.parquet")
        with engine.begin() as connection:
            incidents.open_once(connection, opened)
            for key in (f"{NAME}:detected", f"{NAME}:promoted", "drift-digits-1-70:detected"):
                outbox.enqueue(connection, PROJECT, key, EmailMessage(), now_s - 2900)
            retrains.request(connection, PROJECT, reason="drift", incident=NAME, now_s=now_s - 100)
        outbox.deliver(site, engine, now_s - 2000)


def test_the_chain_of_a_version_in_ten_lines(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    with database(site) as engine, engine.begin() as connection:
        retrains.end(
            connection, f"{PROJECT}-retrain-1", outcome="promote", now_s=site.now.timestamp() + 9
        )
    chain = why(site, PROJECT, "2")
    assert (chain.arrived, chain.missing) == (3, ())
    assert [mail.stage for mail in chain.mails] == ["detected", "promoted"]
    assert all(mail.sent_s for mail in chain.mails)
    assert chain.retrain is not None
    assert (chain.retrain.incident, chain.retrain.outcome) == (NAME, "promote")
    assert [d.verdict.outcome for d in chain.decisions] == ["promote"]
    assert [p.ended for p in chain.periods] == [None]
    assert verb("v2") == 0
    said = capsys.readouterr().out
    for words in (
        "digits 2, trained for drift: contrast",
        "drift: contrast: 40 % lower than the reference; accuracy 71 % on 400 rows",
        f"{NAME}, opened 2026-01-05 13:10:00 UTC, still open",
        "detected 2026-01-05", "digits-retrain-1, asked for", ": promote",
        "3 labelled predictions collected",
        "with version 1 on 150 recent and 150 base rows", "promote: accuracy on 150 recent rows",
        f"since 2026-01-05 14:00:00 UTC by decision {chain.decisions[0].id}, still",
    ):  # fmt: skip
        assert words in said
    assert len(said.splitlines()) == 9
    # However much is known: served often, judged often, the incident lost with its mails kept.
    often = replace(chain, periods=chain.periods * 3, decisions=chain.decisions * 3)
    assert "2 times before, first 2026-01-05 14:00:00 UTC" in dict(lines(often))["in service"]
    lost = replace(often, incident=None, missing=("incident x is not in the database",))
    bare = replace(often, decisions=(), periods=(), incident=None, mails=(), retrain=None)
    told = replace(often, registration=replace(often.registration, start="warm: as it did better"))
    assert [len(list(lines(one))) for one in (told, often, lost, bare)] == [10, 9, 9, 7]
    assert verb("2", json=True) == 0
    assert json.loads(capsys.readouterr().out)["incident"]["cause"] == "contrast"


def test_times_in_service_begin_and_end_with_the_moves(site: Site) -> None:
    judged.back(replace(site, now=site.now + timedelta(hours=1)))
    first, second = why(site, PROJECT, "1"), why(site, PROJECT, "2")
    assert [(p.begun.kind, p.ended.kind if p.ended else None) for p in first.periods] == [
        ("decided", "decided"), ("rollback", None),
    ]  # fmt: skip
    assert [(p.begun.kind, p.ended.kind if p.ended else None) for p in second.periods] == [
        ("decided", "rollback")
    ]
    assert (first.incident, first.mails, first.retrain) == (None, (), None)
    assert len(list(lines(first))) == 6


def test_a_version_that_was_not_judged_or_whose_incident_is_lost_says_so(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = entrants.block_weights() * np.float32(1.2)
    judged.enter(site, weights, "incident=gone")
    assert verb("3") == 0
    said = capsys.readouterr().out
    assert "not judged yet; run: mlops promote" in said
    assert "incident gone is not in the database" in said
    assert "never" in said


def test_with_which_weights_a_training_began_and_why_is_told(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    given, weights = entrants.world(site), entrants.block_weights() * np.float32(1.3)
    entrants.train(site, given, weights)
    model = site.layout.candidate / "model.json"
    start = chosen("2", 0.25, 0.5, 3)
    model.write_text(json.dumps({**json.loads(model.read_text()), "start": asdict(start)}))
    register(load(site.layout.params, RegisterParams), site)
    assert verb("3") == 0
    said = capsys.readouterr().out
    assert (
        "start        warm; after 3 epochs the validation loss is 0.2500 from the weights of "
        "version 2, 0.5000 from scratch"
    ) in said
    assert verb("2") == 0
    assert "start  " not in capsys.readouterr().out  # fresh weights, as ever


@pytest.mark.parametrize("version", ["9", "latest", ""])
def test_an_unknown_version_is_one_clear_line(site: Site, version: str) -> None:
    with pytest.raises(RegistryError, match="was never registered; see: mlops history"):
        verb(version)
