"""`mlops status`, on the real database and real probes."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import files, incidents, report_states, retrains, windows
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.parts import PartState, write_parts
from mlops.adapters.registry import Registration
from mlops.adapters.sql import tables
from mlops.adapters.sql.engine import database
from mlops.adapters.windows import Cut
from mlops.cli.status import status
from mlops.core.alarm import Verdict
from mlops.core.canonical import to_json
from mlops.core.estimate import ErrorEstimate
from mlops.core.fixed import Fixed
from mlops.core.schema import Column, TableSchema, to_plain
from tests.remote.scripted import Say, scripted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.site import Site


@pytest.fixture(autouse=True)
def here(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    """Stand in a root whose server does not run; return where it would."""
    monkeypatch.setenv("MLOPS_ROOT", str(site.layout.root))
    with scripted(Say()) as gone:
        url = gone.url
    files.write_json(site.layout.ports, {"serve": int(url.rpartition(":")[2])})
    return url


@pytest.fixture
def web() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert status(json=True) == 0
    content = json.loads(capsys.readouterr().out)
    assert isinstance(content, dict)
    return content


def _serve(site: Site, version: str) -> None:
    pointer = {"version": version, "folder": "x", "digest": "d", "since_s": 1767614400.0}
    files.write_json(site.layout.serving / "digits" / "current.json", pointer)


def _incident(site: Site) -> None:
    with database(site) as engine, engine.begin() as connection:
        incidents.open_once(connection, incidents.Incident(
            "digits-1", "digits", "drift", "image_mean", "1", "open", 1.0, 1.0, None,
            incidents.Findings(triage="harmless", unmeasured_s=60.0, unmeasured_labels=9),
        ))  # fmt: skip
        retrains.request(
            connection, "digits", reason="drift: image_mean", incident="digits-1", now_s=2.0
        )
        cut = Cut("digits", "3", 1, 1, 9, 9, 0.0, 1.0)
        quiet = Verdict(9, (), (), calibrated=True)
        off = ErrorEstimate(2.0, 1.5, None)
        windows.insert(connection, cut, quiet, regression=True, fixed=Fixed("1", 0, 6, ()), off=off)
        connection.execute(
            tables.outbox.insert().values(
                project="digits", key="k", at_s=1.0, message=b"m", attempts=1, next_s=9e9,
                error="refused",
            )
        )  # fmt: skip


def test_an_empty_root(capsys: pytest.CaptureFixture[str]) -> None:
    assert status() == 0
    text = capsys.readouterr().out
    assert "digits: nothing in service" in text
    assert "train one: dvc repro" in text
    assert "mlops up does not run" in text


def test_only_what_a_server_answers_with_is_in_service(
    site: Site, here: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with database(site) as engine:
        Ledger(engine, "digits").append(Row("rollback", "k1", 1.0, "ann", "3", "2", "{}"))
    _serve(site, "2")
    assert status() == 0
    text = capsys.readouterr().out
    nobody = f"no server answers at {here}"
    assert f"digits version 2 is the champion, and not served: {nobody}\n" in text
    assert f"  - {nobody}; start one: mlops up, or mlops serve\n" in text
    with scripted(Say(headers={"x-model-version": "2"})) as server:
        monkeypatch.setenv("MLOPS_SERVE_URL", server.url)
        assert status() == 0
    text = capsys.readouterr().out
    assert f"digits version 2 in service at {server.url} since 2026-01-05 12:00:00 UTC" in text
    assert "  why: rollback by ann" in text
    assert "start one" not in text
    with scripted(Say(headers={"x-model-version": "9"})) as server:
        monkeypatch.setenv("MLOPS_SERVE_URL", server.url)
        assert _json(capsys)["server"] == {
            "url": server.url, "version": "9", "digest": "", "why": "", "up": True
        }  # fmt: skip
        assert status() == 0
    text = capsys.readouterr().out
    assert f"digits version 9 in service at {server.url}\n" in text
    assert "why:" not in text
    with scripted(Say(404, "<html>")) as server:
        monkeypatch.setenv("MLOPS_SERVE_URL", server.url)
        assert status() == 0
    text = capsys.readouterr().out
    assert "answers HTTP 404, not as mlops serve does" in text
    assert f"  - the server at {server.url} has taken up no version yet: " in text
    assert "start one" not in text


def test_the_server_of_another_project_is_not_taken_for_this_ones(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(Say(headers={"x-model-version": "1"})) as server:
        monkeypatch.setenv("MLOPS_SERVE_URL", server.url)
        assert status() == 0
    text = capsys.readouterr().out
    assert "digits: nothing in service\n" in text
    assert "train one: dvc repro" in text


def test_two_projects_with_a_version_1_each(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The digest of what is served tells whose server it is; one that tells none is believed."""
    _serve(site, "1")
    body = Registration("d1", "c", "run", "manual", "", "", "")
    with database(site) as engine:
        row = Row("registered", "k1", 1.0, "ann", None, "1", to_json(body))
        Ledger(engine, "digits").append(row)

    def asked(**headers: str) -> tuple[str, object]:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        with scripted(Say(headers={"x-model-version": "1", **told})) as server:
            monkeypatch.setenv("MLOPS_SERVE_URL", server.url)
            content = _json(capsys)
        found = content["server"]
        assert isinstance(found, dict)
        return found["version"], "\n".join(map(str, content["wrong"]))  # type: ignore[call-overload]

    for mine in ({"x_model_digest": "d1"}, {}):
        version, wrong = asked(**mine)
        assert version == "1"
        assert "another project" not in str(wrong)
    version, wrong = asked(x_model_digest="d2")
    assert version == ""
    assert "is another project's: it serves version 1; start one: mlops up" in str(wrong)


