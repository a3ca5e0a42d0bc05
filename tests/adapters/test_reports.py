from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa

from mlops.adapters import measured, registry, report_states, windows
from mlops.adapters.backfill import backfill
from mlops.adapters.baseline import read_baseline
from mlops.adapters.embedding import write_embedding
from mlops.adapters.files import write_json
from mlops.adapters.kept import keep, read_kept
from mlops.adapters.long_reference import beside
from mlops.adapters.observe import Observation, observe
from mlops.adapters.predictions import insert_batch
from mlops.adapters.report_store import prune, prune_here
from mlops.adapters.reports import make_named, make_pending
from mlops.adapters.sql import tables
from mlops.adapters.sql.engine import open_database
from mlops.adapters.thresholds import thresholds_for
from mlops.cli.report import make_all
from mlops.core.alarm import Verdict
from mlops.core.fixed import summed_up
from mlops.core.prediction import Label, Prediction
from mlops.core.schema import ImageSchema, to_plain
from mlops.core.sent import Sent, sent_rows
from mlops.core.usual import Contents
from mlops.errors import MonitorError, NotAdmitted, RegistryError, Unavailable, Unknown
from mlops.params.base import View
from mlops.params.load import load
from mlops.params.monitoring import MonitoringSection
from tests.entrants import write_onnx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.site import Site

ROWS = 60


class _Monitoring(View):
    monitoring: MonitoringSection


