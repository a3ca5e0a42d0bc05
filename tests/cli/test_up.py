"""`mlops up`: what it plans, and the real command started, looked at, and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from mlops.adapters import orphans
from mlops.adapters.ports import Ports, keep_ports
from mlops.cli.plan import plan
from mlops.cli.serve import serve
from mlops.cli.up import up
from mlops.errors import ParamsError
from mlops.serving import supervisor
from mlops.settings import Settings

if TYPE_CHECKING:
    from mlops.adapters.parts import Part
    from mlops.layout import Layout
    from mlops.site import Site

PORTS = Ports(prefect=4001, mlflow=4002, serve=4003, metrics=4004)


def _plan(site: Site, **settings: object) -> dict[str, Part]:
    parts = plan(site.layout, Settings(**settings), PORTS)  # type: ignore[arg-type]
    return {part.name: part for part in parts}


def test_every_part_and_their_order(site: Site) -> None:
    parts = _plan(site)
    assert set(parts) == {"prefect", "deploy", "worker", "mlflow", "serve", "reports"}
    assert parts["deploy"].after == ("prefect",)
    assert parts["worker"].after == ("deploy",)
    assert parts["serve"].after == ("mlflow",)
    assert parts["serve"].url == "http://127.0.0.1:4003"


def test_servers_elsewhere_are_not_started(site: Site) -> None:
    parts = _plan(
        site, prefect_api_url="http://p/api", mlflow_uri=SecretStr("http://m"),
        mlflow_ui_url="http://m",
    )  # fmt: skip
    assert set(parts) == {"deploy", "worker", "serve", "reports"}
    assert parts["worker"].environment["PREFECT_API_URL"] == "http://p/api"
    assert all(set(part.after) <= set(parts) for part in parts.values())


def test_the_parts_find_each_other(site: Site) -> None:
    for part in _plan(site).values():
        seen = part.environment
        assert seen["MLOPS_ROOT"] == str(site.layout.root)
        assert seen["PREFECT_API_URL"] == "http://127.0.0.1:4001/api"
        assert seen["PREFECT_HOME"] == str(site.layout.prefect_home)
        assert seen["MLOPS_SERVE_PORT"] == "4003"
        assert seen["DO_NOT_TRACK"] == "true"


def test_no_secret_on_a_command_line(site: Site) -> None:
    url = "postgresql://u:canary@h/db"
    parts = _plan(site, mlflow_uri=SecretStr(url), database_url=SecretStr(url))
    assert not any("canary" in word for part in parts.values() for word in part.command)
    assert parts["mlflow"].environment["MLFLOW_BACKEND_STORE_URI"] == url


def test_only_this_machines_pages_may_talk_to_the_servers(site: Site) -> None:
    parts = _plan(site)
    origins = parts["prefect"].environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
    assert origins == ["http://127.0.0.1:4001", "http://localhost:4001"]
    assert parts["prefect"].environment["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] == "true"
    hosts = parts["mlflow"].environment["MLFLOW_SERVER_ALLOWED_HOSTS"]
    assert hosts == "127.0.0.1:4002,localhost:4002"


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3"])
def test_what_asks_for_no_password_stays_on_loopback(site: Site, host: str) -> None:
    parts = _plan(site, host=host, token=SecretStr("t"))
    assert parts["prefect"].environment["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    assert parts["mlflow"].environment["MLFLOW_HOST"] == "127.0.0.1"
    assert parts["prefect"].url == "http://127.0.0.1:4001"
    assert parts["mlflow"].url == "http://127.0.0.1:4002/#/models"
    assert parts["worker"].environment["PREFECT_API_URL"] == "http://127.0.0.1:4001/api"
    assert parts["worker"].environment["MLOPS_MLFLOW_UI_URL"] == "http://127.0.0.1:4002"
    reached = "127.0.0.1" if host == "0.0.0.0" else host
    assert parts["serve"].url == f"http://{reached}:4003"
    secure = _plan(site, host=host, tls_cert="cert.pem")["serve"]
    assert (secure.url, secure.probe) == (f"https://{reached}:4003", f"https://{reached}:4003/ping")


def test_a_mistake_in_params_leaves_no_trace(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(site.layout.root))
    with site.layout.params.open("a") as file:
        file.write("tune: {trials: 3}\n")
    with pytest.raises(ParamsError, match="stands twice"):
        up()
    assert not site.layout.ports.exists()
    assert capsys.readouterr().out == ""


def test_serve_alone_takes_both_of_the_ports_that_up_chose(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(site.layout.root))
    keep_ports(site.layout, Ports(prefect=4001, mlflow=4002, serve=8001, metrics=8002))
    asked: list[tuple[int, int]] = []

    class Seen:
        def __init__(self, _layout: Layout, settings: Settings, **more: int) -> None:
            asked.append((more["port"], settings.metrics_port))

        def run(self) -> int:
            return 0

    monkeypatch.setattr(supervisor, "Supervisor", Seen)
    for name in ("MLOPS_SERVE_PORT", "MLOPS_METRICS_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert serve() == 0
    monkeypatch.setenv("MLOPS_METRICS_PORT", "9")
    assert serve() == 0
    assert asked == [(8001, 8002), (8001, 9)]


def test_heartbeat_is_what_the_automation_counts_on(site: Site) -> None:
    from flows.automations import HEARTBEAT_S

    worker = _plan(site)["worker"].environment
    assert worker["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == str(HEARTBEAT_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_stops_cleanly_while_starting(site: Site, number: signal.Signals) -> None:
    names = ("SERVE", "METRICS", "MLFLOW", "PREFECT")
    spare = {f"MLOPS_{name}_PORT": "0" for name in names}
    up = subprocess.Popen(
        [sys.executable, "-m", "mlops.cli.main", "up"],
        env=os.environ | spare | {"MLOPS_ROOT": str(site.layout.root)},
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    group = f"{site.layout.root}#"
    end_s = time.monotonic() + 60
    while len(orphans.find(group)) < 2:
        assert up.poll() is None
        assert time.monotonic() < end_s
        time.sleep(0.1)
    up.send_signal(number)
    out, _ = up.communicate(timeout=60)
    assert up.returncode == 0
    assert out.splitlines()[-1] == "everything has stopped"
    assert orphans.find(group) == []
