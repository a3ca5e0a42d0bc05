from __future__ import annotations

import io
import re
from dataclasses import replace
from email.parser import BytesParser
from email.policy import SMTP
from html import unescape
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest
from PIL import Image

from mlops.adapters.mail.compose import compose, message_id
from mlops.adapters.mail.notify import addressed
from mlops.adapters.mail.sample import sample
from mlops.adapters.mail.text import first_sentence, one_line, slug
from mlops.adapters.mail.thumbnails import TILE, sheet
from mlops.core.alert import Alert, ColumnChange, Stage
from mlops.errors import UsageError
from mlops.settings import Settings

if TYPE_CHECKING:
    from email.message import EmailMessage

    from mlops.site import Site

AT_S = 1_767_614_400.0  # 2026-01-05 12:00 UTC
SENDER, TEAM = "mlops@example.org", ["team@example.org"]
HOSTILE = "x\r\nBcc: evil@example.org\x00 {{7*7}} <script>alert(1)</script>\u202e"


def _through_the_wire(message: EmailMessage) -> EmailMessage:
    return BytesParser(policy=SMTP).parsebytes(message.as_bytes(policy=SMTP))


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def _visible(html: str) -> str:
    body = html.split("<body", 1)[1].split(">", 1)[1]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_subject_addresses_and_date() -> None:
    mail = _through_the_wire(compose(sample("detected", AT_S), "Loop <mlops@example.org>", TEAM))
    assert mail["Subject"] == "[DRIFT:3] digits · brightness · retraining started"
    assert mail["From"] == "Loop <mlops@example.org>"
    assert mail["To"] == "team@example.org"
    assert mail["Date"].datetime.timestamp() == AT_S
    assert mail["Auto-Submitted"] == "auto-generated"


def test_all_mails_of_an_incident_are_one_thread_and_other_incidents_are_not() -> None:
    mails = {stage: compose(sample(stage, AT_S), SENDER, TEAM) for stage in get_args(Stage)}
    root = mails["detected"]["Message-ID"]
    assert mails["detected"]["References"] is None
    assert len({mail["Message-ID"] for mail in mails.values()}) == len(mails)
    assert mails["digest"]["References"] is None  # a thread of its own
    for stage in set(mails) - {"detected", "digest"}:
        assert mails[stage]["In-Reply-To"] == mails[stage]["References"] == root
    again = compose(sample("detected", AT_S + 99), SENDER, TEAM)
    assert again["Message-ID"] == root
    other = replace(sample("detected", AT_S), incident="another")
    assert message_id(other, "detected") != root


@pytest.mark.parametrize("loss", [False, True])
@pytest.mark.parametrize("stage", get_args(Stage))
@pytest.mark.parametrize("kind", ["plain", "html"])
def test_the_first_forty_words_say_real_bad_next_and_act(
    stage: Stage,
    kind: str,
    loss: bool,
) -> None:
    alert = sample(stage, AT_S, loss=loss)
    body = _body(compose(alert, SENDER, TEAM), kind)
    words = (_visible(body) if kind == "html" else body).split()
    lead = " ".join(words[:40])
    for answer in (alert.real, alert.how_bad, alert.next_step, alert.act):
        assert first_sentence(answer)[0] in lead


def test_both_bodies_hold_columns_links_silence_and_reason() -> None:
    alert = sample("detected", AT_S)
    mail = compose(alert, SENDER, TEAM)
    for body in (_body(mail, "plain"), _visible(_body(mail, "html"))):
        for change in alert.columns:
            assert change.column in body
            assert f"{change.value:.3g}" in body
            assert f"{change.threshold:.3g}" in body
            assert change.words in body
        for text in (alert.silence, alert.why_you, alert.incident, alert.notes[0]):
            assert text in body
        assert "2026-01-05 12:00 UTC" in body
        assert "brightness: 38 % darker than the reference." in body
    for label, url in alert.links:
        assert f"{label}: {url}" in _body(mail, "plain")
        assert re.search(rf'<a [^>]*href="{re.escape(url)}"[^>]*>{label}</a>', _body(mail, "html"))


