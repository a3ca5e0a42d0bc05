"""The page for people, in Chromium: at two widths, by mouse, by keyboard, and without script."""

from __future__ import annotations

import base64
import io
import json
import os
import time
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image

from mlops.adapters.serving_incidents import open_alarm, resolve_alarm
from mlops.adapters.sql.engine import open_database
from mlops.core.schema import Column, TableSchema
from mlops.serving.pulse import SECONDS, Pulse
from tests.serving.conftest import Running, running
from tests.serving.kinds import TABLE, TEXT, TinyModel, serving
from tests.serving.tiny import images

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

COMPLAINTS: dict[Page, list[str]] = {}
"""By page, what its script or its policy complained of."""
EVIL = '<img src=x onerror=alert(1)>"'


def _open(browser: Browser, server: Running, width: int = 1280, **options: Any) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900}, **options)
    complaints = COMPLAINTS[page] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda said: complaints.append(str(said)))
    page.goto(server.url)
    return page


def _png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(images(1)[0, ..., 0]).save(out, "PNG")
    return out.getvalue()


def test_an_image_is_tried_at_both_widths(shared: Running, browser: Browser) -> None:
    file: Any = {"name": "digit.png", "mimeType": "image/png", "buffer": _png()}
    for width in (1280, 390):
        page = _open(browser, shared, width)
        assert page.title() == "tiny"
        page.get_by_label("Image").set_input_files(file)
        page.get_by_label("Explain the answer").check()
        page.get_by_role("button", name="Predict").click()
        page.locator("#answer img").wait_for(timeout=10_000)
        assert page.locator("#answer meter").count() == 3
        overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert page.evaluate(overflow) is False
        assert COMPLAINTS[page] == []
        assert page.locator("svg[role=img]").count() == 2
        page.close()


def test_rows_and_texts_by_keyboard_alone(tmp_path: Path, browser: Browser) -> None:
    with serving(tmp_path / "a", TinyModel(TABLE)) as server:
        page = _open(browser, server)
        for value in ("30", "Bern", "42.5"):
            page.keyboard.press("Tab")
            page.keyboard.type(value)
        page.keyboard.press("Enter")
        page.locator("#answer meter").first.wait_for(timeout=10_000)
        scores = TinyModel(TABLE).predict(np.array([[30.0, 0.0, 42.5]]))[0]
        best = TABLE.classes[int(scores.argmax())]
        assert page.locator("#answer .good").inner_text() == best
        page.get_by_label("age").fill("many")
        page.keyboard.press("Enter")
        page.locator("#answer .bad").wait_for(timeout=10_000)
        page.close()
    with serving(tmp_path / "b", TinyModel(TEXT)) as server:
        page = _open(browser, server)
        page.get_by_label("Text").fill("buy this now")
        page.get_by_label("Explain the answer").check()
        page.get_by_role("button", name="Predict").click()
        page.get_by_role("rowheader", name="buy").wait_for(timeout=10_000)
        page.close()


@pytest.mark.parametrize("text", ["😀😀 one two", "one\ntwo\n\nthree", "😀 a\n😀 b é"])
def test_each_part_of_a_text_is_shown_by_its_own_words(
    text: str, tmp_path: Path, browser: Browser
) -> None:
    """Places count characters of what was sent: no halves of one, and two for the end of a line."""
    with serving(tmp_path, TinyModel(TEXT)) as server:
        page = _open(browser, server)
        page.get_by_label("Text").fill(text)
        page.get_by_label("Explain the answer").check()
        page.get_by_role("button", name="Predict").click()
        parts = page.locator("#answer h3:has-text('each part') + table th")
        parts.first.wait_for(timeout=10_000)
        assert parts.all_inner_texts() == text.split()
        page.close()


def test_without_script_the_form_still_answers(shared: Running, browser: Browser) -> None:
    page = _open(browser, shared, java_script_enabled=False)
    assert not page.get_by_label("Explain the answer").is_visible()  # /predict's own form has none
    file: Any = {"name": "digit.png", "mimeType": "image/png", "buffer": _png()}
    page.get_by_label("Image").set_input_files(file)
    page.get_by_role("button", name="Predict").click()
    page.wait_for_url("**/predict")
    assert "prediction_id" in page.content()
    page.close()


def test_names_are_text_and_what_is_known_is_told(tmp_path: Path, browser: Browser) -> None:
    evil = TableSchema(("a", "b"), (Column(EVIL, "number"), Column("c", "category", (EVIL,))))
    with serving(tmp_path, TinyModel(evil)) as server:
        engine = open_database(server.config.database_url)
        open_alarm(engine, server.config.project, "1", EVIL, "lost", at_s=1_700_000_000.0)
        for n in range(7):  # what is open stays shown, however much came and went since
            open_alarm(engine, server.config.project, f"past {n}", "1", "over", at_s=1.8e9)
            resolve_alarm(engine, server.config.project, f"past {n}", at_s=1.8e9)
        page = _open(browser, server, 390)
        assert page.locator("img").count() == 0
        assert page.get_by_text(EVIL).count() >= 2
        assert "open" in page.locator("li .bad").inner_text()
        page.get_by_role("button", name="Predict").click()
        page.locator("#answer meter").first.wait_for(timeout=10_000)
        assert COMPLAINTS[page] == []
        page.close()
        engine.dispose()


