"""The review page as a person has it: MLflow's own server, as `mlops up` starts it, in Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from mlops.adapters import history, mlflow
from mlops.adapters.files import read_json, write_json, write_text
from mlops.adapters.ports import choose_ports
from mlops.cli.plan import plan
from mlops.core.page import comparison
from mlops.params.load import load
from mlops.settings import Settings
from mlops.steps.evaluate import EvaluateParams, evaluate
from mlops.steps.promote import PromoteParams, promote
from mlops.steps.register import RegisterParams, register
from tests import entrants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Dialog, Page

    from mlops.site import Site

PROJECT = "digits"
CLASSES = ["zero", "<b>one</b>", "*two*|`3`"]
REASON = "drift<b>: <img src=x onerror=alert(1)> [press](http://example.org) **now** @all :smile:"
MD5 = "0123456789abcdef0123456789abcdef.dir"
HEADLINE = "▲ +32.7 pp acc · drift · PASS"
START_S = 120.0
SHOWN_MS = 30_000
_CUT = """picture => {
    let box = picture.parentElement
    while (getComputedStyle(box).overflowX === 'visible') box = box.parentElement
    return picture.getBoundingClientRect().right - box.getBoundingClientRect().right
}"""


def prepare(site: Site) -> None:
    """Write rows whose class names would like to be markup."""
    entrants.set_params(site)
    entrants.prepare(site, entrants.world(site))
    split = site.layout.prepared / "split.json"
    write_json(split, {**read_json(split), "schema": {**entrants.SCHEMA, "classes": CLASSES}})
    write_text(
        site.layout.root / "dvc.lock",
        "schema: '2.0'\nstages:\n  ingest:\n    outs:\n"
        f"    - path: data/snapshot\n      md5: {MD5}\n",
    )


def decide(site: Site, weights: object, *options: str) -> None:
    """Train, really evaluate, register and judge one candidate."""
    entrants.train(site, entrants.world(site), weights)  # type: ignore[arg-type]
    model = site.layout.candidate / "model.json"
    schema = {**entrants.SCHEMA, "classes": CLASSES}
    write_json(model, {**read_json(model), "schema": schema, "network": "tests.Linear"})
    history = "epoch,train_loss,validation_loss\n1,1.0,1.1\n2,0.5,0.7\n3,0.4,0.8\n"
    (site.layout.candidate / "history.csv").write_text(history)
    shutil.copy(site.layout.prepared / "test.npz", site.layout.prepared / "reference.npz")
    shutil.rmtree(site.layout.evaluation)
    evaluate(load(site.layout.params, EvaluateParams), site)
    given = entrants.with_options(site, *options)
    register(load(site.layout.params, RegisterParams), given)
    promote(load(site.layout.params, PromoteParams), given)


@contextmanager
def ui(site: Site) -> Iterator[str]:
    """Run MLflow as `mlops up` does, and give its address."""
    ports, _ = choose_ports(site.layout, site.settings)
    part = next(p for p in plan(site.layout, site.settings, ports) if p.name == "mlflow")
    with (site.layout.root / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            part.command, env={**os.environ, **part.environment}, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                httpx.get(part.probe, timeout=2, trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, "MLflow ended: see mlflow.log"
                assert time.monotonic() < deadline, "MLflow did not start"
                time.sleep(0.2)
        yield part.probe.removesuffix("/health")
    finally:
        process.terminate()
        process.wait(20)


def test_the_page_renders_on_sqlite(mlflow_site: Site, browser: Browser) -> None:
    review(_anywhere(mlflow_site), browser)


@pytest.mark.bench
def test_the_page_renders_on_postgres(site: Site, browser: Browser, postgres_url: str) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE review"))
    engine.dispose()
    uri = SecretStr(postgres_url.replace("/postgres?", "/review?"))
    review(_anywhere(site, mlflow_uri=uri), browser)


def _anywhere(site: Site, **settings: object) -> Site:
    """Return the site with servers on any free port."""
    ports = dict.fromkeys(("mlflow_port", "prefect_port", "serve_port", "metrics_port"), 0)
    return replace(site, settings=Settings(**ports, **settings))  # type: ignore[arg-type]


def review(site: Site, browser: Browser) -> None:
    """Decide about two versions, and look at every page that a reviewer visits."""
    prepare(site)
    decide(site, entrants.corner_weights(), "reason=first model")
    decide(site, entrants.block_weights(), f"reason={REASON}", "incident=digits-3")
    version = mlflow.client(site).get_model_version(PROJECT, "2")
    experiment = mlflow.client(site).get_run(version.run_id).info.experiment_id
    run = f"#/experiments/{experiment}/runs/{version.run_id}"
    with ui(site) as url:
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        dialogs: list[str] = []

        def note(dialog: Dialog) -> None:
            dialogs.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", note)
        page.goto(f"{url}/#/models/{PROJECT}/versions/2")
        _look_at_the_version(site, page, version.run_id)
        page.goto(f"{url}/#/models/{PROJECT}")
        page.get_by_text(f"{HEADLINE}...", exact=True).wait_for(timeout=SHOWN_MS)
        assert page.get_by_text("● first model · first · PASS").count() == 1
        page.goto(f"{url}/{run}")
        page.get_by_text(f"snapshot ({MD5})").first.wait_for(timeout=SHOWN_MS)
        page.goto(f"{url}/{run}/artifacts/model_card.md")
        page.get_by_text("Model card: digits").first.wait_for(timeout=SHOWN_MS)
        assert page.get_by_text("<b>one</b>").count() > 0
        assert dialogs == []


def _look_at_the_version(site: Site, page: Page, run_id: str) -> None:
    page.get_by_text("Champion against candidate").wait_for(timeout=SHOWN_MS)
    assert page.get_by_text(HEADLINE, exact=True).count() == 1

    plots = page.locator("img[src*='get-artifact?path=plots/']")
    listed = mlflow.client(site).list_artifacts(run_id, "plots")
    assert plots.count() == len(listed) >= 5
    loaded = "i => i.decode().then(() => [i.naturalWidth, i.clientWidth])"
    for n in range(plots.count()):
        plots.nth(n).scroll_into_view_if_needed()
        natural, shown = plots.nth(n).evaluate(loaded)
        assert natural > 300
        assert shown > 0.75 * natural, "shrunk: its letters can no longer be read"
        assert plots.nth(n).evaluate(_CUT) <= 0, "cut by the panel beside it"

    decision = history.last_decision(site, PROJECT)
    assert decision is not None
    cells = [
        [" ".join(cell.split()) for cell in row.locator("td").all_inner_texts()]
        for row in page.locator("tr").all()
    ]
    for row in comparison(decision):
        assert list(row.values()) in cells

    assert page.get_by_text(REASON).count() >= 2
    assert page.get_by_text("<b>one</b>").count() > 0
    assert page.get_by_text("*two*|`3`").count() > 0
    for made in ("img[src='x']", "a[href*='example.org']", "b:text-is('one')", "a[href*='all']"):
        assert page.locator(made).count() == 0
    assert page.get_by_role("link", name="Model card").get_attribute("href")
