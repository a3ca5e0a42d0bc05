from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.adapters import registry, windows
from mlops.adapters.baseline import read_baseline
from mlops.adapters.embedding import write_embedding
from mlops.adapters.files import write_json
from mlops.adapters.long_reference import beside
from mlops.adapters.observe import keep, observe
from mlops.adapters.predictions import insert_batch
from mlops.adapters.reports import make_named, make_pending
from mlops.adapters.sql.engine import open_database
from mlops.adapters.thresholds import thresholds_for
from mlops.core.fixed import summed_up
from mlops.core.prediction import Prediction
from mlops.core.schema import ImageSchema, to_plain
from mlops.errors import MonitorError, RegistryError, Unknown
from mlops.params.base import View
from mlops.params.load import load
from mlops.params.monitoring import MonitoringSection
from tests.entrants import write_onnx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import sqlalchemy as sa

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
