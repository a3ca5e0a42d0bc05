"""Which data, run, model and version belong together, as MLflow's pages show it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops.adapters.publish import Point

_DATASET = "snapshot"
_DIGEST_CHARACTERS = 36  # MLflow keeps no more of a dataset's digest
_VERSIONS_TAG = "mlflow.modelVersions"  # read by the page of a logged model; hidden elsewhere


def link_dataset(api: Any, run_id: str, md5: str) -> None:
    """Say that a run was trained on the snapshot with this DVC md5; nothing where it is empty."""
    if not md5:
        return
    from mlflow.entities import Dataset, DatasetInput, InputTag

    snapshot = Dataset(
        name=_DATASET, digest=md5[:_DIGEST_CHARACTERS], source_type="dvc",
        source=json.dumps({"path": "data/snapshot", "md5": md5}),
    )  # fmt: skip
    used = [InputTag("mlflow.data.context", "training")]
    api.log_inputs(run_id, [DatasetInput(snapshot, used)])


def link_model(api: Any, run_id: str, model: Any, md5: str, figures: tuple[Point, ...]) -> None:
    """Make a logged model the output of its run, with its figures and the data behind them."""
    from mlflow.entities import LoggedModelOutput, Metric

    api.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    data = (_DATASET, md5[:_DIGEST_CHARACTERS]) if md5 else (None, None)
    # The run's own time: logged again after a kill, they are the same points, not new ones.
    began_ms = api.get_run(run_id).info.start_time
    points = [
        Metric(p.name, p.value, began_ms, p.step, model.model_id, *data, run_id=run_id)
        for p in figures
    ]
    api.log_batch(run_id, metrics=points)


def link_version(api: Any, model: Any, version: Any) -> None:
    """Let a logged model's page name its version, as `mlflow.register_model` does.

    A kill before this leaves out that line on one page, and nothing else.
    """
    named = json.dumps([{"name": version.name, "version": int(version.version)}])
    api.set_logged_model_tags(model.model_id, {_VERSIONS_TAG: named})