def test_a_resolved_mail_holds_distances_then_and_now_accuracy_and_no_pictures_of_then() -> None:
    mail = compose(sample("resolved", AT_S), SENDER, TEAM)
    text, html = _body(mail, "plain"), _body(mail, "html")
    assert "brightness               1.84 of 0.31 -> 0.12 of 0.31" in text
    assert "with version 2         95.3%  90.7% to 97.7%, 150 labels" in text
    seen = _visible(html)
    assert "With version 2 90.7% to 97.7%, 150 labels 95.3%" in seen
    assert "at the alarm: 38 % darker than the reference" in seen
    assert "severity 3 of 5 at worst" in seen
    assert "To read its whole story" in seen
    assert "Examples" not in seen


def test_a_loss_that_labels_show_has_words_of_its_own() -> None:
    seen = _visible(_body(compose(sample("detected", AT_S, loss=True), SENDER, TEAM), "html"))
    assert "Labels show a loss of accuracy" in seen
    assert "The inputs in window digits-1-10, which look as before" in seen
    done = compose(sample("resolved", AT_S, loss=True), SENDER, TEAM)
    assert "Accuracy is back" in _body(done, "html")
    assert done["Subject"] == "[DRIFT:3] digits · accuracy · resolved"
    assert (
        done["References"]
        == compose(sample("detected", AT_S, loss=True), SENDER, TEAM)["Message-ID"]
    )


def test_the_sheet_is_one_related_png_and_the_page_needs_no_other_picture() -> None:
    mail = _through_the_wire(compose(sample("detected", AT_S), SENDER, TEAM))
    pictures = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    names = [f"trail-{n}" for n in range(4)] + ["examples"]
    assert [part["Content-ID"] for part in pictures] == [f"<{name}>" for name in names]
    for trail in pictures[:-1]:
        content = trail.get_payload(decode=True)
        assert isinstance(content, bytes)
        assert Image.open(io.BytesIO(content)).size == (240, 56)
    html = _body(mail, "html")
    assert re.findall(r'src="([^"]*)"', html) == [f"cid:{name}" for name in names]
    assert html.count("last 11 windows") == 4  # with images off there are words
    assert "http" not in "".join(re.findall(r"url\(([^)]*)\)", html))
    assert 'alt="6 images of the reference above, 6 below: Window digits-1-14, in alarm"' in html
    assert len(html.encode()) < 100_000


def test_without_images_no_picture_and_no_heading_for_it() -> None:
    none = np.zeros((0, 8, 8, 1), np.uint8)
    bare = replace(sample("detected", AT_S), reference=none, current=none, columns=())
    mail = compose(bare, SENDER, TEAM)
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative", "text/plain", "text/html",
    ]  # fmt: skip
    assert "Examples" not in _body(mail, "html")


def _hostile() -> Alert:
    return replace(
        sample("needs you", AT_S), project="x\r\nX-Evil: 1", incident=HOSTILE, kind=HOSTILE,
        cause=HOSTILE, version=HOSTILE, real=HOSTILE, how_bad=HOSTILE, next_step=HOSTILE,
        act=HOSTILE, silence=HOSTILE, why_you=HOSTILE, notes=(HOSTILE,),
        columns=(ColumnChange(HOSTILE, HOSTILE, 1.0, 0.5, HOSTILE),),
        links=((HOSTILE, "javascript:alert(1)"), ("quote", 'https://x/"><script>')),
    )  # fmt: skip


def test_hostile_names_stay_literal_and_start_no_header() -> None:
    mail = _through_the_wire(compose(_hostile(), SENDER, TEAM))
    assert mail["Bcc"] is None
    assert mail["X-Evil"] is None
    html, text = _body(mail, "html"), _body(mail, "plain")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "javascript:" not in "".join(re.findall(r'href="([^"]*)"', html))
    for body in (text, _visible(html), str(mail["Subject"])):
        assert "{{7*7}}" in body
        assert "49" not in body
        assert "\u202e" not in body
        assert "\x00" not in body


def test_endless_names_make_no_endless_mail() -> None:
    long = "&" * 100_000
    alert = replace(
        sample("detected", AT_S), cause=long, real=long, how_bad=long, act=long, next_step=long,
        silence=long, why_you=long, links=((long, long),) * 500,
        columns=(ColumnChange(long, long, 1.0, 0.5, long),) * 500,
    )  # fmt: skip
    mail = compose(alert, SENDER, TEAM)
    assert len(_body(mail, "html").encode()) < 100_000
    assert len(mail["Subject"]) <= 180


