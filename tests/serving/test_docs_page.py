"""`/docs`: off by default; where it is on, every route can be asked from a browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np

from mlops.serving.routes import ROUTES
from tests.serving.kinds import RECORDS, TABLE, TinyModel, columns, serving

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.serving.conftest import Running


def test_there_is_no_such_page_unless_it_is_turned_on(shared: Running) -> None:
    answer = httpx.get(f"{shared.url}/docs")
    assert answer.status_code == 404
    assert answer.json()["error"]["remedy"] == "set MLOPS_SERVE_DOCS=true"


def test_every_route_has_a_form_that_asks_it(tmp_path: Path, browser: Browser) -> None:
    complaints: list[str] = []
    model = TinyModel(TABLE)
    with serving(tmp_path, model, docs=True) as server:
        page = browser.new_page()
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda said: complaints.append(str(said)))
        page.goto(f"{server.url}/docs")
        heads = {head.inner_text() for head in page.locator("section h2").all()}
        assert heads == {f"{route.method} {route.name}" for route in ROUTES}

        def ask(heading: str, body: Any = None) -> tuple[str, str]:
            section = page.get_by_role("region", name=heading, exact=True)
            if body is not None:
                section.get_by_label("Body").fill(json.dumps(body))
            section.get_by_role("button", name="Send").click()
            told = section.locator("form + pre")
            page.wait_for_function("e => e.textContent.includes('\\n')", arg=told.element_handle())
            status, _, text = told.inner_text().partition("\n")
            return status, text

        assert ask("GET /version")[0] == "200"
        assert ask("GET /v2/models/{name}/ready")[0] == "200"  # with the project's name
        status, text = ask("POST /invocations", {"inputs": RECORDS})
        assert status == "200"
        found = json.loads(text)["predictions"]["probabilities"]
        np.testing.assert_allclose(found, model.expected(columns()), atol=1e-6)
        assert complaints == []
        assert ask("POST /predict", {"row": "?"})[0] == "422"
        page.close()