def test_incidents_retrains_and_mails(
    site: Site, here: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _serve(site, "3")
    _incident(site)
    assert status() == 0
    text = capsys.readouterr().out
    assert f"version 3 was served last, and is not now: no server answers at {here}" in text
    assert "drift incident digits-1: image_mean; not measured since 1970-01-01 00:01 UTC: " in text
    assert "label 9 predictions (mlops label export --incident digits-1); see: mlops inc" in text
    assert "requested: drift: image_mean" in text
    assert "1 mails wait" in text
    assert "no alarm, coverage unknown, mean absolute error est. at least 1.5\n" in text
    assert "Against the fixed reference, version 1's: none of 6 input columns" in text
    assert "1 incident, 1 of them false" in text


def test_a_page_that_failed_is_said_for_a_week(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    with database(site) as engine, engine.begin() as connection:
        for number, days in enumerate((1, 8), 1):
            at_s = time.time() - 86_400.0 * days
            cut = Cut("digits", "3", number, number, number, 9, at_s, at_s)
            windows.insert(connection, cut, Verdict(9, (), (), calibrated=True))
            report_states.note(connection, cut.id, "failed", after=("pending",))
    assert status() == 0
    said = "the pages of 1 windows could not be made, or disagree with their verdict"
    text = capsys.readouterr().out
    assert said in text
    assert "try again: mlops report digits-3-1" in text


def test_the_ledger_says_why(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    _serve(site, "2")
    with database(site) as engine:
        Ledger(engine, "digits").append(Row("rollback", "k1", 1.0, "ann", "3", "2", "{}"))
    service = _json(capsys)["service"]
    assert isinstance(service, dict)
    assert service["version"] == "2"
    assert service["why"] == "rollback by ann"


def test_parts_up_and_down(site: Site, web: str, capsys: pytest.CaptureFixture[str]) -> None:
    states = [
        PartState("serve", web, web, "up"),
        PartState("mlflow", "http://127.0.0.1:1/", "http://127.0.0.1:1/", "up", restarts=2),
    ]
    write_parts(site.layout, os.getpid(), states)
    content = _json(capsys)
    assert content["running"]
    parts = content["parts"]
    assert isinstance(parts, list)
    assert [(p["name"], p["up"]) for p in parts] == [("serve", True), ("mlflow", False)]
    assert any("mlflow" in str(line) for line in content["wrong"])  # type: ignore[attr-defined]


def test_a_killed_supervisor_does_not_count_as_running(
    site: Site, web: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_parts(site.layout, gone.pid, [PartState("serve", web, web, "up")])
    content = _json(capsys)
    assert not content["running"]


def test_imports_nothing_heavy(site: Site) -> None:
    code = (
        "import sys; from mlops.cli.status import status; status();"
        "bad = {'mlflow','prefect','torch','evidently','lightning','great_expectations'};"
        "sys.exit(', '.join(bad & set(sys.modules)) or 0)"
    )
    began_s = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began_s < 15  # one and a half on a quiet machine


def _shadow(home: Path, classes: tuple[str, ...]) -> None:
    """Point at version 4 as a shadow, of rows with one column."""
    schema = TableSchema(classes, (Column("age", "number"),))
    (home / "4").mkdir(parents=True)
    files.write_json(home / "4" / "model.json", {"schema": to_plain(schema)})
    pointer = {"version": "4", "folder": str(home / "4"), "digest": "d", "since_s": 1767614400.0}
    files.write_json(home / "shadow.json", pointer)


def test_canary_and_shadow_are_shown(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    from mlops.adapters.predictions import insert_batch
    from mlops.core.prediction import Prediction

    _serve(site, "1")
    home = site.layout.serving / "digits"
    _shadow(home, ("no", "yes"))
    canary = {
        "version": "3", "share": 0.05, "state": "running", "since_s": 1767614400.0, "reason": "",
        "told": True, "requests": [950, 50], "failed": [0, 1], "slow": [2, 3], "races": 40,
    }  # fmt: skip
    files.write_json(home / "canary.json", canary)
    assert status() == 0
    text = capsys.readouterr().out
    assert "canary: version 3 gets 5% of the keys since 2026-01-05 12:00:00 UTC" in text
    assert "challenger 50 requests, 1 failed, slow at 3 of 40 looks at the same rows" in text
    assert "shadow: version 4: nothing seen yet" in text
    scores = [np.array(row, "<f4").tobytes() for row in ([0.9, 0.1], [0.2, 0.8])]
    served = [Prediction(f"p{n}", 1.0, "1", "e", None, b"", scores[0], 0.01) for n in range(4)]
    looked = [
        Prediction(f"p{n}~4", 1.0, "4", "e", None, None, scores[n == 3], 0.02, f"p{n}")
        for n in range(4)
    ]
    with database(site) as engine:
        insert_batch(engine, "digits", [*served, *looked])
    rolled = {**canary, "state": "rolled back", "reason": "fails 30.0% of its requests"}
    files.write_json(home / "canary.json", rolled)
    assert status() == 0
    text = capsys.readouterr().out
    assert "canary: version 3 rolled back since 2026-01-05 12:00:00 UTC: it fails 30.0%" in text
    assert "shadow: version 4: 75.0% of the newest 4 rows agree" in text
    assert "p50 20.0 ms, p95 20.0 ms; served: 10.0 ms, 10.0 ms" in text
    shown = _json(capsys)
    assert shown["canary"]["state"] == "rolled back"  # type: ignore[index]


def test_how_far_a_shadow_of_a_regression_agrees(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    from mlops.adapters.predictions import insert_batch
    from mlops.core.prediction import Prediction

    _serve(site, "1")
    _shadow(site.layout.serving / "digits", ())

    def logged(name: str, version: str, middle: float, of: str | None = None) -> Prediction:
        answer = np.array([middle - 10, middle, middle + 10], "<f4").tobytes()
        return Prediction(name, 1.0, version, "e", None, None, answer, 0.01, of)

    rows = [logged(f"p{n}", "1", 0.0) for n in range(4)]
    rows += [logged(f"p{n}~4", "4", far, f"p{n}") for n, far in enumerate((1, -9, 11, 5000))]
    with database(site) as engine:
        insert_batch(engine, "digits", rows)
    assert status() == 0
    text = capsys.readouterr().out
    assert "in 50.0% of the newest 4 rows its median is within the served quantiles" in text
    assert "on average it is 1255 from the served median" in text
    assert _json(capsys)["shadow"]["apart"] == 1255.25  # type: ignore[index]


def test_a_model_from_elsewhere_is_something_to_look_at(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_SERVE_MODEL", "models:/theirs/3")
    assert status() == 0
    told = "MLOPS_SERVE_MODEL=models:/theirs/3: it is served in the champion's place, not gated"
    assert told in capsys.readouterr().out
