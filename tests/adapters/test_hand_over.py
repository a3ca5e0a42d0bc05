from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from mlops.adapters import incidents
from mlops.adapters.files import write_text
from mlops.adapters.hand_over import hand_over
from mlops.adapters.incidents import Findings, Incident
from mlops.adapters.mail.outbox import deliver
from mlops.adapters.serving_incidents import (
    open_alarm,
    open_refusal,
    resolve_alarm,
    resolve_refusals,
)
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import incidents as table
from mlops.adapters.sql.tables import outbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.core.alert import Stage
    from mlops.site import Site


@pytest.fixture
def engine(site: Site) -> Iterator[sa.Engine]:
    made = open_database(site.settings.database(site.layout))
    yield made
    made.dispose()


def later(site: Site, minutes: float) -> Site:
    return replace(site, now=site.now + timedelta(minutes=minutes))


def flap(
    engine: sa.Engine, site: Site, number: int, kind: incidents.Kind, severity: int, *,
    triage: str = "",
) -> None:  # fmt: skip
    """Open an incident and, where it is drift, resolve it at once."""
    at_s, drift = site.now.timestamp() + number / 1000, kind == "drift"
    due: tuple[Stage, ...] = ("detected", "resolved") if drift else ("needs you",)
    triage = triage or ("unclear" if drift else "quality")
    with engine.begin() as connection:
        incidents.open_once(connection, Incident(
            f"{kind}-digits-1-{number}", "digits", kind, f"cause {number}", "1", "open", at_s,
            at_s, None, Findings(due=due, severity=severity, triage=triage),
        ))  # fmt: skip
        held = incidents.get(connection, "digits", f"{kind}-digits-1-{number}")
        incidents.save(connection, replace(held, state="resolved", resolved_s=at_s))


def keys(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(outbox.c.key).order_by(outbox.c.seq)).scalars())


def text(engine: sa.Engine, key: str) -> str:
    with engine.connect() as connection:
        row = connection.execute(sa.select(outbox.c.message).where(outbox.c.key == key)).one()
    return bytes(row.message).decode()


def test_a_thousand_alarms_are_one_mail_per_kind_and_interval_and_none_is_lost(
    site: Site, engine: sa.Engine
) -> None:
    flap(engine, site, 0, "drift", 2)
    flap(engine, site, 0, "quality", 5)
    assert hand_over(site, engine, "digits") == 3  # detected and resolved; needs you
    for number in range(1, 1000):
        kind: incidents.Kind = "quality" if number % 100 == 0 else "drift"
        flap(engine, site, number, kind, 4 if number % 333 == 0 else 2)
    for minute in range(1, 10):
        assert hand_over(later(site, minute), engine, "digits") == 0
    assert hand_over(later(site, 11), engine, "digits") == 2  # one of each kind
    assert hand_over(later(site, 99), engine, "digits") == 0
    opened = [key for key in keys(engine) if not key.endswith(":resolved")]
    assert sorted(opened) == [
        "drift-digits-1-0:detected", "drift-digits-1-999:detected",  # the newest of the worst
        "quality-digits-1-0:needs you", "quality-digits-1-900:needs you",
    ]  # fmt: skip
    told = text(engine, "quality-digits-1-900:needs you")
    for number in range(100, 900, 100):  # a critical one is named, whatever else happens
        assert f"quality-digits-1-{number}" in told
    assert "more: mlops" not in told
    told = text(engine, "drift-digits-1-999:detected")
    named = re.findall(r"drift-digits-1-(\d+): cause \d+; resolved, severity \d", told)
    numbers = sorted((n for n in range(1, 999) if n % 100), reverse=True)
    worst = [666, 333, *(n for n in numbers if n % 333)]
    assert [int(n) for n in dict.fromkeys(named)] == worst[:20]
    assert f"and {len(worst) - 20} more: mlops incidents --all --limit" in told
    with engine.connect() as connection:
        assert not [i for i in incidents.recent(connection, "digits", 2000) if i.body.to_notify()]


def test_what_waits_for_a_person_is_told_again(site: Site, engine: sa.Engine) -> None:
    body = Findings(due=("detected",), triage="unclear", wanted=120)
    at_s = site.now.timestamp()
    with engine.begin() as connection:
        incidents.open_once(connection, Incident(
            "drift-digits-1-4", "digits", "drift", "x", "1", "open", at_s, at_s, None, body,
        ))  # fmt: skip
    for hours in (0, 1, 23, 25, 26, 50):
        hand_over(later(site, 60 * hours), engine, "digits")
    assert keys(engine) == [
        "drift-digits-1-4:detected", "drift-digits-1-4:needs you", "drift-digits-1-4:needs you 2",
    ]  # fmt: skip
    assert deliver(site, engine, at_s + 1e6) == 3
    mails = sorted(site.layout.mailbox.glob("*.eml"))
    assert len({m.read_bytes().split(b"Message-ID: ")[1][:60] for m in mails}) == 3


