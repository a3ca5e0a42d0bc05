"""What MLflow is told of a version, read back from a real store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import history, mlflow, model_card, registry, version_page
from mlops.params.load import load
from mlops.steps.promote import PromoteParams, promote
from mlops.steps.register import RegisterParams, register
from tests import entrants

if TYPE_CHECKING:
    from mlops.site import Site

PROJECT = "digits"
MD5 = "0123456789abcdef0123456789abcdef.dir"


@pytest.fixture
def candidate(mlflow_site: Site) -> Site:
    """Return a site with a candidate whose snapshot DVC tracks."""
    entrants.set_params(mlflow_site)
    given = entrants.world(mlflow_site)
    entrants.prepare(mlflow_site, given)
    entrants.train(mlflow_site, given, entrants.block_weights())
    (mlflow_site.layout.root / "dvc.lock").write_text(
        f"stages:\n  ingest:\n    outs:\n    - path: data/snapshot\n      md5: {MD5}\n"
    )
    return mlflow_site


def enter(site: Site) -> None:
    given = entrants.with_options(site, "reason=drift", "incident=digits-3")
    register(load(site.layout.params, RegisterParams), given)


def judge(site: Site) -> str:
    return promote(load(site.layout.params, PromoteParams), site).markdown


def test_from_registered_to_decided(candidate: Site) -> None:
    enter(candidate)
    api = mlflow.client(candidate)
    before = api.get_model_version(PROJECT, "1")
    assert before.description.startswith("◇ not judged yet · drift\n")
    assert "Reading one handwritten digit" in api.get_registered_model(PROJECT).description

    page = judge(candidate)
    version = api.get_model_version(PROJECT, "1")
    assert version.description == page
    assert set(version.tags) == {
        "mlops.candidate", "mlops.reason", "mlops.incident", "mlops.decision", "mlops.verdict",
    }  # fmt: skip
    # A person's edit of the model's description stands.
    api.update_registered_model(PROJECT, "ours")
    entrants.train(candidate, entrants.world(candidate), entrants.corner_weights())
    enter(candidate)
    assert api.get_registered_model(PROJECT).description == "ours"


def test_the_data_stands_on_the_run_and_on_the_model_that_the_version_is_of(
    candidate: Site,
) -> None:
    enter(candidate)
    api = mlflow.client(candidate)
    run = api.get_run(api.get_model_version(PROJECT, "1").run_id)
    [used] = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("snapshot", MD5)
    [made] = run.outputs.model_outputs
    model = api.get_logged_model(made.model_id)
    assert {(m.key, m.dataset_name, m.dataset_digest) for m in model.metrics} == {
        ("accuracy", "snapshot", MD5), ("log_loss", "snapshot", MD5),
    }  # fmt: skip
    assert model.tags["mlflow.modelVersions"] == '[{"name": "digits", "version": 1}]'
    # Said of the model once more, the figures of the run are still the same points.
    assert len(api.get_metric_history(run.info.run_id, "accuracy")) == 1


def test_the_card_travels_with_the_model_and_stands_on_the_run(candidate: Site) -> None:
    enter(candidate)
    folder = registry.fetch(candidate, PROJECT, "1", fresh=True)
    card = model_card.read(folder)
    assert card is not None
    assert (card.snapshot, card.project) == (MD5, PROJECT)
    run_id = mlflow.client(candidate).get_model_version(PROJECT, "1").run_id
    logged = mlflow.client(candidate).download_artifacts(
        run_id, "model_card.md", str(candidate.work)
    )
    assert Path(logged).read_text() == (folder / "model_card.md").read_text()


def test_a_version_can_be_shown_again_wherever_its_decision_comes_from(candidate: Site) -> None:
    enter(candidate)
    page = judge(candidate)
    mlflow.client(candidate).update_model_version(PROJECT, "1", "")
    decision = history.last_decision(candidate, PROJECT)
    assert decision is not None
    assert version_page.show(candidate, decision) == page
    assert mlflow.client(candidate).get_model_version(PROJECT, "1").description == page
    run = decision.candidate.run_id
    assert f"](get-artifact?path=plots/confusion.png&run_id={run})" in page
    assert "artifacts/model_card.md)" in page


def test_a_version_whose_files_changed_has_a_page_without_its_card(candidate: Site) -> None:
    enter(candidate)
    with_card = judge(candidate)
    decision = history.last_decision(candidate, PROJECT)
    assert decision is not None
    source = registry.source_of(candidate, PROJECT, "1")
    (Path(str(source)) / "model_card.json").write_text("{}")
    (candidate.layout.serving / PROJECT / "1" / "model_card.json").write_text("{}")
    page = version_page.show(candidate, decision)
    assert "## Limits" in with_card
    assert "## Limits" not in page
    assert page.splitlines()[0] == with_card.splitlines()[0]
