"""`mlops doctor`: every finding, with its remedy, and the exit code."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from filelock import FileLock
from pydantic import SecretStr

from mlops.adapters.health import Finding, examine
from mlops.cli.doctor import doctor
from mlops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.site import Site


@pytest.fixture(autouse=True)
def _dvc(site: Site) -> None:
    folder = site.layout.root / ".dvc"
    folder.mkdir()
    (folder / "config").write_text("[core]\n    analytics = false\n")


@pytest.fixture
def smtp_port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    controller = Controller(Sink(), hostname="127.0.0.1", port=port)
    controller.start()
    yield port
    controller.stop()


def _find(site: Site, name: str, **settings: object) -> Finding:
    # Not the template's ports: other programs of this machine may use them.
    free = {f"{n}_port": 0 for n in ("serve", "metrics", "mlflow", "prefect")}
    given = Settings(**{**free, **settings})  # type: ignore[arg-type]
    found = [f for f in examine(site.layout, given) if f.name == name]
    return next((f for f in found if f.state != "ok"), found[0])


@pytest.mark.parametrize(
    "name", ["python", "versions", "disk", "locks", "payloads", "exposure", "dvc"]
)
def test_a_sound_machine(site: Site, name: str) -> None:
    finding = _find(site, name)
    assert (finding.state, finding.remedy) == ("ok", ""), finding


@pytest.mark.parametrize(
    ("name", "settings", "state", "remedy"),
    [
        ("payloads", {"payloads": "hash"}, "warn", "MLOPS_PAYLOADS=keep"),
        ("exposure", {"host": "0.0.0.0"}, "fail", "MLOPS_TOKEN"),
        ("exposure", {"host": "0.0.0.0", "token": SecretStr("t")}, "warn", "proxy"),
        ("mail", {}, "warn", "MLOPS_MAIL_URL"),
        ("mail", {"mail_url": SecretStr("smtp://127.0.0.1:1")}, "fail", "MLOPS_MAIL_URL"),
        ("mail", {"mail_url": SecretStr("http://x")}, "fail", "MLOPS_MAIL_URL"),
        ("mail", {"mail_to": ""}, "fail", "no mail is written"),
        ("mail", {"mail_from": "nobody"}, "fail", "no mail is written"),
    ],
)
def test_settings(
    site: Site, name: str, settings: dict[str, object], state: str, remedy: str
) -> None:
    finding = _find(site, name, **settings)
    assert finding.state == state
    assert remedy in finding.remedy


def test_a_mail_server_that_answers(site: Site, smtp_port: int) -> None:
    finding = _find(site, "mail", mail_url=SecretStr(f"smtp://127.0.0.1:{smtp_port}"))
    assert finding.state == "ok", finding


def test_a_port_of_somebody_else(site: Site) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        finding = _find(site, "port serve", serve_port=server.getsockname()[1])
    assert finding.state == "warn"
    assert "MLOPS_SERVE_PORT" in finding.remedy


def test_a_held_lock(site: Site) -> None:
    site.layout.locks.mkdir(parents=True)
    (site.layout.locks / "train.holder").write_text("process 7 on here")
    (site.layout.locks / "tune.lock").touch()
    with FileLock(site.layout.locks / "train.lock"):
        finding = _find(site, "locks")
    assert (finding.state, finding.text) == ("warn", "train: held by process 7 on here")


@pytest.mark.parametrize(
    ("config", "state", "remedy"),
    [
        ("", "warn", "analytics"),
        ('[core]\n analytics = false\n["remote \\"r\\""]\n url = /x\n', "warn", "verify true"),
        (None, "fail", "dvc init"),
    ],
)
def test_dvc(site: Site, config: str | None, state: str, remedy: str) -> None:
    path = site.layout.root / ".dvc" / "config"
    path.unlink()
    if config is not None:
        path.write_text(config.replace('\\"', '"'))
    finding = _find(site, "dvc")
    assert finding.state == state
    assert remedy in finding.remedy


def test_exit_code_and_json(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(site.layout.root))
    assert doctor(json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert {f["name"] for f in found} >= {"python", "disk", "mail", "gpu"}
    monkeypatch.setenv("MLOPS_HOST", "0.0.0.0")
    assert doctor() == 1
    assert "→ set MLOPS_TOKEN" in capsys.readouterr().out
