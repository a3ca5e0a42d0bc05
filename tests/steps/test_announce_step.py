from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from mlops.adapters import files, incidents, retrains
from mlops.adapters.incidents import Findings, Incident
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.sql.engine import database, open_database
from mlops.adapters.sql.tables import outbox
from mlops.core.canonical import from_json, to_json
from mlops.core.decision import Decision, Evidence, Outcome, Verdict, Version
from mlops.params.load import load
from mlops.steps.announce import AnnounceParams, announce

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.site import Report, Site

HELD = Incident(
    id="drift-digits-1-4", project="digits", kind="drift", cause="brightness", version="1",
    state="open", opened_s=10.0, updated_s=10.0, resolved_s=None,
    body=Findings(due=("detected",), notified=("detected",)),
)  # fmt: skip


@pytest.fixture
def engine(site: Site) -> Iterator[sa.Engine]:
    made = open_database(site.settings.database(site.layout))
    with made.begin() as connection:
        incidents.open_once(connection, HELD)
    yield made
    made.dispose()


def decide(site: Site, outcome: Outcome, *, at_s: float = 200.0, incident: str = HELD.id) -> None:
    verdict = Verdict(outcome, ("+2.1 points on 300 rows",), (), (), Evidence(300, 0, 400, 0), 40)
    made = Decision(
        id=f"d{at_s:.0f}", project="digits", at_s=at_s, actor="test", reason="drift",
        incident=incident, candidate=Version("2", "d2", "r2"), champion=Version("1", "d1", "r1"),
        data_digest="x", params_digest="y", commit="", verdict=verdict,
    )  # fmt: skip
    row = Row("decided", made.id, at_s, "test", "1", made.in_service, to_json(made))
    with database(site) as engine:
        Ledger(engine, "digits").append(row)
    files.write_text(site.layout.decisions / made.id / "decision.json", row.body)


def run(site: Site) -> Report:
    return announce(load(site.layout.params, AnnounceParams), site)


def mails(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return [row.key for row in connection.execute(sa.select(outbox.c.key))]


def request(engine: sa.Engine, *, start: bool = True) -> str:
    with engine.begin() as connection:
        made = retrains.request(connection, "digits", reason="drift", incident=HELD.id, now_s=100.0)
        if start:
            assert retrains.start(connection, made.id, now_s=1.0)
    return made.id


def outcome(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        last = retrains.last(connection, "digits")
    assert last is not None
    return last.outcome


@pytest.mark.parametrize(
    ("decided", "stage"),
    [("promote", "promoted"), ("reject", "refused"), ("inconclusive", "needs you")],
)
def test_a_decision_ends_its_retrain_and_tells_the_thread_once(
    site: Site, engine: sa.Engine, decided: Outcome, stage: str
) -> None:
    name = request(engine)
    decide(site, decided)
    report = run(site)
    assert report.facts["retrain"] == name
    assert outcome(engine) == decided
    assert mails(engine) == [f"{HELD.id}:{stage}"]
    with engine.connect() as connection:
        told = incidents.get(connection, "digits", HELD.id)
    assert "+2.1 points" in told.body.answer
    again = run(site)
    assert again.facts["retrain"] is None
    assert mails(engine) == [f"{HELD.id}:{stage}"]


def test_without_a_decision_there_is_nothing_to_announce(site: Site, engine: sa.Engine) -> None:
    request(engine)
    assert run(site).summary == "nothing was decided yet"
    assert outcome(engine) is None


def test_a_decision_that_never_reached_the_ledger_is_none(site: Site, engine: sa.Engine) -> None:
    decide(site, "promote", incident="")
    [entry] = Ledger(engine, "digits").entries()
    lost = replace(from_json(Decision, entry.body), id="lost", at_s=900.0, incident=HELD.id)
    files.write_text(site.layout.decisions / "lost" / "decision.json", to_json(lost))
    assert run(site).facts["decision"] == "d200"
    assert mails(engine) == []


@pytest.mark.parametrize("earlier", [True, False])
def test_a_failed_retrain_asks_for_a_person_once(
    site: Site,
    engine: sa.Engine,
    earlier: bool,
) -> None:
    if earlier:
        decide(site, "promote", at_s=50.0, incident="")
    name = request(engine)
    failed = replace(site, options=frozenset({"failure=step train: no\nmemory = none."}))
    report = run(failed)
    assert report.facts["retrain"] == name
    assert report.summary == f"retrain {name} failed: step train: no memory = none"
    assert outcome(engine) == "failed"
    assert mails(engine) == [f"{HELD.id}:needs you"]
    with engine.connect() as connection:
        told = incidents.get(connection, "digits", HELD.id)
    assert told.body.answer == f"Retrain {name} failed: step train: no memory = none."
    run(failed)
    assert mails(engine) == [f"{HELD.id}:needs you"]


def test_a_failure_of_a_retrain_that_nobody_asked_for_tells_nobody(
    site: Site, engine: sa.Engine
) -> None:
    with engine.begin() as connection:
        made = retrains.request(connection, "digits", reason="me", incident=None, now_s=100.0)
        retrains.start(connection, made.id, now_s=1.0)
    report = run(replace(site, options=frozenset({"failure=step train: no"})))
    assert "nobody new to tell" in report.summary
    assert outcome(engine) == "failed"
    assert mails(engine) == []


@pytest.mark.parametrize(("start", "expected"), [(True, "failed"), (False, None)])
def test_an_older_decision_is_not_the_retrains(
    site: Site,
    engine: sa.Engine,
    start: bool,
    expected: str | None,
) -> None:
    request(engine, start=start)
    decide(site, "promote", at_s=50.0, incident="")
    run(site)
    assert outcome(engine) == expected
    assert mails(engine) == ([f"{HELD.id}:needs you"] if start else [])


def test_a_decision_without_an_incident_tells_nobody(site: Site, engine: sa.Engine) -> None:
    decide(site, "promote", incident="")
    assert "nobody new to tell" in run(site).summary
    decide(site, "promote", at_s=300.0, incident="unknown-1")
    assert mails(engine) == []
    assert run(site).facts["mails"] == 0


def test_a_wrong_mail_address_fails_no_flow(site: Site, engine: sa.Engine) -> None:
    request(engine)
    decide(site, "promote")
    odd = replace(site, settings=site.settings.model_copy(update={"mail_to": "nobody"}))
    assert "; mails wait: MLOPS_MAIL_TO: 'nobody'" in run(odd).summary
    assert (outcome(engine), mails(engine)) == ("promote", [])
    run(site)
    assert mails(engine) == [f"{HELD.id}:promoted"]


def test_a_silenced_incident_sends_no_mail(site: Site, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        until_s = site.now.timestamp() + 60
        incidents.silence(connection, "digits", HELD.id, until_s=until_s, by="me")
    decide(site, "promote")
    assert run(site).facts["mails"] == 0
    assert mails(engine) == []