def test_harmless_shifts_wait_for_the_digest(site: Site, engine: sa.Engine) -> None:
    params = site.layout.params.read_text().replace("digest_hour: null", "digest_hour: 13")
    write_text(site.layout.params, params)
    flap(engine, site, 1, "drift", 2, triage="harmless")
    assert hand_over(site, engine, "digits") == 0  # noon
    for minutes in (61, 62, 120):
        hand_over(later(site, minutes), engine, "digits")
    assert keys(engine) == ["digest-2026-01-05:digest"]
    assert "drift-digits-1-1" in text(engine, "digest-2026-01-05:digest")
    hand_over(later(site, 25 * 60), engine, "digits")
    assert keys(engine)[1:] == ["digest-2026-01-06:digest"]


def test_a_digest_of_more_than_it_names_names_the_worst_and_says_how_many_there_are(
    site: Site, engine: sa.Engine
) -> None:
    params = site.layout.params.read_text().replace("digest_hour: null", "digest_hour: 12")
    write_text(site.layout.params, params)
    for number in range(300):
        flap(engine, site, number, "drift", 5 if number == 7 else 1, triage="harmless")
    assert hand_over(site, engine, "digits") == 1
    told = text(engine, "digest-2026-01-05:digest")
    assert "300 of 300 incidents cost no accuracy" in told
    first = told.index("drift-digits-1-7: cause 7")
    assert first < told.index("drift-digits-1-299") < told.index("and 280 more: mlops incidents")


def test_harmless_shifts_are_only_logged_where_there_is_no_digest(
    site: Site, engine: sa.Engine
) -> None:
    flap(engine, site, 1, "drift", 2, triage="harmless")
    for minutes in (0, 61, 25 * 60):
        assert hand_over(later(site, minutes), engine, "digits") == 0
    assert keys(engine) == []
    with engine.connect() as connection:
        assert [i.id for i in incidents.recent(connection, "digits")] == ["drift-digits-1-1"]


def test_a_loss_of_an_incident_that_stood_in_the_digest_only_opens_one_thread_in_its_turn(
    site: Site, engine: sa.Engine
) -> None:
    params = site.layout.params.read_text().replace("digest_hour: null", "digest_hour: 23")
    write_text(site.layout.params, params)
    at_s = site.now.timestamp()
    held = Incident(
        "drift-digits-1-4", "digits", "drift", "x", "1", "open", at_s, at_s, None,
        Findings(due=("detected",), triage="harmless"),
    )  # fmt: skip
    with engine.begin() as connection:
        incidents.open_once(connection, held)
    assert hand_over(site, engine, "digits") == 0
    with engine.begin() as connection:
        told = Findings(due=("detected",), notified=("detected",), triage="harmless", mailed_s=at_s)
        other = replace(held, id="drift-digits-1-1", state="resolved", resolved_s=at_s, body=told)
        connection.execute(table.insert().values(incidents._values(other)))
        now = incidents.get(connection, "digits", held.id)
        costly = replace(now.body, triage="costly", trigger="cooldown", answer="9 minutes left")
        incidents.save(connection, replace(now, body=costly))
    assert hand_over(later(site, 5), engine, "digits") == 0  # another thread was opened just now
    assert [hand_over(later(site, m), engine, "digits") for m in (11, 12, 90, 600)] == [1, 0, 0, 0]
    assert keys(engine) == ["drift-digits-1-4:measured"]
    assert "loss measured" in text(engine, "drift-digits-1-4:measured")


@pytest.mark.parametrize(
    ("before", "meanwhile", "state", "after"),
    [
        ((), ("detected",), "open", ["detected"]),
        ((), ("detected", "retrained", "promoted"), "open", ["promoted"]),
        (("detected",), ("retrained", "promoted", "resolved"), "resolved", ["resolved"]),
        ((), ("detected", "resolved"), "resolved", []),  # it came and went while nobody listened
    ],
)
def test_a_silence_holds_mails_back_and_the_newest_goes_out_when_it_ends(  # noqa: PLR0917 - a table
    site: Site, engine: sa.Engine, before: tuple[Stage, ...], meanwhile: tuple[Stage, ...],
    state: incidents.State, after: list[str],
) -> None:  # fmt: skip
    at_s = site.now.timestamp()
    held = Incident(
        "drift-digits-1-4", "digits", "drift", "x", "1", "open", at_s, at_s, None,
        Findings(due=before, triage="costly", trigger="granted", told_loss="1"),
    )  # fmt: skip
    with engine.begin() as connection:
        incidents.open_once(connection, held)
    assert hand_over(site, engine, "digits") == len(before)
    with engine.begin() as connection:
        incidents.silence(connection, "digits", held.id, until_s=at_s + 3600, by="me")
    for minute, stage in enumerate(meanwhile, 1):
        with engine.begin() as connection:
            now = incidents.get(connection, "digits", held.id)
            body = replace(now.body, due=(*now.body.due, stage))
            incidents.save(connection, replace(now, body=body, state=state))
        assert hand_over(later(site, minute), engine, "digits") == 0
    for minute in (61, 62, 600):
        hand_over(later(site, minute), engine, "digits")
    assert keys(engine) == [f"{held.id}:{stage}" for stage in (*before, *after)]


