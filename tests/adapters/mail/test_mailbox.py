from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from typing import TYPE_CHECKING, get_args

import pytest

from mlops.adapters.mail.compose import compose
from mlops.adapters.mail.mailbox import deposit, page, read
from mlops.adapters.mail.sample import sample
from mlops.cli import mail as cli
from mlops.core.alert import Stage

if TYPE_CHECKING:
    from pathlib import Path

STAGES: tuple[Stage, ...] = get_args(Stage)


def _mail(stage: Stage) -> EmailMessage:
    return compose(sample(stage, 0.0), "mlops@example.org", ["team@example.org"])


def test_mails_are_numbered_files_with_a_page_each(tmp_path: Path) -> None:
    first = deposit(tmp_path / "box", _mail("detected"))
    second = deposit(tmp_path / "box", _mail("resolved"))
    assert first.name == "0001-drift-3-digits-brightness-retraining-started.eml"
    assert second.name == "0002-drift-3-digits-brightness-resolved.eml"
    assert read(first)["Message-ID"] == read(second)["References"]
    html = first.with_suffix(".html").read_text()
    assert re.findall(r'src="([^"]{22})', html) == ["data:image/png;base64,"] * 5
    assert "cid:" not in html


def test_the_same_mail_is_written_once(tmp_path: Path) -> None:
    first = deposit(tmp_path, _mail("detected"))
    deposit(tmp_path, _mail("promoted"))
    before = first.read_bytes()
    assert deposit(tmp_path, _mail("detected")) == first
    assert first.read_bytes() == before
    assert len(list(tmp_path.glob("*.eml"))) == 2


def test_many_writers_share_no_number(tmp_path: Path) -> None:
    with ThreadPoolExecutor(5) as pool:
        paths = list(pool.map(lambda stage: deposit(tmp_path, _mail(stage)), STAGES * 3))
    assert len(set(paths)) == len(STAGES)
    assert sorted(p.name[:4] for p in tmp_path.glob("*.eml")) == [
        f"{number:04d}" for number in range(1, len(STAGES) + 1)
    ]


def test_a_kill_between_page_and_mail_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, content: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mlops.adapters.mail.mailbox.write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            deposit(tmp_path, _mail("detected"))
    assert not list(tmp_path.glob("*.eml"))
    assert deposit(tmp_path, _mail("detected")).name.startswith("0001-")
    assert len(list(tmp_path.glob("*.html"))) == 1


@pytest.mark.parametrize(("text", "shown"), [("1 < 2", "<pre>1 &lt; 2"), (None, "")])
def test_a_mail_without_html_still_has_a_page(text: str | None, shown: str) -> None:
    message = EmailMessage()
    if text is None:
        message.add_attachment(b"x", "application", "octet-stream")
    else:
        message.set_content(text)
    assert shown in page(message)
    assert bool(page(message)) is (text is not None)


def test_the_verb_previews_every_stage(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    for stage in STAGES:
        for _ in range(2):  # a second preview replaces the first
            assert cli.preview(stage, json=True) == 0
        paths = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert stage.replace(" ", "-") in paths["html"]
        assert (root / paths["eml"]).is_file()
    assert cli.preview() == 0
    assert "0001-drift-3-digits-brightness-retraining-started.html" in capsys.readouterr().out
