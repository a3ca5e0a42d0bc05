"""The page of a model version in MLflow: its description and tags, drawn from decision and card."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mlops.adapters import mlflow, model_card, run_files, versions
from mlops.adapters.answered import DECISION_TAG
from mlops.adapters.registry import alias, fetch
from mlops.core.page import Link, Surroundings, page
from mlops.errors import DataError, RegistryError

if TYPE_CHECKING:
    from mlops.core.card import Card
    from mlops.core.decision import Decision
    from mlops.site import Site

PLOTS = "plots"
_TITLES = {
    "recent": "On the recent rows that judged it",
    "confusion": "What is taken for what",
    "per_class": "Recall by class",
    "slices": "Where it is weakest",
    "calibration": "Is it as sure as it is right?",
    "residuals": "How far off it is",
    "coverage": "Are its intervals honest?",
    "normal": "Are its errors normal?",
    "mistakes": "Its surest mistakes",
    "robustness": "On degraded examples",
    "importance": "What it cannot do without",
    "explanations": "What its answers rest on",
    "training": "How it was trained",
}
"""Plot → title, in the order of the page; plots without a title follow by name."""


def show(site: Site, decision: Decision) -> str:
    """Put a decision on its version's page in MLflow, as often as it changes; return the page.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if the version was deleted.
    """
    text = draw(site, decision)
    # The decision's tag last: where it stands, the page does.
    tags = (("mlops.verdict", decision.verdict.outcome), (DECISION_TAG, decision.id))
    versions.describe(site, decision.project, decision.candidate.version, text, tags)
    return text


def draw(site: Site, decision: Decision) -> str:
    """Return the page of a decision; nothing is written.

    Everything comes from the registry, so that any version can be shown again at any time, and
    the card from files that the manifest vouches for.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    run_id = decision.candidate.run_id
    shadow = alias(site, decision.project, "shadow") == decision.candidate.version
    around = Surroundings(_card(site, decision), *_of_run(site, run_id), shadow=shadow)
    return page(decision, around)


def _card(site: Site, decision: Decision) -> Card | None:
    """Return the version's card; a version that cannot be verified has a page without one."""
    try:
        return model_card.read(fetch(site, decision.project, decision.candidate.version))
    except (RegistryError, DataError):
        return None  # the gate's checks on the page say what is wrong with its files


def _of_run(site: Site, run_id: str) -> tuple[tuple[Link, ...], tuple[Link, ...]]:
    """Return pictures and links of the version's run; none if a person has deleted it."""
    try:
        return _plots(site, run_id), _links(site, run_id)
    except RegistryError as error:
        if not run_files.is_gone(error):
            raise
        return (), ()


def _plots(site: Site, run_id: str) -> tuple[Link, ...]:
    """Return the pictures of the version's run, at addresses that MLflow's own page can show."""
    api = mlflow.client(site)
    with mlflow.errors():
        found = {PurePosixPath(f.path).stem: f.path for f in api.list_artifacts(run_id, PLOTS)
                 if f.path.endswith(".png")}  # fmt: skip
    names = [*(n for n in _TITLES if n in found), *sorted(set(found) - set(_TITLES))]
    return tuple(
        Link(
            _TITLES.get(name, name.replace("_", " ").capitalize()),
            f"get-artifact?path={found[name]}&run_id={run_id}",
        )
        for name in names
    )


def _links(site: Site, run_id: str) -> tuple[Link, ...]:
    api = mlflow.client(site)
    with mlflow.errors():
        experiment = api.get_run(run_id).info.experiment_id
    run = f"#/experiments/{experiment}/runs/{run_id}"
    return (
        Link("Model card", f"{run}/artifacts/{model_card.MARKDOWN}"),
        Link("The run: parameters, metrics, tables, data", run),
    )