@pytest.mark.parametrize(
    ("now", "after"),
    [({"triage": "costly"}, "measured"), ({}, "needs you"), ({"triage": "harmless"}, None)],
)
def test_what_nobody_noted_is_asked_for_when_the_silence_ends(
    site: Site, engine: sa.Engine, now: dict[str, str], after: str | None
) -> None:
    at_s = site.now.timestamp()
    held = Incident(
        "drift-digits-1-4", "digits", "drift", "x", "1", "open", at_s, at_s, None,
        Findings(due=("detected",), triage="unclear"),
    )  # fmt: skip
    with engine.begin() as connection:
        incidents.open_once(connection, held)
    assert hand_over(site, engine, "digits") == 1
    with engine.begin() as connection:
        incidents.silence(connection, "digits", held.id, until_s=at_s + 72 * 3600, by="me")
    for hours in range(1, 72, 5):
        assert hand_over(later(site, 60 * hours), engine, "digits") == 0
        with engine.begin() as connection:
            found = incidents.get(connection, "digits", held.id)
            assert found.body.due == ("detected",)  # the row does not grow
            if hours > 60:
                body = replace(found.body, **now)  # type: ignore[arg-type]
                incidents.save(connection, replace(found, body=body))
    assert hand_over(later(site, 60 * 73), engine, "digits") == (1 if after else 0)
    assert keys(engine)[1:] == ([f"{held.id}:{after}"] if after else [])


def test_what_the_server_reports_is_one_thread_till_the_server_closes_it(
    site: Site, engine: sa.Engine
) -> None:
    at_s = site.now.timestamp()
    lost = open_alarm(engine, "digits", "predictions lost", "1", "12 rows were dropped", at_s=at_s)
    refused = open_refusal(engine, "digits", "3", "bytes do not match", at_s=at_s)
    assert hand_over(site, engine, "digits") == 1  # a mail per kind and interval
    [first] = keys(engine)
    named, other = (lost, refused) if first.startswith(lost) else (refused, lost)
    told = text(engine, first)
    assert other in told
    assert not [
        w
        for w in ("retrain", "accuracy", "labels", "evidently", "false alarm")
        if w in told.lower()
    ]
    assert hand_over(later(site, 60), engine, "digits") == 0
    open_alarm(engine, "digits", "predictions lost", "1", "again", at_s=at_s + 3700)
    assert hand_over(later(site, 25 * 60), engine, "digits") == 1  # both are told again,
    assert hand_over(later(site, 25 * 60 + 11), engine, "digits") == 1  # each in its turn
    resolve_refusals(engine, "digits", at_s=at_s + 1e5)
    resolve_alarm(engine, "digits", "predictions lost", at_s=at_s + 1e5)
    assert hand_over(later(site, 28 * 60), engine, "digits") == 2
    assert hand_over(later(site, 90 * 60), engine, "digits") == 0
    assert sorted(keys(engine)) == sorted([
        f"{named}:needs you", f"{named}:needs you 2", f"{named}:resolved",
        f"{other}:needs you 2", f"{other}:resolved",
    ])  # fmt: skip
    assert "It was real: the server reported: predictions lost." in text(engine, f"{lost}:resolved")


@pytest.mark.parametrize(("state", "mails"), [("open", 1), ("resolved", 0)])
def test_of_what_the_server_reported_before_only_what_is_open_is_told(
    site: Site, engine: sa.Engine, state: str, mails: int
) -> None:
    with engine.begin() as connection:
        connection.execute(table.insert().values(
            id="serving-1", project="digits", kind="serving", cause="spool damaged", version="",
            state=state, opened_s=1.0, updated_s=2.0, body='{"reason": "a segment"}',
        ))  # fmt: skip
    for minutes in (0, 20, 40):
        hand_over(later(site, minutes), engine, "digits")
    assert len(keys(engine)) == mails
    resolve_alarm(engine, "digits", "spool damaged", at_s=site.now.timestamp())
    hand_over(later(site, 60), engine, "digits")
    assert len(keys(engine)) == 2 * mails


def test_a_mail_never_opens_again_what_the_server_has_closed(engine: sa.Engine) -> None:
    name = open_alarm(engine, "digits", "predictions lost", "1", "12 rows", at_s=1.0)
    with engine.begin() as connection:
        held = incidents.get(connection, "digits", name)
    resolve_alarm(engine, "digits", "predictions lost", at_s=2.0)  # meanwhile
    with engine.begin() as connection:
        incidents.save(connection, replace(held, body=replace(held.body, notified=held.body.due)))
        now = incidents.get(connection, "digits", name)
    assert (now.state, now.resolved_s, now.body.to_notify()) == ("resolved", 2.0, ("resolved",))
    assert (now.body.advice, now.body.severity) == ("12 rows", 4)
