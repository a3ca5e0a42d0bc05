from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import alerts, incidents, windows
from mlops.adapters.hand_over import hand_over
from mlops.adapters.incidents import Findings, Incident
from mlops.adapters.sql.engine import open_database

if TYPE_CHECKING:
    from mlops.core.alert import Alert
    from mlops.site import Site

HELD = Incident(
    id="drift-digits-1-4", project="digits", kind="drift", cause="brightness", version="1",
    state="open", opened_s=10.0, updated_s=10.0, resolved_s=None,
    body=Findings(windows=("digits-1-4",), due=("detected",)),
)  # fmt: skip


def test_what_a_monitor_writes_while_a_mail_is_composed_is_not_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_database(site.settings.database(site.layout))
    with engine.begin() as connection:
        incidents.open_once(connection, HELD)
    compose = alerts.alert

    def write() -> None:
        with engine.begin() as connection:
            windows.serialise(connection)
            held = incidents.get(connection, "digits", HELD.id)
            body = replace(held.body, windows=(*held.body.windows, "digits-1-5"))
            incidents.save(connection, replace(held, body=body))

    monitor = threading.Thread(target=write)

    def slow(site: Site, incident: Incident, *rest: object) -> Alert:
        monitor.start()
        monitor.join(0.5)
        return compose(site, incident, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(alerts, "alert", slow)
    assert hand_over(site, engine, "digits") == 1
    monitor.join()
    with engine.connect() as connection:
        held = incidents.get(connection, "digits", HELD.id)
    assert held.body.windows == ("digits-1-4", "digits-1-5")
    assert held.body.notified == ("detected",)
    monkeypatch.setattr(alerts, "alert", compose)
    assert hand_over(site, engine, "digits") == 0
    engine.dispose()


@pytest.mark.parametrize("base", ["", "https://pages.example.org/digits/", " http://10.0.0.1:81 "])
def test_links_to_pages_are_of_the_web_where_people_reach_them_there(site: Site, base: str) -> None:
    runbook = site.layout.root / "docs" / "incidents.md"
    runbook.parent.mkdir(exist_ok=True)
    runbook.touch()
    site = replace(site, settings=site.settings.model_copy(update={"pages_url": base}))
    held = replace(HELD, id="drift-digits 1-4")
    shown = [address for _, address in alerts.alert(site, held, "detected").links]
    root = base.strip().rstrip("/") or site.layout.state.as_uri()
    assert shown[:2] == [
        f"{root}/incidents/drift-digits-1-4.html", f"{root}/windows/digits-1-4/report.html",
    ]  # fmt: skip
    local = [address for address in shown if address.startswith("file:")]
    assert local == ([] if base else [*shown[:2], runbook.as_uri()])