def test_every_word_can_be_read(shared: Running, browser: Browser) -> None:
    """WCAG AA, in light and dark: 4.5 to 1 between each text and what is behind it."""
    measure = """() => { const lum = (c) => { const v = c.match(/[\\d.]+/g).slice(0, 3).map((x) =>
      (x /= 255, x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4));
      return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
      const back = (e) => { while (e) { const c = getComputedStyle(e).backgroundColor;
        if (c !== "rgba(0, 0, 0, 0)") return c; e = e.parentElement; } return "rgb(255,255,255)"; };
      const all = "h1,h2,p,dt,dd,label,button,input,li,figcaption";
      return [...document.querySelectorAll(all)].map((e) => { const s = getComputedStyle(e),
        a = lum(s.color), b = lum(back(e));
        return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); }); }"""
    for scheme in ("light", "dark"):
        page = _open(browser, shared, color_scheme=scheme)
        found = page.evaluate(measure)
        assert len(found) > 15
        assert min(found) >= 4.5
        unnamed = "() => [...document.querySelectorAll('input,select,textarea')]"
        assert page.evaluate(unnamed + ".every((e) => e.labels.length > 0)")
        page.close()


def test_the_page_is_guarded_and_says_what_it_may_load(tmp_path: Path) -> None:
    with running(tmp_path, token="a-token") as server, httpx.Client(base_url=server.url) as client:
        denied = client.get("/")
        assert denied.status_code == 401
        assert any("Basic" in value for value in denied.headers.get_list("www-authenticate"))
        assert all("Basic" not in v for v in client.get("/v2").headers.get_list("www-authenticate"))
        shown = client.get("/", auth=("me", "a-token"))
        assert shown.status_code == 200
        policy = shown.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in shown.text.replace("http://www.w3.org", "")
        assert client.get("/", auth=("me", "a-toke")).status_code == 401
        crossed = {"sec-fetch-site": "cross-site"}
        body = images(1).tobytes()
        for headers, status in ((crossed, 401), ({"sec-fetch-site": "same-origin"}, 200)):
            answer = client.post(
                "/predict", content=body, auth=("me", "a-token"),
                headers={**headers, "content-type": "application/octet-stream"},
            )  # fmt: skip
            assert answer.status_code == status
        junk = {"authorization": "Basic " + base64.b64encode(b"\xff\xff").decode() + "!"}
        assert client.get("/", headers=junk).status_code == 401


def test_without_a_model_or_a_database_the_page_still_comes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where a folder must be")
    away = f"sqlite:///{tmp_path / 'file' / 'mlops.db'}"
    with running(tmp_path, version=None, database_url=away) as server:
        shown = httpx.get(server.url)
    assert shown.status_code == 200
    assert "no model is in service yet" in shown.text
    assert "The database does not answer" in shown.text


_POINTER = {"version": "1", "folder": "x", "digest": "y"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "{}",
        *(json.dumps({**_POINTER, "since_s": s}) for s in ("soon", "nan", 1e99)),
    ],
)
def test_with_a_damaged_pointer_the_page_still_comes(text: str, tmp_path: Path) -> None:
    with running(tmp_path) as server:
        (server.home / "current.json").write_text(text)
        shown = httpx.get(server.url)
    assert shown.status_code == 200
    assert "<dt>Version</dt><dd><strong>1</strong></dd>" in shown.text
    assert "current.json is damaged" in shown.text
    assert "Since" not in shown.text


def test_rates_and_latencies_are_those_of_all_workers(tmp_path: Path) -> None:
    pulse = Pulse(tmp_path)
    start = int(time.time())
    pulse.add([0.003] * 99, 200)
    pulse.add([0.3], 503)
    # Another worker's ring, and what an older release may have left there.
    (tmp_path / "1").write_bytes((tmp_path / str(os.getpid())).read_bytes())
    (tmp_path / "2").write_bytes(b"short")
    while int(time.time()) <= start + 1:
        time.sleep(0.02)
    beat = pulse.read()
    assert len(beat.requests) == SECONDS
    assert (beat.requests.sum(), beat.errors.sum()) == (200, 2)
    middle, slow = beat.quantile_ms(0.5), beat.quantile_ms(0.995)
    assert middle is not None
    assert slow is not None
    assert 3 <= middle <= 3 * 2**0.5
    assert 300 <= slow <= 300 * 2**0.5
