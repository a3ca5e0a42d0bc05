from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import incidents as store
from mlops.adapters import windows
from mlops.adapters.hand_over import hand_over
from mlops.adapters.incident_page import page_path
from mlops.adapters.incidents import Findings, Incident
from mlops.adapters.sql.engine import database
from mlops.cli.incidents import incident, incidents
from mlops.core.alarm import ColumnVerdict, Verdict
from mlops.core.alert import ColumnChange
from mlops.core.estimate import Estimate
from mlops.errors import Unknown, UsageError

if TYPE_CHECKING:
    from mlops.site import Site

HOSTILE = "x\r\n\x1b[31m{{7*7}}<script>alert(1)</script>"
IDENTITY = "drift-digits-1-3"


@pytest.fixture(autouse=True)
def _held(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write four windows, two in alarm, and their incident, whose names would like to be markup."""
    monkeypatch.setenv("MLOPS_ROOT", str(site.layout.root))
    now_s = site.now.timestamp()
    with database(site) as engine, engine.begin() as connection:
        for n in range(1, 5):
            column = ColumnVerdict(HOSTILE, "wasserstein", 0.1 * n, 0.25, n > 2, 0.1)
            cut = windows.Cut("digits", "1", n, n * 10, n * 10 + 9, 10, now_s + n, now_s + n)
            windows.insert(
                connection, cut, Verdict(10, (column,), (), calibrated=True),
                Estimate(0.9 - 0.1 * n, 0.8 - 0.1 * n, 0.95),
            )  # fmt: skip
        body = Findings(
            windows=("digits-1-3", "digits-1-4"), triage="unclear", advice=HOSTILE, severity=2,
            columns=(ColumnChange(HOSTILE, "wasserstein", 0.4, 0.25, HOSTILE),), wanted=120,
            training=800, decides="trigger.min_new_labels = 800",
            reference_accuracy=0.95, due=("detected",), shifts=(f"covariate shift: {HOSTILE}",),
        ).told(now_s, f"opened: {HOSTILE}")  # fmt: skip
        store.open_once(connection, Incident(
            IDENTITY, "digits", "drift", HOSTILE, "1", "open", now_s, now_s, None, body,
        ))  # fmt: skip


def test_the_list_and_the_story(capsys: pytest.CaptureFixture[str]) -> None:
    assert incidents() == 0
    text = capsys.readouterr().out
    assert IDENTITY in text
    assert "labels not here yet" in text
    assert "\x1b" not in text
    assert text.count("\n") == 1
    assert incidents(json=True) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["id"] == IDENTITY
    assert incident(IDENTITY) == 0
    text = capsys.readouterr().out
    for part in ("opened:", "window digits-1-4: 10 rows, ALARM", "120 more settle it", "page "):
        assert part in text
    assert "no alarm, accuracy est. 70.0% (60.0%–95.0%)" in text
    assert "a retrain waits for 800, by trigger.min_new_labels = 800" in text
    assert "\x1b" not in text
    assert incident(IDENTITY, json=True) == 0
    assert json.loads(capsys.readouterr().out)["incident"]["body"]["wanted"] == 120
    with pytest.raises(Unknown, match="nothing: unknown"):
        incident("nothing")


def test_the_page_has_curves_and_nothing_on_it_acts(site: Site) -> None:
    with database(site) as engine:
        assert hand_over(site, engine, "digits") == 1
    page = page_path(site, IDENTITY).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "{{7*7}}" in page
    assert page.count("<svg") == 2
    assert page.count("<polyline") == 2  # one column's distances; the estimates
    assert page.count("<rect") == 4  # two alarms in each picture
    assert "A retrain waits for 800, by trigger.min_new_labels = 800." in page
    assert "detected" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page_path(site, "../../etc/x").parent == site.layout.incidents


def test_a_timeline_is_bounded_and_keeps_its_first_line() -> None:
    body = Findings()
    for n in range(200):
        body = body.told(float(n), f"line {n}")
        body = body.told(float(n), f"line {n}")
    assert len(body.timeline) == 60
    assert (body.timeline[0].words, body.timeline[-1].words) == ("line 0", "line 199")


def test_a_person_closes_it_on_record(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert incident(IDENTITY, close="labels\nwill not come") == 0
    text = capsys.readouterr().out
    assert "state     resolved" in text
    assert re.search(r"closed    by \S+: labels will not come\n", text)
    with database(site) as engine:
        assert ": labels will not come.</p>" in page_path(site, IDENTITY).read_text()
        with engine.begin() as connection:
            assert store.drift_ended(connection, "digits") == 49
            store.open_once(connection, Incident(
                "serving-1", "digits", "serving", "x", "1", "open", 0.0, 0.0, None, Findings(),
            ))  # fmt: skip
    with pytest.raises(UsageError, match="the server closes it"):
        incident("serving-1", close="enough")