@pytest.fixture
def judged(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """Return a database with two judged windows whose reports are pending."""
    rng = np.random.default_rng(0)
    folder = site.layout.serving / "digits" / "1"
    folder.mkdir(parents=True)
    image = rng.integers(0, 256, (200, 4, 4, 1), dtype=np.uint8)
    p = rng.dirichlet(np.ones(3), 200).astype(np.float32)
    np.savez(folder / "reference.npz", features=image, probabilities=p, label=p.argmax(axis=1))
    schema = ImageSchema(("a", "b", "c"), 4, 4, 1)
    write_json(folder / "model.json", {"schema": to_plain(schema)})
    write_onnx(folder / "model.onnx", rng.normal(0, 0.3, (16, 3)).astype(np.float32))
    assert write_embedding(folder, image[::2]) == 5
    monkeypatch.setattr(registry, "fetch", lambda *_: folder)
    told = load(site.layout.params, _Monitoring).monitoring
    update = {"window_rows": ROWS, "false_alarms": "1 per 20 windows", "replicates": 200}
    monitoring = told.model_copy(update=update)
    engine = open_database(site.settings.database(site.layout))
    made = [
        Prediction(f"p{n}", float(n), "1", f"e{n}", None, image[n].tobytes(),
                   p[n].astype("<f4").tobytes(), 0.001)
        for n in range(2 * ROWS)
    ]  # fmt: skip
    insert_batch(engine, "digits", made)
    baseline, thresholds = read_baseline(folder), thresholds_for(site, folder, monitoring)
    for _ in range(2):
        with engine.begin() as connection:
            cut = windows.next_cut(
                connection, "digits", "1", monitoring, now_s=999.0, receiving=True
            )
            assert cut is not None
            seen = observe(windows.read(connection, cut), cut, baseline, thresholds, [])
            keep(site.layout.windows / cut.id, cut, seen)
            windows.insert(connection, cut, seen.verdict)
    yield engine
    engine.dispose()


def states(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return [w.report for w in windows.latest(connection, "digits", 9)]


def test_every_window_gets_its_page_once(site: Site, judged: sa.Engine) -> None:
    assert make_pending(site, judged, "digits") == 2
    assert make_pending(site, judged, "digits") == 0
    assert states(judged) == ["made", "made"]
    for name in ("digits-1-1", "digits-1-2"):
        assert (site.layout.windows / name / "report.html").stat().st_size > 1_000_000
        assert json.loads((site.layout.windows / name / "report.json").read_text())


def test_who_asked_what_waits_can_write_though_another_has_written_since(
    site: Site, judged: sa.Engine
) -> None:
    """A cursor left open would keep SQLite's old snapshot, and its connection from writing."""
    with judged.connect() as connection:
        waiting = report_states.waiting(connection, "digits", "pending")
        first = next(iter(waiting))
    other = open_database(site.settings.database(site.layout))
    with other.begin() as connection:
        connection.execute(sa.text("UPDATE windows SET alarm = alarm"))
    other.dispose()
    with judged.begin() as connection:
        assert report_states.note(connection, first, "made", after=("pending",))
    assert len(list(waiting)) == 2


def test_a_page_is_made_though_the_fixed_references_version_is_gone(
    site: Site, judged: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with judged.connect() as connection:
        window = windows.latest(connection, "digits", 1)[0]
    told = summed_up("7", window.verdict.columns[:2], {})
    there = registry.fetch

    def fetch(site: Site, project: str, version: str) -> Path:
        if version == "7":
            msg = "version 7 is gone"
            raise RegistryError(msg)
        return there(site, project, version)

    monkeypatch.setattr(registry, "fetch", fetch)
    made = beside(site, "digits", told)
    assert made is not None
    assert made.reference is None
    assert beside(site, "digits", None) is None
    assert "Its version is gone" in made.section(window.verdict)


def test_a_page_waits_for_a_registry_that_does_not_let_us_in(
    site: Site, judged: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> Path:
        raise NotAdmitted("MLflow at here: HTTP 403 no")

    monkeypatch.setattr(registry, "fetch", closed)
    with pytest.raises(Unavailable, match="HTTP 403"):
        make_pending(site, judged, "digits")
    assert states(judged) == ["pending", "pending"]  # a failed one would be made never again


def test_a_damaged_window_is_marked_and_does_not_stop_the_others(
    site: Site, judged: sa.Engine
) -> None:
    (site.layout.windows / "digits-1-1" / "window.npz").write_bytes(b"rot")
    with pytest.raises(MonitorError, match="digits-1-1"):
        make_pending(site, judged, "digits")
    assert states(judged) == ["failed", "made"]


def test_a_page_of_a_changed_reference_disagrees_and_is_marked(
    site: Site, judged: sa.Engine
) -> None:
    path: Path = site.layout.serving / "digits" / "1" / "reference.npz"
    with np.load(path) as stored:
        changed = {**stored, "features": stored["features"] // 2}
    np.savez(path, **changed)
    with pytest.raises(MonitorError, match="in our verdict"):
        make_named(site, judged, "digits", "digits-1-2")
    assert states(judged) == ["pending", "failed"]
    with pytest.raises(Unknown, match="digits-9-9: unknown"):
        make_named(site, judged, "digits", "digits-9-9")


def label(site: Site, engine: sa.Engine, rows: range, *, wrong: int = 0) -> None:
    """Give labels, as the monitor's next look finds them; the first few say: wrong."""
    said = p_of(site)
    given = [
        Label(f"p{n}", (said[n] + (at < wrong)) % 3, "random", site.now.timestamp())
        for at, n in enumerate(rows)
    ]
    insert_batch(engine, "digits", (), given)
    now_s = site.now.timestamp()
    backfill(engine, "digits", measured.Expected(now_s, 1.0, 0.1), now_s)


def p_of(site: Site) -> list[int]:
    with np.load(site.layout.serving / "digits" / "1" / "reference.npz") as stored:
        return [int(n) for n in stored["probabilities"].argmax(axis=1)]


def text(site: Site, window: str) -> str:
    page = (site.layout.windows / window / "report.html").read_text()
    return page[page.index("<section") : page.rindex("</section>")]


def test_labels_that_come_later_are_on_the_page_made_anew(site: Site, judged: sa.Engine) -> None:
    make_pending(site, judged, "digits")
    assert "Labels are not here yet" in text(site, "digits-1-1")
    label(site, judged, range(40), wrong=10)
    assert states(judged) == ["outdated", "made"]
    assert make_pending(site, judged, "digits", patience_s=3600.0) == 1  # the first do not wait
    assert "30 of 40 labelled predictions were right: 75.0%" in text(site, "digits-1-1")
    assert "In the reference 200 of 200: 100.0%" in text(site, "digits-1-1")
    told = json.loads((site.layout.windows / "digits-1-1" / "report.json").read_text())
    shown = {m["config"]["type"].rpartition(":")[2]: m["value"]
             for m in told["performance"]["metrics"]}  # fmt: skip
    assert shown["Accuracy"] == 0.75
    label(site, judged, range(40, 50))
    assert states(judged) == ["outdated", "made"]
    assert make_pending(site, judged, "digits", patience_s=3600.0) == 0  # the next do
    later = replace(site, now=site.now + timedelta(hours=2))
    assert make_pending(later, judged, "digits", patience_s=3600.0) == 1
    assert "40 of 50 labelled" in text(site, "digits-1-1")
    assert states(judged) == ["made", "made"]


def test_pages_that_must_wait_hold_up_none_that_is_due(site: Site, judged: sa.Engine) -> None:
    make_pending(site, judged, "digits")
    names = ["digits-1-1", "digits-1-2"]
    with judged.begin() as connection:
        held = tables.windows
        row = connection.execute(sa.select(held).where(held.c.id == names[1])).one()
        for n in range(10, 40):  # newer ones, alarming, that show labels of a minute ago
            young = {**row._mapping, "id": f"digits-1-{n}", "number": n, "first_seq": 100 * n,
                     "last_seq": 100 * n + 9, "report": "outdated", "alarm": True}  # fmt: skip
            connection.execute(held.insert().values(**young))
            shown = {"made_s": site.now.timestamp() - 60, "labelled": 3, "correct": 3}
            write_json(site.layout.windows / f"digits-1-{n}" / "page.json", shown)
        outdated = held.update().where(held.c.id.in_(names))
        connection.execute(outdated.values(report="outdated", alarm=False))
    made = [make_pending(site, judged, "digits", 1, patience_s=3600.0) for _ in range(3)]
    assert made == [1, 1, 0]
    with judged.connect() as connection:
        told = {w.id: w.report for w in windows.latest(connection, "digits", 99)}
    assert [told.pop(name) for name in names] == ["made", "made"]
    assert set(told.values()) == {"outdated"}


def test_labels_that_come_while_a_page_is_made_outdate_it(site: Site, judged: sa.Engine) -> None:
    with judged.connect() as connection:
        before = windows.latest(connection, "digits", 1)[0]
    label(site, judged, range(ROWS, ROWS + 20))
    assert states(judged) == ["pending", "pending"]  # there is no page that could be outdated
    with judged.begin() as connection:
        assert report_states.note_made(connection, before)
    assert states(judged) == ["pending", "outdated"]


def test_a_pruned_page_stays_pruned(site: Site, judged: sa.Engine) -> None:
    later = replace(site, now=site.now + timedelta(days=9999))
    make_pending(site, judged, "digits")
    assert prune(later, judged, "digits", keep_days=1) == 2
    label(site, judged, range(20))
    assert states(judged) == ["pruned", "pruned"]
    with pytest.raises(MonitorError, match="its page and rows were deleted"):
        make_named(site, judged, "digits", "digits-1-1")
    with judged.begin() as connection:
        held = windows.get(connection, "digits", "digits-1-1")
        assert held is not None
        assert not report_states.note_made(connection, held)
    assert states(judged) == ["pruned", "pruned"]
    assert [p.name for p in (site.layout.windows / "digits-1-1").iterdir()] == ["verdict.json"]


def test_rows_of_a_window_whose_page_nobody_made_are_pruned(site: Site, judged: sa.Engine) -> None:
    kept = [site.layout.windows / f"digits-1-{n}" / "window.npz" for n in (1, 2)]
    assert prune_here(site, judged, "digits", keep_days=99_999) == 0
    assert all(path.is_file() for path in kept)
    later = replace(site, now=site.now + timedelta(days=9999))
    assert prune_here(later, judged, "digits", keep_days=1) == 2
    assert states(judged) == ["pruned", "pruned"]
    assert not any(path.exists() for path in kept)
    assert make_pending(later, judged, "digits") == 0


def test_an_accuracy_that_is_not_the_labels_is_refused_and_the_page_says_so(
    site: Site, judged: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(site, judged, range(20))
    found = measured.renewed

    def wrong(*args: Any) -> Any:
        window, told = found(*args)
        return replace(window, correct=window.correct - 1), told

    monkeypatch.setattr(measured, "renewed", wrong)
    with pytest.raises(MonitorError, match="window digits-1-1: CategoryCount of right answers is"):
        make_named(site, judged, "digits", "digits-1-1")
    assert states(judged) == ["failed", "pending"]
    assert "part could not be made" in text(site, "digits-1-1")
    assert "mlops report digits-1-1" in text(site, "digits-1-1")
    monkeypatch.setattr(measured, "renewed", found)
    make_named(site, judged, "digits", "digits-1-1")
    assert states(judged) == ["made", "pending"]


def test_a_window_without_a_sound_row_gets_a_page_that_says_so(
    site: Site, judged: sa.Engine
) -> None:
    cuts = []
    for number, kept_too in ((3, True), (4, False)):
        cut = windows.Cut("digits", "1", number, number * 100, number * 100, 5, 0.0, 1.0)
        broken = "probabilities: 5 of 5 rows are no distribution"
        verdict = Verdict(5, (), (broken,), calibrated=False)
        image = np.zeros((5, 4, 4, 1), dtype=np.uint8)
        schema = ImageSchema(("a", "b", "c"), 4, 4, 1)
        shown = sent_rows(image, np.zeros(5, dtype=bool), ["e"] * 5, schema)
        seen = Observation(verdict, None, image, Sent(5, 0, 5, Contents(5, 5), shown))
        if kept_too:
            keep(site.layout.windows / cut.id, cut, seen)
        with judged.begin() as connection:
            windows.insert(connection, cut, verdict)
        cuts.append(cut.id)
    assert make_pending(site, judged, "digits") == 4
    assert make_pending(site, judged, "digits") == 0  # and nobody complains again
    assert states(judged) == ["made"] * 4
    for name in cuts:
        assert "Hardly a row was sound" in text(site, name)
        assert "<li>probabilities: 5 of 5 rows" in text(site, name)
    assert "5 hold nothing and 5 have no sound answer" in text(site, cuts[0])


def test_a_window_that_an_older_release_kept_has_its_page(site: Site, judged: sa.Engine) -> None:
    path = site.layout.windows / "digits-1-1" / "window.npz"
    with np.load(path) as stored:
        old = {name: stored[name] for name in stored if not name.startswith("sent")}
    np.savez(path, **old)
    make_named(site, judged, "digits", "digits-1-1")
    assert "Data quality" not in text(site, "digits-1-1")
    assert set(json.loads((path.parent / "report.json").read_text())) == {"drift"}


def test_what_is_kept_is_read_back(site: Site, judged: sa.Engine) -> None:
    kept = read_kept(site.layout.windows / "digits-1-2")
    assert kept.sent is not None
    assert judged is not None
    assert (kept.sent.rows, kept.sent.unsound, len(kept.sent.shown)) == (ROWS, 0, ROWS)
    assert kept.sent.contents == Contents(ROWS, 0)
    assert kept.sent.shown.copies.tolist() == [1] * ROWS


def test_one_failed_page_does_not_keep_the_others_from_being_made_and_kept(
    site: Site, judged: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site.layout.windows / "digits-1-2" / "window.npz").unlink()
    kept: list[str] = []

    def keep_one(*_: object) -> int:
        kept.append("")
        return 0

    monkeypatch.setattr("mlops.cli.report._keep", keep_one)
    with pytest.raises(MonitorError, match="digits-1-2"):
        make_all(site, judged, "digits")
    assert (states(judged), len(kept)) == (["made", "failed"], 1)
    assert make_all(site, judged, "digits") == 0  # said once
