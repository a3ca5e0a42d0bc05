"""The flow `score`, whole: a real registry and Prefect server, and what the verb would write."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.dataset as ds

from mlops.adapters import registry
from mlops.adapters.onnx_session import Session
from tests import entrants
from tests.batch.conftest import project
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from mlops.site import Site

__all__ = ["project"]


def test_a_file_is_scored_by_the_champion_and_gone_on_with(
    project: Site, prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.client.orchestration import get_client

    from flows.score import score

    shutil.copy(REPOSITORY / "dvc.yaml", project.layout.root)
    monkeypatch.setenv("MLOPS_ROOT", str(project.layout.root))
    images = np.random.default_rng(0).integers(0, 256, (50, *entrants.SHAPE), dtype=np.uint8)
    np.save(tmp_path / "in.npy", images)
    said = score(source=str(tmp_path / "in.npy"), output=str(tmp_path / "out"))
    assert "50 rows" in said
    table = ds.dataset(tmp_path / "out", format="parquet").to_table().sort_by("row")
    folder = registry.fetch(project, "digits", "1")
    np.testing.assert_array_equal(
        np.array(table.column("probabilities").to_pylist(), dtype=np.float32),
        Session(folder / "model.onnx").probabilities(images),
    )
    assert set(table.column("model_version").to_pylist()) == {"1"}
    before = (tmp_path / "out" / "_SUCCESS").stat().st_mtime_ns
    score(source=str(tmp_path / "in.npy"), output=str(tmp_path / "out"))
    assert (tmp_path / "out" / "_SUCCESS").stat().st_mtime_ns == before
    with get_client(sync_client=True) as client:
        found = {a.key: a for a in client.read_latest_artifacts()}
    assert "50 rows" in str(found["digits-scores"].data)
