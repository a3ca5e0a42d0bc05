from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import mlflow, registry, report_states, run_files, windows
from mlops.adapters.report_store import prune, store
from mlops.adapters.sql.engine import database
from mlops.core.alarm import Verdict
from mlops.errors import Unavailable
from tests.promotions import add_version

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.site import Site


def judge(site: Site, engine: sa.Engine, version: str) -> str:
    at_s = site.now.timestamp()
    cut = windows.Cut("digits", version, 1, 1, 9, 9, at_s, at_s)
    folder = site.layout.windows / cut.id
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<p>page</p>")
    with engine.begin() as connection:
        windows.insert(connection, cut, Verdict(9, (), (), calibrated=True))
        assert report_states.note(connection, cut.id, "made", after=("pending",))
    return cut.id


def state(engine: sa.Engine, window: str) -> str:
    with engine.connect() as connection:
        found = windows.get(connection, "digits", window)
    assert found is not None
    return found.report


def test_a_page_lies_beside_its_version_until_it_is_old(
    mlflow_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, version = mlflow_site, add_version(mlflow_site)
    api = mlflow.client(site)
    run_id = api.create_run(mlflow.experiment(site, "digits")).info.run_id
    known = replace(registry.registration(site, "digits", version), run_id=run_id)
    monkeypatch.setattr(registry, "registration", lambda *_: known)
    with database(site) as engine:
        window = judge(site, engine, version)

        def away(*_: object) -> None:
            msg = "MLflow does not answer"
            raise Unavailable(msg)

        put = run_files.put
        monkeypatch.setattr(run_files, "put", away)
        with pytest.raises(Unavailable):
            store(site, engine, "digits")
        assert state(engine, window) == "made"  # and is caught up
        monkeypatch.setattr(run_files, "put", put)
        assert store(site, engine, "digits") == 1
        assert store(site, engine, "digits") == 0
        assert list(run_files.find(site, run_id, f"windows/{window}")) == [
            f"windows/{window}/report.html"
        ]
        with engine.begin() as connection:
            found = windows.get(connection, "digits", window)
            assert found is not None
            windows.set_measured(connection, replace(found, labelled=9, correct=8))
        assert state(engine, window) == "outdated"
        (site.layout.windows / window / "report.html").write_text("<p>anew</p>")
        with engine.begin() as connection:
            found = windows.get(connection, "digits", window)
            assert found is not None
            assert report_states.note_made(connection, found)
        assert store(site, engine, "digits") == 1  # over the old one
        stored = run_files.find(site, run_id, f"windows/{window}")
        assert stored == {f"windows/{window}/report.html": len("<p>anew</p>")}
        assert prune(site, engine, "digits", keep_days=90) == 0
        later = replace(site, now=site.now + timedelta(days=91))
        assert prune(later, engine, "digits", keep_days=90) == 1
        assert run_files.find(site, run_id, f"windows/{window}") == {}
        assert not (site.layout.windows / window / "report.html").exists()
        assert state(engine, window) == "pruned"


def test_a_page_of_an_unknown_version_stays_here(mlflow_site: Site) -> None:
    with database(mlflow_site) as engine:
        window = judge(mlflow_site, engine, "9")
        assert store(mlflow_site, engine, "digits") == 0
        assert state(engine, window) == "local"
        assert (mlflow_site.layout.windows / window / "report.html").is_file()