@pytest.mark.parametrize(
    ("sender", "receivers", "named"),
    [
        ("nobody", TEAM, "MLOPS_MAIL_FROM: 'nobody'"),
        ("a@b\r\nBcc: c@d", TEAM, "MLOPS_MAIL_FROM"),
        ("", TEAM, "MLOPS_MAIL_FROM"),
        (SENDER, [], "MLOPS_MAIL_TO: names no receiver"),
        (SENDER, [" "], "MLOPS_MAIL_TO: names no receiver"),
        (SENDER, ["a@b", "a b@c"], "MLOPS_MAIL_TO: 'a b@c'"),
        (SENDER, ["ü@b"], "MLOPS_MAIL_TO"),
        (SENDER, ["a@b; c@d"], "MLOPS_MAIL_TO: 'a@b; c@d'"),  # neither is dropped
        (SENDER, ["a@b c@d"], "MLOPS_MAIL_TO: 'a@b c@d'"),
        (SENDER, ["a@["], "MLOPS_MAIL_TO: 'a@['"),
        (SENDER, ["Team: a@b, c@d;"], "MLOPS_MAIL_TO"),
        ("a@b, c@d", TEAM, "MLOPS_MAIL_FROM: 'a@b, c@d'"),
    ],
)
def test_a_malformed_address_is_named(sender: str, receivers: list[str], named: str) -> None:
    with pytest.raises(UsageError, match=re.escape(named)):
        compose(sample("detected", AT_S), sender, receivers)


@pytest.mark.parametrize(
    ("setting", "to"),
    [
        ("a@b.org", ["a@b.org"]),
        ("a@b.org,c@d.org,", ["a@b.org", "c@d.org"]),
        ("a@b.org; c@d.org", ["a@b.org", "c@d.org"]),
        ('"Doe, Jane; ops" <j@b.org>, c@d.org', ["j@b.org", "c@d.org"]),
        ("Jürgen Ops <j@b.org>,\n c@d.org", ["j@b.org", "c@d.org"]),
    ],
)
def test_every_receiver_of_the_setting_gets_the_mail(
    site: Site, setting: str, to: list[str]
) -> None:
    told = replace(site, settings=Settings(mail_to=setting))
    mail = _through_the_wire(addressed(told, sample("detected", AT_S)))
    assert [address.addr_spec for address in mail["To"].addresses] == to


@pytest.mark.parametrize(
    ("shape", "tile"),
    [
        ((8, 8, 1), (96, 96)),
        ((28, 28, 1), (84, 84)),
        ((32, 32, 3), (96, 96)),
        ((1, 1, 1), (96, 96)),
        ((96, 200, 3), (96, 46)),
        ((5, 9, 2), (90, 50)),
    ],
)
def test_the_sheet_fits_any_image(shape: tuple[int, int, int], tile: tuple[int, int]) -> None:
    white = np.full((7, *shape), 255, np.uint8)
    content = sheet(white, white[:2])
    assert content is not None
    picture = Image.open(io.BytesIO(content))
    assert picture.size == (6 * TILE + 5 * 12, 2 * TILE + 12)
    box = picture.crop((0, 0, TILE, TILE)).getbbox()
    assert box is not None
    assert (box[2] - box[0], box[3] - box[1]) == tile


def test_small_images_grow_without_invented_greys() -> None:
    checks = np.indices((8, 8)).sum(0) % 2 * 255
    content = sheet(checks[None, :, :, None].astype(np.uint8), np.zeros((0, 8, 8, 1), np.uint8))
    assert content is not None
    grey = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    assert set(np.unique(grey)) == {0, 255}
    assert sheet(np.zeros((0, 8, 8, 1), np.uint8), np.zeros((0, 8, 8, 1), np.uint8)) is None


@pytest.mark.parametrize(
    ("text", "line"),
    [("a\r\nb", "a b"), (" a \t b ", "a b"), ("a\u2028b\u200bc", "a b c"), ("\ud800x", "x")],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_cuts() -> None:
    assert one_line("word " * 9, 10) == "word word…"
    assert first_sentence("Is 0.5 enough? Yes. No.") == ("Is 0.5 enough?", "Yes. No.")
    assert first_sentence("No") == ("No", "")
    assert slug("[DRIFT:3] Zürich · a/../b") == "drift-3-zurich-a-b"
    assert slug("···") == "mail"
