"""Log a candidate to MLflow as one run and one model version, however often it is tried.

A kill may come between any two calls. Run, logged model and version all carry the candidate's
digest as a tag, so that the next try finds what stands and goes on from there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.adapters import links, mlflow
from mlops.errors import UnverifiedModel

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.site import Site

CANDIDATE_TAG = "mlops.candidate"
DIGEST_TAG = "mlops.digest"
_LOGGED_TAG = "mlops.logged"
_VERSION_TAGS = (CANDIDATE_TAG, "mlops.reason", "mlops.incident")
_BATCH = 90  # MLflow takes 100 parameters and 1,000 metrics in one call
MAX_METRICS = 39  # MLflow's page slows above 40 keys


@dataclass(frozen=True)
class Lineage:
    """Where a candidate comes from.

    Attributes:
        candidate: digest of `models/candidate`.
        reason: why it was trained.
        incident: the incident behind it; empty for none.
        commit: git commit; empty where unknown.
        data: DVC md5 of the snapshot; empty where unknown.
    """

    candidate: str
    reason: str
    incident: str
    commit: str
    data: str

    def tags(self) -> dict[str, str]:
        """Return the tags of run and version, without the empty ones."""
        named = {
            CANDIDATE_TAG: self.candidate, "mlops.reason": self.reason,
            "mlops.incident": self.incident, "mlops.commit": self.commit, "mlops.data": self.data,
        }  # fmt: skip
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class Point:
    """One value of a metric.

    Attributes:
        name: its key.
        step: 0, or the epoch of a curve.
        value: finite.
    """

    name: str
    step: int
    value: float


@dataclass(frozen=True)
class Record:
    """What a run is given to keep.

    Attributes:
        params: names and values, as text.
        points: curves; the figures of the evaluation are logged with the model.
        files: file to log → folder among the run's artifacts; empty for the top.
        texts: name → text to keep as a file.
    """

    params: tuple[tuple[str, str], ...]
    points: tuple[Point, ...]
    files: tuple[tuple[Path, str], ...]
    texts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Pages:
    """What MLflow shows of a model and its version before anything was decided.

    Attributes:
        model: description of the registered model, written when the model is made.
        version: description of the version.
    """

    model: str
    version: str


def open_run(site: Site, project: str, lineage: Lineage) -> tuple[str, bool]:
    """Return the candidate's run and whether its record is complete; start one if there is none.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    api, experiment = mlflow.client(site), mlflow.experiment(site, project)
    with mlflow.errors():
        where = f"tags.`{CANDIDATE_TAG}` = '{lineage.candidate}'"
        found = api.search_runs([experiment], where, order_by=["attributes.start_time ASC"])
        if found:
            run = found[0]
            return str(run.info.run_id), run.data.tags.get(_LOGGED_TAG) == "yes"
        tags = {
            **lineage.tags(), "mlflow.source.name": "mlops register", "mlflow.source.type": "LOCAL",
        }  # fmt: skip
        if lineage.commit:
            tags["mlflow.source.git.commit"] = lineage.commit
        why = lineage.reason.partition(";")[0][:40]  # without what a probe said
        name = f"{why or 'candidate'} {lineage.candidate[:8]}"
        return str(api.create_run(experiment, tags=tags, run_name=name).info.run_id), False


def log_record(site: Site, run_id: str, record: Record, lineage: Lineage) -> None:
    """Log a run's record in few calls, then mark it complete.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if it refuses a value.
    """
    from mlflow.entities import Metric, Param

    api, now_ms = mlflow.client(site), int(time.time() * 1000)
    with mlflow.errors():
        params = [Param(name, value[:6000]) for name, value in record.params]
        for start in range(0, len(params), _BATCH):
            api.log_batch(run_id, params=params[start : start + _BATCH])
        metrics = [Metric(p.name, p.value, now_ms, p.step) for p in record.points]
        for start in range(0, len(metrics), 900):
            api.log_batch(run_id, metrics=metrics[start : start + 900])
        for path, folder in record.files:
            api.log_artifact(run_id, str(path), folder or None)
        for name, text in record.texts:
            api.log_text(run_id, text, name)
        links.link_dataset(api, run_id, lineage.data)
        api.set_tag(run_id, _LOGGED_TAG, "yes")
        api.set_terminated(run_id, "FINISHED")


def find_version(site: Site, project: str, candidate: str) -> Any:
    """Return MLflow's record of the version made from a candidate, or nothing.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    api = mlflow.client(site)
    with mlflow.errors():
        where = f"name = '{project}' and tag.`{CANDIDATE_TAG}` = '{candidate}'"
        found = api.search_model_versions(where)
        return min(found, key=lambda v: int(v.version), default=None)


def find_model(site: Site, project: str, candidate: str) -> Any:
    """Return the candidate's complete logged model, or nothing; remove incomplete ones.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    api, experiment = mlflow.client(site), mlflow.experiment(site, project)
    with mlflow.errors():
        where = f"tags.`{CANDIDATE_TAG}` = '{candidate}'"
        ready = None
        for model in api.search_logged_models([experiment], filter_string=where):
            if str(model.status) == "READY" and DIGEST_TAG in model.tags and ready is None:
                ready = model
            elif str(model.status) != "READY":
                api.delete_logged_model(model.model_id)
        return ready


def sealed_digest(model: Any) -> str:
    """Return the digest that a logged model was sealed with before its upload.

    Raises:
        UnverifiedModel: if the model was deleted: then nothing says what its version should be.
    """
    digest = model.tags.get(DIGEST_TAG, "") if model is not None else ""
    if not digest:
        msg = "the version's logged model is gone from MLflow; delete the version and run: "
        raise UnverifiedModel(f"{msg}mlops register")
    return str(digest)


def log_model(
    site: Site,
    project: str,
    run_id: str,
    folder: Path,
    *,
    digest: str,
    lineage: Lineage,
    figures: tuple[Point, ...],
) -> Any:
    """Upload a packaged folder as a logged model; it is ready only once all of it is there.

    The figures stand on the model and on its run, and name the data that they were measured on.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    api, experiment = mlflow.client(site), mlflow.experiment(site, project)
    with mlflow.errors():
        tags = {**lineage.tags(), DIGEST_TAG: digest}
        model = api.create_logged_model(experiment, project, source_run_id=run_id, tags=tags)
        api.log_model_artifacts(model.model_id, str(folder))
        links.link_model(api, run_id, model, lineage.data, figures)
        return api.finalize_logged_model(model.model_id, "READY")


def create_version(site: Site, project: str, model: Any, lineage: Lineage, pages: Pages) -> Any:
    """Make the model version of a complete logged model, with its page until it is judged.

    It has few tags, since MLflow's list of versions gives each a line; the rest of the lineage
    is on its page, its run and its logged model.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    api = mlflow.client(site)
    with mlflow.errors():
        if not api.search_registered_models(f"name = '{project}'"):
            api.create_registered_model(project, description=pages.model)
        tags = {n: v for n, v in lineage.tags().items() if n in _VERSION_TAGS}
        made = api.create_model_version(
            project, model.artifact_location, run_id=model.source_run_id, tags=tags,
            description=pages.version, model_id=model.model_id,
        )  # fmt: skip
        links.link_version(api, model, made)
        return made
